local module_api = require "support.module_api";
local st = require "util.stanza";

local xmlns_audit = "xmpp:prosody.im/audit";

-- A TLS connection as Prosody 13 and 0.12 have them.
local tls_13 = { ssl_info = function () return { protocol = "TLSv1.3", cipher = "TLS_AES_128_GCM_SHA256" }; end };
local tls_12 = { socket = function () return { info = function () return { protocol = "TLSv1.2", cipher = "ECDHE" }; end }; end };

describe("mod_audit_s2s", function ()
	local host, closed;

	before_each(function ()
		host = module_api.host();
		host:load("audit_s2s");
		module_api.prosody.incoming_s2s = {};
		closed = {};
		module_api.complaints();
	end);

	-- The host of an earlier test must not record refusals for unknown hosts.
	after_each(function ()
		host:unload("audit_s2s");
	end);

	-- A session as in mod_s2s at the start of the stream: from remote.test to our host.
	local function open(direction, fields)
		local session = {
			id = "s2s1", type = direction == "incoming" and "s2sin_unauthed" or "s2sout_unauthed", direction = direction, hosts = {};
			from_host = direction == "incoming" and "remote.test" or host.name;
			to_host = direction == "incoming" and host.name or "remote.test";
			ip = "203.0.113.80"; streamid = "stream1";
			close = function (...)
				closed[#closed+1] = table.pack(...);
				return "closed", 2;
			end;
		};
		for name, value in pairs(fields or {}) do
			session[name] = value;
		end
		if direction == "incoming" then
			module_api.prosody.incoming_s2s[session] = true;
		end
		assert.is_nil(module_api.fire_global("s2s-created", { session = session }));
		return session;
	end

	local function destroy(session, reason)
		assert.is_nil(module_api.fire_global("s2s-destroyed", { session = session, reason = reason }));
	end

	local function only_entry()
		assert.same({}, module_api.complaints());
		local entries = host:entries();
		assert.equal(1, #entries);
		assert.equal("mod_audit_s2s", entries[1].attr.source);
		assert.is_nil(entries[1].attr.user);
		for _, child in ipairs(entries[1].tags) do
			assert.equal(xmlns_audit, child.attr.xmlns);
		end
		return entries[1];
	end

	describe("records a connection", function ()
		it("that authenticated by a certificate", function ()
			local session = open("outgoing", { secure = true, conn = tls_13, cert_chain_status = "valid", cert_identity_status = "valid" });
			assert.is_nil(host:fire("s2s-authenticated", { session = session, host = "remote.test", mechanism = "EXTERNAL" }));
			session.type = "s2sout";
			assert.is_nil(host:fire("s2sout-established", { session = session }));
			local entry = only_entry();
			assert.equal("s2s-established", entry.attr.type);
			assert.same({
				'<session id="s2s1" type="s2sout"><remote-ip>203.0.113.80</remote-ip></session>';
				'<s2s direction="outgoing" mechanism="EXTERNAL" remote="remote.test"/>';
				'<certificate chain="valid" identity="valid"/>';
				'<tls cipher="TLS_AES_128_GCM_SHA256" version="TLSv1.3"/>';
			}, module_api.lines(entry));
		end);

		it("that authenticated by dialback, with what is wrong with its certificate", function ()
			local session = open("incoming", {
				secure = true, conn = tls_12, cert_chain_status = "invalid";
				cert_chain_errors = { { "certificate has expired" }, nil, { "self signed certificate", "no such authority" } };
			});
			host:fire("s2s-authenticated", { session = session, host = "remote.test", mechanism = "dialback" });
			session.type = "s2sin";
			host:fire("s2sin-established", { session = session });
			assert.same({
				'<session id="s2s1" type="s2sin"><remote-ip>203.0.113.80</remote-ip></session>';
				'<s2s direction="incoming" mechanism="dialback" remote="remote.test"/>';
				'<certificate chain="invalid">certificate has expired, self signed certificate, no such authority</certificate>';
				'<tls cipher="ECDHE" version="TLSv1.2"/>';
			}, module_api.lines(only_entry()));
		end);

		it("of another host over the same stream", function ()
			local session = open("incoming", { type = "s2sin" });
			host:fire("s2s-authenticated", { session = session, host = "other.remote.test", mechanism = "dialback" });
			host:fire("s2sin-established", { session = session });
			assert.equal('<s2s direction="incoming" mechanism="dialback" remote="other.remote.test"/>', module_api.lines(only_entry())[2]);
		end);

		it("whose start it has not seen", function ()
			host:fire("s2sout-established", { session = { type = "s2sout", direction = "outgoing", to_host = "remote.test" } });
			assert.same({ '<session type="s2sout"/>', '<s2s direction="outgoing" remote="remote.test"/>' }, module_api.lines(only_entry()));
		end);
	end);

	-- The arguments of session:close() as in mod_s2s, mod_dialback and mod_saslauth.
	local invalid = { secure = true, cert_chain_status = "invalid", cert_chain_errors = "self signed certificate" };
	local refusals = {
		{
			name = "a certificate"; fields = invalid;
			close = { { condition = "not-authorized", text = "Your server's certificate is self-signed" }, nil, "Remote server's certificate is self-signed" };
			line = { condition = "certificate-invalid", by = "local", text = "Your server's certificate is self-signed" };
		};
		{
			name = "a certificate for another name";
			fields = { secure = true, cert_chain_status = "valid", cert_identity_status = "invalid" };
			close = { { condition = "not-authorized", text = "Your server's certificate is not valid for this name" } };
			line = { condition = "certificate-invalid", by = "local", text = "Your server's certificate is not valid for this name" };
		};
		{
			name = "a server without encryption";
			close = { { condition = "policy-violation", text = "Encrypted server-to-server communication is required but was not used" } };
			line = { condition = "encryption-required", by = "local", text = "Encrypted server-to-server communication is required but was not used" };
		};
		{
			name = "a server without encryption, for another reason";
			close = { { condition = "policy-violation", text = "You are on our list" } };
			line = { condition = "policy-violation", by = "local", text = "You are on our list" };
		};
		{
			name = "a host that lets no server in"; fields = { secure = true };
			close = { { condition = "policy-violation", text = "Server-to-server communication is disabled for this host" } };
			line = { condition = "policy-violation", by = "local", text = "Server-to-server communication is disabled for this host" };
		};
		{
			name = "dialback that the other end refuses"; direction = "outgoing"; fields = invalid;
			close = { "not-authorized", "dialback authentication failed" };
			line = { condition = "dialback-failed", by = "remote", text = "dialback authentication failed" };
		};
		{
			name = "a condition without a text"; close = { "host-unknown" };
			line = { condition = "host-unknown", by = "local" };
		};
		{
			name = "an error of the other end"; direction = "outgoing"; close = { nil, "host-unknown (This host does not serve b.test)" };
			line = { condition = "host-unknown", by = "remote", text = "This host does not serve b.test" };
		};
		{
			name = "an error of the other end without a text"; close = { nil, "policy-violation" };
			line = { condition = "policy-violation", by = "remote" };
		};
		{
			name = "an error of the other end in words of its own"; close = { nil, "No (really) no" };
			line = { condition = "undefined-condition", by = "remote", text = "No (really) no" };
		};
		{
			name = "failed encryption"; direction = "outgoing"; close = { nil, "TLS negotiation failed" };
			line = { condition = "encryption-failed", by = "remote", text = "TLS negotiation failed" };
		};
		{
			name = "SASL that the other end refuses (Prosody 13)"; direction = "outgoing";
			close = { nil, { condition = "not-authorized", text = "No" }, "Could not authenticate to remote server" };
			line = { condition = "not-authorized", by = "remote", text = "No" };
		};
		{
			name = "another end that just leaves"; direction = "outgoing"; close = { false };
			line = { condition = "stream-closed", by = "remote" };
		};
		{
			name = "a stream that takes too long"; close = { "connection-timeout" };
			line = { condition = "connection-timeout", by = "local" };
		};
		{
			name = "a connection that fails"; direction = "outgoing"; reason = "connection refused";
			line = { condition = "connection-failed", text = "connection refused" };
		};
		{
			name = "encryption that fails"; fields = { secure = false }; reason = "Error during negotiation of encrypted connection: wrong version number";
			line = { condition = "encryption-failed", text = "Error during negotiation of encrypted connection: wrong version number" };
		};
	};

	for _, case in ipairs(refusals) do
		it("records the refusal of "..case.name, function ()
			local direction = case.direction or "incoming";
			local session = open(direction, case.fields);
			if case.close then
				-- It was closed as it would have been.
				assert.same({ "closed", 2 }, { session:close(table.unpack(case.close, 1, 3)) });
				assert.equal(session, closed[1][1]);
				assert.same({ table.unpack(case.close, 1, 3) }, { table.unpack(closed[1], 2, 4) });
			end
			destroy(session, case.reason or "a text");
			local entry = only_entry();
			assert.equal("s2s-refused", entry.attr.type);
			local lines, wanted = module_api.lines(entry), case.line;
			assert.equal(('<session id="s2s1" type="%s"><remote-ip>203.0.113.80</remote-ip></session>'):format(session.type), lines[1]);
			assert.equal(('<s2s%s condition="%s" direction="%s" remote="remote.test"%s'):format(
				wanted.by and (' by="'..wanted.by..'"') or "", wanted.condition, direction,
				wanted.text and (">"..wanted.text.."</s2s>") or "/>"), lines[2]);
			-- Once.
			destroy(session, case.reason or "a text");
			assert.equal(1, #host:entries());
		end);
	end

	it("records the first reason if there are several", function ()
		local session = open("incoming");
		session:close("host-unknown");
		session:close("connection-timeout");
		destroy(session, "connection-timeout");
		assert.equal('<s2s by="local" condition="host-unknown" direction="incoming" remote="remote.test"/>', module_api.lines(only_entry())[2]);
	end);

	it("watches a stream once, however many hosts there are, and forgets it", function ()
		local session = open("incoming");
		local close = session.close;
		module_api.fire_global("s2s-created", { session = session });
		assert.equal(close, session.close);
		local streams = module_api.prosody.hosts[host.name].modules.audit_s2s.module:shared("/*/audit_s2s/streams");
		assert.is_truthy(streams[session]);
		module_api.prosody.incoming_s2s, session, close = {}, nil, nil; -- luacheck: ignore 311
		collectgarbage();
		collectgarbage();
		assert.is_nil(next(streams));
	end);

	-- As mod_dialback sees it: the answer of the server that is asked for the key.
	local function answer(kind, id, server)
		host:fire("stanza/jabber:server:dialback:verify", {
			origin = { type = "s2sout", direction = "outgoing", to_host = server or "remote.test" };
			stanza = st.stanza("db:verify", { from = "remote.test", to = host.name, id = id or "stream1", type = kind });
		});
	end

	it("records a dialback key that is denied, once", function ()
		local session = open("incoming", { hosts = { ["remote.test"] = { dialback_key = "key" } } });
		answer("invalid");
		assert.equal('<s2s by="remote" condition="dialback-failed" direction="incoming" remote="remote.test"/>', module_api.lines(only_entry())[2]);
		session:close("connection-timeout");
		destroy(session, "connection-timeout");
		assert.equal(1, #host:entries());
	end);

	it("records nothing for a dialback key that is right or unknown", function ()
		open("incoming", { hosts = { ["remote.test"] = { dialback_key = "key" } } });
		answer("valid");
		answer(nil);
		answer("invalid", "stream2");
		answer("invalid", "stream1", "other.test");
		module_api.prosody.incoming_s2s = {};
		open("incoming");
		answer("invalid");
		assert.same({}, host:entries());
	end);

	-- Ends of streams that are no refusals.
	local silent = {
		["a stream that ends well"] = function () local s = open("incoming"); s:close(false); destroy(s, false); end;
		["an incoming connection that is lost"] = function () destroy(open("incoming"), "connection reset by peer"); end;
		["a stream that we end"] = function () local s = open("outgoing"); s:close(); destroy(s); end;
		["a server that stops"] = function () local s = open("incoming"); s:close { condition = "system-shutdown", text = "Bye" }; destroy(s, "Bye"); end;
		["another server that stops"] = function () local s = open("outgoing"); s:close(nil, "system-shutdown (Bye)"); destroy(s); end;
		["a stream that has said nothing"] = function ()
			local s = open("incoming");
			s.from_host, s.to_host = nil, nil;
			s:close("connection-timeout");
			destroy(s, "connection-timeout");
		end;
		["a stream that was established"] = function () local s = open("incoming"); s.type = "s2sin"; s:close("not-well-formed"); destroy(s); end;
		["a stream of another host"] = function ()
			local other = module_api.host();
			local s = open("incoming");
			s.to_host = other.name;
			s:close("not-well-formed");
			destroy(s);
		end;
		["a stream that verifies keys and rests"] = function ()
			local s = open("incoming");
			host:fire("stanza/jabber:server:dialback:verify", {
				origin = s, stanza = st.stanza("db:verify", { from = "remote.test", to = host.name, id = "1" }):text("key");
			});
			s:close("connection-timeout");
			destroy(s, "connection-timeout");
		end;
	};
	for name, act in pairs(silent) do
		it("records nothing of "..name, function ()
			act();
			assert.same({}, host:entries());
			assert.same({}, module_api.complaints());
		end);
	end

	it("records requests for an unknown host on one host", function ()
		local all, first = { host }, host;
		for i = 2, 6 do
			all[i] = module_api.host();
			all[i]:load("audit_s2s");
			if all[i].name < first.name then first = all[i]; end
		end
		local session = open("incoming", { to_host = "nowhere.test" });
		session:close { condition = "host-unknown", text = "This host does not serve nowhere.test" };
		destroy(session, "This host does not serve nowhere.test");
		for i, each in ipairs(all) do
			assert.equal(each == first and 1 or 0, #each:entries());
			if i > 1 then each:unload("audit_s2s"); end
		end
		assert.equal('<s2s by="local" condition="host-unknown" direction="incoming" local="nowhere.test" remote="remote.test">'
			.."This host does not serve nowhere.test</s2s>", module_api.lines(first:entries()[1])[2]);
	end);

	describe("of components", function ()
		local function component(fields)
			local session = { type = "component_unauthed", host = host.name, conn = { ip = function () return "203.0.113.80"; end } };
			function session.close(...) closed[#closed+1] = table.pack(...); return "closed"; end
			for name, value in pairs(fields or {}) do
				session[name] = value;
			end
			return session;
		end
		local function handshake(session)
			assert.is_nil(host:fire("stanza/jabber:component:accept:handshake", { origin = session, stanza = st.stanza("handshake"):text("00") }));
		end

		it("records one that authenticated, but not its end", function ()
			local session = component();
			handshake(session);
			session.type = "component";
			assert.is_nil(host:fire("component-authenticated", { session = session }));
			session:close { condition = "conflict", text = "Replaced by a new connection" };
			assert.same({ '<session type="component"><remote-ip>203.0.113.80</remote-ip></session>' }, module_api.lines(only_entry()));
		end);

		for condition, reason in pairs {
			["not-authorized"] = { condition = "not-authorized", text = "Given token does not match calculated token" };
			["conflict"] = { condition = "conflict", text = "Component already connected" };
		} do
			it("records one that is refused: "..condition, function ()
				local session = component();
				handshake(session);
				assert.equal("closed", session:close(reason));
				assert.same({ n = 2, session, reason }, { n = 2, closed[1][1], closed[1][2] });
				local entry = only_entry();
				assert.equal("component-refused", entry.attr.type);
				assert.same({
					'<session type="component_unauthed"><remote-ip>203.0.113.80</remote-ip></session>';
					('<component condition="%s">%s</component>'):format(condition, reason.text);
				}, module_api.lines(entry));
			end);
		end

		it("does not watch one that goes on sending handshakes", function ()
			local session = component { type = "component" };
			local close = session.close;
			handshake(session);
			assert.equal(close, session.close);
		end);

		it("records a refusal without a text", function ()
			local session = component();
			handshake(session);
			session:close("not-authorized");
			assert.equal('<component condition="not-authorized"/>', module_api.lines(only_entry())[2]);
		end);

		it("records nothing for one that sent no handshake, or that leaves by itself", function ()
			component():close("not-well-formed");
			local session = component();
			handshake(session);
			session:close();
			assert.same({}, host:entries());
		end);
	end);

	describe("never breaks an event", function ()
		local oddities = {
			["no fields"] = {};
			["names that are tables"] = { from_host = {}, to_host = {} };
			["a connection that is text"] = { secure = true, conn = "conn" };
			["certificate errors that are numbers"] = { cert_chain_status = "invalid", cert_chain_errors = { 1, { 2 } } };
			["certificate errors that are true"] = { cert_chain_status = "invalid", cert_chain_errors = true };
			["bytes"] = { from_host = "\255\0]]>", to_host = "\255", cert_chain_status = "\1" };
		};
		for name, fields in pairs(oddities) do
			it("with a session that has "..name, function ()
				for _, direction in ipairs { "incoming", "outgoing" } do
					for _, reason in ipairs { "not-authorized", true, {}, { condition = {}, text = {} }, 5 } do
						local session = open(direction, fields);
						assert.has_no.errors(function ()
							session:close(reason, {});
							destroy(session, {});
							host:fire("s2s-authenticated", { session = session });
							host:fire("s2sin-established", { session = session });
							host:fire("s2sout-established", { session = session });
						end);
					end
				end
			end);
		end

		it("with a fault of its own, which it logs once for each event", function ()
			local trap = setmetatable({}, { __index = function () error("trapped"); end });
			local stanza = st.stanza("db:verify");
			for _ = 1, 3 do
				assert.has_no.errors(function ()
					for _, event in ipairs { "s2s-authenticated", "s2sin-established", "s2sout-established", "component-authenticated" } do
						assert.is_nil(host:fire(event, { session = trap }));
					end
					for _, event in ipairs { "stanza/jabber:server:dialback:verify", "stanza/jabber:component:accept:handshake" } do
						assert.is_nil(host:fire(event, { origin = trap, stanza = stanza }));
					end
					for _, event in ipairs { "s2s-created", "s2s-destroyed" } do
						assert.is_nil(module_api.fire_global(event, { session = trap }));
					end
				end);
			end
			-- The handler of s2s-authenticated does not read the session.
			assert.equal(7, #module_api.complaints("trapped"));
		end);

		it("and the stream is closed, although recording fails", function ()
			module_api.reload("audit_s2s"); -- a fault of it is logged once
			local session = open("incoming");
			session:close(setmetatable({}, { __index = function () error("trapped"); end }));
			assert.equal(1, #closed);
			assert.has_no.errors(function () destroy(session, "x"); end);
			assert.equal(1, #module_api.complaints("trapped"));
		end);
	end);

	it("records once after being reloaded", function ()
		local session = open("incoming");
		host:reload("audit_s2s");
		module_api.fire_global("s2s-created", { session = session });
		session:close("host-unknown");
		destroy(session, "host-unknown");
		assert.equal(1, #host:entries());
		assert.equal(1, #closed);
	end);
end);
