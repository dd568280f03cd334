-- Where entries go in a store: src/lua/hand_over/writer.lua.

local pruning = require "support.pruning";
local st = require "util.stanza";
local support = require "support.log";

local new_log, new_store, noon, NAMESPACE = support.new, support.new_store, support.noon, support.NAMESPACE;
local entry, damage, day = pruning.entry, pruning.damage, 86400;

describe("partitions", function ()
	it("are one for each UTC day", function ()
		local log = new_log();
		log.audit("example.com", nil, "mod_test", "t");
		log.time = log.time + day;
		log.audit("example.com", nil, "mod_test", "t");
		assert.equal("@events.2026-11-24 @events.2026-11-25", log.store:names());
	end);

	it("roll over where a quota fills them, and lose nothing", function ()
		local log = new_log(nil, new_store(10));
		for _ = 1, 25 do assert.is_string(log.audit("example.com", nil, "mod_test", "t")); end
		assert.equal("@events.2026-11-24 @events.2026-11-24.2 @events.2026-11-24.3", log.store:names());
		local again = new_log(nil, log.store);
		assert.is_string(again.audit("example.com", nil, "mod_test", "t"));
		assert.equal(6, #log.store:rows("@events.2026-11-24.3"));
	end);

	it("have no more entries than they may, though the driver kept entries and said that it had not", function ()
		local log = new_log();
		local append, fails = log.store.append, true;
		for _, answer in ipairs({ function () return nil, "locked"; end, function () error("closed"); end }) do
			log.store.append = function (...)
				local key = append(...);
				if fails then
					fails = false;
					return answer();
				end
				return key;
			end;
			for _ = 1, 30 do
				fails = true;
				log.audit("example.com", nil, "mod_test", "t");
				log.audit("example.com", nil, "mod_test", "t");
			end
		end
		for _ = 1, 400 do log.audit("example.com", nil, "mod_test", "t"); end
		assert.same({ 500, 20 }, { #log.store:rows("@events.2026-11-24"), #log.store:rows("@events.2026-11-24.2") });
	end);

	it("that are all full make an event be refused with the driver's condition", function ()
		local log = new_log(nil, new_store(0));
		assert.same({ nil, "quota-limit" }, { log.audit("example.com", nil, "mod_test", "t") });
		assert.equal(1, log.log.lost());
	end);

	it("are in order of time, whatever the clock or another process did", function ()
		local log = new_log();
		log.store:append("@events.2026-11-24", nil, st.stanza("audit-event"), noon + 90, "@");
		log.audit("example.com", nil, "mod_test", "t");
		log.time = noon - 100;
		log.audit("example.com", nil, "mod_test", "t");
		local _, row = log:last();
		assert.equal(noon + 90, row.when);
		assert.equal("2026-11-24T11:58:20Z", row.value.attr[NAMESPACE.."\1occurred"]);
	end);

	it("are not used in the single layout until archive user nil is full", function ()
		local log = new_log({ audit_log_layout = "single" }, new_store(2));
		for _ = 1, 3 do assert.is_string(log.audit("example.com", nil, "mod_test", "t")); end
		assert.equal("@events.2026-11-24 false", log.store:names());
		local _, shown = log:shown();
		assert.equal(3, shown);
	end);

	it("are not used with a driver that can't list them", function ()
		local log = new_log();
		log.store.users = nil;
		log.audit("example.com", nil, "mod_test", "t");
		assert.equal("false", log.store:names());
		local _, shown = log:shown();
		assert.equal(1, shown);
	end);
end);

describe("a partition with a damaged entry", function ()
	it("takes more entries, and the damaged one is counted", function ()
		local log = new_log();
		for i = 1, 3 do log.store:append("@events.2026-11-24", nil, entry("e"..i), noon, "@"); end
		damage(log.store, "e3");
		for i = 1, 498 do
			assert.is_string(log.audit("example.com", nil, "mod_test", "new"..i));
		end
		assert.equal("@events.2026-11-24 @events.2026-11-24.2", log.store:names());
		assert.equal(500, #log.store:rows("@events.2026-11-24"));
	end);
end);
