-- Makes the store of real Prosody servers fail for a minute while clients log in and numbered audit events are recorded. Checks that
-- nobody had to wait, and that everything is in the log afterwards: lua5.4 benches/outage.lua [options]
--
--   --series=A,B       default: the newest release of each series under target/prosody/
--   --stores=A,B       of internal and audit, our own driver (both on a disk that is full), locked (audit, and another process writes),
--                      sqlite (a file that another process locks) and postgresql (a server that is stopped); default: all that
--                      are installed
--   --seconds=N        how long the store fails; default 60
--   --around=N         how long the load lasts before and after that; default 15
--   --connections=N    logins at a time; default 4
--   --events=N         numbered events in a second, besides those of the logins; default 100
--   --auth=MODULE      default internal_hashed, as Prosody has it
--
-- Exits with status 1 if an entry is missing, duplicated, out of order, or lost without being counted.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here .. "/../spec/?.lua;" .. package.path;

local crash = require "support.crash";
local flags = dofile(here .. "/flags.lua");
local outage = require "support.outage";
local postgres = require "support.postgres";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local password = "correct horse";

local function all_stores()
	local stores = flags.all_drivers();
	table.insert(stores, 3, "locked");
	return stores;
end

local options = flags.parse {
	series = flags.all_series, stores = all_stores, seconds = 60, around = 15, connections = 4, events = 100, auth = "internal_hashed";
};

-- How a store fails and recovers: go(prosody), come(), clean(). `prepare` is called while the server is stopped.
local ways = {};

-- A disk that is full.
local function full(way, small_disk)
	local disk;
	function way.prepare(prosody)
		local why;
		disk, why = small_disk(prosody, "128m");
		return disk, why;
	end
	function way.go() disk:fill(); end
	function way.come() disk:free(); end
	function way.clean() disk:unmount(); end
	return way;
end

-- A file that another process locks.
local function locked(way, file, kind)
	local lock;
	function way.go(prosody) lock = outage.lock_sqlite(prosody.data .. "/" .. file, kind); end
	function way.come() lock:finish("KILL"); end
	function way.clean() if lock then lock:finish("KILL"); end end
	return way;
end

function ways.internal()
	return full({ name = "internal, disk full", storage = "internal" }, outage.small_disk);
end

function ways.audit()
	return full({ name = "audit, disk full", storage = "audit" }, outage.small_data_disk);
end

function ways.locked()
	return locked({ name = "audit, locked", storage = "audit" }, "audit.sqlite3", "wal");
end

function ways.sqlite()
	return locked({ name = "SQLite, locked", storage = "sql", sql = { driver = "SQLite3", database = "audit.sqlite" } }, "audit.sqlite");
end

function ways.postgresql()
	local pg = postgres.shared();
	return {
		name = "PostgreSQL, stopped", storage = "sql", sql = pg:database();
		go = function () pg:stop("fast"); end;
		come = function () pg:start(); end;
		clean = function () if not pg:alive() then pg:start(); end end;
	};
end

-- Logs in `count` times: seconds, median time of a login in ms.
local function log_in(prosody, count)
	local status, output, errors = process.capture({
		"lua5.4", process.root .. "/benches/login_client.lua", prosody.c2s_port, prosody.host, "romeo", password, count, options.connections;
	}, { timeout = 120 });
	local successes, _, took, latency, trouble = (output or ""):match("^(%d+)\t(%d+)\t(%S+)\t(%S+)\t(.-)\n");
	if status ~= 0 or tonumber(successes) ~= count then
		error(("%s of %d logins: %s %s"):format(tostring(successes), count, tostring(trouble), tostring(errors)), 0);
	end
	return tonumber(took), tonumber(latency);
end

