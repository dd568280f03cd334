-- Logins on real servers, by a real client, and by raw streams for what a client would not send.

local client = require "support.client";
local dump = require "support.dump";
local http = require "socket.http";
local json = require "dkjson";
local ltn12 = require "ltn12";
local mime = require "mime";
local raw = require "support.raw_client";
local server = require "support.server";

local function escape(text)
	return (text:gsub("[^%w]", function (char) return ("%%%02X"):format(char:byte()); end));
end

local function form(fields)
	local parts = {};
	for name, value in pairs(fields) do
		parts[#parts+1] = escape(name).."="..escape(value);
	end
	return table.concat(parts, "&");
end

server.each_series(describe, pending, function (series)
	describe("mod_audit_auth", function ()
		local prosody;
		local seen;

		setup(function ()
			prosody = server.start { series = series, modules = { "audit", "audit_auth" } };
			prosody:adduser("romeo@example.test", "secret");
			seen = 0;
		end);

		teardown(function ()
			prosody:stop();
		end);

		-- The entries since the last call.
		local function recorded()
			local entries = dump.entries(prosody);
			local new = {};
			for i = seen + 1, #entries do new[#new+1] = entries[i]; end
			seen = #entries;
			return new;
		end

		local function one()
			local new = recorded();
			assert.equal(1, #new, dump.types(new));
			assert.equal("mod_audit_auth", new[1].source);
			return new[1];
		end

		for _, mechanism in ipairs { "SCRAM-SHA-1", "PLAIN" } do
			it("records a login by "..mechanism, function ()
				assert.is_true(client.login(prosody, "romeo@example.test", "secret", { mechanism = mechanism }).ok);
				local entry = one();
				assert.equal("authentication-success", entry.type);
				assert.equal("romeo@example.test", entry.user);
				assert.equal("romeo@example.test", entry.with);
				local session = entry:child("session");
				assert.equal("127.0.0.1", session:child("remote-ip").text);
				assert.equal("c2s_unbound", session.attr.type);
				assert.equal(("<authentication mechanism=%q/>"):format(mechanism), entry:line("authentication"));
				local tls = entry:child("tls");
				assert.matches("^TLSv1%.[23]$", tls.attr.version);
				assert.matches("%u", tls.attr.cipher);
			end);

			it("records a wrong password by "..mechanism, function ()
				local result = client.login(prosody, "romeo@example.test", "wrong", { mechanism = mechanism });
				assert.is_false(result.ok);
				assert.equal("not-authorized", result.condition);
				local entry = one();
				assert.equal("authentication-failure", entry.type);
				assert.equal("romeo@example.test", entry.user);
				assert.equal("127.0.0.1", entry:child("session"):child("remote-ip").text);
				local detail = entry:child("authentication");
				assert.equal(mechanism, detail.attr.mechanism);
				assert.equal("not-authorized", detail.attr.condition);
				assert.equal(result.text, detail.text);
				assert.is_truthy(entry:child("tls"));
			end);
		end

		it("records the name that a stranger tried", function ()
			assert.is_false(client.login(prosody, "mallory@example.test", "guess").ok);
			assert.equal("mallory@example.test", one().user);
		end);

		it("records a failure without a name for the host", function ()
			local stream = assert(raw.connect(prosody));
			local ok, condition = stream:auth("PLAIN", (mime.b64("no separators")));
			stream:close();
			assert.is_false(ok);
			assert.equal("malformed-request", condition);
			local entry = one();
			assert.is_nil(entry.user);
			assert.equal("@", entry.with);
			assert.equal("malformed-request", entry:child("authentication").attr.condition);
		end);

		it("records each attempt on a stream", function ()
			local stream = assert(raw.connect(prosody));
			for _ = 1, 3 do
				assert.is_false(stream:plain("romeo", "wrong"));
			end
			assert.is_true(stream:plain("romeo", "secret"));
			stream:close();
			assert.equal("authentication-failure authentication-failure authentication-failure authentication-success", dump.types(recorded()));
		end);

		it("goes on over a reload, and records once", function ()
			assert.equal(0, (prosody:shell("module:reload('audit_auth', 'example.test')")));
			assert.is_true(client.login(prosody, "romeo@example.test", "secret").ok);
			one();
		end);

		it("never stores a password", function ()
			local text = json.encode(dump.entries(prosody));
			assert.is_nil(text:find("secret", 1, true));
			assert.is_nil(text:find("guess", 1, true));
		end);
	end);

	describe("mod_audit_auth with time set for repeats", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series, modules = { "audit", "audit_auth" };
				config = { audit_auth_repeat_failure_timeout = "2s", audit_auth_repeat_success_timeout = 3600 };
			};
			prosody:adduser("romeo@example.test", "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		it("records an outcome once, and again when the time is over", function ()
			local stream = assert(raw.connect(prosody));
			for _ = 1, 5 do
				assert.is_false(stream:plain("romeo", "wrong"));
			end
			assert.is_false(stream:plain("juliet", "wrong"));
			assert.equal("authentication-failure authentication-failure", dump.types(dump.entries(prosody)));
			-- Events that were left out are counted, and the count is stored within a second after that time.
			require "support.process".wait_until(function () return #dump.entries(prosody) == 3; end, 5, 0.1);
			local repeated = dump.entries(prosody)[3]:child("repeated");
			assert.same({ "4", "1" }, { repeated.attr.count, repeated.attr.accounts });
			assert.is_false(stream:plain("romeo", "wrong"));
			assert.is_false(stream:plain("romeo", "wrong"));
			stream:close();
			assert.equal(4, #dump.entries(prosody));
			for _ = 1, 2 do
				assert.is_true(raw.login(prosody, "romeo", "secret"));
			end
			assert.equal(5, #dump.entries(prosody));
		end);
	end);

	describe("mod_audit_auth with mod_sasl2 and mod_sasl2_fast", function ()
		local prosody;
		local tls = series ~= "0.12";
		local modules = tls and { "sasl2", "sasl2_fast" } or { "sasl2" };

		setup(function ()
			prosody = server.start {
				series = series, modules = { "audit", "audit_auth", table.unpack(modules) }, community = modules;
				-- COMPAT 0.12: mod_sasl2 of Debian 12 asks for a method of connections with TLS that this Prosody has not.
				host_config = { ["example.test"] = not tls and { c2s_require_encryption = false, allow_unencrypted_plain_auth = true } or nil };
			};
			prosody:adduser("romeo@example.test", "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		local function authenticate(mechanism, initial, extra)
			local stream = assert(raw.connect(prosody, { from = "romeo@example.test", tls = tls }));
			assert(stream:send(([[<authenticate xmlns='urn:xmpp:sasl:2' mechanism='%s'><initial-response>%s</initial-response>]]
				..[[<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>Gajim</software></user-agent>%s</authenticate>]]):format(
				mechanism, mime.b64(initial), extra or "")));
			local answer = assert(stream:receive_until("</success>", "</failure>"));
			stream:close();
			return answer;
		end

		local function last()
			local entries = dump.entries(prosody);
			return entries[#entries], #entries;
		end

		-- What a HT-SHA-256-NONE client sends to prove that it has the token.
		local function proof(username, token)
			return username.."\0"..prosody:eval("return require 'util.encodings'.base64.encode(require 'util.hashes'.hmac_sha256(...))",
				token, "Initiator"):gsub("^.*$", mime.unb64);
		end

		it("records SASL2 failures with their condition and text", function ()
			assert.matches("<not%-authorized", authenticate("PLAIN", "\0romeo\0wrong"));
			local entry = last();
			assert.equal("authentication-failure", entry.type);
			assert.equal("romeo@example.test", entry.user);
			assert.equal("not-authorized", entry:child("authentication").attr.condition);
			assert.equal("PLAIN", entry:child("authentication").attr.mechanism);
			assert.matches("Unable to authorize", entry:child("authentication").text);
			assert.equal("d4565fa7-4d72-4749-b3d3-740edbf87770", entry:child("session"):child("client").text);
			assert.equal(tls, entry:child("tls") ~= nil);
		end);

		it("records SASL2 successes once", function ()
			local _, before = last();
			assert.matches("<success", authenticate("PLAIN", "\0romeo\0secret"));
			local entry, count = last();
			assert.equal((before or 0) + 1, count);
			assert.equal("authentication-success", entry.type);
			assert.equal("romeo@example.test", entry.user);
			assert.equal('<authentication mechanism="PLAIN"/>', entry:line("authentication"));
		end);

		it("records attempts that SASL2 refuses before the mechanism runs", function ()
			local _, before = last();
			assert.matches("<invalid%-mechanism", authenticate("X-NO-SUCH", "eA=="));
			local entry, count = last();
			assert.equal(before + 1, count);
			assert.equal("authentication-failure", entry.type);
			assert.is_nil(entry.user);
			assert.equal("invalid-mechanism", entry:child("authentication").attr.condition);
		end);

		if not tls then
			pending("mod_sasl2_fast: that of Debian 12 asks for what Prosody 0.12 does not say of a stream");
			return;
		end

		it("records FAST as it is configured", function ()
			local answer = authenticate("PLAIN", "\0romeo\0secret", "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>");
			local token = answer:match("token='([^']+)'");
			assert.is_truthy(token, answer);
			local entry, count = last();
			assert.equal("authentication-success", entry.type);
			assert.equal('<authentication mechanism="PLAIN"/>', entry:line("authentication"));

			-- With the token: a success that is left out.
			assert.matches("<success", authenticate("HT-SHA-256-NONE", proof("romeo", token), "<fast xmlns='urn:xmpp:fast:0'/>"));
			assert.equal(count, select(2, last()));

			-- With another: a failure of the account that it was for.
			assert.matches("<failure", authenticate("HT-SHA-256-NONE", proof("romeo", "wrong"), "<fast xmlns='urn:xmpp:fast:0'/>"));
			entry = last();
			assert.equal("authentication-failure", entry.type);
			assert.equal("romeo@example.test", entry.user);
			assert.equal('<authentication condition="not-authorized" mechanism="HT-SHA-256-NONE"/>', entry:line("authentication"));
			assert.is_nil(json.encode(dump.entries(prosody)):find(token, 1, true));
		end);
	end);

	-- Debian's community modules have no mod_client_management: its event in the exact shape, as spec/mod_audit_auth_spec.lua
	-- has more of, on a real server.
	it("records new clients, by the event of mod_client_management and without that module", function ()
		local prosody = server.start { series = series, modules = { "audit", "audit_auth" } };
		finally(function () prosody:stop(); end);
		prosody:eval([[
			prosody.hosts[(...)].events.fire_event("client_management/new-client", {
				session = { id = "c2s55904800b230", type = "c2s", username = "romeo", ip = "203.0.113.80", client_id = "d4565fa7-4d72" };
				client = {
					id = "client/d4565fa7-4d72"; first_seen = 1700000000; full_jid = "romeo@example.test/orchard"; legacy = false;
					user_agent = {
						software = "Gajim"; software_id = "b3e0e4f0"; software_version = "1.8.4"; uri = "https://gajim.org"; device = "Laptop";
					};
				};
			});
		]], prosody.host);
		local entries = dump.of_type(prosody, prosody.host, "new-client");
		assert.equal(1, #entries);
		assert.equal("romeo@example.test", entries[1].user);
		assert.equal('<client-info first-seen="2023-11-14T22:13:20Z" id="client/d4565fa7-4d72"><user-agent device="Laptop" software="Gajim"'
			..' software-id="b3e0e4f0" uri="https://gajim.org" version="1.8.4"/></client-info>', entries[1]:line("client-info"));
	end);

	if series == "0.12" then
		pending("mod_http_oauth2: not among the community modules for Prosody "..series);
		return;
	end

	describe("mod_audit_auth with mod_http_oauth2", function ()
		local prosody, client_id;

		setup(function ()
			prosody = server.start {
				series = series, modules = { "audit", "audit_auth", "http_oauth2" }, community = { "http_oauth2" };
				config = { oauth2_registration_key = "for tests", oauth2_require_code_challenge = false };
			};
			prosody:adduser("romeo@example.test", "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		local function post(path, content_type, body, user_agent)
			local answer = {};
			local _, status = http.request {
				method = "POST"; url = ("http://127.0.0.1:%d%s"):format(prosody.http_port, path);
				headers = {
					host = "example.test"; ["content-type"] = content_type; ["content-length"] = tostring(#body);
					["user-agent"] = user_agent or "spec";
				};
				source = ltn12.source.string(body); sink = ltn12.sink.table(answer); redirect = false;
			};
			return status, table.concat(answer);
		end

		local function login(username, password, user_agent)
			return post("/oauth2/authorize?"..form { response_type = "code", client_id = client_id },
				"application/x-www-form-urlencoded", form { username = username, password = password }, user_agent);
		end

		it("records logins on the web", function ()
			local status, answer = post("/oauth2/register", "application/json", json.encode {
				client_name = "Spec"; client_uri = "https://app.test/"; redirect_uris = { "https://app.test/redirect" };
			});
			assert.equal(201, status, answer);
			client_id = json.decode(answer).client_id;

			assert.equal(200, (login("romeo", "wrong")));
			local entry = dump.entries(prosody)[1];
			assert.equal("authentication-failure", entry.type);
			assert.equal("romeo@example.test", entry.user);
			assert.equal('<session type="http"><remote-ip>127.0.0.1</remote-ip><client>spec</client></session>', entry:line("session"));
			assert.equal('<authentication mechanism="x-www-form"/>', entry:line("authentication"));

			assert.equal(200, (login("romeo", "secret")));
			assert.equal("authentication-success", dump.entries(prosody)[2].type);
		end);

		it("records a failure with an impossible name and a user agent of bytes", function ()
			local status = login("ro meo", "wrong", "\255\254 ]]> \1");
			assert.equal(200, status);
			local entries = dump.entries(prosody);
			assert.equal("authentication-failure", entries[#entries].type);
			assert.is_nil(entries[#entries].user);
		end);
	end);
end);
