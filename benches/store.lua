-- Measures what it costs real servers to have events in their store: lua5.4 benches/store.lua [options]
--
--   --series=A,B       default: the newest release of each series under target/prosody/
--   --stores=A,B       of internal, sqlite, audit (our own driver); default: all
--   --rounds=N         rounds of events on each server, in turns; default 7
--   --events=N         events in a round; default 2000
--   --burst=N          events at a time, with a pause after each in which they are handed over; default 100
--   --waiting=N        entries that wait in the journal for the second table; default 100000, 0: leave it out
--   --holds=N          how often the second table is measured; default 3
--   --moved=N          entries that are moved from the embedded driver to our own for the third table; default 20000, 0: leave it out
--   --realtime         for the second and third table, gives the servers a real-time priority, so that it does not have what else the machine
--                      does; as root
--
-- First table: CPU time of an event from Prosody's hook until the store has its entry, all threads of the server, less the CPU time of a
-- server without a log for the same. And the memory of the servers after that.
--
-- Second table: how long a callback of the server's loop took at most, and how late a timer of 5 ms was, while that many entries went
-- from the journal to the store. Our own driver syncs and moves pages to its file meanwhile.
--
-- Third table: the same, with the CPU time of an entry, while entries are moved from the embedded driver to our own after a start.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here.."/../spec/?.lua;"..package.path;

local figures, flags, run = dofile(here.."/figures.lua"), dofile(here.."/flags.lua"), dofile(here.."/run.lua");
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local options = flags.parse {
	series = flags.all_series, stores = { "internal", "sqlite", "audit" }, rounds = 7, events = 2000, burst = 100, waiting = 100000, holds = 3;
	moved = 20000;
	realtime = false;
};

local drivers = { internal = "internal", sqlite = "sql", audit = "audit" };
for _, store in ipairs(options.stores) do
	if not drivers[store] then
		io.stderr:write("store.lua: there is no store ", store, ": use internal, sqlite, audit\n");
		os.exit(2, true);
	end
end

local function start(series, store)
	return server.start {
		series = series;
		modules = store and { "audit", "audit_auth", "loop_watch" } or { "loop_watch" };
		plugin_paths = { process.root.."/lua", process.root.."/benches/modules" };
		storage = { audit = drivers[store] or "internal" };
		config = {
			audit_log_flood = false, audit_log_location = false;
			sql = store == "sqlite" and { driver = "SQLite3", database = "audit.sqlite" } or nil;
		};
		log_level = "info", eval_timeout = 600;
	};
end

local function waiting(prosody)
	return prosody:eval("return module:shared('/*/audit/log').log.waiting(...)", prosody.host);
end

