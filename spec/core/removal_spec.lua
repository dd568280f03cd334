-- What pruning announces before it removes linked entries: src/lua/prune/removal.lua.

local journals = require "support.journal";
local support = require "support.log";

local host = support.host;

describe("the announcement of a removal", function ()
	local journal = journals.new("removal");
	before_each(journal.begin);
	after_each(journal.finish);

	-- A log with entries of an hour in each of some days, and its store.
	local function log_of_days(days, options, kind)
		local log = journal:log(options, support.new_store(nil, kind));
		log.log.open(host);
		for day = 1, days do
			journal:audit(log, day * 2 - 1, day * 2);
			log:pass(1);
			log.time = log.time + 86400;
		end
		return log;
	end

	local function verified(log)
		local result = assert(log.log.verify(host));
		return result.intact, result.removed, table.concat(result.lines, "\n");
	end

	for _, kind in ipairs { "embedded", "sql" } do
		it("is written down before a driver like "..kind.." removes them", function ()
			local log = log_of_days(5, { audit_log_expires_after = "3d" }, kind);
			local delete, seen = log.store.delete, {};
			function log.store.delete(...)
				-- A crash right before the removal, or right after it.
				local before = log.log.verify(host);
				local done = delete(...);
				local after = log.log.verify(host);
				table.insert(seen, before.intact and after.intact);
				return done;
			end
			assert(log.log.prune(host));
			assert.is_true(#seen > 0);
			for _, intact in ipairs(seen) do assert.is_true(intact); end
			local intact, removed, lines = verified(log);
			assert.is_true(intact, lines);
			assert.equal(2 * #seen, removed);
		end);
	end

	-- The rule in force when an entry was recorded says when it may go.
	local function judged(log)
		local result = assert(log.log.verify(host));
		return result.status, table.concat(result.lines, "\n");
	end

	it("is judged by the rules of the time when the entries were recorded", function ()
		local log = log_of_days(5, { audit_log_expires_after = "30d" });
		log.options.audit_log_expires_after = "1d";
		log.log.forget();
		journal:audit(log, 11, 12);
		log:pass(1);
		assert(log.log.prune(host));
		log.options.audit_log_expires_after = "30d";
		log.log.forget();
		local status, lines = judged(log);
		assert.equal(4, status);
		assert.is_truthy(lines:find("\nremoved under a later rule: events 1 to %d, which the rules of their time would still keep"), lines);
		-- Later their own rule would have removed them.
		log.time = log.time + 31 * 86400;
		status, lines = judged(log);
		assert.equal(0, status, lines);
	end);

	it("is early if the clock was ahead meanwhile", function ()
		local log = log_of_days(3, { audit_log_expires_after = "30d" });
		log.time = log.time + 365 * 86400;
		assert(log.log.prune(host, { trust_clock = true }));
		log.time = log.time - 365 * 86400;
		journal:audit(log, 7, 8);
		log:pass(1);
		local status, lines = judged(log);
		assert.equal(4, status, lines);
	end);

	it("is in time if a limit was exceeded, or the clock was ahead when they were recorded", function ()
		local log = log_of_days(3, { audit_log_classes = { tests = { types = { "*" }, limit = 100 } }; audit_log_flood = false });
		journal:audit(log, 7, 400);
		log:pass(5);
		assert(log.log.prune(host));
		local status, lines = judged(log);
		assert.equal(0, status, lines);
		assert.is_truthy(lines:find("removed by rule: %d+ entries"), lines);
	end);

	it("has each entry if their numbers do not follow each other", function ()
		-- The clock is set back for two entries, which are put into the partition of an earlier day.
		local log = log_of_days(2, { audit_log_expires_after = "9d" }, "sql");
		log.time = log.time - 2 * 86400;
		journal:audit(log, 5, 6);
		log:pass(1);
		log.time = log.time + 2 * 86400;
		journal:audit(log, 7, 7);
		log:pass(1);
		local intact, removed, lines = verified(log);
		assert.same({ true, 0 }, { intact, removed }, lines);
		log.time = log.time + 8.2 * 86400;
		assert(log.log.prune(host));
		intact, removed, lines = verified(log);
		assert.is_true(intact, lines);
		assert.equal(4, removed, lines);
	end);

	it("keeps limits from hiding what somebody else removes", function ()
		local log = journal:log({ audit_log_flood = false; audit_log_classes = { events = { limit = 100 } } }, support.new_store(nil, "embedded"));
		log.log.open(host);
		for i = 1, 260 do
			journal:audit(log, i, i);
			log:pass(0.3);
		end
		log:pass(5);
		assert(log.log.prune(host, { limits = true }));
		local intact, removed, lines = verified(log);
		assert.is_true(intact, lines);
		assert.is_true(removed > 0);
		for name, rows in pairs(log.store.partitions) do
			if name and name:find("^@events") and #rows > 3 then table.remove(rows, 2); break; end
		end
		assert.is_false((verified(log)));
	end);

	it("stops the removal if it can't be written down", function ()
		local log = log_of_days(3, { audit_log_expires_after = "1d" }, "embedded");
		local files = journal:files();
		log.log.close();
		-- Without a journal of its own, the log has to open it, as prosodyctl does: another process has it.
		local again = support.new(log.options, log.store);
		again.time = log.time;
		again.environment.readable_path = function () return "/dev/null/journal"; end;
		local results, problem = again.log.prune(host);
		assert.is_nil(results);
		assert.is_string(problem);
		assert.equal(2, #again.store:rows("@events.2026-11-24"));
		assert.is_true(#files > 0);
	end);

	it("is written down by a process without a journal too", function ()
		local log = log_of_days(3, { audit_log_expires_after = "1d" }, "embedded");
		log.log.close();
		local again = support.new(log.options, log.store);
		again.time = log.time;
		again.environment.readable_path = function () return journal.path; end;
		assert(again.log.prune(host));
		local result = assert(again.log.verify(host));
		assert.is_true(result.intact, table.concat(result.lines, "\n"));
		assert.is_true(result.removed > 0);
		assert.is_nil(again.store:rows("@events.2026-11-24")[1]);
	end);
end);
