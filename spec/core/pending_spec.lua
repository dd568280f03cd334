-- How entries are read that wait in a journal, src/lua/hand_over/pending.lua. Uses real journal files.

local core = require "audit_core";
local support = require "support.log";
local journals = require "support.journal";

local new_log, noon = support.new, support.noon;
local numbers, count_to = journals.numbers, journals.count_to;

describe("what waits in a journal", function ()
	local journal = journals.new("pending");
	before_each(journal.begin);
	after_each(journal.finish);

	local function journaled(options, store)
		return journal:log(options, store);
	end

	local function audit(log, first, last)
		journal:audit(log, first, last);
	end

	it("is read together with the store", function ()
		local log = journaled();
		audit(log, 1, 2);
		log:pass(0.3);
		audit(log, 3, 4);
		local _, shown, damaged = log:shown();
		assert.same({ 4, 0 }, { shown, damaged });
		_, shown = log:shown("--user=romeo");
		assert.equal(2, shown);
		-- Another process has no journal of its own, and reads ours.
		local reader = new_log(nil, log.store);
		reader.environment.readable_path = function () return journal.path; end;
		reader.log = core.new(reader.environment);
		_, shown = reader:shown();
		assert.equal(4, shown);
		assert.equal(2, log.log.waiting("example.com"));
	end);

	it("is reported if it can't be read, and the store is read all the same", function ()
		local log = journaled();
		audit(log, 1, 2);
		log:pass(5);
		audit(log, 3, 4);
		local reader = new_log(nil, log.store);
		-- There is a file in the place of the folder.
		local file = journal:segments()[1];
		reader.environment.readable_path = function () return file.."/journal"; end;
		reader.log = core.new(reader.environment);
		local result = reader:read(function () end);
		assert.equal(2, result.shown);
		assert.is_truthy(result.problem:find("what waits in the journal can't be read: ", 1, true), result.problem);
		-- Pruning does not take it for an empty journal.
		local results, problem = reader.log.prune("example.com");
		assert.is_nil(results);
		assert.is_truthy(problem:find("Not a directory", 1, true), problem);
	end);

	it("is read in pages, newest or oldest first", function ()
		local log = journaled();
		for i = 1, 50 do
			log.time = noon + i;
			audit(log, i, i);
		end
		for flag, expected in pairs { ["--no-oldest-first"] = { "2026-11-24 12:00:50", "2026-11-24 12:00:48" },
			["--oldest-first"] = { "2026-11-24 12:00:01", "2026-11-24 12:00:03" } } do
			local text, shown = log:shown("--utc", "--columns=time", "--limit=3", flag == "--oldest-first" and flag or nil);
			assert.equal(3, shown);
			local first, last = text:match("\n([^\n]-)%s*\n[^\n]*\n([^\n]-)%s*\n$");
			assert.same(expected, { first, last });
		end
		assert.equal(50, select(2, log:shown()));
	end);

	it("has each entry once while it is handed over", function ()
		local log = journaled();
		audit(log, 1, 300);
		for _ = 1, 20 do
			assert.equal(300, (select(2, log:shown())));
			log:pass(0.1);
		end
		assert.equal(count_to(300), numbers(log));
	end);

	it("can be read although the store can't", function ()
		local log = journaled();
		audit(log, 1, 3);
		function log.store.find() return nil, "no permission"; end
		local result = log:read(function () end);
		assert.same({ 3, "no permission" }, { result.shown, result.problem });
	end);
end);
