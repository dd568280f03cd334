-- Measures a server with a month's log, and its daily pruning: lua5.4 benches/month.lua [options]
--
--   --series=A,B    default: the newest release of each series under target/prosody/
--   --stores=A,B    of internal, sqlite, audit (our own driver); default: all, plain only on the others
--   --sides=A,B     of plain (one archive, as a module in plain Lua would use it), ours; default: both
--   --entries=N     entries in 28 days; default 560000
--   --realtime      gives the servers a real-time priority, so that "held" and "late" don't have what else the machine does; as root
--   --rest=N        seconds between a copy and the removal of its original, on internal; default: as in a server
--
-- A server is started without a log and with one. Then the entries of a day expire, and the addresses of a day. Meanwhile the duration
-- of every callback of the server's loop is measured, and the delay of a timer of 5 ms: "held" and "late" are the longest of them. Plain
-- keeps 10,000 entries, which a driver takes by default, and removes those of a day by one call of store:delete().
-- The logs are made once and kept under target/bench-month/.

local here = arg[0]:match("^(.*)/") or ".";
local root = here.."/..";
package.path = root.."/spec/?.lua;"..package.path;

local flags, run = dofile(here.."/flags.lua"), dofile(here.."/run.lua");
local process = require "support.process";
local server = require "support.server";

local options = flags.parse {
	series = flags.all_series, stores = { "internal", "sqlite", "audit" }, sides = { "plain", "ours" }, entries = 560000, rest = -1, realtime = false;
	-- These are for the process that makes a log.
	generate = "", folder = "";
};

for _, store in ipairs(options.stores) do
	if store ~= "internal" and store ~= "sqlite" and store ~= "audit" then
		io.stderr:write("month.lua: there is no store ", store, ": use internal, sqlite, audit\n");
		os.exit(2, true);
	end
end

local host = server.default_host;
local day, days = 86400, 28;
local last = 1795478400; -- 2026-11-24 00:00 UTC: the log ends there
local first = last - days * day;
local most_in_one_archive = 10000;
local kept = process.target.."/bench-month";
local quote = process.quote;

-- Making a log ---------------------------------------------------------------------------------------------------------

local function generate(series, side, store_name, folder)
	local source = ("%s/target/prosody/%s/usr/lib/prosody"):format(root, series);
	package.cpath = root.."/target/lua".._VERSION:match("%d.%d").."/?.so;"..package.cpath;
	local prosody = dofile(here.."/prosody.lua").load(source, folder, root.."/lua");
	local store = prosody.open_store(host, store_name == "sqlite" and "sql" or store_name, {
		sql = store_name == "sqlite" and { driver = "SQLite3", database = folder.."/audit.sqlite" } or nil;
	});
	local write = dofile(here.."/generate.lua");
	if side == "ours" then
		return write(store, options.entries, last);
	end
	write({ append = function (_, _, ...) return store:append(nil, ...); end }, math.min(options.entries, most_in_one_archive), last);
end

if options.generate ~= "" then
	local side, store = options.generate:match("^(%l+)%-(%l+)$");
	generate(options.series[1], side, store, options.folder);
	os.exit(0, true);
end

local function made(series, side, store)
	local folder = ("%s/%s-%s-%s-%d"):format(kept, series, side, store, options.entries);
	if not process.read(folder.."/done") then
		process.run(("rm -rf %s && mkdir -p %s"):format(quote(folder), quote(folder)));
		io.stderr:write(("making the log of %s on %s …\n"):format(side, store));
		process.run(("lua5.4 %s --series=%s --generate=%s-%s --folder=%s --entries=%d"):format(quote(arg[0]), series, side, store, quote(folder),
			options.entries));
		process.write(folder.."/done", "");
	end
	return folder;
end

-- Measuring ------------------------------------------------------------------------------------------------------------

local function memory(prosody, which)
	return tonumber(process.read(("/proc/%d/status"):format(prosody.pid)):match(which..":%s*(%d+)")) / 1024;
end

local function settled_memory(prosody)
	-- Wait until the start is over.
	prosody:eval("return true");
	process.run("sleep 3");
	return memory(prosody, "VmRSS");
end

-- Runs in the server, without requests from outside meanwhile: work(host, settle) -> number of entries that were removed, by reason.
local works = {
	plain = [[
		local store = module:context(host):open_store("audit", "archive");
		return function (cutoff)
			return tonumber((assert(store:delete(nil, { ["end"] = cutoff - 1 })))) or 0;
		end
	]];
	ours = [[
		local log = module:shared("/*/audit/log").log;
		return function (_, settle)
			local results = assert(log.prune(host, { wait = true, settle = settle }));
			local count = 0;
			for _, result in ipairs(results) do count = count + result.count; end
			return count;
		end
	]];
};

