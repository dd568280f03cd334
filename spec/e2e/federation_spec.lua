-- Connections between real servers on loopback, and of a real external component.

local component = require "support.component_client";
local dump = require "support.dump";
local json = require "dkjson";
local process = require "support.process";
local raw_client = require "support.raw_client";
local server = require "support.server";

local modules = { "dialback", "test_routes", "audit", "audit_s2s" };

server.each_series(describe, pending, function (series)
	describe("mod_audit_s2s", function ()
		-- The log of ours is the one to look at. Its peer has a host for each way to connect. The third is there for one
		-- name that two servers claim to be.
		local ours, peer, third;

		setup(function ()
			local trusted, trusted_key = server.certificate("trusted.test");
			ours = server.start {
				series = series; modules = modules; hosts = { "a.test", "claimed.test" };
				components = {
					["gateway.test"] = { component_secret = "right secret", modules_enabled = { "audit_s2s" } };
				};
				-- All refusals come from loopback.
				config = { s2s_secure_domains = { "secure.test", "misnamed.test" }, ssl = { cafile = trusted }, audit_log_flood = false };
			};
			peer = server.start {
				series = series; modules = modules;
				hosts = {
					["b.test"] = {};
					["trusted.test"] = { ssl = { certificate = trusted, key = trusted_key, cafile = ours.certificate } };
					["misnamed.test"] = { ssl = { certificate = trusted, key = trusted_key } };
					["secure.test"] = {};
					["plain.test"] = { s2s_allow_encryption = false };
				};
				config = { s2s_require_encryption = false, audit_log_flood = false };
			};
			third = server.start { series = series; modules = modules; hosts = { "claimed.test" } };
			local routes = { ["gone.test"] = process.free_ports(1)[1] };
			for _, name in ipairs { "b.test", "trusted.test", "misnamed.test", "secure.test", "plain.test" } do
				routes[name] = peer.s2s_port;
			end
			ours:routes(routes);
			peer:routes { ["a.test"] = ours.s2s_port, ["unknown.test"] = ours.s2s_port, ["claimed.test"] = third.s2s_port };
			third:routes { ["b.test"] = peer.s2s_port };
		end);

		teardown(function ()
			for _, prosody in ipairs { ours or false, peer or false, third or false } do
				if prosody then prosody:stop(); end
			end
		end);

		-- A message from one host to another, which connects them.
		local function send(prosody, from, to)
			prosody:eval([[
				local from, to = ...;
				module:context(from):send(require "util.stanza".message({ from = from, to = to, type = "chat" }):tag("body"):text("Hello"));
			]], from, to);
		end

		-- The entries of that type about a remote host, as soon as there is one with these attributes of <s2s/>.
		local function wait_for(prosody, host, event_type, remote, wanted)
			local found;
			process.wait_until(function ()
				found = {};
				local here = false;
				for _, entry in ipairs(dump.of_type(prosody, host, event_type)) do
					local attr = entry:child("s2s").attr;
					if attr.remote == remote then
						local matches = true;
						for name, value in pairs(wanted) do
							matches = matches and attr[name] == value;
						end
						if matches then table.insert(found, entry); end
						here = here or matches;
					end
				end
				return here;
			end, 10, 0.05);
			if #found ~= 1 then
				error(("%d entries %s of %s instead of one; there are %s"):format(#found, event_type, remote,
					json.encode(dump.entries(prosody, host))), 2);
			end
			local entry = found[1];
			assert.equal("mod_audit_s2s", entry.source);
			assert.is_nil(entry.user);
			return entry;
		end

		local function assert_tls(entry)
			assert.truthy(entry:line("tls"):match('^<tls cipher="[%w_-]+" version="TLSv1%.[23]"/>$'));
		end

		it("records a connection by dialback with a certificate that is not trusted, at both ends", function ()
			send(ours, "a.test", "b.test");
			for _, case in ipairs {
				{ ours, "a.test", "b.test", "outgoing" }, { ours, "a.test", "b.test", "incoming" };
				{ peer, "b.test", "a.test", "outgoing" }, { peer, "b.test", "a.test", "incoming" };
			} do
				local prosody, host, remote, direction = table.unpack(case);
				local entry = wait_for(prosody, host, "s2s-established", remote, { direction = direction });
				assert.equal(('<s2s direction="%s" mechanism="dialback" remote="%s"/>'):format(direction, remote), entry:line("s2s"));
				assert.truthy(entry:line("certificate"):match('^<certificate chain="invalid">self%-? ?signed certificate</certificate>$'));
				assert_tls(entry);
				local session = entry:child("session");
				assert.equal(direction == "outgoing" and "s2sout" or "s2sin", session.attr.type);
				assert.truthy(session.attr.id);
				assert.equal("<remote-ip>127.0.0.1</remote-ip>", session:line("remote-ip"));
			end
			assert.same({}, dump.of_type(ours, "a.test", "s2s-refused"));
			assert.same({}, dump.of_type(peer, "b.test", "s2s-refused"));
		end);

		it("records a connection by SASL EXTERNAL with a good certificate", function ()
			send(ours, "a.test", "trusted.test");
			send(peer, "trusted.test", "a.test");
			for _, direction in ipairs { "outgoing", "incoming" } do
				local entry = wait_for(ours, "a.test", "s2s-established", "trusted.test", { direction = direction });
				assert.equal(('<s2s direction="%s" mechanism="EXTERNAL" remote="trusted.test"/>'):format(direction), entry:line("s2s"));
				assert.equal('<certificate chain="valid" identity="valid"/>', entry:line("certificate"));
				assert_tls(entry);
			end
		end);

		it("records that a certificate was refused, and why", function ()
			send(ours, "a.test", "secure.test");
			send(peer, "secure.test", "a.test");
			send(ours, "a.test", "misnamed.test");
			send(peer, "misnamed.test", "a.test");
			for _, direction in ipairs { "outgoing", "incoming" } do
				local entry = wait_for(ours, "a.test", "s2s-refused", "secure.test", { direction = direction });
				assert.equal("certificate-invalid", entry:child("s2s").attr.condition);
				assert.equal("local", entry:child("s2s").attr.by);
				assert.truthy(entry:child("s2s").text:match("^Your server's certificate is "));
				assert.equal("invalid", entry:child("certificate").attr.chain);
				assert.equal(direction == "outgoing" and "s2sout_unauthed" or "s2sin_unauthed", entry:child("session").attr.type);
				entry = wait_for(ours, "a.test", "s2s-refused", "misnamed.test", { direction = direction });
				assert.equal("certificate-invalid", entry:child("s2s").attr.condition);
				assert.equal('<certificate chain="valid" identity="invalid"/>', entry:line("certificate"));
				assert_tls(entry);
			end
			-- What the other end learns of it.
			local entry = wait_for(peer, "misnamed.test", "s2s-refused", "a.test", { direction = "outgoing" });
			assert.equal('<s2s by="remote" condition="not-authorized" direction="outgoing" remote="a.test">'
				.."Your server's certificate is not valid for this name</s2s>", entry:line("s2s"));
		end);

		it("records dialback that failed, at both ends", function ()
			-- b.test asks the third, which it thinks to be claimed.test.
			send(ours, "claimed.test", "b.test");
			local entry = wait_for(peer, "b.test", "s2s-refused", "claimed.test", {});
			assert.equal('<s2s by="remote" condition="dialback-failed" direction="incoming" remote="claimed.test"/>', entry:line("s2s"));
			assert.equal("<remote-ip>127.0.0.1</remote-ip>", entry:child("session"):line("remote-ip"));
			entry = wait_for(ours, "claimed.test", "s2s-refused", "b.test", {});
			assert.equal('<s2s by="remote" condition="dialback-failed" direction="outgoing" remote="b.test">'
				.."dialback authentication failed</s2s>", entry:line("s2s"));
		end);

		it("records a server that offers no encryption", function ()
			send(ours, "a.test", "plain.test");
			local entry = wait_for(ours, "a.test", "s2s-refused", "plain.test", {});
			assert.equal('<s2s by="remote" condition="encryption-failed" direction="outgoing" remote="plain.test">'
				.."TLS negotiation failed</s2s>", entry:line("s2s"));
			assert.is_nil(entry:child("tls"));
		end);

		it("records a server that does not use encryption", function ()
			local stream, header = raw_client.stream(ours.s2s_port,
				"xmlns='jabber:server' xmlns:db='jabber:server:dialback' from='b.test' to='a.test' version='1.0'");
			-- The key is right: b.test says so when it is asked.
			local key = peer:eval([[
				return require "core.modulemanager".get_module("b.test", "dialback").generate_dialback(...);
			]], header:match(" id=['\"]([^'\"]+)"), "a.test", "b.test");
			assert(stream:send("<db:result from='b.test' to='a.test'>"..key.."</db:result>"));
			assert.truthy(stream:receive_until("</stream:stream>"):find("<policy%-violation"));
			stream:close();
			local entry = wait_for(ours, "a.test", "s2s-refused", "b.test", { direction = "incoming", condition = "encryption-required" });
			assert.equal("local", entry:child("s2s").attr.by);
			assert.is_nil(entry:child("tls"));
		end);

		it("records a request for an unknown host on one host, and at the other end", function ()
			send(peer, "b.test", "unknown.test");
			local entry = wait_for(ours, "a.test", "s2s-refused", "b.test", { condition = "host-unknown" });
			assert.equal('<s2s by="local" condition="host-unknown" direction="incoming" local="unknown.test" remote="b.test">'
				.."This host does not serve unknown.test</s2s>", entry:line("s2s"));
			entry = wait_for(peer, "b.test", "s2s-refused", "unknown.test", {});
			assert.equal('<s2s by="remote" condition="host-unknown" direction="outgoing" remote="unknown.test">'
				.."This host does not serve unknown.test</s2s>", entry:line("s2s"));
			assert.is_nil(json.encode(dump.entries(ours, "claimed.test")):find("unknown.test", 1, true));
			assert.is_nil(json.encode(dump.entries(ours, "gateway.test")):find("unknown.test", 1, true));
		end);

		it("records a server that can't be reached", function ()
			send(ours, "a.test", "gone.test");
			local entry = wait_for(ours, "a.test", "s2s-refused", "gone.test", {});
			assert.equal('<s2s condition="connection-failed" direction="outgoing" remote="gone.test">connection refused</s2s>', entry:line("s2s"));
			assert.is_nil(entry:child("session"):child("remote-ip"));
		end);

		it("records a component's right and wrong secrets, and a second one", function ()
			local wrong = component.connect(ours, "gateway.test");
			assert.is_false(component.handshake(wrong, "wrong secret"));
			local right = component.connect(ours, "gateway.test");
			assert.is_true(component.handshake(right, "right secret"));
			local second = component.connect(ours, "gateway.test");
			assert.is_false(component.handshake(second, "right secret"));
			-- The first one continues.
			assert(right:send("<iq type='get' id='1' from='gateway.test' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>"));
			assert.truthy(right:receive_until("<iq [^>]*id='1'[^>]*>"));
			for _, stream in ipairs { wrong, right, second } do
				stream:close();
			end

			local entries = dump.of_type(ours, "gateway.test", "component-authenticated", "component-refused");
			assert.equal("component-refused component-authenticated component-refused", dump.types(entries));
			assert.equal('<component condition="not-authorized">Given token does not match calculated token</component>',
				entries[1]:line("component"));
			assert.equal('<component condition="conflict">Component already connected</component>', entries[3]:line("component"));
			for i, entry in ipairs(entries) do
				assert.equal("mod_audit_s2s", entry.source);
				assert.is_nil(entry.user);
				assert.equal(('<session type="%s"><remote-ip>127.0.0.1</remote-ip></session>'):format(
					i == 2 and "component" or "component_unauthed"), entry:line("session"));
			end
			local text = json.encode(entries);
			assert.is_nil(text:find("secret", 1, true));
		end);

		it("connects, refuses and answers all the same when it fails", function ()
			ours:break_audit("injected fault");
			local before = select(2, ours:log():gsub("injected fault", ""));
			send(ours, "claimed.test", "trusted.test");
			send(ours, "claimed.test", "gone.test");
			assert.is_true(process.wait_until(function ()
				return ours:eval([[
					local out = prosody.hosts["claimed.test"].s2sout;
					return out["trusted.test"] and out["trusted.test"].type == "s2sout" and not out["gone.test"];
				]]);
			end, 10, 0.05));
			local stream = component.connect(ours, "gateway.test");
			assert.is_false(component.handshake(stream, "wrong secret"));
			stream:close();
			stream = component.connect(ours, "gateway.test");
			assert.is_true(component.handshake(stream, "right secret"));
			stream:close();
			ours:mend_audit();
			assert.equal(before + 4, select(2, ours:log():gsub("injected fault", "")));
			assert.is_nil(ours:log():find("Traceback[", 1, true));
		end);

		it("records nothing for a server that stops", function ()
			local before = #dump.of_type(ours, "a.test", "s2s-refused");
			peer:stop();
			assert.equal(before, #dump.of_type(ours, "a.test", "s2s-refused"));
		end);
	end);
end);
