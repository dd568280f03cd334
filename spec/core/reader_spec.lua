-- Readers of a host's entries beside the hand-over: src/lua/read/reader.lua. Uses real journal files.

local lfs = require "lfs";

local journals = require "support.journal";
local support = require "support.log";

local host = support.host;

describe("a reader with a position of its own", function ()
	local journal = journals.new("reader");
	before_each(journal.begin);
	after_each(journal.finish);

	local function record(log, first, last)
		for i = first, last do
			log.audit(host, "juliet@example.com", "mod_test", "t"..i);
		end
	end

	-- Reads everything, as the types of the entries.
	local function read(reader)
		local found = {};
		while reader.fill() do
			table.move(reader.cursor:types(100), 1, 100, #found + 1, found);
		end
		return found;
	end

	local function types(first, last)
		local list = {};
		for i = first, last do list[#list + 1] = "t"..i; end
		return list;
	end

	it("reads what is recorded, and waits for more", function ()
		local log = journal:log();
		local reader = assert(log.log.reader(host));
		assert.is_false((reader.fill()));
		local woken = 0;
		reader.wait(function (of) woken = woken + (of == host and 1 or 0); end);
		record(log, 1, 3);
		assert.equal(1, woken);
		-- The journal lets the entries go.
		log:pass(1);
		assert.equal(0, log.log.waiting(host));
		assert.same(types(1, 3), read(reader));
		assert.equal(0, (reader.cursor:behind()));
	end);

	it("continues where it was after a restart, from the store and the journal", function ()
		local log = journal:log();
		local reader = assert(log.log.reader(host));
		record(log, 1, 3);
		assert.same(types(1, 3), read(reader));
		local saved = reader.cursor:saved(log.time);
		record(log, 4, 600);
		log:pass(60);
		record(log, 601, 605);
		log.log.close();
		log.time = log.time + 5;
		local again = journal:log(nil, log.store);
		again.time = log.time;
		reader = assert(again.log.reader(host, saved));
		record(again, 606, 607);
		assert.same(types(4, 607), read(reader));
	end);

	it("reads the store if more was recorded than is kept in memory, and says what is gone", function ()
		local log = journal:log();
		local reader = assert(log.log.reader(host));
		record(log, 1, 4000);
		log:pass(60);
		assert.same(types(1, 4000), read(reader));
		record(log, 4001, 8000);
		log:pass(60);
		-- The oldest of them are removed meanwhile.
		local day = log.store:day("@events.2026-11-24");
		local removed = 0;
		for name, rows in pairs(log.store.partitions) do
			if rows[1].value.attr.type == "t4001" or rows[1].value.attr.type == "t4501" then
				removed = removed + #rows;
				log.store.partitions[name] = nil;
			end
		end
		assert.equal(8000, #day);
		assert.is_true(removed > 0);
		local found = read(reader);
		assert.equal("gap of "..removed, found[#found]);
		assert.equal(4000 - removed + 1, #found);
	end);

	it("reads what goes to the store without the journal", function ()
		local log = journal:log { audit_log_write = "direct" };
		local reader = assert(log.log.reader(host));
		record(log, 1, 2);
		assert.equal(0, log.log.waiting(host));
		assert.same(types(1, 2), read(reader));
	end);

	it("says that the store can't be read, and goes on later", function ()
		local log = journal:log();
		local reader = assert(log.log.reader(host, "1 00000000-0000-7000-8000-000000000000 0 0"));
		record(log, 1, 2);
		log:pass(1);
		local find = log.store.find;
		function log.store.find() return nil, "the database is gone"; end
		local more, problem = reader.fill();
		assert.is_false(more);
		assert.is_truthy(problem:find("the database is gone", 1, true));
		log.store.find = find;
		assert.same(types(1, 2), read(reader));
	end);

	-- A log whose process before has left entries in the store and ten in the journal, from 901 on if nothing is said.
	local function after_a_restart(waiting_from)
		local first = waiting_from or 901;
		local log = journal:log();
		record(log, 1, first - 1);
		log:pass(60);
		local append = log.store.append;
		log.store.append = function () return nil, "the database is gone"; end
		record(log, first, first + 9);
		log.log.close();
		local again = journal:log(nil, log.store);
		again.time = log.time + 5;
		return again, append;
	end

	it("leaves nothing out if the store fails between two pages while entries wait", function ()
		for fault = 1, 3 do
			journal.finish();
			journal.begin();
			local log = after_a_restart();
			local reader = assert(log.log.reader(host, "1 00000000-0000-7000-8000-000000000000 0 0"));
			local find, calls = log.store.find, 0;
			function log.store.find(...)
				calls = calls + 1;
				if calls == fault then return nil, "the database is gone"; end
				return find(...);
			end
			local found = read(reader);
			assert.is_true(calls >= fault);
			table.move(read(reader), 1, 1000, #found + 1, found);
			assert.same(types(1, 910), found);
		end
	end);

	it("does not read a second again and again, however many entries it has", function ()
		local log = after_a_restart(3001);
		for _, rows in pairs(log.store.partitions) do
			for _, row in ipairs(rows) do row.when = rows[1].when; end
		end
		local find, read_rows = log.store.find, 0;
		function log.store.find(...)
			local rows, err = find(...);
			return rows and function ()
				read_rows = read_rows + 1;
				return rows();
			end, err;
		end
		local reader = assert(log.log.reader(host, "1 00000000-0000-7000-8000-000000000000 0 0"));
		local found = {};
		while reader.fill(function () end) do
			table.move(reader.cursor:types(100), 1, 100, #found + 1, found);
		end
		assert.same(types(1, 3010), found);
		-- Once, and once more to see that there is nothing behind it.
		assert.is_true(read_rows < 2.1 * 3010, read_rows);
	end);

	it("says that an entry which waits can't be read, and reads it when it can be", function ()
		local log, append = after_a_restart();
		local reader = assert(log.log.reader(host, "1 00000000-0000-7000-8000-000000000000 0 0"));
		local path = journal:segments()[1];
		local function overwrite(at, text)
			local file = assert(io.open(path, "r+b"));
			file:seek("set", at);
			local before = file:read(#text);
			file:seek("set", at);
			file:write(text);
			file:close();
			return before;
		end
		local middle = lfs.attributes(path, "size") // 2;
		local before = overwrite(middle, "damaged");
		local more, problem = reader.fill();
		assert.equal("entries that wait in the journal can't be read now", problem);
		assert.is_false(more);
		overwrite(middle, before);
		log.store.append = append;
		assert.same(types(1, 910), read(reader));
	end);

	it("keeps nothing for a reader that is closed", function ()
		local log = journal:log();
		local reader = assert(log.log.reader(host));
		reader.close();
		record(log, 1, 2);
		assert.is_false((reader.fill()));
		assert.same({}, reader.cursor:types(10));
	end);

	it("refuses a position that it has not written", function ()
		local log = journal:log();
		assert.same({ nil, "it is not the position of a reader" }, { log.log.reader(host, "7") });
		local direct = support.new();
		assert.same({ nil, "the log has no journal" }, { direct.log.reader(host) });
	end);
end);
