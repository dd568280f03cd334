-- Damaged or removed files of the journal, and full disks: each event is in the store, or waits, or is counted in an entry. On real
-- servers, databases and disks.

local crash = require "support.crash";
local lfs = require "lfs";
local outage = require "support.outage";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;

local function count_lines(prosody, text)
	local count = 0;
	for line in prosody:log():gmatch("[^\n]+") do
		if line:find(text, 1, true) then count = count + 1; end
	end
	return count;
end

-- The files with entries in them.
local function segments(prosody)
	local found = {};
	for _, file in ipairs((crash.journal(prosody))) do
		if file.path:match("%.%x+$") and #file.path:match("%.(%x+)$") == 16 then found[#found + 1] = file.path; end
	end
	assert(#found > 0, "there is no segment");
	return found;
end

local tampering = {
	emptied = function (path) process.write(path, ""); end;
	["cut short"] = function (path)
		local content = process.read(path);
		local file = assert(io.open(path, "w"));
		file:write(content:sub(1, #content // 2));
		file:close();
	end;
	deleted = function (path) os.remove(path); end;
	["moved away"] = function (path) os.rename(path, path..".old"); end;
	["replaced by a copy"] = function (path)
		process.write(path..".copy", process.read(path));
		os.rename(path..".copy", path);
	end;
	["replaced by something else"] = function (path)
		process.write(path..".other", ("something else\n"):rep(100000));
		os.rename(path..".other", path);
	end;
};

server.each_series(describe, pending, function (series)
	local prosody, cleanup;

	local function start(options)
		options = options or {};
		options.series = series;
		options.modules = options.modules or { "audit", "audit_auth", "test_stream" };
		prosody = server.start(options);
		return prosody;
	end

	-- A stopped server, with an account, whose data of the host is on a disk of its own: the disk | nil, why there is none
	local function stop_on_small_disk()
		start { modules = { "audit", "audit_auth" } };
		prosody:adduser("romeo@"..host, "secret");
		prosody:stop();
		return outage.small_disk(prosody, "8m");
	end

	local sqlite = { storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };

	local function start_sqlite()
		start { storage = sqlite.storage, config = sqlite.config };
		-- The driver makes its tables when it is first used.
		crash.stream(prosody, { from = 1, count = 1, burst = 1 });
		assert.is_truthy(crash.settle(prosody));
		local lock = outage.lock_sqlite(prosody.data.."/audit.sqlite");
		cleanup = function () lock:finish("KILL"); end;
		return lock;
	end

	after_each(function ()
		server.stop_all();
		if cleanup then cleanup(); end
		cleanup = nil;
	end);

	-- All events of the stream up to that number are in the store, or counted: how many are counted.
	local function assert_accounted(given)
		assert.is_truthy(crash.settle(prosody), "entries still wait");
		local entries, lost;
		process.wait_until(function ()
			crash.flush(prosody);
			entries, lost = crash.stored(prosody);
			return #entries + lost >= given;
		end, 10, 0.2);
		local seen = {};
		for i, entry in ipairs(entries) do
			assert.is_nil(seen[entry.number], entry.number.." is there twice");
			seen[entry.number] = true;
			assert.is_true(i == 1 or entry.number > entries[i - 1].number, "out of order at "..entry.number);
		end
		assert.equal(given, #entries + lost, ("%d are stored and %d are counted"):format(#entries, lost));
		assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
		return lost;
	end

	for name, change in pairs(tampering) do
		it("a segment that is "..name.." while SQLite is locked", function ()
			local lock = start_sqlite();
			crash.stream(prosody, { from = 2, count = 1500, burst = 1500 });
			socket.sleep(1);
			for _, path in ipairs(segments(prosody)) do change(path); end
			crash.stream(prosody, { from = 1502, count = 10, burst = 10 });
			lock:finish("KILL");
			crash.flush(prosody);
			local lost = assert_accounted(1511);
			local is_gone = name == "emptied" or name == "cut short";
			assert.equal(is_gone and lost or 0, lost);
			-- The first of them are still in memory.
			assert.is_true(lost < 500, lost);
			assert.equal(lost > 0 and 1 or 0, count_lines(prosody, "audit events of "..host.." are lost: "));
			assert.equal(lost > 0 and 0 or 1, count_lines(prosody, "none was lost"));
		end);
	end

	it("all files of the journal are removed while SQLite is locked, and the server is killed a little later", function ()
		local lock = start_sqlite();
		crash.stream(prosody, { from = 2, count = 1500, burst = 1500 });
		socket.sleep(1);
		for _, file in ipairs((crash.journal(prosody))) do os.remove(file.path); end
		crash.stream(prosody, { from = 1502, count = 10, burst = 10 });
		prosody:kill();
		lock:finish("KILL");
		prosody:start();
		assert.equal(0, assert_accounted(1511));
	end);

	for name, change in pairs({
		["segments are removed"] = function () for _, path in ipairs(segments(prosody)) do os.remove(path); end end;
		["segments are emptied"] = function () for _, path in ipairs(segments(prosody)) do process.write(path, ""); end end;
		["all files of the journal are removed"] = function ()
			for _, file in ipairs((crash.journal(prosody))) do os.remove(file.path); end
		end;
	}) do
		it(name.." while the store is down, and the server is killed", function ()
			for _, before in ipairs({ true, false }) do
				local lock = start_sqlite();
				crash.stream(prosody, { from = 2, count = 21, burst = 21 });
				socket.sleep(0.5);
				assert.equal(21, (crash.waiting(prosody)));
				if before then
					-- Right before the crash, so that it can't be noticed.
					change();
					prosody:kill();
				else
					prosody:kill();
					change();
				end
				lock:finish("KILL");
				local waits = prosody:log();
				prosody:start();
				crash.stream(prosody, { from = 23, count = 5, burst = 5 });
				local lost = assert_accounted(27);
				-- The server may have come to look in between, and written all of it again.
				assert.is_true(lost == 21 or before and lost == 0, lost.." are counted");
				assert.equal(lost > 0 and 1 or 0, count_lines(prosody, "21 audit events of "..host.." are lost: "), waits);
				prosody:kill();
				prosody:start();
				assert.equal(lost, assert_accounted(27));
				prosody:stop();
				cleanup();
			end
		end);
	end

	it("the lock of the journal is held for a moment when the server starts", function ()
		start { storage = { audit = "broken" }, config = { broken_storage = "refuses" } };
		prosody:stop();
		local lock = prosody.data.."/audit.lock";
		local holder = process.start {
			folder = process.new_folder("lock");
			command = { "/usr/bin/python3", "-c", [[
import fcntl, sys, time
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_SH)
print("locked", flush=True)
time.sleep(60)]], lock };
		};
		cleanup = function () holder:finish("KILL"); end;
		assert.is_truthy(process.wait_until(function () return holder:output():find("locked"); end, 10));
		prosody:start();
		crash.stream(prosody, { from = 1, count = 50, burst = 50 });
		socket.sleep(1);
		holder:finish("KILL");
		assert.is_truthy(process.wait_until(function ()
			return prosody:eval("return module:shared('/*/audit/log').log.owns_journal(...)", host);
		end, 20, 0.1), "the journal is not tried again");
		assert.equal(1, count_lines(prosody, "The journal of the audit events of "..host.." can be used now."));
		-- What waited in memory is in its files now.
		prosody:kill();
		prosody:start { storage = "internal" };
		assert.equal(0, assert_accounted(50));
	end);

	it("the journal can't be used and the store refuses", function ()
		start { storage = { audit = "broken" }, config = { broken_storage = "works" } };
		prosody:stop();
		local lock = prosody.data.."/audit.lock";
		os.remove(lock);
		lfs.mkdir(lock);
		cleanup = function () lfs.rmdir(lock); end;
		prosody:start();
		-- Everything else is right.
		crash.stream(prosody, { from = 1, count = 5, burst = 5 });
		assert.equal(5, #crash.stored(prosody));
		prosody:eval("module:shared('/*/storage_broken/state').mode = 'refuses';");
		crash.stream(prosody, { from = 6, count = 1023, burst = 1023 });
		assert.same({ 1000, 23 }, { crash.waiting(prosody) });
		assert.equal(1, count_lines(prosody, "can't be used: "));
		assert.equal(0, count_lines(prosody, "they wait in the journal"));
		prosody:eval("module:shared('/*/storage_broken/state').mode = 'works';");
		crash.flush(prosody);
		assert.equal(23, assert_accounted(1028));
		assert.equal(1, count_lines(prosody, "stored again; 23 could not be stored"));
		assert.equal(0, count_lines(prosody, "none was lost"));
	end);

	it("the server is stopped while disk and store are full", function ()
		for _, way in ipairs({ "stop", "kill" }) do
			start();
			crash.stream(prosody, { from = 1, count = 1, burst = 1 });
			assert.is_truthy(crash.settle(prosody));
			prosody:stop();
			local disk, why = outage.small_disk(prosody, "8m");
			if not disk then return pending(why); end
			cleanup = function () disk:unmount(); end;
			prosody:start();
			disk:fill();
			crash.stream(prosody, { from = 2, count = 5853, burst = 5853 });
			local waiting, lost = crash.waiting(prosody);
			assert.is_true(waiting >= 1000 and lost > 4000, waiting.." wait, "..lost.." are lost");
			if way == "stop" then
				assert.is_true(prosody:stop());
				local said = tonumber(prosody:log():match("(%d+) audit events of "..host:gsub("%p", "%%%0").." are lost, and no entry says so yet"));
				assert.is_true(said and said >= lost and said <= lost + 1000, tostring(said));
				assert.equal(1, count_lines(prosody, "The next start records how many."));
			else
				prosody:kill();
			end
			disk:free();
			prosody:start();
			local counted = assert_accounted(5854);
			assert.is_true(counted >= lost and counted <= lost + 1000);
			prosody:stop();
			disk:unmount();
			cleanup = nil;
		end
	end);

	it("what waits in memory is written when there is room again, even if the store still refuses", function ()
		start { storage = { audit = "broken" }, config = { broken_storage = "refuses" } };
		prosody:stop();
		local disk, why = outage.small_disk(prosody, "8m");
		if not disk then return pending(why); end
		cleanup = function () disk:unmount(); end;
		prosody:start();
		disk:fill();
		crash.stream(prosody, { from = 1, count = 900, burst = 900 });
		-- The problem of the store is logged, and that of the journal.
		assert.is_truthy(process.wait_until(function () return count_lines(prosody, "they wait in memory") == 2; end, 5, 0.1));
		assert.equal(0, count_lines(prosody, "they wait in the journal"));
		disk:free();
		crash.stream(prosody, { from = 901, count = 10, burst = 10 });
		prosody:kill();
		prosody:start { storage = "internal" };
		assert.equal(0, assert_accounted(910));
		prosody:stop();
	end);

	it("a flood is counted while no file can be written, and the server is killed", function ()
		local disk, why = stop_on_small_disk();
		if not disk then return pending(why); end
		cleanup = function ()
			os.execute("mount -o remount,rw "..process.quote(disk.place).." 2>/dev/null");
			disk:unmount();
		end;
		prosody:start();
		-- The file can't be replaced, but it can be written in place.
		local encoded = host:gsub("%W", function (c) return ("%%%02x"):format(c:byte()); end);
		lfs.mkdir(prosody.data.."/"..encoded.."/audit.flood-new");
		for _ = 1, 12 do assert.is_false((raw.login(prosody, "romeo", "wrong"))); end
		assert.is_truthy(process.wait_until(function ()
			return count_lines(prosody, "A crash would leave only the number of events.") == 1;
		end, 10, 0.1), prosody:log():match("[^\n]*flood control[^\n]*"));
		socket.sleep(1.2);
		prosody:kill();
		lfs.rmdir(prosody.data.."/"..encoded.."/audit.flood-new");
		prosody:start();
		local lost, others;
		process.wait_until(function ()
			local _;
			_, lost, others = crash.stored(prosody);
			return lost > 0;
		end, 10, 0.2);
		assert.equal(12, lost + (others["authentication-failure"] or 0));
		assert.is_true(lost >= 5, lost.." are counted");
		assert.equal(1, count_lines(prosody, lost.." events that flood control of "..host.." had counted when the server ended are lost"));
		prosody:stop();
	end);

	it("a flood is counted on a read-only disk: the log reports that a crash would lose the count", function ()
		local disk, why = stop_on_small_disk();
		if not disk then return pending(why); end
		cleanup = function () disk:unmount(); end;
		assert(os.execute("mount -o remount,ro "..process.quote(disk.place)) == true);
		prosody:start();
		for _ = 1, 12 do assert.is_false((raw.login(prosody, "romeo", "wrong"))); end
		assert.is_truthy(process.wait_until(function () return count_lines(prosody, "A crash would take it.") == 2; end, 10, 0.1));
		assert.equal(1, count_lines(prosody, "What flood control of "..host.." counts can't be written down: "));
		assert.equal(1, count_lines(prosody, "The number of audit events of "..host.." that are lost can't be written down: "));
		assert.equal(1, count_lines(prosody, "the journal can't be written ("));
		assert.is_true((raw.login(prosody, "romeo", "secret")));
		-- The loss is logged, with the number.
		prosody:stop();
		assert.equal(1, count_lines(prosody, "Their number can't be written down: only this line tells of them."));
	end);
end);
