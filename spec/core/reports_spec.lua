-- What the hand-over reports: src/lua/hand_over/reports.lua, with real journal files.

local journals = require "support.journal";

describe("the hand-over", function ()
	local journal = journals.new("reports");
	before_each(journal.begin);
	after_each(journal.finish);

	it("reports once that its store does not answer", function ()
		local log = journal:log();
		local append = log.store.append;
		log.store.append = function (...) coroutine.yield(); return append(...); end;
		journal:audit(log, 1, 3);
		table.remove(log.timers, 1).run();
		local thread = coroutine.create(table.remove(log.timers, 1).run);
		assert.is_true(coroutine.resume(thread));
		log:pass(59);
		assert.same({ nil, {} }, { log.log.state("example.com").problem, log.lines });
		log:pass(2);
		for _ = 1, 3 do
			assert.equal("the storage driver has not answered for 60 seconds", log.log.state("example.com").problem);
			journal:audit(log, 4, 4);
			log:pass(10);
		end
		assert.equal(1, #log.lines, table.concat(log.lines, "\n"));
		while coroutine.status(thread) ~= "dead" do assert.is_true(coroutine.resume(thread)); end
		log.store.append = append;
		log:pass(1);
		assert.same({ 2, nil, 0 }, { #log.lines, log.log.state("example.com").problem, log.log.waiting("example.com") });
	end);
end);
