-- The storage driver "audit" and the journal on a disk that answers with I/O errors, as a dying device or a cable that came loose does: what
-- is recorded waits, is stored once when the disk works again, and what is wrong is said in one true line. A file that can't be read for a
-- while is not taken for a damaged one.

local crash = require "support.crash";
local native_store = require "support.native_store";
local outage = require "support.outage";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	local prosody, disk, why;

	before_each(function ()
		prosody = server.start { series = series; storage = "native"; modules = crash.modules };
		prosody:stop();
		disk, why = outage.broken_disk(prosody);
		if disk then prosody:start(); end
	end);

	after_each(function ()
		if disk then disk:heal(); end
		server.stop_all();
		if disk then disk:unmount(); end
	end);

	local function record(from, count)
		crash.stream(prosody, { from = from; count = count; burst = count });
		assert.is_truthy(process.wait_until(function () return crash.returned(prosody)[from + count - 1]; end, 20, 0.01));
	end

	local function all_stored()
		return process.wait_until(function ()
			crash.flush(prosody);
			return crash.waiting(prosody) == 0;
		end, 30, 0.2);
	end

	local function assert_complete(faults)
		assert.is_truthy(all_stored(), prosody:log():sub(-3000));
		assert.same(faults or {}, crash.faults((crash.stored(prosody)), (crash.returned(prosody))));
		assert.same({ 0, 0 }, { crash.waiting(prosody) });
	end

	-- The line is in Prosody's log, once, however often the log tries to store what waits.
	local function says_once(text)
		for _ = 1, 10 do
			crash.flush(prosody);
			process.wait_until(function () return false; end, 0.1);
		end
		assert.equal(1, #prosody:lines_with(text), text.."\n"..prosody:log():sub(-3000));
	end

	local function shows(expected_status, text)
		local status, _, err = prosody:ctl("mod_audit", "--limit", "1", host);
		assert.equal(expected_status, status, err);
		assert.is_truthy(err:find(text or "hidden; --all shows it", 1, true), err);
		assert.equal(text ~= nil, err:find("can't be", 1, true) ~= nil, err);
	end

	it("stores everything once after the store could not be written", function ()
		if not disk then return pending(why); end
		record(1, 50);
		assert.is_truthy(all_stored());
		disk:fail("write EIO audit.sqlite3");
		record(101, 300);
		says_once("can't be stored: SQLite: disk I/O error. Check the storage of the host; they wait in the journal and are offered again.");
		says_once("audit.sqlite3 can't be used: SQLite: disk I/O error");
		record(401, 50);
		disk:heal();
		assert_complete();
		says_once("are stored again; none was lost.");
	end);

	it("says that the store can't be synced, and stores all the same", function ()
		if not disk then return pending(why); end
		disk:fail("sync EIO audit.sqlite3");
		record(1, 300);
		assert.is_truthy(process.wait_until(function () return #prosody:lines_with("can't be synced to the disk") > 0; end, 10, 0.1));
		says_once("audit.sqlite3 can't be synced to the disk, so a power failure would lose entries; it is tried again: Input/output error");
		disk:heal();
		assert_complete();
	end);

	it("keeps a store that can't be read for a while, and uses it afterwards", function ()
		if not disk then return pending(why); end
		record(1, 50);
		assert.is_truthy(all_stored());
		prosody:stop();
		disk:fail("read EIO audit.sqlite3");
		prosody:start();
		record(101, 300);
		says_once("audit.sqlite3 can't be used: the disk can't read the file: disk I/O error");
		shows(1, "can't be read: the disk can't read the file: disk I/O error; what is shown is incomplete");
		disk:heal();
		assert_complete();
		shows(0);
		assert.same({}, native_store.set_aside(prosody));
	end);

	it("keeps what is recorded in memory while the journal can't be written either", function ()
		if not disk then return pending(why); end
		record(1, 50);
		disk:fail("write EIO audit", "sync EIO audit", "open EIO audit");
		record(101, 300);
		says_once("audit.sqlite3: Input/output error (os error 5). Check the storage of the host; they wait in memory, a thousand at most");
		assert.equal(0, #prosody:lines_with("by this user"));
		disk:heal();
		assert_complete();
	end);

	it("reads the journal when the disk works again, and stores new entries until then", function ()
		if not disk then return pending(why); end
		disk:fail("write EIO audit.sqlite3", "open EIO audit.sqlite3");
		record(1, 300);
		prosody:kill();
		disk:fail("read EIO audit.journal", "open EIO audit.journal");
		prosody:start();
		record(401, 10);
		says_once("It is tried again; until then events are written to the store directly, and what the store does not take waits in memory.");
		disk:heal();
		assert.is_truthy(process.wait_until(function () return #prosody:lines_with("can be used now") > 0; end, 20, 0.1));
		-- The store got the new ones first.
		assert_complete({ "1 is after 410" });
	end);
end);
