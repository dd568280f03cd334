-- Lost events are counted once, and the count becomes an entry: src/lua/hand_over/queue.lua and the journal, with a clock that the
-- spec moves.

local core = require "audit_core";
local journals = require "support.journal";
local lfs = require "lfs";
local NAMESPACE = require "support.log".NAMESPACE;

describe("what is lost", function ()
	local journal = journals.new("losses");
	before_each(journal.begin);
	after_each(journal.finish);

	-- Makes the journal impossible to write, by a folder in the place of its first segment.
	local function block(log)
		log.log.open("example.com");
		lfs.mkdir(journal.path..".0000000000000000");
	end

	local function unblock()
		lfs.rmdir(journal.path..".0000000000000000");
	end

	local function journaled(store)
		return journal:log(nil, store);
	end

	local function kill(log)
		journal:kill(log);
	end

	-- The log of the next start, after it has handed over what it could.
	local function start_again(store, seconds)
		local again = journaled(store);
		again.log.open("example.com");
		again:pass(seconds or 5);
		return again;
	end

	local function refuse(log)
		local append = log.store.append;
		log.store.append = function () return nil, "disk full"; end;
		return function () log.store.append = append; end;
	end

	local function audit(log, first, last, detail)
		local taken = 0;
		for i = first, last do
			local id = log.log.audit("example.com", nil, "mod_test", "t", { custom = { core.detail("n", { v = i }, detail) } });
			taken = taken + (id and 1 or 0);
		end
		return taken;
	end

	-- The numbers of the entries in the store; how many events are lost by its entries, by type, and the number of those entries.
	local function stored(log)
		local numbers, lost, types, entries = {}, 0, {}, 0;
		for _, row in ipairs(log.store:day("@events.2026-11-24")) do
			local what = row.value:get_child("lost", NAMESPACE);
			if what then
				lost, entries = lost + tonumber(what.attr.count), entries + 1;
				for _, tag in ipairs(what.tags) do types[tag.attr.name] = (types[tag.attr.name] or 0) + tonumber(tag.attr.count); end
			else
				table.insert(numbers, tonumber(row.value:get_child("n", NAMESPACE).attr.v));
			end
		end
		return numbers, lost, types, entries;
	end

	local function lines(log, text)
		local found = {};
		for _, line in ipairs(log.lines) do
			if line:find(text, 1, true) then table.insert(found, line); end
		end
		return found;
	end

	it("in a journal that somebody has emptied, except for what is in memory", function ()
		local log = journaled();
		local work = refuse(log);
		-- More than there is memory for.
		audit(log, 1, 4000);
		log:pass(5);
		for _, name in ipairs(journal:segments()) do io.open(name, "w"):close(); end
		audit(log, 4001, 4010);
		work();
		log:pass(120);
		local numbers, lost, types, entries = stored(log);
		assert.is_true(lost > 0 and lost < 3000, lost);
		assert.same({ 4010 - lost, lost, 1 }, { #numbers, types.unreadable, entries });
		for i = 2, #numbers do assert.is_true(numbers[i] > numbers[i - 1]); end
		assert.equal(1, #lines(log, lost.." audit events of example.com are lost"));
		assert.equal(0, #lines(log, "none was lost"));
		assert.equal(1, #lines(log, "stored again; "..lost.." could not be stored"));
	end);

	for name, change in pairs({
		["deleted"] = function (file) os.remove(file); end;
		["moved away"] = function (file) os.rename(file, journal.path..".away"); end;
		["replaced by a copy"] = function (file)
			local copy = io.open(journal.path..".copy", "w");
			copy:write(io.open(file):read("a"));
			copy:close();
			os.rename(journal.path..".copy", file);
		end;
		["replaced by something else"] = function (file)
			local other = io.open(journal.path..".other", "w");
			other:write(("something else\n"):rep(50000));
			other:close();
			os.rename(journal.path..".other", file);
		end;
	}) do
		it("with a segment that was "..name.." while the server has it open: nothing, not even by a crash then", function ()
			local log = journaled();
			refuse(log);
			audit(log, 1, 1490);
			log:pass(5);
			for _, file in ipairs(journal:segments()) do change(file); end
			-- The next event notices the change. Only a renamed file has to be looked for.
			if name == "moved away" then log.log.look("example.com"); end
			assert.equal(10, audit(log, 1491, 1500));
			kill(log);
			local again = start_again(nil, 60);
			local numbers, lost = stored(again);
			assert.same({ 1500, 0 }, { #numbers, lost });
			assert.same({}, lines(again, "error"));
		end);
	end

	it("in segments that are missing when the server starts", function ()
		local log = journaled();
		refuse(log);
		audit(log, 1, 21);
		kill(log);
		for _, file in ipairs(journal:segments()) do os.remove(file); end
		local again = start_again();
		local numbers, lost, types = stored(again);
		assert.same({ 0, 21, 21 }, { #numbers, lost, types.unreadable });
		assert.equal(1, #lines(again, "21 audit events of example.com are lost"));
		-- Only once.
		for _ = 1, 2 do
			local store = again.store;
			kill(again);
			again = start_again(store);
		end
		assert.same({ 21, 0 }, { (select(2, stored(again))), #again.lines });
	end);

	it("for lack of room is counted, also over a restart", function ()
		local log = journaled();
		refuse(log);
		block(log);
		assert.equal(1000, audit(log, 1, 1234));
		assert.equal(234, log.log.state("example.com").lost);
		assert.equal(1, #lines(log, "they wait in memory"));
		assert.equal(0, #lines(log, "they wait in the journal"));
		log.log.finish("example.com");
		assert.equal(1, #lines(log, "1234 audit events of example.com are lost"));
		assert.equal(1, #lines(log, "The next start records how many."));
		kill(log);
		unblock();
		local again = start_again();
		local numbers, lost, types = stored(again);
		assert.same({ 0, 1234, { t = 1234 } }, { #numbers, lost, types });
	end);

	it("for lack of room is counted, also over a crash", function ()
		local log = journaled();
		refuse(log);
		block(log);
		audit(log, 1, 1234);
		kill(log);
		unblock();
		local again = start_again();
		local numbers, lost, types = stored(again);
		assert.same({ 0, 1234, { t = 234, unreadable = 1000 } }, { #numbers, lost, types });
	end);

	it("is nothing of what waited in memory, once the journal can be written again", function ()
		local log = journaled();
		refuse(log);
		block(log);
		audit(log, 1, 100);
		unblock();
		audit(log, 101, 101);
		kill(log);
		local again = start_again();
		local numbers, lost = stored(again);
		assert.same({ 101, 0 }, { #numbers, lost });
	end);

	it("is nothing of it, even if no new event is recorded", function ()
		local log = journaled();
		refuse(log);
		block(log);
		audit(log, 1, 100);
		unblock();
		log:pass(61);
		kill(log);
		local again = start_again();
		assert.same({ 100, 0 }, { #stored(again), (select(2, stored(again))) });
	end);

	it("is nothing if another process has the lock for a moment when the server starts", function ()
		local other = journaled();
		other.log.open("example.com");
		local log = journaled();
		local work = refuse(log);
		log.log.open("example.com");
		audit(log, 1, 3);
		other.log.close();
		log:pass(1);
		assert.is_true(log.log.owns_journal("example.com"));
		kill(log);
		work();
		local again = start_again(log.store);
		local numbers, lost = stored(again);
		assert.same({ { 1, 2, 3 }, 0 }, { numbers, lost });
		-- A short lock is not reported.
		assert.same({}, lines(log, "can't be used"));
	end);

	it("is counted if another process has the journal for longer, and the journal is tried again", function ()
		local other = journaled();
		other.log.open("example.com");
		local log = journaled();
		log.log.open("example.com");
		-- A store that works gets what happens at once.
		audit(log, 1, 2);
		assert.same({ 1, 2 }, (stored(log)));
		local work = refuse(log);
		assert.equal(1000, audit(log, 3, 1025));
		-- Waiting entries can be read.
		assert.equal(1000, (select(2, log:shown("--limit=1000"))));
		assert.same({ 1000, 23 }, { log.log.waiting("example.com"), log.log.state("example.com").lost });
		log:pass(10);
		assert.equal(1, #lines(log, "can't be used: "..journal.path..".lock: in use by another process"));
		assert.equal(1, #lines(log, "there is room for no more of them"));
		other.log.close();
		log:pass(60);
		assert.equal(1, #lines(log, "can be used now"));
		work();
		log:pass(61);
		local numbers, lost, types = stored(log);
		assert.same({ 1002, 23, { t = 23 } }, { #numbers, lost, types });
		assert.equal(0, #lines(log, "none was lost"));
	end);

	it("is in an entry, even if this entry was refused at first", function ()
		local log = journaled();
		local work = refuse(log);
		block(log);
		audit(log, 1, 1003);
		work();
		log:pass(61);
		local _, lost, types, entries = stored(log);
		assert.same({ 3, { t = 3 }, 1 }, { lost, types, entries });
	end);

	-- The CRC-32 of the journal.
	local function crc32(bytes)
		local crc = 0xffffffff;
		for i = 1, #bytes do
			crc = crc ~ bytes:byte(i);
			for _ = 1, 8 do crc = (crc >> 1) ~ (0xedb88320 & -(crc & 1)); end
		end
		return ~crc & 0xffffffff;
	end

	it("by a record that is no entry is counted once, even if the store refuses several times", function ()
		local log = journaled();
		refuse(log);
		audit(log, 1, 3);
		log.log.close();
		-- The second record, whole, but with something else in it.
		local file = journal:segments()[1];
		local content = io.open(file):read("a");
		local begin, at, n = 0, 1, 0;
		while begin == 0 do
			local kind = content:sub(at + 12, at + 12);
			local length = string.unpack("<I4", content, at + 8);
			if kind == "e" then n = n + 1; end
			if n == 2 then begin = at; end
			at = at + 21 + length;
		end
		local length = string.unpack("<I4", content, begin + 8);
		local checked = content:sub(begin + 8, begin + 20)..("?"):rep(length);
		content = content:sub(1, begin + 3)..string.pack("<I4", crc32(checked))..checked..content:sub(begin + 21 + length);
		local out = io.open(file, "w");
		out:write(content);
		out:close();
		local again = journaled();
		local work = refuse(again);
		again.log.open("example.com");
		again:pass(20);
		work();
		again:pass(61);
		local numbers, lost, types = stored(again);
		assert.same({ { 1, 3 }, 1, { unreadable = 1 } }, { numbers, lost, types });
		assert.equal(1, #lines(again, "1 audit events of example.com are lost"));
	end);

	it("is reported once if the number can't be written to a file, and again if that happens later", function ()
		local log = journaled();
		lfs.mkdir((journal.path:gsub("journal$", "losses")));
		audit(log, 1, 3);
		log:pass(5);
		audit(log, 4, 6);
		log:pass(5);
		local line = "The number of audit events of example.com that are lost can't be written down: ";
		assert.equal(1, #lines(log, line));
		assert.equal(1, #lines(log, "A crash would take it."));
		lfs.rmdir((journal.path:gsub("journal$", "losses")));
		audit(log, 7, 7);
		log:pass(5);
		os.remove((journal.path:gsub("journal$", "losses")));
		lfs.mkdir((journal.path:gsub("journal$", "losses")));
		log.log.look("example.com");
		assert.equal(2, #lines(log, line));
		lfs.rmdir((journal.path:gsub("journal$", "losses")));
		assert.same({ 1, 2, 3, 4, 5, 6, 7 }, (stored(log)));
	end);

	it("is read later from a file that can't be read when the server starts", function ()
		local file = journal.path:gsub("journal$", "losses");
		local log = journaled();
		refuse(log);
		block(log);
		audit(log, 1, 1234);
		log.log.finish("example.com");
		kill(log);
		unblock();
		-- A link to a file on a disk that is not mounted.
		os.rename(file, file..".elsewhere");
		assert(lfs.link(file..".unmounted", file, true));
		local again = journaled();
		again.log.open("example.com");
		local work = refuse(again);
		assert.equal(3, audit(again, 1235, 1237));
		assert.is_false(again.log.owns_journal("example.com"));
		assert.equal(1, #lines(again, "The journal of the audit events of example.com can't be used: "..file..": "));
		os.rename(file..".elsewhere", file..".unmounted");
		again:pass(61);
		work();
		again:pass(61);
		local numbers, lost, types = stored(again);
		assert.same({ { 1235, 1236, 1237 }, 1234, { t = 1234 } }, { numbers, lost, types });
		assert.equal(1, #lines(again, "can be used now"));
	end);

	it("is unknown if its file is damaged, which is said and kept", function ()
		local file = journal.path:gsub("journal$", "losses");
		journaled().log.open("example.com");
		kill(journal.logs[1]);
		local out = io.open(file, "w");
		out:write("something else");
		out:close();
		local again = start_again();
		assert.equal(1, #lines(again, "was damaged, and a new one was begun"));
		assert.equal(1, #lines(again, "is kept as "..file..".damaged."));
		assert.equal("something else", io.open(file..".damaged"):read("a"));
		again.log.look("example.com");
		assert.equal(1, #again.lines);
	end);

	it("by an error in our own code is counted, too", function ()
		local log = journaled();
		local raising = setmetatable({}, { __index = function () error("boom"); end });
		assert.is_nil(log.log.audit("example.com", nil, "mod_test", "t", { session = raising }));
		log:pass(5);
		local numbers, lost, types = stored(log);
		assert.same({ {}, 1, { t = 1 } }, { numbers, lost, types });
	end);

	it("is not increased by pauses: a store that works again is noticed within a minute", function ()
		local log = journaled();
		local attempts, work = {}, refuse(log);
		local append = log.store.append;
		log.store.append = function (...) table.insert(attempts, log.time); return append(...); end;
		audit(log, 1, 1);
		log:pass(3600);
		for i = 2, #attempts do
			local pause = attempts[i] - attempts[i - 1];
			assert.is_true(pause <= 60.5, ("a pause of %.1f s"):format(pause));
		end
		assert.is_true(#attempts <= 70 and #attempts >= 60, #attempts.." attempts");
		work();
		log:pass(60.5);
		assert.same({ 1 }, (stored(log)));
	end);

	it("is nobody's time: between slices, the loop is free for three quarters of the time", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (...) log.time = log.time + 0.001; return append(...); end;
		audit(log, 1, 190);
		local slices = 0;
		while log.log.waiting("example.com") > 0 and slices < 100 do
			-- Runs the timer that is due next, and measures it.
			table.sort(log.timers, function (a, b) return a.at < b.at; end);
			local timer = table.remove(log.timers, 1);
			log.time = math.max(log.time, timer.at);
			local began, waiting = log.time, log.log.waiting("example.com");
			timer.run();
			local took = log.time - began;
			if log.log.waiting("example.com") < waiting and log.log.waiting("example.com") > 0 then
				slices = slices + 1;
				table.sort(log.timers, function (a, b) return a.at < b.at; end);
				local pause = log.timers[1].at - log.time;
				assert.is_true(pause >= 2.99 * took, ("%.4f s after a slice of %.4f s"):format(pause, took));
			end
		end
		assert.is_true(slices >= 5, slices.." slices");
		assert.equal(190, #stored(log));
	end);
end);
