-- What is being written to stores now: src/lua/hand_over/writes.lua, through the log, with a driver that yields.

local journals = require "support.journal";
local support = require "support.log";

local noon, numbers = support.noon, journals.numbers;

describe("while the driver yields in an entry that is written directly,", function ()
	local journal = journals.new("writes");
	before_each(journal.begin);
	after_each(journal.finish);

	-- A log that has given the first entry to its store, and a function that lets the driver answer.
	local function writing()
		local log = journal:log({ audit_log_write = "direct" });
		local append, yields = log.store.append, true;
		log.store.append = function (...)
			if yields then coroutine.yield(); end
			return append(...);
		end;
		local thread = coroutine.create(function () journal:audit(log, 1, 1); end);
		assert.is_true(coroutine.resume(thread));
		yields = false;
		return log, function ()
			assert.is_true(coroutine.resume(thread));
			assert.equal("dead", coroutine.status(thread));
		end;
	end

	it("other entries wait, so that they do not overtake it", function ()
		local log, answer = writing();
		log:pass(2);
		journal:audit(log, 2, 3);
		log:pass(2);
		assert.same({ "", 2 }, { numbers(log), log.log.waiting("example.com") });
		answer();
		log:pass(2);
		local times = {};
		for i, row in ipairs(log.store:rows("@events.2026-11-24")) do times[i] = row.when; end
		assert.same({ "1 2 3", { noon, noon + 2, noon + 2 } }, { numbers(log), times });
		journal:audit(log, 4, 4);
		assert.equal("1 2 3 4", numbers(log), "nothing waits any more");
	end);

	it("other entries do not wait for ever", function ()
		local log, answer = writing();
		journal:audit(log, 2, 3);
		log:pass(59);
		assert.equal("", numbers(log));
		log:pass(5);
		assert.equal("2 3", numbers(log));
		journal:audit(log, 4, 4);
		assert.equal("2 3 4", numbers(log));
		answer();
		assert.equal("2 3 4 1", numbers(log), "it has answered at last");
	end);
end);
