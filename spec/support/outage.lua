-- Makes a store fail for a while.
--
--   local outage = require "support.outage";
--   local lock = outage.lock_sqlite(filename);            -- with "read", others can read but not commit
--   lock:finish("KILL");
--   local disk = outage.small_disk(prosody, "16m");       -- moves the host's data of the stopped server to it
--   local disk = outage.small_data_disk(prosody, "16m");  -- moves the rest of the data to it
--   disk:fill(); disk:free(); disk:unmount();
--   local disk = outage.broken_disk(prosody);             -- moves all of the data to a disk that fails when it is told to

local process = require "support.process";

local quote = process.quote;

local outage = {};

-- Locks an SQLite file from another process, for ten minutes or until finish(): way = "write" | "read" of Prosody's table | "wal", which
-- keeps others from writing, and not from reading.
function outage.lock_sqlite(filename, way)
	local lock = process.start {
		folder = process.new_folder("lock");
		command = { "/usr/bin/python3", "-c", [[
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
if sys.argv[2] == "read":
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM prosodyarchive").fetchone()
elif sys.argv[2] == "wal":
    connection.execute("BEGIN IMMEDIATE")
else:
    connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(600)]], filename, way or "write" };
	};
	assert(process.wait_until(function () return lock:output():find("locked"); end, 15), "the file could not be locked");
	return lock;
end

local disk_methods = {};
local disk_mt = { __index = disk_methods };

local function folder_of(prosody)
	return prosody.data.."/"..prosody.host:gsub("%W", function (c) return ("%%%02x"):format(c:byte()); end);
end

-- Mounts a disk of this size -> its folder | nil, if mounting is not allowed
local function mount(size)
	local place = process.new_folder("disk");
	if os.execute(("mount -t tmpfs -o size=%s audit-test %s 2>/dev/null"):format(size, quote(place))) ~= true then
		return nil, "only root can mount a small disk";
	end
	return place;
end

-- Moves a folder to another one, and leaves a link.
local function move(folder, place)
	process.run(("cp -a %s/. %s/ && rm -rf %s && ln -s %s %s"):format(quote(folder), quote(place), quote(folder), quote(place), quote(folder)));
end

-- A disk of this size, in the notation of mount, with the host's folder of Prosody's data on it | nil, if mounting is not allowed.
function outage.small_disk(prosody, size)
	local place, why = mount(size);
	if not place then
		return nil, why;
	end
	move(folder_of(prosody), place);
	return setmetatable({ place = place }, disk_mt);
end

-- The same with the whole of Prosody's data, except the host's folder: that of the driver "audit", while there is room for the journal.
function outage.small_data_disk(prosody, size)
	local place, why = mount(size);
	if not place then
		return nil, why;
	end
	local elsewhere = process.new_folder("host");
	move(folder_of(prosody), elsewhere);
	-- What crash.stream writes.
	local results = prosody.data.."/returned.txt";
	process.run("touch "..quote(results).." && mv "..quote(results).." "..quote(elsewhere).."/");
	process.run("ln -s "..quote(elsewhere).."/returned.txt "..quote(results));
	move(prosody.data, place);
	return setmetatable({ place = place }, disk_mt);
end

-- Lets nobody write to the disk, not even root, or everybody again.
function disk_methods:read_only(is_on)
	process.run(("mount -o remount,%s %s"):format(is_on and "ro" or "rw", quote(self.place)));
end

-- Fills the disk.
function disk_methods:fill()
	os.execute(("dd if=/dev/zero of=%s bs=1k count=200000 2>/dev/null"):format(quote(self.place.."/full")));
end

function disk_methods:free()
	os.remove(self.place.."/full");
end

-- After the server has ended: the mount stays until its last file is closed.
function disk_methods:unmount()
	return os.execute("umount --lazy "..quote(self.place));
end

local broken_methods = {};
local broken_mt = { __index = broken_methods };

-- Moves the data of a stopped server to a disk that can fail -> the disk | nil, why there is none. It is a file system in user space,
-- so what fails is what the kernel answers. disk:fail("write EIO audit.sqlite3", "sync EIO audit"), disk:heal(), disk:unmount()
function outage.broken_disk(prosody)
	local folder, place, control = process.new_folder("device"), process.new_folder("mounted"), process.new_folder("faults").."/faults";
	process.write(control, "");
	local child = process.start {
		folder = process.new_folder("broken-disk");
		command = { process.target.."/python/bin/python", process.support.."/faulty_disk.py", folder, place, control };
	};
	local disk = setmetatable({ place = place; control = control; child = child }, broken_mt);
	process.write(folder.."/.there", "yes");
	if not process.wait_until(function () return process.read(place.."/.there") or not child:alive(); end, 10) or not child:alive() then
		local why = child:output():match("[^\n]*%s*$");
		disk:unmount();
		return nil, "a disk that fails needs root, FUSE, and Python's mfusepy: "..why;
	end
	os.remove(place.."/.there");
	move(prosody.data, place);
	return disk;
end

-- The faults in force from now on, and no others.
function broken_methods:fail(...)
	process.write(self.control, table.concat({ ... }, "\n").."\n");
end

function broken_methods:heal()
	process.write(self.control, "");
end

function broken_methods:unmount()
	os.execute("umount --lazy "..quote(self.place).." 2>/dev/null");
	self.child:finish("TERM");
end

return outage;
