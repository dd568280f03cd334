-- Measures a server during a flood of failed logins: lua5.4 benches/flood.lua [options]
--
--   --series=A,B    default: the newest release of each series under target/prosody/
--   --stores=A,B    of internal, sqlite; default: both
--   --sides=A,B     of plain (the plain-Lua baseline), ours; default: both
--   --failures=N    failed logins in each flood; default 100000
--   --seconds=N     the longest time of a flood; default 60
--
-- The failures are Prosody's events. They are fired in the server during 4 of 6 ms, as fast as the log handles them: first from one
-- address and name, then from 50,000. Meanwhile an account logs in again and again by SASL PLAIN over the loopback, and a timer of 10 ms
-- measures how long others had to wait. "busy" is the part of the longest delay in which this process used the processor.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here .. "/../spec/?.lua;" .. package.path;

local flags, run = dofile(here .. "/flags.lua"), dofile(here .. "/run.lua");
local flood = require "support.flood";
local process = require "support.process";
local server = require "support.server";

local options = flags.parse {
	series = flags.all_series, stores = { "internal", "sqlite" }, sides = { "plain", "ours" }, failures = 100000, seconds = 60;
};

local function start(series, store, side)
	local prosody = server.start {
		series = series;
		modules = side == "ours" and { "audit", "audit_auth", "audit_register", "test_flood" } or { "audit_plain", "test_flood" };
		plugin_paths = { process.root .. "/lua", process.root .. "/benches/modules" };
		storage = { audit = store == "sqlite" and "sql" or "internal" };
		config = { sql = { driver = "SQLite3", database = "audit.sqlite" }, allow_unencrypted_plain_auth = true };
		host_config = "authentication = \"internal_plain\"; c2s_require_encryption = false;";
		log_level = "info";
		eval_timeout = 600; -- reading all entries of the plain side takes long
	};
	if side == "ours" then
		flood.register(prosody, "romeo");
	else
		prosody:adduser("romeo@" .. prosody.host, "secret");
		prosody:eval("module:context(...):audit('romeo@'..(...), 'user-registered', {})", prosody.host);
	end
	return prosody;
end

local line = "%-6s %-9s %-14s %9s %8s %9s %11s %11s %20s %14s %9s %6s\n";

local function measure(prosody, side, store, origins, before)
	flood.listen(prosody);
	flood.start(prosody, options.failures, origins);
	local logins, longest = flood.logins(prosody, "romeo", options.seconds);
	flood.stop(prosody);
	local sent = flood.report(prosody).sent;
	-- The last window ends a minute after it began.
	flood.calm(prosody, 120);
	local report = flood.report(prosody);
	local log = flood.log(prosody);
	local stored = log.single + log.summaries - before.single - before.summaries;
	local said = log.single + log.counted - before.single - before.counted;
	io.write(line:format(side, store, origins == 1 and "one address" or ("%d"):format(origins), ("%d"):format(sent), ("%d"):format(stored),
		said == sent and "all" or ("%d"):format(said), ("%.1f"):format(report.cpu * 1e6 / sent), ("%.1f"):format(report.process_cpu * 1e6 / sent),
		("%.1f / %.0f / %.0f"):format(report.median_late * 1000, report.longest_late * 1000, report.worst * 1000),
		("%d, %.0f"):format(logins, longest * 1000),
		log.others["user-registered"] == 1 and "there" or "GONE", ("%d"):format(log.busiest)));
	io.flush();
	return log;
end

local function bench(series)
	print(("Prosody %s, %d failed logins in each flood, or as many as %d seconds take"):format(flags.title(series), options.failures, options.seconds));
	io.write(line:format("log", "store", "addresses", "failures", "entries", "accounted", "event, µs", "process, µs", "beat late, ms", "logins, ms",
		"earlier", "busiest"));
	io.write(line:format("", "", "", "", "", "for", "of CPU", "of CPU", "median / max / busy", "number, max", "entry", "minute"));
	io.write(("-"):rep(138), "\n");
	for _, store in ipairs(options.stores) do
		for _, side in ipairs(options.sides) do
			local prosody = start(series, store, side);
			run.server(prosody, ("%s, %s, %s"):format(series, side, store), function ()
				local log = { single = 0, summaries = 0, counted = 0 };
				for _, origins in ipairs { 1, 50000 } do
					log = measure(prosody, side, store, origins, log);
				end
			end);
		end
	end
	print("");
end

run.each_series("bench-flood", options.series, bench);
