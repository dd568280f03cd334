-- Entries as pages of an ad-hoc command: lua/audit/reading/form_pages.lib.lua.

local module_api = require "support.module_api";

local NODE = "xmpp:prosody.im/audit#";

describe("the pages of an ad-hoc command", function ()
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

	it("go to the next page and back, and end", function ()
		record(5);
		local _, state = submit("log");
		local first, second, third, back;
		first, state = submit("log", { limit = "2", type = "thing" }, "next", state);
		assert.same({ "next", "complete", default = "next" }, first.actions);
		second, state = submit("log", nil, "next", state);
		assert.same({ "prev", "next", "complete", default = "next" }, second.actions);
		assert.equal("user3@"..host.name, rows(second)[1].user);
		third, state = submit("log", nil, "next", state);
		assert.same({ "prev", "complete", default = "complete" }, third.actions);
		back, state = submit("log", nil, "prev", state);
		assert.same(rows(second), rows(back));
		local last, ended = submit("log", nil, "complete", state);
		assert.same({ "completed", nil }, { last.status, ended });
	end);

	it("say that entries are missing if the store can't be read", function ()
		record(1);
		local store = module_api.log().log.stores[host.name];
		local _, state = submit("log");
		store.find = function () return nil, "ill"; end;
		local answer = submit("log", {}, "next", state);
		store.find = nil;
		assert.equal("The log can't be read completely now. Entries are missing here.", answer.warn);
	end);
end);
