-- The queue of a host, src/lua/hand_over/queue.lua: an event is written to the journal and handed over to the store a moment later.
-- Uses real journal files.

local core = require "audit_core";
local support = require "support.log";
local journals = require "support.journal";

local new_store, noon, NAMESPACE = support.new_store, support.noon, support.NAMESPACE;
local numbers, count_to = journals.numbers, journals.count_to;

describe("the journal", function ()
	local journal = journals.new("queue");
	before_each(journal.begin);
	after_each(journal.finish);

	local function journaled(options, store)
		return journal:log(options, store);
	end

	local function audit(log, first, last)
		journal:audit(log, first, last);
	end

	it("takes an event at once, and hands it over to the store a moment later", function ()
		local log = journaled();
		audit(log, 1, 3);
		assert.equal("", log.store:names());
		assert.equal(3, log.log.waiting("example.com"));
		log:pass(0.3);
		assert.equal("1 2 3", numbers(log));
		assert.equal(0, log.log.waiting("example.com"));
		local stanza, row = log:last();
		assert.same({ "@", noon }, { row.with, row.when });
		assert.same({ "session", "n" }, { stanza.tags[1].name, stanza.tags[2].name });
		assert.equal("tab\tand\nnewline", stanza.tags[2][1]);
	end);

	it("is read after a restart, and nothing is stored twice", function ()
		local log = journaled();
		audit(log, 1, 2);
		log:pass(0.3);
		audit(log, 3, 5);
		-- The store took one more before the process ended, and the journal does not know.
		local release = log.store.append;
		log.store.append = function (self, ...)
			if #self:rows("@events.2026-11-24") == 4 then error("killed"); end
			return release(self, ...);
		end;
		log:pass(0.3);
		log.store.append = release;
		log.log.close();
		assert.equal("1 2 3 4", numbers(log));
		local again = journaled(nil, log.store);
		again.log.open("example.com");
		audit(again, 6, 6);
		again:pass(1);
		assert.equal("1 2 3 4 5 6", numbers(again));
	end);

	it("is not stored twice if the clock went back over midnight before the process ended", function ()
		local midnight = noon + 43200;
		local log = journaled();
		log.log.open("example.com");
		for i, time in ipairs({ midnight + 5, midnight + 6, midnight - 20, midnight - 19 }) do
			log.time = time;
			audit(log, i, i);
		end
		-- The process ends when the store has all of it, and the journal does not know.
		local kept = journal.path..".kept";
		assert.is_true(os.execute(("mkdir %s && cp %s.0* %s/"):format(kept, journal.path, kept)));
		log:pass(0.3);
		log.log.close();
		assert.is_true(os.execute(("rm -f %s.0* && mv %s/* %s && rmdir %s"):format(journal.path, kept, journal.path:match("^(.*)/"), kept)));
		assert.equal("3 4 1 2", numbers(log));
		local again = journaled(nil, log.store);
		again.time = midnight - 10;
		again.log.open("example.com");
		assert.equal(4, again.log.waiting("example.com"));
		again:pass(5);
		assert.equal("3 4 1 2", numbers(again));
		assert.equal(0, again.log.waiting("example.com"));
	end);

	it("keeps what the store does not take, in order, and offers it again with back-off", function ()
		local log = journaled();
		local append, attempts = log.store.append, 0;
		log.store.append = function () attempts = attempts + 1; return nil, "database is locked"; end;
		audit(log, 1, 1500);
		log:pass(20);
		assert.is_true(attempts >= 4 and attempts <= 6, attempts.." attempts in 20 seconds");
		assert.same({ 1500, 0, "database is locked" }, { log.log.waiting("example.com"), log.log.lost(), log.log.state("example.com").problem });
		assert.equal(1, #log.lines);
		log.store.append = append;
		log:pass(60);
		assert.equal(count_to(1500), numbers(log));
		assert.same({ 2, "info: Audit events of example.com are stored again; none was lost." }, { #log.lines, log.lines[2] });
	end);

	it("counts a damaged record as lost", function ()
		local log = journaled();
		audit(log, 1, 3);
		log.log.close();
		for _, path in ipairs(journal:segments()) do
			local file = io.open(path, "r+b");
			local at = file:read("a"):find("c2s2", 1, true);
			file:seek("set", at - 1);
			file:write("XXXX");
			file:close();
		end
		local again = journaled(nil, log.store);
		again.log.open("example.com");
		again:pass(1);
		local rows = again.store:rows("@events.2026-11-24");
		assert.same({ 3, "1", "3", "audit-entries-lost" }, {
			#rows, rows[1].value:get_child("n", NAMESPACE).attr.v, rows[2].value:get_child("n", NAMESPACE).attr.v, rows[3].value.attr.type,
		});
		assert.equal("unreadable", rows[3].value:get_child("lost", NAMESPACE).tags[1].attr.name);
		assert.is_truthy(again.lines[1]:find("1 audit events of example.com are lost: their records in the journal are damaged or missing", 1, true));
	end);

	it("begins another partition at a quota", function ()
		local log = journaled(nil, new_store(10));
		audit(log, 1, 25);
		log:pass(1);
		assert.equal("@events.2026-11-24 @events.2026-11-24.2 @events.2026-11-24.3", log.store:names());
		assert.equal(count_to(25), numbers(log));
	end);

	it("is not used if entries are written directly, until something waits", function ()
		local log = journaled({ audit_log_write = "direct" });
		audit(log, 1, 2);
		assert.equal("1 2", numbers(log));
		local append = log.store.append;
		log.store.append = function () error("broken"); end;
		audit(log, 3, 4);
		log.store.append = append;
		audit(log, 5, 5);
		assert.same({ "1 2", 3 }, { numbers(log), log.log.waiting("example.com") });
		log:pass(5);
		assert.equal("1 2 3 4 5", numbers(log));
	end);

	it("waits for a driver that yields", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (...) coroutine.yield(); return append(...); end;
		audit(log, 1, 3);
		table.remove(log.timers, 1).run(); -- its time has come
		local thread = coroutine.create(table.remove(log.timers, 1).run);
		assert.is_true(coroutine.resume(thread));
		audit(log, 4, 4);
		while coroutine.status(thread) ~= "dead" do assert.is_true(coroutine.resume(thread)); end
		assert.equal("1 2 3 4", numbers(log));
	end);

	-- A log that has begun a slice with a driver that yields, and was closed meanwhile. The next log has the same journal and store.
	local function reloaded()
		local slices = {};
		local function open(store)
			local log = journaled(nil, store);
			log.environment.slices = slices;
			log.log = core.new(log.environment);
			return log;
		end
		local log = open();
		local append, yields = log.store.append, true;
		log.store.append = function (...)
			if yields then coroutine.yield(); end
			return append(...);
		end;
		audit(log, 1, 5);
		table.remove(log.timers, 1).run();
		local thread = coroutine.create(table.remove(log.timers, 1).run);
		assert.is_true(coroutine.resume(thread));
		yields = false;
		log.log.close();
		local again = open(log.store);
		again.log.open("example.com");
		return again, function () assert.is_true(coroutine.resume(thread)); end;
	end

	it("is stored once if an append is answered after the log was closed and the next one was opened", function ()
		local again, answer = reloaded();
		again:pass(10);
		assert.equal("", numbers(again), "it waits for the answer");
		answer();
		again:pass(10);
		assert.equal("1 2 3 4 5", numbers(again));
		assert.same({}, again.lines);
	end);

	it("is handed over by the next log if a driver never answers", function ()
		local again, answer = reloaded();
		again:pass(59);
		assert.equal("", numbers(again));
		again:pass(5);
		assert.equal("1 2 3 4 5", numbers(again));
		answer();
		assert.equal("1 2 3 4 5 1", numbers(again), "it has answered at last");
		again:pass(60);
		assert.equal("1 2 3 4 5 1", numbers(again), "and nothing more came from the closed log");
	end);

	it("is handed over in few slices, though entries are large", function ()
		local children = {};
		for i = 1, 190 do children[i] = core.detail("n", { v = i }); end
		local log = journaled();
		for _ = 1, 150 do
			assert.is_string(log.log.audit("example.com", nil, "mod_test", "t", { custom = { core.detail("large", nil, nil, children) } }));
		end
		log.log.close();
		-- All of it must be read back. What this process has of the processor counts, whatever else the machine does.
		local again = journaled(nil, log.store);
		local began = require "util.time".now() - os.clock();
		again.environment.now = function () return began + os.clock(); end;
		again.log = core.new(again.environment);
		again.log.open("example.com");
		local slices = 0;
		while again.log.waiting("example.com") > 0 and slices <= 150 do
			slices = slices + 1;
			table.remove(again.timers, 1).run();
		end
		assert.is_true(slices <= 75, slices.." slices");
	end);

	it("is handed over for one host in a turn of the loop", function ()
		local log = journaled();
		log.environment.journal_path = function (host) return journal.path.."."..host; end;
		local stores = {};
		log.environment.open_store = function (host)
			stores[host] = stores[host] or new_store();
			return stores[host];
		end;
		log.log = core.new(log.environment);
		local hosts = { "a.example", "b.example", "c.example" };
		for _ = 1, 5 do
			for _, host in ipairs(hosts) do log.log.audit(host, nil, "mod_test", "t"); end
		end
		log.time = log.time + 1;
		local turns, served = 0, {};
		-- A turn runs the timers that are due when it begins. New timers are for the next turn.
		while #log.timers > 0 and turns < 20 do
			turns = turns + 1;
			local timers = log.timers;
			log.timers = {};
			local before = {};
			for _, host in ipairs(hosts) do before[host] = log.log.waiting(host); end
			for _, timer in ipairs(timers) do timer.run(); end
			local hosts_of_turn = {};
			for _, host in ipairs(hosts) do
				if log.log.waiting(host) < before[host] then table.insert(hosts_of_turn, host); end
			end
			assert.is_true(#hosts_of_turn <= 1, table.concat(hosts_of_turn, ", ").." in one turn");
			table.insert(served, hosts_of_turn[1]);
		end
		assert.same(hosts, served);
		for _, host in ipairs(hosts) do assert.equal(5, #stores[host]:rows("@events.2026-11-24")); end
	end);

	it("counts events for which it has no room, and the count becomes an entry", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function () return nil, "disk full"; end;
		audit(log, 1, 1);
		-- The sizes of the journal and of the memory for entries are limited.
		local limit = 200000;
		local big = core.detail("big", nil, ("x"):rep(4000));
		local lost = 0;
		for _ = 1, limit do
			local id, condition = log.log.audit("example.com", nil, "mod_test", "flood", { custom = { big } });
			if not id then
				lost = lost + 1;
				assert.equal("resource-constraint", condition);
				if lost == 3 then break; end
			end
		end
		assert.equal(3, lost);
		-- Nor for a small one, such as the entry of the count.
		repeat until not log.log.audit("example.com", nil, "mod_test", "flood");
		assert.same({ 4, 4 }, { log.log.lost(), log.log.state("example.com").lost });
		local kept = log.log.waiting("example.com");
		-- The first slices free too little for the count to find room.
		local slow = 5;
		log.store.append = function (...)
			if slow > 0 then
				slow, log.time = slow - 1, log.time + 0.01;
			end
			return append(...);
		end;
		log:pass(300);
		local rows = log.store:day("@events.2026-11-24");
		assert.equal(kept + 1, #rows);
		local entry = rows[#rows].value;
		assert.equal("audit-entries-lost", entry.attr.type);
		local what = entry:get_child("lost", NAMESPACE);
		assert.same({ "4", "flood", "4" }, { what.attr.count, what.tags[1].attr.name, what.tags[1].attr.count });
	end);
end);
