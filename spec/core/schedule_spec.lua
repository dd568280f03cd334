-- When a host is pruned: src/lua/prune/schedule.lua.

local core = require "audit_core";
local support = require "support.log";

local entry = require "support.pruning".entry;

local day, host = 86400, support.host;

describe("pruning by schedule", function ()
	it("reports a failure once, if it lasts and the store is not known to be broken", function ()
		local path = os.tmpname();
		local log = support.new(nil, support.new_store(nil, "embedded"), path);
		local told = {};
		log.environment.pruned = function (_, results, problem) table.insert(told, results and "done" or problem); end;
		log.log = core.new(log.environment);
		local delete = log.store.delete;
		function log.store.delete() return nil, "no permission"; end
		log.store:append("@events.2020-01-01", nil, entry("x"), 1577880000, "@");
		log.log.prune_soon(host, 0);
		log:pass(50);
		assert.same({}, told);
		log:pass(7200);
		assert.same({ "no permission" }, told);
		log.store.delete = delete;
		log:pass(900);
		assert.same({ "no permission", "done" }, told);
		-- If the store takes no entries either, this was reported before.
		function log.store.users() error("broken"); end
		function log.store.append() return nil, "broken"; end
		log.log.audit(host, nil, "mod_test", "t");
		log:pass(30);
		log.log.prune_soon(host, 0);
		log:pass(7200);
		assert.same({ "no permission", "done" }, told);
		log.log.close();
		os.execute("rm -f '"..path.."'*");
	end);

	it("runs again when something expires, and when a class with a limit has grown", function ()
		local path = os.tmpname();
		local store = support.new_store(nil, "embedded");
		local log = support.new({ audit_log_expires_after = "2d", audit_log_classes = {
			few = { types = { "few" }, limit = 100, expires_after = "never" };
		} }, store, path);
		log.log.open(host);
		log.audit(host, nil, "mod_test", "event");
		log:pass(1);
		log.log.prune_soon(host, 0);
		log:pass(1);
		assert.equal(1, #store:rows("@events.2026-11-24"));
		-- The 24th is two days over at the end of the 26th. In a server there is a daily task, too.
		for _ = 1, 2 do
			log:pass(day);
			log.log.prune_soon(host, 0);
		end
		log:pass(day / 2 - 30);
		assert.equal(1, #store:rows("@events.2026-11-24"));
		log:pass(60);
		assert.equal(0, #store:rows("@events.2026-11-24"));
		for _ = 1, 350 do
			log.audit(host, nil, "mod_test", "few");
		end
		log:pass(10);
		assert.is_nil(store:names():find("@few.2026-11-27 ", 1, true));
		assert.is_truthy(store:names():find("@few.2026-11-27.3", 1, true));
		log.log.close();
		os.execute("rm -f '"..path.."'*");
	end);
end);
