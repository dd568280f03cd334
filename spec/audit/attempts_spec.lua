-- Logins for which Prosody fires no event: lua/audit/attempts.lib.lua, as mod_audit_auth uses it.

local module_api = require "support.module_api";
local st = require "util.stanza";

local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl";

describe("logins without an event", function ()
	local host, session, sent;

	local function load(options)
		host = module_api.host(options);
		host:load("audit_auth");
		module_api.complaints();
		sent = {};
		session = { id = "c2s1", type = "c2s_unauthed", ip = "203.0.113.80" };
		session.send = function (stanza)
			sent[#sent+1] = tostring(stanza);
			return "sent";
		end;
		session.first_send = session.send;
	end

	-- What a client sends, and what Prosody does with it.
	local function receive(stanza, react)
		local xmlns = stanza.attr.xmlns;
		local name = "stanza/"..(xmlns and xmlns..":"..stanza.name or "iq/"..stanza.tags[1].attr.xmlns..":"..stanza.tags[1].name);
		local handled = false;
		local function handler()
			if handled then return; end
			handled = true;
			react();
			return true;
		end
		host:hook(name, handler);
		assert.is_true(host:fire(name, { origin = session, stanza = stanza }));
	end

	local function auth(mechanism, react)
		receive(st.stanza("auth", { xmlns = xmlns_sasl, mechanism = mechanism }), react);
	end

	local function answer(name, condition)
		local stanza = st.stanza(name, { xmlns = xmlns_sasl });
		if condition then stanza:tag(condition):up(); end
		return function () assert.equal("sent", session.send(stanza)); end;
	end

	local function types()
		return host:types();
	end

	local function detail(i)
		return module_api.lines(host:entries()[i])[2];
	end

	describe("attempts", function ()
		before_each(function () load(); end);

		it("without an event are recognised by the answer, and the session is left as it was", function ()
			auth("PLAIN", answer("failure", "incorrect-encoding"));
			assert.equal("authentication-failure", types());
			assert.equal('<authentication condition="incorrect-encoding" mechanism="PLAIN"/>', detail(1));
			assert.equal(1, #sent);
			assert.equal(session.first_send, session.send);
		end);

		it("with an event are recorded once", function ()
			auth("PLAIN", function ()
				session.sasl_handler = { selected = "PLAIN", username = "romeo" };
				host:fire("authentication-failure", { session = session, condition = "not-authorized" });
				answer("failure", "not-authorized")();
			end);
			auth("PLAIN", function ()
				session.username = "romeo";
				host:fire("authentication-success", { session = session });
				answer("success")();
			end);
			assert.equal("authentication-failure authentication-success", types());
		end);

		it("by a certificate that has expired have a condition", function ()
			auth("EXTERNAL", answer("false"));
			assert.equal('<authentication condition="credentials-expired" mechanism="EXTERNAL"/>', detail(1));
		end);

		it("that are refused say the mechanism even where none was selected", function ()
			auth("EXTERNAL", function ()
				host:fire("authentication-failure", { session = session, condition = "not-authorized" });
				answer("failure", "not-authorized")();
			end);
			assert.equal('<authentication condition="not-authorized" mechanism="EXTERNAL"/>', detail(1));
			assert.equal("authentication-failure", types());
		end);

		it("that are given up after the challenge are recorded when the connection is closed", function ()
			auth("OAUTHBEARER", answer("challenge"));
			local closed = session;
			for name in pairs(closed) do
				if name ~= "id" then closed[name] = nil; end -- as Prosody wipes it
			end
			for _ = 1, 2 do
				module_api.fire_global("c2s-closed", { session = closed, conn = {} });
			end
			module_api.fire_global("c2s-closed", { conn = {} });
			assert.equal("authentication-failure", types());
			assert.equal('<session id="c2s1" type="c2s_unauthed"><remote-ip>203.0.113.80</remote-ip></session>',
				module_api.lines(host:entries()[1])[1]);
			assert.equal('<authentication condition="not-authorized" mechanism="OAUTHBEARER">The client left after the challenge</authentication>',
				detail(1));
			assert.same({}, module_api.complaints());
		end);

		it("that are given up over BOSH are recorded when the session is destroyed", function ()
			session.bosh_responses = {};
			auth("SCRAM-SHA-1", answer("challenge"));
			module_api.pass(150);
			assert.equal("", types());
			for name in pairs(session) do session[name] = nil; end
			session.destroyed = true;
			module_api.pass(60);
			assert.equal("authentication-failure", types());
			assert.equal('<authentication condition="aborted" mechanism="SCRAM-SHA-1">The client left after the challenge</authentication>', detail(1));
		end);

		it("of servers are ignored", function ()
			session.type = "s2sin_unauthed";
			auth("EXTERNAL", answer("failure", "not-authorized"));
			assert.equal("", types());
			assert.equal(session.first_send, session.send);
		end);

		it("do not remove another wrapper of session.send", function ()
			local seen = 0;
			auth("PLAIN", function ()
				local send = session.send;
				session.send = function (stanza) seen = seen + 1; return send(stanza); end;
				answer("failure", "aborted")();
			end);
			answer("success")();
			assert.equal(2, seen);
			assert.equal(2, #sent);
			assert.equal("authentication-failure", types());
		end);

		it("continue if recording fails, which is reported once", function ()
			for _ = 1, 2 do
				auth("PLAIN", function ()
					session.send(setmetatable({ attr = {} }, { __index = function (_, name)
						if name == "name" or name == "tags" then error("no such thing"); end
					end, __tostring = function () return "odd"; end }));
					answer("failure", "aborted")();
				end);
			end
			local odd = setmetatable({ attr = { xmlns = xmlns_sasl } }, {
				__index = function () error("broken"); end;
				__tostring = function () return "odd"; end;
			});
			for _ = 1, 2 do
				auth("PLAIN", function () session.send(odd); end);
			end
			assert.equal(6, #sent);
			assert.equal(session.first_send, session.send);
			assert.equal("authentication-failure authentication-failure", types());
			assert.equal(1, #module_api.complaints("Fault while handling an answer"));
		end);

		it("are left out if they repeat, as other logins are", function ()
			load { audit_auth_repeat_failure_timeout = 600 };
			auth("PLAIN", answer("failure", "incorrect-encoding"));
			auth("PLAIN", answer("failure", "incorrect-encoding"));
			assert.equal("authentication-failure", types());
		end);
	end);

	describe("attempts by XEP-0078", function ()
		before_each(function () load(); end);

		local function query(fields)
			local iq = st.iq({ type = "set", id = "q" }):query("jabber:iq:auth");
			for name, text in pairs(fields) do iq:text_tag(name, text); end
			return iq:reset();
		end

		it("are successes or failures by the answer with their id", function ()
			local iq = query { username = "Romeo", password = "wrong", resource = "r" };
			receive(iq, function ()
				session.send(st.iq({ type = "error", id = "another" }));
				session.send(st.error_reply(iq, "auth", "not-authorized", "No"));
			end);
			receive(iq, function ()
				session.username, session.type = "romeo", "c2s";
				session.send(st.reply(iq));
			end);
			assert.equal("authentication-failure authentication-success", types());
			assert.equal('<authentication condition="not-authorized" mechanism="jabber:iq:auth">No</authentication>', detail(1));
			assert.equal("romeo@"..host.name, host:entries()[1].attr.user);
			assert.equal("romeo@"..host.name, host:entries()[2].attr.user);
			assert.equal(session.first_send, session.send);
		end);

		it("that only ask for the fields are not recorded", function ()
			local iq = query { username = "romeo" };
			receive(iq, function () session.send(st.reply(iq)); end);
			receive(st.iq({ type = "set", id = "q" }):query("jabber:iq:auth"):reset(), function () end);
			assert.equal("", types());
		end);
	end);

	-- COMPAT Debian 12's mod_sasl2.
	it("records successes of a mod_sasl2 without authentication events, except for those by token", function ()
		load();
		local function login(handler)
			session.type, session.sasl_handler = "c2s_unauthed", handler;
			receive(st.stanza("authenticate", { xmlns = "urn:xmpp:sasl:2", mechanism = handler.selected }), function ()
				session.username = "romeo";
				session.send(st.stanza("success", { xmlns = "urn:xmpp:sasl:2" }));
				host:fire("sasl2/c2s/success", { session = session });
			end);
		end
		login { selected = "HT-SHA-256-NONE", fast = true };
		login { selected = "SCRAM-SHA-1" };
		assert.equal("authentication-success", types());
		assert.equal('<authentication mechanism="SCRAM-SHA-1"/>', detail(1));
	end);
end);