local function bench_events(servers)
	local next_event = 0;
	local function round(entry)
		local before = figures.processor_time(entry.prosody.pid);
		for _ = 1, options.events // options.burst do
			run.fire(entry.prosody, next_event, next_event + options.burst - 1);
			next_event = next_event + options.burst;
			socket.sleep(0.3);
		end
		-- Our own driver syncs after this time.
		socket.sleep(1);
		return (figures.processor_time(entry.prosody.pid) - before) * 1e6 / options.events;
	end
	for _, entry in ipairs(servers) do round(entry); end
	for number = 1, options.rounds do
		local bare;
		for i = 0, #servers - 1 do
			-- The one without a log is the first of each round.
			local entry = servers[i == 0 and 1 or (i + number) % (#servers - 1) + 2];
			local cpu = round(entry);
			bare = bare or cpu;
			table.insert(entry.added, cpu - bare);
		end
	end
	io.write(("%-12s %26s %14s %14s\n"):format("store", "CPU of an event, µs", "memory, MiB", "at most"));
	io.write(("-"):rep(70), "\n");
	for i, entry in ipairs(servers) do
		if i > 1 and waiting(entry.prosody) ~= 0 then error("not all entries were handed over"); end
		io.write(("%-12s %26s %14.1f %14.1f\n"):format(entry.store or "no log", i > 1 and figures.summary(entry.added, 1) or "",
			figures.memory(entry.prosody.pid, "VmRSS"), figures.memory(entry.prosody.pid, "VmHWM")));
		io.flush();
	end
end

-- Without a store events wait in the journal.
local function set_aside(prosody, is_aside)
	prosody:eval([[
		local host, is_aside = ...;
		local log, storagemanager = module:shared("/*/audit/log").log, require "core.storagemanager";
		local watch = module:shared("/*/loop_watch/watch");
		watch.open = watch.open or storagemanager.open;
		storagemanager.open = is_aside and function () return nil, "set aside"; end or watch.open;
		log.forget(host);
	]], prosody.host, is_aside);
end

local function bench_hold(entry)
	local prosody, held, late, seconds = entry.prosody, {}, {}, {};
	if options.realtime then run.real_time(prosody); end
	for _ = 1, options.holds do
		set_aside(prosody, true);
		for first = 1, options.waiting, 5000 do
			run.fire(prosody, first, math.min(options.waiting, first + 4999));
		end
		if waiting(prosody) < options.waiting then error("the entries do not wait"); end
		set_aside(prosody, false);
		prosody:eval([[
			local host = ...;
			local watch, log = module:shared("/*/loop_watch/watch"), module:shared("/*/audit/log").log;
			watch.done = nil;
			local now = require "util.time".now;
			module:add_timer(0.5, function ()
				local began, first, is_first = now(), log.waiting(host), true;
				watch.reset();
				module:add_timer(0.05, function ()
					-- It may be a while until it is tried again.
					if is_first and log.waiting(host) == first then began = now(); return 0.05; end
					is_first = false;
					if log.waiting(host) > 0 then return 0.05; end
					watch.done = { watch.longest, watch.late, now() - began };
				end);
			end);
		]], prosody.host);
		local done = process.wait_until(function ()
			return prosody:eval([[return module:shared("/*/loop_watch/watch").done]]);
		end, 900, 2);
		if not done then error("the entries were not handed over within a quarter of an hour"); end
		table.insert(held, done[1] * 1000);
		table.insert(late, done[2] * 1000);
		table.insert(seconds, done[3]);
	end
	io.write(("%-12s %22s %22s %22s\n"):format(entry.store, figures.summary(held, 1), figures.summary(late, 1), figures.summary(seconds, 1)));
	io.flush();
end

local function bench_move(series)
	local prosody = start(series, "internal");
	local ok, err = xpcall(function ()
		for first = 1, options.moved, 5000 do
			run.fire(prosody, first, math.min(options.moved, first + 4999));
		end
		if not process.wait_until(function () return waiting(prosody) == 0; end, 900, 1) then error("not all entries were handed over"); end
		prosody:stop();
		prosody.options.storage = { audit = "audit" };
		prosody:start();
		if options.realtime then run.real_time(prosody); end
		prosody:eval([[
			local host = ...;
			local watch, log = module:shared("/*/loop_watch/watch"), module:shared("/*/audit/log").log;
			local now = require "util.time".now;
			local began, cpu;
			module:add_timer(1, function ()
				local moving = log.state(host).moving;
				if not began then
					if moving and moving.left > 0 then
						began, cpu = now(), os.clock();
						watch.reset();
					end
				elseif not moving then
					watch.done = { watch.longest, watch.late, now() - began, os.clock() - cpu };
					return;
				end
				return 0.05;
			end);
		]], prosody.host);
		local done = process.wait_until(function ()
			return prosody:eval([[return module:shared("/*/loop_watch/watch").done]]);
		end, 900, 1);
		if not done then error("the entries were not moved within a quarter of an hour"); end
		io.write(("\n%-20s %12s %12s %12s %22s\n"):format("moved to our own", "held, ms", "late, ms", "took, s", "CPU of an entry, µs"));
		io.write(("-"):rep(82), "\n");
		io.write(("%-20s %12.1f %12.1f %12.1f %22.1f\n"):format(("%d entries"):format(options.moved), done[1] * 1000, done[2] * 1000, done[3],
			done[4] * 1e6 / options.moved));
	end, debug.traceback);
	prosody:kill();
	process.run("rm -rf "..process.quote(prosody.folder));
	if not ok then error(err, 0); end
end

run.each_series("bench-store", options.series, function (series)
	print(("Prosody %s, median (lowest–highest)\n"):format(flags.title(series)));
	local servers = {};
	local ok, err = xpcall(function ()
		for i, store in ipairs { false, table.unpack(options.stores) } do
			servers[i] = { store = store or nil, added = {}, prosody = start(series, store) };
		end
		bench_events(servers);
		if options.waiting > 0 then
			io.write(("\n%-12s %22s %22s %22s   %d entries wait\n"):format("store", "held, ms", "late, ms", "took, s", options.waiting));
			io.write(("-"):rep(106), "\n");
			for i = 2, #servers do bench_hold(servers[i]); end
		end
		if options.moved > 0 then bench_move(series); end
		print("");
	end, debug.traceback);
	for _, entry in ipairs(servers) do
		entry.prosody:kill();
		process.run("rm -rf "..process.quote(entry.prosody.folder));
	end
	if not ok then error(err, 0); end
end);
