-- The storage driver "audit" when its file was damaged, deleted or replaced, on real servers: what can be read is still there, entries
-- wait meanwhile, and the operator is told.

local crash = require "support.crash";
local dump = require "support.dump";
local lfs = require "lfs";
local native_store = require "support.native_store";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local file_of, sql = native_store.file_of, native_store.sql;
local quote = process.quote;

local PAGE = 4096;

-- Records numbered entries, and waits until they are in the store.
local function record(prosody, from, count)
	crash.stream(prosody, { from = from; count = count; burst = count });
	assert(crash.settle(prosody));
end

-- Writes bytes into a file that may be open.
local function overwrite(path, at, bytes)
	local file = assert(io.open(path, "r+b"));
	file:seek("set", at);
	file:write(bytes);
	file:close();
end

local function random_bytes(count)
	local bytes = {};
	for i = 1, count do bytes[i] = string.char(math.random(0, 255)); end
	return table.concat(bytes);
end

-- The pages of a table or an index. Debian's sqlite3 has no dbstat, so the type of each page is read.
local function pages(path, kind)
	local file, found, number = assert(io.open(path, "rb")), {}, 0;
	for page in function () return file:read(PAGE); end do
		number = number + 1;
		if number > 1 and page:byte(1) == kind then table.insert(found, number); end
	end
	file:close();
	return found;
end
local TABLE_LEAF, INDEX_LEAF = 0x0d, 0x0a;

local function overwrite_page(path, page)
	overwrite(path, (page - 1) * PAGE, random_bytes(PAGE));
end

