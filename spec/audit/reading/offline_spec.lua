-- The log of prosodyctl while the server is stopped: lua/audit/reading/offline.lib.lua.

local module_api = require "support.module_api";
local support = require "support.log";

describe("the log of prosodyctl while the server is stopped", function ()
	it("has the journals, so what it records is linked, and hands it over in the end", function ()
		local host = module_api.host();
		host:load("audit");
		local offline = host:library "audit/reading/offline";
		local outer = support.new();
		local log, finish = offline.open({ support.host }, outer.environment);
		assert.is_true(log.owns_journal(support.host));
		assert.is_string(log.audit(support.host, nil, "mod_test", "thing", {}));
		finish();
		local rows = outer.store:rows("@events.2026-11-24");
		assert.equal(1, #rows);
		assert.equal("1", rows[1].value:get_child("chain", support.NAMESPACE).attr.n);
	end);
end);
