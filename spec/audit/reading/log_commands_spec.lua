-- The log by ad-hoc commands, for administrators: lua/audit/reading/log_commands.lib.lua.

local module_api = require "support.module_api";
local st = require "util.stanza";

local NODE = "xmpp:prosody.im/audit#";

describe("the ad-hoc command", function ()
	local host, from;

	before_each(function ()
		host = module_api.host { audit_user_history = false };
		host:load("audit");
		from = "admin@"..host.name.."/phone";
		module_api.complaints();
	end);

	local function record(count, event_type)
		for i = 1, count do host:load("audit").module:audit("user"..i.."@"..host.name, event_type or "thing"); end
	end

	local function submit(node, fields, action, state)
		return host:submit(NODE..node, from, fields, action, state);
	end

	local rows = module_api.rows;

	it("for entries asks with a form, which has each filter that prosodyctl has", function ()
		local answer, state = submit("log");
		assert.same({ "executing", { "next", default = "next" } }, { answer.status, answer.actions });
		assert.is_truthy(state);
		local names = {};
		for _, field in ipairs(answer.form) do names[field.name] = true; end
		for _, flag in ipairs(require "audit_core".flags()) do
			if flag.group == "filter" then assert.is_true(names[flag.name], flag.name); end
		end
	end);

	it("for entries shows what the form asks for, newest first, and is recorded", function ()
		record(3);
		record(1, "other-thing");
		local _, state = submit("log");
		local answer = submit("log", { type = "thing", limit = "2" }, "next", state);
		local found = rows(answer);
		assert.same({ "thing", "user3@"..host.name, "thing", "user2@"..host.name }, { found[1].event, found[1].user, found[2].event, found[2].user });
		local last = host:entries()[#host:entries()];
		assert.equal("audit-queried", last.attr.type);
		assert.is_truthy(tostring(last):find("through='adhoc'", 1, true) and tostring(last):find("entries='2'", 1, true), tostring(last));
		assert.is_truthy(tostring(last):find(from, 1, true));
	end);

	it("hides the log of readings, and says how much, unless it is asked for", function ()
		record(2);
		local _, state = submit("log");
		submit("log", { type = "thing" }, "next", state);
		_, state = submit("log");
		local answer = submit("log", {}, "next", state);
		assert.equal("2 entries; 1 entry about who read the log and what was removed from it is hidden; --all shows it", answer.info);
		_, state = submit("log");
		answer = submit("log", { all = "1" }, "next", state);
		assert.same({ "4 entries", "audit-queried" }, { answer.info, rows(answer)[1].event });
		_, state = submit("summary");
		assert.matches("^2 entries; 3 entries about", submit("summary", {}, "complete", state).info);
	end);

	it("for entries says what is wrong with a form, and shows it again", function ()
		local _, state = submit("log");
		local answer, again = submit("log", { since = "yesteryear" }, "next", state);
		assert.same({ "executing", state }, { answer.status, again });
		assert.is_truthy(answer.error.message:find("yesteryear", 1, true), answer.error.message);
		assert.is_truthy(answer.form);
		assert.equal("The form is missing.", submit("log", nil, "next", state).error.message);
	end);

	it("can be canceled", function ()
		for _, node in ipairs { "log", "summary" } do
			assert.same({ status = "canceled" }, (submit(node, nil, "cancel")));
		end
	end);

	it("for the summary shows totals, and is recorded", function ()
		record(3);
		local _, state = submit("summary");
		local answer = submit("summary", { since = "1d" }, "complete", state);
		local lines = {};
		for value in answer.other:get_child("field"):childtags("value") do table.insert(lines, value:get_text() or ""); end
		assert.is_truthy(table.concat(lines, "\n"):find("thing%s+3"), table.concat(lines, "\n"));
		assert.equal("audit-queried", host:entries()[#host:entries()].attr.type);
	end);

	it("is given up if the store does not answer for ten seconds", function ()
		record(1);
		local find = module_api.log().log.stores[host.name].find;
		module_api.log().log.stores[host.name].find = function () coroutine.yield(); end;
		local _, state = submit("log");
		local form = st.stanza("x", { xmlns = "jabber:x:data", type = "submit" });
		assert.is_nil(host:adhoc(NODE.."log", { from = from, action = "next", form = form }, state));
		module_api.log().log.stores[host.name].find = find;
	end);
end);
