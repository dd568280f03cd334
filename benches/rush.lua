-- Measures logins of all accounts after a restart, with and without the audit log: lua5.4 benches/rush.lua [options]
--
--   --series=A,B       default: the newest release of each series under target/prosody/
--   --servers=A,B      of none, internal, sqlite, postgresql, direct-internal, direct-sqlite, direct-postgresql;
--                      default: the first four, postgresql where it is installed
--   --accounts=N       accounts that log in again; default 20000
--   --connections=N    logins at a time; default 200
--   --held=N           connections that stay open until all accounts are logged in; default: as the limit on open files allows
--   --rounds=N         restarts of each server; default 1
--
-- Each account logs in once, from a plaintext connection of its own over the loopback, by SASL PLAIN, and binds a resource.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here .. "/../spec/?.lua;" .. package.path;

local flags, run = dofile(here .. "/flags.lua"), dofile(here .. "/run.lua");
local postgres = require "support.postgres";
local process = require "support.process";
local server = require "support.server";

local host, password = "example.test", "correct horse";

local options = flags.parse {
	series = flags.all_series, accounts = 20000, connections = 200, held = 0, rounds = 1;
	servers = function () return { "none", table.unpack(flags.all_stores()) }; end;
};

local pipe = assert(io.popen("ulimit -Hn"));
local open_files = tonumber(pipe:read("l")) or 1000000;
pipe:close();
if options.held == 0 then
	options.held = math.min(options.accounts, open_files - options.connections - 200);
end

local function start(series, name)
	local way, store = name:match("^(direct)%-(%l+)$");
	store = store or name ~= "none" and name or nil;
	local sql;
	if store == "sqlite" then
		sql = { driver = "SQLite3", database = "audit.sqlite" };
	elseif store == "postgresql" then
		sql = postgres.shared():database();
	elseif store and store ~= "internal" then
		error("unknown server " .. name, 0);
	end
	local prosody = server.start {
		series = series;
		hosts = { host };
		modules = store and { "audit", "audit_auth", "loop_watch" } or { "loop_watch" };
		plugin_paths = { process.root .. "/lua", process.root .. "/benches/modules" };
		storage = { audit = sql and "sql" or "internal" };
		config = { allow_unencrypted_plain_auth = true, audit_log_write = way, sql = sql };
		host_config = { [host] = { authentication = "internal_plain", c2s_require_encryption = false } };
		log_level = "info";
		prefix = "ulimit -n $(ulimit -Hn)";
		start_timeout = 60;
	};
	-- Written as the store would do it: the server takes minutes for that many.
	local folder = prosody.data .. "/" .. host:gsub("%W", function (c) return ("%%%02x"):format(c:byte()); end) .. "/accounts";
	process.run("mkdir -p " .. process.quote(folder));
	for i = 1, options.accounts do
		process.write(("%s/u%d.dat"):format(folder, i), ("return {\n\t[\"password\"] = %q;\n};\n"):format(password));
	end
	return prosody;
end

local function rush(prosody)
	prosody:restart();
	prosody:eval("module:shared('/*/loop_watch/watch').reset()");
	local _, output, errors = process.capture({
		"bash", "-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "bash",
		"/usr/bin/python3", process.root .. "/benches/rush_client.py", prosody.c2s_port, host, options.accounts, options.connections,
		options.held, password;
	}, { timeout = 1800 });
	local logins, seconds, median, longest, trouble = (output or ""):match("^(%d+)\t(%S+)\t(%S+)\t(%S+)\t(.-)\n");
	if tonumber(logins) ~= options.accounts then
		error(("%s of %d accounts came in: %s %s"):format(tostring(logins), options.accounts, tostring(trouble), tostring(errors)), 0);
	end
	return tonumber(seconds), tonumber(median), tonumber(longest);
end

-- What the watch has measured, and how many entries still wait. Called right after the client has ended.
local function watched(prosody)
	return prosody:eval([[
		local watch = module:shared("/*/loop_watch/watch");
		local log = module:shared("/*/audit/log").log;
		return watch.longest, watch.late, watch.longer, watch.bounds, log and log.waiting and log.waiting(...) or 0;
	]], host);
end

-- Waits until every login is in the log: otherwise the comparison is not valid.
local function check(prosody, expected)
	local function count()
		return prosody:eval([[
			local host = ...;
			local log = module:shared("/*/audit/log").log;
			if not log then return; end
			if log.waiting and log.waiting(host) > 0 then return 0; end
			local store = module:context(host):open_store("audit", "archive");
			local found = 0;
			for partition in store:users() do
				for _, entry in store:find(partition, {}) do
					if entry.attr.type == "authentication-success" then found = found + 1; end
				end
			end
			return found;
		]], host) or expected;
	end
	local found;
	process.wait_until(function ()
		found = count();
		return found == expected;
	end, 120, 0.5);
	if found ~= expected then
		error(("%d logins, but %d of them in the log"):format(expected, found), 0);
	end
end

local function bench(series)
	print(("Prosody %s, %d accounts log in again after a restart, %d at a time, %d stay connected"):format(
		flags.title(series), options.accounts, options.connections, options.held));
	print("");
	local line = "%-18s %10s %9s %12s %12s %12s %10s %24s\n";
	io.write(line:format("audit log", "all in, s", "logins/s", "median, ms", "longest, ms", "loop held", "timer late", "callbacks > 10/20/50 ms"));
	io.write(("-"):rep(114), "\n");
	for round = 1, options.rounds do
		for _, name in ipairs(options.servers) do
			local prosody = start(series, name);
			run.server(prosody, ("%s, %s, round %d"):format(series, name, round), function ()
				local seconds, median, longest = rush(prosody);
				local held, late, longer, bounds, waiting = watched(prosody);
				local counts = {};
				for i, bound in ipairs(bounds) do
					if bound == 0.01 or bound == 0.02 or bound == 0.05 then counts[#counts + 1] = ("%d"):format(longer[i]); end
				end
				io.write(line:format(name, ("%.1f"):format(seconds), ("%.0f"):format(options.accounts / seconds), ("%.1f"):format(median),
					("%.0f"):format(longest), ("%.1f ms"):format(held * 1000), ("%.0f ms"):format(late * 1000), table.concat(counts, " / ")));
				if name ~= "none" then
					check(prosody, options.accounts);
					print(("%18s %d entries waited when all were in; then every login was in the store, and the longest slice was %.1f ms"):format("",
						waiting, 1000 * prosody:eval("return module:shared('/*/audit/log').log.state(...).longest", host)));
				end
				io.flush();
			end);
		end
	end
	print("");
end

run.each_series("bench-rush", options.series, bench);