local function median(values)
	table.sort(values);
	return values[#values // 2 + 1] or 0;
end

-- Logs in for that many seconds, in turns with a server without an audit log, so that other processes influence both.
local function load_for(prosody, control, seconds)
	local logins, spent, control_spent, latencies, control_latencies, lowest = 0, 0, 0, {}, {}, math.huge;
	local ends, batch = socket.gettime() + seconds, 10 * options.connections;
	repeat
		local took, latency = log_in(prosody, batch);
		local control_took, control_latency = log_in(control, batch);
		logins, spent, control_spent = logins + batch, spent + took, control_spent + control_took;
		latencies[#latencies + 1], control_latencies[#control_latencies + 1] = latency, control_latency;
		lowest = math.min(lowest, batch / took);
		-- About half a second at a time.
		batch = math.max(options.connections, math.floor(0.5 * batch / took));
	until socket.gettime() >= ends;
	local typical = median(latencies);
	return {
		logins = logins, rate = logins / spent, share = control_spent / spent, lowest = lowest;
		latency = typical, slower = typical / median(control_latencies);
	};
end

local function check(prosody, logins)
	local entries, lost, others = crash.stored(prosody);
	local returned = crash.returned(prosody);
	local faults = crash.faults(entries, returned);
	local refused = 0;
	for _, id in pairs(returned) do
		if id:sub(1, 1) == "-" then refused = refused + 1; end
	end
	-- Each login is in the log, or was counted.
	local found = others["authentication-success"] or 0;
	if found + lost - refused ~= logins then
		faults[#faults + 1] = ("%d logins, but %d entries of them and %d that were counted as lost"):format(logins, found, lost - refused);
	end
	return faults, #entries, lost;
end

local function run(series, store)
	local way = ways[store] or error("unknown store " .. store, 0);
	way = way();
	local function start(modules)
		local prosody = server.start {
			series = series, modules = modules, storage = { audit = way.storage };
			-- Each login is an entry.
			config = { sql = way.sql, allow_unencrypted_plain_auth = true, audit_log_flood = false };
			host_config = { [server.default_host] = { authentication = options.auth, c2s_require_encryption = false } };
			log_level = "info";
		};
		prosody:adduser("romeo@" .. prosody.host, password);
		return prosody;
	end
	local prosody = start { "audit", "audit_auth", "test_stream" };
	local control, prepared = nil, not way.prepare;
	local ok, result = pcall(function ()
		control = start {};
		if way.prepare then
			prosody:stop();
			local why;
			prepared, why = way.prepare(prosody);
			if not prepared then
				print(("Prosody %s, %s: left out, %s"):format(flags.title(series), way.name, why));
				return {};
			end
			prosody:start();
		end
		local logins = load_for(prosody, control, 2).logins; -- to warm up
		crash.stream(prosody, { from = 1, interval = 0.05, burst = math.max(1, options.events // 20) });
		local before = load_for(prosody, control, options.around);
		way.go(prosody);
		local during = load_for(prosody, control, options.seconds);
		local waiting = crash.waiting(prosody);
		way.come();
		local came = socket.gettime();
		local after = load_for(prosody, control, options.around);
		local _, slowest = crash.stop(prosody);
		if not crash.settle(prosody, 180) then
			return { ("%d entries still wait"):format((crash.waiting(prosody))) };
		end
		local settled = socket.gettime() - came;
		-- The number of lost events becomes an entry a moment later.
		socket.sleep(1);
		crash.settle(prosody, 10);
		logins = logins + before.logins + during.logins + after.logins;
		local faults, events, lost = check(prosody, logins);
		print(("Prosody %s, %s for %d s:"):format(flags.title(series), way.name, options.seconds));
		print(("  without its store it made %.2f of the logins a second that it made with it, by the share of the other server"):format(
			during.share / before.share));
		for _, phase in ipairs { { "before", before }, { "during", during }, { "after", after } } do
			local it = phase[2];
			print(("  %-7s %6.1f logins/s (%.2f of a server without audit log at the same time; at its lowest %.1f), %5.1f ms a login (%.2f)"):format(
				phase[1], it.rate, it.share, it.lowest, it.latency, it.slower));
		end
		print(("  audit() took %.1f ms at most; %d entries waited at the end, and all were in the store %.0f s after it at the latest"):format(
			slowest * 1000, waiting, settled));
		print(("  %d numbered events and %d logins: %s"):format(events, logins,
			#faults > 0 and "FAULTS" or lost > 0 and lost .. " had room nowhere and were counted, nothing else is missing, none twice, in order"
			or "nothing missing, none twice, in order"));
		return faults;
	end);
	prosody:stop();
	if control then control:stop(); end
	if prepared then way.clean(); end
	if not ok then error(("Prosody %s, %s: %s"):format(series, way.name, tostring(result)), 0); end
	for _, fault in ipairs(result) do
		print("  " .. fault);
	end
	if #result > 0 then
		print("  the server's folder: " .. prosody.folder);
	end
	io.flush();
	return #result == 0;
end

local good = true;
for _, series in ipairs(options.series) do
	for _, store in ipairs(options.stores) do
		local ok, result = pcall(run, series, store);
		if not ok then
			io.stderr:write("soak-outage: ", tostring(result), "\n");
		end
		good = ok and result and good;
	end
end
os.exit(good, true);
