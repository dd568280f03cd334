-- Which journal keeps what is removed: src/lua/evidence/evidence.lua.

local journals = require "support.journal";
local support = require "support.log";

local host = support.host;

describe("the evidence of a host", function ()
	local journal = journals.new("evidence");
	before_each(journal.begin);
	after_each(journal.finish);

	-- A log with two entries that have expired, and the time.
	local function expired()
		local log = journal:log({ audit_log_expires_after = "1d" }, support.new_store(nil, "embedded"));
		log.log.open(host);
		journal:audit(log, 1, 2);
		log:pass(1);
		log.time = log.time + 3 * 86400;
		return log;
	end

	-- The same log in a process without a journal of its own, as prodosyctl has it.
	local function beside(log, path)
		local other = support.new(log.options, log.store);
		other.time = log.time;
		other.environment.readable_path = function () return path; end;
		return other;
	end

	it("is in the journal of the process that has it", function ()
		local log = expired();
		assert(log.log.prune(host));
		assert.equal(2, log.log.verify(host).removed);
	end);

	it("is in the journal that another process left", function ()
		local log = expired();
		log.log.close();
		local other = beside(log, journal.path);
		assert(other.log.prune(host));
		assert.equal(2, other.log.verify(host).removed);
		-- Nothing stays locked.
		local again = journal:log(log.options, log.store);
		again.time = log.time;
		again.log.open(host);
		assert.is_true(again.log.owns_journal(host));
	end);

	it("can't be written while another process has the journal, so nothing is removed", function ()
		local log = expired();
		local other = beside(log, journal.path);
		local results, problem = other.log.prune(host);
		assert.is_nil(results);
		assert.is_truthy(problem:find("journal", 1, true), problem);
		assert.equal(2, #log.store:rows("@events.2026-11-24"));
	end);

	it("is not needed for entries that are not linked", function ()
		local log = support.new({ audit_log_expires_after = "1d" }, support.new_store(nil, "embedded"));
		log.audit(host, nil, "mod_test", "t", {});
		log.time = log.time + 3 * 86400;
		local other = beside(log, "/dev/null/journal");
		assert(other.log.prune(host));
		assert.same({}, log.store:rows("@events.2026-11-24"));
	end);
end);
