-- The log that other modules wrote: src/lua/prune/older.lua.

local core = require "audit_core";
local pruning = require "support.pruning";
local support = require "support.log";

local noon, day = support.noon, 86400;
local new_log, entry, done, shown = pruning.new_log, pruning.entry, pruning.done, pruning.shown;
local NAMESPACE = support.NAMESPACE;

describe("the older log of the embedded driver", function ()
	local function new(options)
		return new_log(options, "embedded");
	end

	it("is moved to partitions of its classes and days, in order", function ()
		local log = new { audit_log_classes = { failures = { expires_after = "3d" } } };
		for back = 5, 0, -1 do
			for i = 1, 2 do
				log.store:append(nil, nil, entry("t"..back..i), noon - back * day + i, "romeo@example.com");
				log.store:append(nil, nil, entry("f"..back..i.."-refused"), noon - back * day + i, "@");
			end
		end
		log.store:append(nil, nil, entry("backdated"), noon - 4 * day, "@");
		local before = shown(log);
		local line, results = done(log);
		assert.equal("failures expired 4 in 0", line);
		assert.equal(12 + 8 + 1, results.moved);
		assert.equal(0, #log.store:rows(nil));
		assert.equal(before, shown(log));
		for _, name in ipairs({ "@old-events.2026-11-19.100001", "@old-failures.2026-11-21.100001" }) do
			assert.is_truthy(log.store:names():find(name, 1, true), name);
		end
		local rows = log.store:rows("@old-events.2026-11-20.100001");
		assert.same({ "t41", "t42", "backdated" }, { rows[1].value.attr.type, rows[2].value.attr.type, rows[3].value.attr.type });
		assert.same({ noon - 4 * day + 1, "romeo@example.com" }, { rows[1].when, rows[1].with });
		-- Within a partition the time never goes back.
		assert.same({ noon - 4 * day + 2, "2026-11-20T12:00:00Z" }, { rows[3].when, rows[3].value.attr[NAMESPACE.."\1occurred"] });
		-- Later entries are moved to another generation.
		log.store:append(nil, nil, entry("later"), noon, "@");
		done(log);
		assert.is_truthy(log.store:names():find("@old-events.2026-11-24.200001", 1, true));
		log.time = noon + 40 * day;
		done(log);
		assert.is_nil(log.store:names():find("@old", 1, true));
	end);

	it("includes entries that are written to it meanwhile", function ()
		local log = new();
		log.store:append(nil, nil, entry("a"), noon, "@");
		local pauses = 0;
		log.environment.pause = function ()
			pauses = pauses + 1;
			if pauses == 1 then log.store:append(nil, nil, entry("b"), noon, "@"); end
		end;
		log.log = core.new(log.environment);
		local _, results = done(log);
		assert.same({ 2, "a b" }, { results.moved, shown(log) });
		assert.equal(0, #log.store:rows(nil));
	end);

	it("is not moved if new entries are written to it too", function ()
		local log = new { audit_log_layout = "single" };
		log.store:append(nil, nil, entry("a"), noon - 40 * day, "@");
		log.store:append(nil, nil, entry("b"), noon - day, "@");
		local line, results = done(log);
		assert.same({ "events expired 1 in 0", 0 }, { line, results.moved });
		assert.equal("b", shown(log));
		assert.equal(2, #log.store:rows(nil), "the entry of the pruning lies there too");
	end);
end);

describe("the older log of an SQL store", function ()
	it("has entries removed that have expired by their class, and no others", function ()
		local log = new_log({ audit_log_classes = {
			failures = { expires_after = "3d" };
			accounts = { types = { "user-*" }, expires_after = "60d" };
		} }, "sql");
		for back = 70, 0, -1 do
			for _, event_type in ipairs({ "t", "user-", "s-refused-" }) do
				event_type = event_type == "s-refused-" and "s"..back.."-refused" or event_type..back;
				log.store:append(nil, nil, entry(event_type), noon - back * day, "@");
			end
		end
		local before = shown(log);
		done(log);
		assert.equal(before, shown(log));
		assert.equal(61 + 29 + 4, #log.store:rows(nil));
	end);
end);