local function work(prosody, side, cutoff)
	process.write(("/proc/%d/clear_refs"):format(prosody.pid), "5");
	prosody:eval([[
		local host, prepare, cutoff, settle = ...;
		local watch = module:shared("/*/loop_watch/watch");
		local now = require "util.time".now;
		local run = assert(load("local host, module = ...; "..prepare))(host, module);
		watch.done = nil;
		module:add_timer(0.2, function ()
			watch.reset();
			local began, cpu = now(), os.clock();
			require "util.async".runner(function ()
				local ok, count = pcall(run, cutoff, settle);
				watch.done = { count = ok and count or tostring(count), seconds = now() - began, cpu = os.clock() - cpu };
			end):run(true);
		end);
	]], prosody.host, works[side], cutoff, options.rest >= 0 and options.rest or nil);
	local done = process.wait_until(function ()
		return prosody:eval([[
			local watch = module:shared("/*/loop_watch/watch");
			return watch.done and { watch.done.count, watch.done.seconds, watch.done.cpu, watch.longest, watch.late } or nil;
		]]);
	end, 900, 0.5);
	if not done or type(done[1]) ~= "number" then
		error("pruning failed: "..tostring(done and done[1] or "not done after a quarter of an hour"), 0);
	end
	return table.unpack(done);
end

local line = "%-6s %-10s %-30s %8s %9s %9s %9s %9s %9s\n";

local function say(side, store, what, count, seconds, cpu, held, late, megabytes)
	local function number(format, value) return value and format:format(value) or ""; end
	io.write(line:format(side, store, what, number("%d", count), number("%.2f", seconds), number("%.2f", cpu), number("%.1f", held and held * 1000),
		number("%.1f", late and late * 1000), number("%.1f", megabytes)));
	io.flush();
end

local function start(series, side, store)
	return server.start {
		series = series;
		modules = side == "ours" and { "audit", "loop_watch" } or { "audit_plain", "loop_watch" };
		plugin_paths = { process.root.."/lua", process.root.."/benches/modules" };
		storage = { audit = store == "sqlite" and "sql" or store };
		config = { audit_log_expires_after = "never", sql = store == "sqlite" and { driver = "SQLite3", database = "audit.sqlite" } or nil };
		log_level = "info", start_timeout = 60, eval_timeout = 600;
	};
end

-- Sets an option of the log in the running server.
local function set(prosody, name, value)
	prosody:eval([[
		local host, name, value = ...;
		require "core.configmanager".set(host, name, value);
		module:shared("/*/audit/log").log.forget(host);
	]], prosody.host, name, value);
end

local function measure(series, side, store)
	local prosody = start(series, side, store);
	run.server(prosody, ("%s, %s, %s"):format(series, side, store), function ()
		local without = settled_memory(prosody);
		say(side, store, "server without a log", nil, nil, nil, nil, nil, without);
		prosody:stop();
		process.run(("cp -a %s/. %s/ && rm -f %s/done"):format(quote(made(series, side, store)), quote(prosody.data), quote(prosody.data)));
		prosody:start();
		if options.realtime then run.real_time(prosody); end
		say(side, store, "with a month's log", nil, nil, nil, nil, nil, settled_memory(prosody));
		local function step(what, cutoff)
			local count, seconds, cpu, held, late = work(prosody, side, cutoff);
			say(side, store, what, count, seconds, cpu, held, late, memory(prosody, "VmHWM"));
		end
		if side == "plain" then
			return step("a day expires", first + day);
		end
		step("nothing has expired");
		set(prosody, "audit_log_expires_after", os.time() - first - day - 10);
		step("a day expires");
		set(prosody, "audit_log_ips_expire_after", os.time() - first - 2 * day - 3600 - 10);
		step("a day's addresses expire");
		print(("%18s the longest slice of pruning was %.1f ms"):format("", 1000 * prosody:eval(
			"return module:shared('/*/audit/log').log.longest_slice()")));
	end);
end

run.each_series("bench-month", options.series, function (series)
	print(("Prosody %s, %d entries in %d days"):format(flags.title(series), options.entries, days));
	io.write(line:format("log", "store", "", "entries", "took, s", "CPU, s", "held, ms", "late, ms", "MiB"));
	io.write(("-"):rep(108), "\n");
	for _, store in ipairs(options.stores) do
		for _, side in ipairs(options.sides) do
			if side == "ours" or store ~= "audit" then
				measure(series, side, store);
			end
		end
	end
	print("");
end);
