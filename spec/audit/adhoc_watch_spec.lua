-- Watching ad-hoc commands: lua/audit/adhoc_watch.lib.lua, as mod_audit_admin uses it.

local module_api = require "support.module_api";
local st = require "util.stanza";

local xmlns_commands = "http://jabber.org/protocol/commands";

describe("an ad-hoc command", function ()
	local host, origin, result, handled;

	setup(function ()
		package.loaded["core.certmanager"] = package.loaded["core.certmanager"] or { find_host_cert = function () end };
	end);

	before_each(function ()
		host = module_api.host { audit_user_history = false };
		host:load("audit_admin");
		local module = host:load("audit").module;
		for _, permission in ipairs { "any", "local_user", "admin" } do
			module:add_item("adhoc", { node = "urn:test:"..permission, name = "Test", permission = permission });
		end
		host.appended = {};
		module_api.complaints();
		origin = { id = "c2s1", type = "c2s", ip = "203.0.113.80", sent = {} };
		function origin.send(stanza) table.insert(origin.sent, stanza); return true; end
		handled = 0;
		host:hook("iq-set/host/"..xmlns_commands..":command", function (event)
			handled = handled + 1;
			if type(result) == "function" then result(event); end
			local reply = type(result) == "string" and st.error_reply(event.stanza, "auth", result)
				or st.reply(event.stanza):add_child(type(result) == "table" and result or st.stanza("command", { xmlns = xmlns_commands, status = "completed" }));
			event.origin.send(reply);
			return true;
		end);
		result = nil;
	end);

	after_each(function () host:unload("audit_admin"); end);

	-- Sends the command, with fields of a form: { name, type, values… }
	local function run(node, ...)
		local stanza = st.iq({ type = "set", id = "x1", from = "admin@"..host.name.."/phone", to = host.name })
			:tag("command", { xmlns = xmlns_commands, node = "urn:test:"..node, action = "complete" })
			:tag("x", { xmlns = "jabber:x:data", type = "submit" });
		for _, field in ipairs { ... } do
			stanza:tag("field", { var = field[1], type = field[2] });
			for i = 3, #field do stanza:text_tag("value", field[i]); end
			stanza:up();
		end
		local ok, err = pcall(host.fire, host, "iq-set/host/"..xmlns_commands..":command", { origin = origin, stanza = stanza:reset() });
		return ok, err;
	end

	local function command_of(entry)
		local lines = module_api.lines(entry);
		return lines[#lines];
	end

	it("of an administrator is recorded with its form, the session and the actor", function ()
		assert.is_true((run("admin", { "FORM_TYPE", "hidden", "urn:x" }, { "accountjid", "jid-single", "romeo@"..host.name })));
		assert.equal("adhoc-command", host:types());
		local lines = module_api.lines(host:entries()[1]);
		assert.same({
			'<session id="c2s1" type="c2s"><remote-ip>203.0.113.80</remote-ip></session>';
			('<actor jid="admin@%s/phone" kind="adhoc"><remote-ip>203.0.113.80</remote-ip></actor>'):format(host.name);
			('<command action="complete" name="Test" node="urn:test:admin" outcome="completed"><field var="accountjid"><value>romeo@%s</value>'
				..'</field></command>'):format(host.name);
		}, lines);
		assert.equal("admin@"..host.name, host:entries()[1].attr.user);
	end);

	it("never shows what was typed into a field for a password", function ()
		run("admin", { "password", "text-private", "hunter2" }, { "other", "text-private", "hunter2" }, { "password-verify", "text-single", "hunter2" });
		local text = tostring(host:entries()[1]);
		assert.is_nil(text:find("hunter2", 1, true));
		assert.is_truthy(text:find("password-verify", 1, true));
	end);

	it("that anybody may run is not recorded", function ()
		run("any");
		assert.equal(1, handled);
		assert.equal("", host:types());
	end);

	it("that does not exist is not recorded, and is handled by others", function ()
		run("unknown");
		assert.equal(1, handled);
		assert.equal("", host:types());
	end);

	it("that only shows a form is not recorded, and one that was refused is adhoc-refused", function ()
		result = st.stanza("command", { xmlns = xmlns_commands, status = "executing" });
		run("admin");
		assert.equal("", host:types());
		result = "forbidden";
		run("admin");
		result = "item-not-found";
		run("admin");
		assert.equal("adhoc-refused adhoc-command", host:types());
		assert.equal('<command action="complete" condition="forbidden" name="Test" node="urn:test:admin" outcome="refused"/>',
			command_of(host:entries()[1]));
		assert.equal('<command action="complete" condition="item-not-found" name="Test" node="urn:test:admin" outcome="error"/>',
			command_of(host:entries()[2]));
	end);

	it("that answers with a note of an error has the outcome error", function ()
		result = st.stanza("command", { xmlns = xmlns_commands, status = "completed" }):tag("note", { type = "error" }):reset();
		run("admin");
		assert.is_truthy(command_of(host:entries()[1]):find('outcome="error"', 1, true));
	end);

	it("that raises is recorded, and the error goes on", function ()
		result = function () error("broken", 0); end;
		assert.same({ false, "broken" }, { run("admin") });
		assert.is_truthy(command_of(host:entries()[1]):find('outcome="unknown"', 1, true));
	end);

	it("names at most 50 fields, and 20 values of each", function ()
		local fields, values = {}, { "accountjids", "jid-multi" };
		for i = 1, 60 do fields[i] = { "field"..i, "text-single" }; end
		for i = 1, 30 do values[i + 2] = "user"..i.."@"..host.name; end
		run("admin", table.unpack(fields));
		run("admin", values);
		local command = host:entries()[1].tags[3];
		assert.same({ 51, "truncated" }, { #command.tags, command.tags[51].name });
		local field = host:entries()[2].tags[3].tags[1];
		assert.same({ 21, "truncated" }, { #field.tags, field.tags[21].name });
	end);

	it("leaves the session as it was", function ()
		local send = origin.send;
		run("admin");
		assert.equal(send, origin.send);
		assert.equal(1, #origin.sent);
	end);

	it("is done by its sender: what comes of it has that actor", function ()
		result = function () host:load("audit").module:fire_event("user-registered", { username = "romeo", host = host.name }); end;
		host:load("audit_register");
		run("admin");
		assert.equal("user-registered adhoc-command", host:types());
		assert.is_truthy(tostring(host:entries()[1]):find("admin@"..host.name.."/phone", 1, true));
		host:unload("audit_register");
	end);
end);
