-- A server with many hosts: open files, the lock of the journals, the hand-over and the stop do not depend on their number.

local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local COUNT = 50;

local names = {};
for i = 1, COUNT do
	names[i] = ("host%02d.example.test"):format(i);
end

-- How many files of the log a server has open: its lock, its journals, and the lists of the embedded driver that were read. Prosody's own
-- files are not counted: its sockets are opened when the server gets to it.
local function open_files(prosody)
	local folder, count = "/proc/"..prosody.pid.."/fd/", 0;
	for name in lfs.dir(folder) do
		local file = lfs.symlinkattributes(folder..name, "target");
		local is_data = file and file:sub(1, #prosody.data + 1) == prosody.data.."/";
		if is_data and (file:find("/audit%.[^/]*$") or file:find("/audit/")) then count = count + 1; end
	end
	return count;
end

-- Whether a server has only as many files open as one with a single host, in at most some seconds: the lock of the journals.
local function at_rest(prosody, seconds)
	return process.wait_until(function () return open_files(prosody) == 1; end, seconds, 0.5);
end

local function count_lines(prosody, text)
	local count = 0;
	for line in prosody:log():gmatch("[^\n]+") do
		if line:find(text, 1, true) then count = count + 1; end
	end
	return count;
end

-- Records one event on each host.
local function record(prosody, type)
	prosody:eval([[
		local names, type = ...;
		for _, name in ipairs(names) do
			assert(module:context(name):audit(nil, type, {}));
		end
	]], names, type);
end

-- How many hosts have exactly one entry of a type in the store.
local function stored(prosody, type)
	return prosody:eval([[
		local names, type = ...;
		local complete = 0;
		for _, name in ipairs(names) do
			local store, found = module:context(name):open_store("audit", "archive"), 0;
			for user in store:users() do
				for _, entry in store:find(user, {}) do
					if entry.attr.type == type then found = found + 1; end
				end
			end
			if found == 1 then complete = complete + 1; end
		end
		return complete;
	]], names, type);
end

-- How many hosts have their journals.
local function owned(prosody)
	return prosody:eval([[
		local log, count = module:shared("/*/audit/log").log, 0;
		for _, name in ipairs(...) do
			if log.owns_journal(name) then count = count + 1; end
		end
		return count;
	]], names);
end

server.each_series(describe, pending, function (series)
	local prosody, cleanup;

	local function start(options)
		options = options or {};
		options.series, options.hosts, options.modules = series, options.hosts or names, { "audit", "audit_auth" };
		options.start_timeout = 120;
		prosody = server.start(options);
		return prosody;
	end

	after_each(function ()
		if prosody and prosody:alive() then prosody:stop(); end
		if cleanup then cleanup(); end
		prosody, cleanup = nil, nil;
	end);

	it("keeps as many files open as one with a single host", function ()
		start({ hosts = { names[1] } });
		assert.is_truthy(at_rest(prosody, 10), "one host");
		prosody:stop();
		start();
		assert.is_truthy(at_rest(prosody, 10), "many hosts");

		record(prosody, "first");
		assert.is_true(open_files(prosody) <= 110, open_files(prosody).." files");
		assert.is_truthy(process.wait_until(function () return stored(prosody, "first") == COUNT; end, 30, 0.5));
		-- Journals are closed when nothing happens.
		assert.is_truthy(at_rest(prosody, 40), "journals that are not in use");

		-- They are opened again, and what is in them survives a crash.
		record(prosody, "second");
		prosody:kill();
		prosody:start();
		assert.is_truthy(process.wait_until(function () return stored(prosody, "second") == COUNT; end, 30, 0.5));
		assert.equal(COUNT, stored(prosody, "first"));
		assert.equal(0, count_lines(prosody, "were lost"));
	end);

	it("gets all journals when another process has held the lock for a moment", function ()
		start({ storage = { audit = "broken" }, config = { broken_storage = "refuses" } });
		prosody:stop();
		local holder = process.start {
			folder = process.new_folder("lock");
			command = { "/usr/bin/python3", "-c", [[
import fcntl, sys, time
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_SH)
print("locked", flush=True)
time.sleep(60)]], prosody.data.."/audit.lock" };
		};
		cleanup = function () holder:finish("KILL"); end;
		assert.is_truthy(process.wait_until(function () return holder:output():find("locked"); end, 10));
		prosody:start();
		record(prosody, "early");
		socket.sleep(1);
		assert.equal(0, owned(prosody));
		holder:finish("KILL");
		assert.is_truthy(process.wait_until(function () return owned(prosody) == COUNT; end, 30, 0.2), "the journals are not tried again");
		-- One line for all hosts.
		assert.equal(1, count_lines(prosody, "can't be used: "));
		assert.equal(1, count_lines(prosody, "can be used now"));
		-- What waited in memory is in the files now.
		prosody:kill();
		prosody:start { storage = "internal" };
		assert.is_truthy(process.wait_until(function () return stored(prosody, "early") == COUNT; end, 30, 0.5));
	end);

	it("refuses the data of another server that runs", function ()
		start();
		local other = server.start {
			series = series; hosts = { names[1] }; modules = { "audit" };
			config = { data_path = prosody.data, admin_socket = process.new_folder("socket").."/socket" };
		};
		cleanup = function () other:stop(); end;
		assert.is_truthy(process.wait_until(function () return count_lines(other, "audit.lock: in use by another process") == 1; end, 10, 0.1));
		assert.is_false(other:eval("return module:shared('/*/audit/log').log.owns_journal(...)", names[1]));
		assert.equal(COUNT, owned(prosody));
	end);

	it("stops soon and loses nothing when a store takes nothing", function ()
		start({ storage = { audit = "broken" }, config = { broken_storage = "refuses" } });
		record(prosody, "late");
		local began = socket.gettime();
		assert.is_true(prosody:stop());
		assert.is_true(socket.gettime() - began < 5, ("%.1f seconds"):format(socket.gettime() - began));
		prosody:start { storage = "internal" };
		assert.is_truthy(process.wait_until(function () return stored(prosody, "late") == COUNT; end, 30, 0.5));
	end);
end);