-- How a file is damaged, and how many of 600 entries can be read at least. One page has about 30 entries.
local damages = {
	{ what = "with another header", left = 600, damage = function (path) overwrite(path, 0, random_bytes(100)); end };
	{ what = "with a page in its middle overwritten", left = 500, damage = function (path)
		local leaves = pages(path, TABLE_LEAF);
		overwrite_page(path, leaves[#leaves // 2]);
	end };
	{ what = "with a page of its index overwritten", left = 600, damage = function (path)
		local leaves = pages(path, INDEX_LEAF);
		overwrite_page(path, leaves[#leaves]);
	end };
	{ what = "that was cut off", left = 100, damage = function (path)
		process.run(("truncate --size=%d %s"):format(lfs.attributes(path, "size") // PAGE * 3 // 4 * PAGE, quote(path)));
	end };
	{ what = "that was emptied", left = 0, damage = function (path) process.write(path, ""); end };
	{ what = "with a text in its place", left = 0, damage = function (path) process.write(path, ("no database\n"):rep(1000)); end };
};

server.each_series(describe, pending, function (series)
	local prosody;

	local function start()
		prosody = server.start { series = series, storage = "native", modules = crash.modules };
	end

	after_each(server.stop_all);

	-- Checks that the operator was told once, and what the entry says. Returns the entry's <store/>.
	local function told(cause, text)
		local entries;
		assert.is_truthy(process.wait_until(function ()
			-- While it is copied, nothing can be read.
			local ok, found = pcall(dump.of_type, prosody, host, "audit-store-recovered");
			entries = ok and found or {};
			return #entries > 0;
		end, 20, 0.2), prosody:log():sub(-3000));
		local lines = prosody:lines_with(text);
		assert.equal(1, #lines, table.concat(lines, "\n"));
		assert.is_truthy(lines[1]:find("%serror%s"), lines[1]);
		assert.equal(1, #entries);
		local store = entries[1]:child("store").attr;
		assert.equal(cause, store.cause);
		return store;
	end

	-- The numbers in the log, after a check that they are in order, and none is there twice.
	local function numbers()
		local found = {};
		for i, entry in ipairs((crash.stored(prosody))) do
			found[i] = entry.number;
			assert.is_true(i == 1 or found[i - 1] < found[i], ("%d is after %s"):format(found[i], found[i - 1]));
		end
		local shown, status, err = crash.shown(prosody);
		assert.equal(0, status, err);
		assert.same(found, shown);
		return found;
	end

	for _, case in ipairs(damages) do
		it("shows what can be read of a file "..case.what, function ()
			start();
			record(prosody, 1, 600);
			prosody:stop();
			local path = file_of(prosody);
			case.damage(path);
			local damaged = process.read(path);
			local status, _, err = prosody:ctl("mod_audit", host);
			assert.equal(1, status);
			assert.is_truthy(err:find("the database is damaged", 1, true), err);
			assert.equal(damaged, process.read(path));
			prosody:start();
			local store = told("damaged", "audit.sqlite3.damaged-1");
			assert.equal("audit.sqlite3.damaged-1", store.file);
			assert.is_string(store.reason);
			record(prosody, 1001, 10);
			local found = numbers();
			assert.is_true(#found - 10 >= case.left, #found.." entries");
			assert.equal(tonumber(store.copied), tonumber(sql(prosody, "SELECT count(*) FROM item")) - 11);
			assert.equal(damaged, process.read(path..".damaged-1"));
			-- It is over: the next start finds nothing.
			prosody:stop();
			prosody:start();
			assert.same(found, numbers());
			assert.equal(1, #prosody:lines_with("audit.sqlite3.damaged-1"));
			assert.is_nil(lfs.attributes(path..".damaged-2"));
		end);
	end

	it("copies what can be read while the server runs, and entries wait for that", function ()
		start();
		record(prosody, 1, 600);
		-- To the file, so that there is something to damage.
		sql(prosody, "PRAGMA wal_checkpoint(PASSIVE)");
		local leaves = pages(file_of(prosody), TABLE_LEAF);
		overwrite_page(file_of(prosody), leaves[#leaves // 2]);
		-- Pages that the server has in memory are read again after another process has written.
		sql(prosody, "UPDATE turn SET number = number + 1");
		crash.stream(prosody, { from = 1001; count = 200; interval = 0.01; burst = 1 });
		pcall(crash.stored, prosody);
		local store = told("damaged", "audit.sqlite3.damaged-1");
		assert.is_truthy(process.wait_until(function () return crash.returned(prosody)[1200]; end, 20, 0.1));
		assert(crash.settle(prosody));
		local found = numbers();
		assert.is_true(#found >= 700 and #found < 800, #found.." entries");
		assert.is_true(tonumber(store.missing) > 0, store.missing);
		assert.same({}, crash.faults_of_numbers({ table.unpack(found, #found - 199) }, (function ()
			local late = {};
			for number, id in pairs((crash.returned(prosody))) do late[number] = number > 1000 and id or nil; end
			return late;
		end)()));
	end);

	it("notices damage by writing alone", function ()
		start();
		record(prosody, 1, 600);
		sql(prosody, "PRAGMA wal_checkpoint(PASSIVE)");
		for _, page in ipairs(pages(file_of(prosody), INDEX_LEAF)) do
			overwrite_page(file_of(prosody), page);
		end
		sql(prosody, "UPDATE turn SET number = number + 1");
		record(prosody, 1001, 50);
		told("damaged", "audit.sqlite3.damaged-1");
		assert.equal(650, #numbers());
	end);

	for what, change in pairs {
		["deleted"] = function (path) process.run(("rm %s %s-wal %s-shm"):format(quote(path), quote(path), quote(path))); end;
		["replaced"] = function (path)
			local other = process.new_folder("other").."/other.sqlite3";
			assert.equal(0, (process.capture { "sqlite3", other, "CREATE TABLE other (id INTEGER)" }));
			process.run(("mv %s %s"):format(quote(other), quote(path)));
		end;
	} do
		it("notices that the file was "..what.." while the server runs, and loses nothing", function ()
			start();
			record(prosody, 1, 300);
			change(file_of(prosody));
			record(prosody, 301, 100);
			told(what, "audit.sqlite3 was "..what);
			assert.equal(400, #numbers());
			assert.equal(what == "replaced", lfs.attributes(file_of(prosody)..".replaced-1", "mode") == "file");
			-- It is on the disk, and not only in memory.
			prosody:kill();
			prosody:start();
			assert.equal(400, #numbers());
		end);
	end

	it("goes on with the copying after kill -9", function ()
		start();
		record(prosody, 1, 600);
		prosody:stop();
		local path = file_of(prosody);
		overwrite(path, 0, random_bytes(100));
		-- As it is when the server was killed in the middle of it.
		process.write(path..".recovery", ".damaged-1\n");
		process.run(("mv %s %s.damaged-1"):format(quote(path), quote(path)));
		process.write(path..".recovery-copy", "half");
		local status, _, err = prosody:ctl("mod_audit", host);
		assert.equal(1, status);
		assert.is_truthy(err:find("is being copied by the server", 1, true), err);
		prosody:start();
		told("interrupted", "audit.sqlite3.damaged-1");
		assert.equal(600, #numbers());
	end);
end);
