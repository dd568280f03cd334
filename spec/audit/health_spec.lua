-- How far a log can be relied on: lua/audit/health.lib.lua.

local async = require "util.async";
local module_api = require "support.module_api";

describe("what the server knows of the log itself", function ()
	local host, shared;

	before_each(function ()
		host = module_api.host();
		shared = host:load("audit").module:shared("/*/audit/log");
		module_api.complaints();
	end);

	local function known()
		local list = {};
		for i, state in ipairs(shared.health(host.name)) do list[i] = state.standing..": "..state.text; end
		return table.concat(list, "\n");
	end

	local function has(text)
		local all = known();
		assert.is_truthy(all:find(text, 1, true), all);
	end

	it("is good while nothing has happened", function ()
		has "good: Everything that was recorded is in the store";
		has "good: Nothing was lost since the start of the server";
		has "note: Not verified since the start of the server";
		has "note: Not sealed: there is no seal key";
	end);

	it("has the last verification: when, how much, and what came of it", function ()
		host:load("audit").module:audit("romeo@"..host.name, "test-event");
		async.runner(function () shared.verifying.run(host.name); end):run(true);
		module_api.pass(1);
		assert.is_truthy(known():find("good: Verified, and intact, at %d%d%d%d%-%d%d%-%d%d %d%d:%d%d UTC: 1 entries"), known());
		host.appended[1].value.attr.type = "other-event";
		async.runner(function () shared.verifying.run(host.name); end):run(true);
		module_api.pass(1);
		has "bad: Verified, and not intact, at ";
		shared.verifying.note(host.name, nil, "the disk is gone");
		has ": the disk is gone";
		assert.is_true(#module_api.complaints() > 0);
	end);

	it("has each sink: whether it has everything, what it has refused, and what is wrong", function ()
		local sinks = host:load("audit").module:shared("/*/audit_sinks/sinks");
		local of_others = sinks.list;
		sinks.list = function ()
			return {
				{ name = "a"; behind = 0; refused = 0 }; { name = "b"; behind = 3; refused = 0; oldest = require "util.time".now() - 7 };
				{ name = "c"; behind = 9; refused = 0; problem = "connection refused" }; { name = "d"; behind = 0; refused = 2 };
			};
		end;
		finally(function () sinks.list = of_others; end);
		has "good: The sink a has everything";
		has "good: On their way to the sink b: 3, the oldest for 7 seconds";
		has "bad: The sink c does not work: connection refused. 9 wait for it";
		has "note: The sink d has refused 2 since the start of the server";
	end);

	it("is told to prosodyctl, a line for each, for hosts that are audited", function ()
		local actions = host:load("audit").module:shared("/*/audit/actions");
		local text = actions.health { host = host.name };
		local _, count = text:gsub("[^\n]+", "");
		assert.equal(#shared.health(host.name), count);
		assert.is_truthy(text:find("^good Everything"), text);
		assert.is_nil((actions.health { host = "nowhere.test" }));
	end);
end);
