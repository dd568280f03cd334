-- What the server answers to a stanza: lua/audit/answers.lib.lua, as mod_audit_register uses it.

local module_api = require "support.module_api";
local st = require "util.stanza";

describe("an answer to a client", function ()
	local host, session, sent;

	before_each(function ()
		host = module_api.host { audit_user_history = false };
		host:load("audit_register");
		module_api.complaints();
		sent = {};
		session = { id = "c2s1", type = "c2s_unauthed", ip = "203.0.113.80" };
		function session.send(stanza)
			table.insert(sent, stanza);
			return "sent";
		end
		session.first_send = session.send;
	end);

	local function ask(id)
		local stanza = st.iq({ type = "set", id = id }):query("jabber:iq:register"):text_tag("username", "romeo"):reset();
		host:fire("stanza/iq/jabber:iq:register:query", { origin = session, stanza = stanza });
		return stanza;
	end

	it("tells why a request was refused, with its text", function ()
		local stanza = ask("1");
		assert.equal("sent", session.send(st.error_reply(stanza, "modify", "not-acceptable", "The password is too weak")));
		assert.equal("registration-refused", host:types());
		assert.equal('<registration condition="not-acceptable">The password is too weak</registration>', module_api.lines(host:entries()[1])[3]);
	end);

	it("is the one with the id of the request, which is an error or a result", function ()
		local stanza = ask("1");
		session.send(st.error_reply(st.iq({ type = "set", id = "2" }), "cancel", "conflict"));
		session.send(st.message({ id = "1", type = "error" }));
		session.send(st.iq({ type = "get", id = "1" }));
		assert.equal("", host:types());
		session.send(st.error_reply(stanza, "cancel", "conflict"));
		session.send(st.error_reply(stanza, "cancel", "conflict"));
		assert.equal("registration-refused", host:types());
		assert.equal(5, #sent);
	end);

	it("is sent unchanged, and the session is as it was before", function ()
		local stanza = ask("1");
		assert.is_true(session.send ~= session.first_send);
		local reply = st.reply(stanza);
		session.send(reply);
		assert.equal(reply, sent[1]);
		assert.equal(session.first_send, session.send);
		assert.equal("", host:types());
	end);

	it("that can't be read is sent all the same, and the fault is logged once", function ()
		for id = 1, 2 do
			local stanza = ask(tostring(id));
			local reply = st.error_reply(stanza, "cancel", "conflict");
			reply.get_child = function () error("broken"); end;
			assert.equal("sent", session.send(reply));
		end
		assert.equal(2, #sent);
		assert.equal(session.first_send, session.send);
		assert.equal(1, #module_api.complaints("Fault while handling an answer to a client"));
	end);
end);
