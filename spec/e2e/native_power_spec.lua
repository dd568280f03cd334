-- Power cuts while a real server writes to the storage driver "audit": every entry that was acknowledged more than a second before is in
-- the file, none twice and in order, and the file is sound. The calls of the server are recorded, and replayed up to random moments.

local core = require "audit_core";
local crash = require "support.crash";
local lfs = require "lfs";
local power = require "support.power";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;
local quote = process.quote;

local CUTS = 60;
local LATEST = 1; -- seconds

-- The numbers of the entries in a file, in order.
local function numbers_in(path)
	local driver = assert(core.storage {
		host = host; path = path; is_server = false; patience = 1; shared = {}; now = os.time; new_key = tostring;
		stanza_mt = {};
	});
	assert.is_nil(driver:trouble());
	local archive, found = driver:open("audit", "archive"), {};
	local partitions = {};
	for partition in archive:users() do table.insert(partitions, partition); end
	table.sort(partitions, function (a, b) return #a == #b and a < b or #a < #b; end);
	for _, partition in ipairs(partitions) do
		for _, entry in assert(archive:find(partition)) do
			for _, child in ipairs(entry.tags) do
				if child.name == "number" then table.insert(found, tonumber(child.attr.n)); end
			end
		end
	end
	return found;
end

-- Fills the file.
local pad = [[
	local host = ...;
	local st = require "util.stanza";
	local store = module:context(host):open_store("audit", "archive");
	assert(store:batch(function ()
		for _ = 1, 20 do
			store:append("@pad", nil, st.stanza("audit-event", { source = "mod_test", type = "pad" }):text(("x"):rep(4000)), 1, "@");
		end
	end));
]];

local function check(path)
	local status, out = process.capture { "sqlite3", path, "PRAGMA integrity_check" };
	assert.same({ 0, "ok\n" }, { status, out });
end

server.each_series(describe, pending, function (series)
	local prosody;

	after_each(server.stop_all);

	it("leave every entry that is older than a second", function ()
		local can, why = power.can();
		if not can then return pending(why); end
		prosody = server.start { series = series, storage = "native", modules = crash.modules, log_level = "info" };
		crash.stream(prosody, { from = 1, count = 200, burst = 200 });
		assert(crash.settle(prosody));
		local path = prosody.data.."/audit.sqlite3";
		-- Until the WAL is so large that its pages are moved soon.
		repeat
			prosody:eval(pad, host);
		until lfs.attributes(path.."-wal", "size") > 3900000;
		-- Until what was written before is on the disk.
		socket.sleep(2);
		local base = process.new_folder("base");
		process.run(("cp -a %s/. %s/"):format(quote(prosody.data), quote(base)));
		local trace = power.watch(prosody, { path, path.."-wal" });
		crash.stream(prosody, { from = 201, interval = 0.05, burst = 5 });
		-- Not more than the server hands over while its calls are recorded: what waits in the journal is not synced.
		socket.sleep(12);
		local folder = process.new_folder("cut");
		prosody:kill();
		local cuts = trace:finish();
		-- Checkpoints were among it.
		assert.is_true(cuts:syncs(path) >= 1 and cuts:syncs(path.."-wal") >= 8, cuts:syncs(path).." "..cuts:syncs(path.."-wal"));

		local acknowledged = {};
		for _, written in ipairs(cuts:appended(prosody.data.."/returned.txt")) do
			for number in written.text:gmatch("(%d+) [^\n]*\n") do
				table.insert(acknowledged, { number = tonumber(number), at = written.at });
			end
		end
		assert.is_true(#acknowledged > 500, #acknowledged);
		for i = 1, CUTS do
			local moment = cuts.from + 1 + math.random() * (cuts.till - cuts.from - 1);
			local rest = ({ "none", "random", "all" })[i % 3 + 1];
			process.run("rm -rf "..quote(folder).."/*");
			cuts:write(moment, rest, folder);
			local found = numbers_in(folder.."/audit.sqlite3");
			for j, number in ipairs(found) do
				assert.equal(j, number, rest);
			end
			for _, entry in ipairs(acknowledged) do
				if entry.number > #found and entry.at <= moment then
					assert.is_true(moment - entry.at <= LATEST, ("%d of %d, %.3f s before the cut, is missing (%s)"):format(
						entry.number, #found, moment - entry.at, rest));
					break;
				end
			end
			check(folder.."/audit.sqlite3");
			-- A server that starts with it, and with the journal as it was at the beginning.
			if i <= 3 then
				cuts:write(moment, rest, base);
				process.run("rm -f "..quote(base).."/audit.sqlite3-shm");
				process.run(("rm -rf %s && cp -a %s %s"):format(quote(prosody.data), quote(base), quote(prosody.data)));
				prosody:start();
				crash.stream(prosody, { from = 1000001, count = 50, burst = 50 });
				assert(crash.settle(prosody));
				local entries, lost = crash.stored(prosody);
				assert.same({}, crash.faults(entries, {}));
				assert.same({ #found + 50, 0 }, { #entries, lost });
				prosody:stop();
			end
		end
	end);

	it("find the same in copies that are made meanwhile", function ()
		prosody = server.start { series = series, storage = "native", modules = crash.modules, log_level = "info" };
		crash.stream(prosody, { from = 1, interval = 0.01, burst = 10 });
		local copies = {};
		for i = 1, 6 do
			socket.sleep(0.3 + math.random());
			copies[i] = process.new_folder("copy");
			local returned = crash.returned(prosody);
			-- The journal first: what is handed over in between is in the store then.
			-- A file that is removed meanwhile has no entry that is not in the store.
			os.execute(("cp -a %s/. %s/ 2>/dev/null"):format(quote(prosody.data.."/"..host:gsub("%W", function (c)
				return ("%%%02x"):format(c:byte());
			end)), quote(copies[i])));
			copies[i] = { folder = copies[i], returned = returned };
			-- The WAL first, and then the file: no checkpoint may end in between.
			local before = process.first_line("stat -c %Y.%y "..quote(prosody.data.."/audit.sqlite3"));
			process.run(("cp %s %s/"):format(quote(prosody.data.."/audit.sqlite3-wal"), quote(copies[i].folder)));
			process.run(("cp %s %s/"):format(quote(prosody.data.."/audit.sqlite3"), quote(copies[i].folder)));
			copies[i].whole = before == process.first_line("stat -c %Y.%y "..quote(prosody.data.."/audit.sqlite3"));
		end
		crash.stop(prosody);
		prosody:kill();
		local data = prosody.data.."/"..host:gsub("%W", function (c) return ("%%%02x"):format(c:byte()); end);
		for _, copy in ipairs(copies) do
			if copy.whole then
				process.run(("rm -f %s* && mv %s/audit.sqlite3* %s/"):format(quote(prosody.data.."/audit.sqlite3"), quote(copy.folder), quote(prosody.data)));
				process.run(("rm -rf %s && cp -a %s %s"):format(quote(data), quote(copy.folder), quote(data)));
				prosody:start();
				assert(crash.settle(prosody));
				local entries = crash.stored(prosody);
				assert.same({}, crash.faults(entries, copy.returned));
				prosody:kill();
			end
		end
	end);
end);
