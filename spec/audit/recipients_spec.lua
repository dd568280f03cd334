-- Who gets alerts: lua/audit/recipients.lib.lua.

local module_api = require "support.module_api";
local st = require "util.stanza";

describe("recipients of alerts", function ()
	local host, recipients, sent;

	local function new(options, roles)
		host = module_api.host(options);
		module_api.prosody.hosts[host.name].authz.get_jids_with_role = roles;
		local new_audit, new_recipients = host:library "audit/audit", host:library "audit/recipients";
		local module = host:load("audit").module;
		sent = {};
		module.send = function (_, stanza) table.insert(sent, stanza); end;
		recipients = new_recipients(new_audit(module));
		module_api.complaints();
	end

	it("are the administrators of the configuration and of roles, each once", function ()
		new({ admins = { "Admin@here.test", "boss@there.test" } }, function (role)
			if role == "prosody:operator" then error("no such role"); end
			return { "admin@here.test", "third@here.test" };
		end);
		local list = recipients.administrators();
		table.sort(list);
		assert.same({ "admin@here.test", "boss@there.test", "third@here.test" }, list);
	end);

	it("get what is about the whole server once", function ()
		new();
		for _ = 1, 2 do
			recipients.send({ text = "The server crashed.", once = "crash" }, { "a@"..host.name }, { "room@"..host.name });
		end
		assert.equal(3, #sent);
		recipients.send({ text = "x" }, { "a@"..host.name }, {});
		recipients.send({ text = "The server crashed.", once = "crash" }, { "b@"..host.name }, {});
		assert.equal(5, #sent);
		assert.same({ host.name, "a@"..host.name, "chat", "The server crashed." },
			{ sent[1].attr.from, sent[1].attr.to, sent[1].attr.type, sent[1]:get_child_text("body") });
	end);

	it("may be a room, whose answers are for nobody", function ()
		new();
		recipients.send({ text = "x" }, {}, { "room@rooms.test" });
		local own = host.name.."/audit-alerts";
		assert.same({ "presence", "message" }, { sent[1].name, sent[2].name });
		assert.same({ own, "room@rooms.test", "groupchat" }, { sent[2].attr.from, sent[2].attr.to, sent[2].attr.type });
		local answer = st.message({ from = "room@rooms.test/somebody"; to = own; type = "groupchat" }):tag("body"):text("hello"):up();
		assert.is_true(host:fire("message/host", { stanza = answer }));
		local refusal = st.presence({ from = "room@rooms.test/audit-alerts"; to = own; type = "error" })
			:tag("error", { type = "auth" }):tag("registration-required", { xmlns = "urn:ietf:params:xml:ns:xmpp-stanzas" }):up():up();
		for _ = 1, 2 do assert.is_true(host:fire("presence/host", { stanza = refusal })); end
		assert.same({ "Alerts can't be sent to the room room@rooms.test: registration-required" }, module_api.complaints());
		local other = st.message({ from = "a@b.test"; to = host.name });
		assert.is_nil(host:fire("message/host", { stanza = other }));
	end);
end);
