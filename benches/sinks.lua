-- Measures sinks on real servers, with receivers on this machine: lua5.4 benches/sinks.lua [options]
--
--   --series=A,B       default: the newest release of each series under target/prosody/
--   --transports=A,B   of tls, tcp, unix, udp, file, http, gzip (HTTP with compress = "gzip") and otlp; default: all. none: leave the first
--                      table out
--   --entries=N        entries that are sent over each transport in a round; default 20000
--   --rounds=N         rounds of each transport, in turns; default 3
--   --logins=N         logins in a round of the second table; default 200, 0: leave it out
--   --turns=N          rounds of logins on each server, in turns; default 9
--   --connections=N    logins at a time; default 8
--   --auth=MODULE      default internal_hashed, as Prosody has it
--   --realtime         gives the servers a real-time priority, so that "held" does not have what else the machine does; as root
--
-- First table: entries that are in the log already are sent at full speed. Entries a second until the receiver has the last one, the CPU
-- time of the server for an entry, and how long a callback of its loop took at most: by the clock, in processor time, and in processor
-- time while Lua's garbage collector is stopped, which is what our code takes itself. Receivers of syslog are rsyslog, if it can be had
-- from Debian's packages. The others are spec/support/receiver.py, whose own speed limits HTTP and OTLP.
--
-- Second table: logins on a server with three sinks (rsyslog over TLS, HTTP, a file), and on one without sinks that records the same. The
-- receivers run on the same processors, which the CPU time of a login does not have in it.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here.."/../spec/?.lua;"..package.path;

local figures, flags, run = dofile(here.."/figures.lua"), dofile(here.."/flags.lua"), dofile(here.."/run.lua");
local process = require "support.process";
local receiver = require "support.receiver";
local recipes = require "support.recipes";
local server = require "support.server";
local socket = require "socket";

local password = "correct horse";
local BEGINNING = "1 00000000-0000-0000-0000-000000000000 0 0";

local options = flags.parse {
	series = flags.all_series, transports = { "tls", "tcp", "unix", "udp", "file", "http", "gzip", "otlp" }, entries = 20000, rounds = 3;
	logins = 200, turns = 9, connections = 8, auth = "internal_hashed", realtime = false;
};
if options.transports[1] == "none" then options.transports = {}; end

local certificate, key = server.certificate("localhost");
local syslog = recipes.available("rsyslog") and "rsyslog" or "stream";
local ways = {};
function ways.tls()
	local one = receiver.start { kind = syslog, certificate = certificate, key = key };
	return one, { to = "tls://localhost:"..one.port, cafile = certificate };
end
function ways.tcp()
	local one = receiver.start { kind = syslog };
	return one, { to = "tcp://127.0.0.1:"..one.port };
end
function ways.unix()
	local one = receiver.start { kind = syslog == "stream" and "unix" or syslog, is_unix = true };
	return one, { to = "unix:"..one.path };
end
function ways.udp()
	local one = receiver.start { kind = "udp" };
	return one, { to = "udp://127.0.0.1:"..one.port };
end
function ways.file()
	local one = receiver.start { kind = "file", is_down = true };
	return one, { to = "file:"..one.out };
end
function ways.http()
	local one = receiver.start { kind = "http" };
	return one, { to = "http://127.0.0.1:"..one.port.."/" };
end
function ways.gzip()
	local one, sink = ways.http();
	sink.compress = "gzip";
	return one, sink;
end
function ways.otlp()
	local one = receiver.start { kind = "http", otlp = true };
	return one, { to = "http://127.0.0.1:"..one.port.."/v1/logs", format = "otlp" };
end

for _, name in ipairs(options.transports) do
	if not ways[name] then
		io.stderr:write("sinks.lua: there is no transport ", name, "; they are listed at the head of the file\n");
		os.exit(2, true);
	end
end

local function start(series, sinks, modules)
	local names = { "audit", "audit_auth", "audit_sinks", "loop_watch" };
	table.move(modules or {}, 1, #(modules or {}), #names + 1, names);
	return server.start {
		series = series, modules = names, storage = { audit = "audit" };
		plugin_paths = { process.root.."/lua", process.root.."/benches/modules" };
		config = { audit_log_flood = false, audit_log_location = false, allow_unencrypted_plain_auth = true, audit_log_sinks = sinks };
		host_config = { [server.default_host] = { authentication = options.auth, c2s_require_encryption = false } };
		log_level = "info", eval_timeout = 600;
	};
end

local function cell(values, digits, width)
	return figures.cell(figures.summary(values, digits), width);
end

-- First table ------------------------------------------------------------------------------------------------------------------

-- Fires events as logins do, a few at a time, and waits until all are in the store.
local function record(prosody, count)
	for first = 1, count, 500 do run.fire(prosody, first, math.min(count, first + 499)); end
	local done = process.wait_until(function ()
		return prosody:eval("return module:shared('/*/audit/log').log.waiting(...)", prosody.host) == 0;
	end, 300, 0.5);
	if not done then error("not all entries were handed over", 0); end
end

-- Counts the lines of a file that grows.
local function counter(path)
	local at, count = 0, 0;
	return function ()
		local file = io.open(path);
		if not file then return 0; end
		file:seek("set", at);
		local new = file:read("a");
		file:close();
		at, count = at + #new, count + select(2, new:gsub("\n", ""));
		return count;
	end
end

-- Without a sink, its position can be set to the beginning of the log.
local function send_all(prosody, name, result, collector)
	local one, sink = ways[name]();
	local set = [[
		local host, sink, position = ...;
		local config = require "core.configmanager";
		config.set("*", "audit_log_sinks", sink and { bench = sink } or {});
		if position then
			local file = assert(io.open(require "util.datamanager".getpath(nil, host, "audit", "bench.position", true), "w"));
			file:write(position);
			file:close();
		end
		prosody.events.fire_event("config-reloaded");
	]];
	prosody:eval(set, prosody.host, nil);
	prosody:eval("collectgarbage(); collectgarbage(...)", collector);
	local lines = counter(one.out);
	local cpu, began = figures.processor_time(prosody.pid), socket.gettime();
	prosody:eval(set..[[
		-- What was set up now is not a part of it.
		module:add_timer(0.02, function () module:shared("/*/loop_watch/watch").reset(); end);
	]], prosody.host, sink, BEGINNING);
	local arrived;
	local last, since = -1, began;
	repeat
		socket.sleep(0.02);
		arrived = lines();
		local now = socket.gettime();
		if arrived ~= last then last, since = arrived, now; end
	until arrived >= options.entries or now - since > 15;
	local took = since - began;
	local held, worked = prosody:eval("local watch = module:shared('/*/loop_watch/watch'); return watch.longest, watch.busiest");
	if collector == "stop" then
		prosody:eval("collectgarbage('restart')");
		table.insert(result.alone, worked * 1000);
	else
		table.insert(result.cpu, (figures.processor_time(prosody.pid) - cpu) * 1e6 / math.max(arrived, 1));
		table.insert(result.rate, arrived / took);
		table.insert(result.held, held * 1000);
		table.insert(result.worked, worked * 1000);
	end
	result.arrived = math.min(result.arrived or arrived, arrived);
	prosody:eval(set, prosody.host, nil);
	receiver.stop_all();
end

local function bench_transports(series)
	local prosody = start(series, nil);
	run.server(prosody, series, function ()
		record(prosody, options.entries);
		if options.realtime then run.real_time(prosody); end
		local results = {};
		for _, name in ipairs(options.transports) do results[name] = { cpu = {}, rate = {}, held = {}, worked = {}, alone = {} }; end
		print(("One full collection of the heap takes %.1f ms."):format((run.collection(prosody))));
		for _ = 1, options.rounds do
			for _, name in ipairs(options.transports) do
				send_all(prosody, name, results[name], "restart");
				send_all(prosody, name, results[name], "stop");
			end
		end
		print(("%-6s %24s %22s %18s %18s %18s %8s   %d entries, %s"):format("to", "entries a second", "CPU an entry, us", "held, ms",
			"processor, ms", "no collector, ms", "arrived", options.entries, syslog == "stream" and "without rsyslog" or "rsyslog"));
		print(("-"):rep(136));
		for _, name in ipairs(options.transports) do
			local of = results[name];
			print(("%-6s %s %s %s %s %s %8s"):format(name, cell(of.rate, 0, 24), cell(of.cpu, 1, 22), cell(of.held, 1, 18),
				cell(of.worked, 1, 18), cell(of.alone, 1, 18), of.arrived >= options.entries and "all" or tostring(of.arrived)));
		end
		io.flush();
	end);
end

-- Second table -----------------------------------------------------------------------------------------------------------------

local function log_in(entry, logins)
	entry.prosody:eval("module:shared('/*/loop_watch/watch').reset()");
	local before = figures.processor_time(entry.prosody.pid);
	local result = run.log_in(entry.prosody, "romeo", password, logins, options.connections);
	-- What the server does a moment later: the batches of sinks, and the hand-over.
	socket.sleep(1.6);
	local cpu = figures.processor_time(entry.prosody.pid) - before;
	if result.successes ~= logins then
		error(("%d of %d logins succeeded"):format(result.successes, logins), 0);
	end
	local held = entry.prosody:eval("return module:shared('/*/loop_watch/watch').longest") * 1000;
	return { rate = result.rate, cpu = cpu * 1e6 / logins, latency = result.latency, held = held };
end

local function bench_logins(series)
	local sinks, counters = {}, {};
	for _, name in ipairs { "tls", "http", "file" } do
		local one, sink = ways[name]();
		sinks[name], counters[name] = sink, counter(one.out);
	end
	local entries = { { label = "no sinks" }, { label = "three sinks" } };
	local ok, err = pcall(function ()
		for i, entry in ipairs(entries) do
			entry.prosody = start(series, i == 2 and sinks or nil);
			entry.prosody:adduser("romeo@"..entry.prosody.host, password);
			entry.rate, entry.cpu, entry.latency, entry.held = {}, {}, {}, {};
			log_in(entry, options.logins);
		end
		for turn = 1, options.turns do
			for i = 1, 2 do
				local entry = entries[(i + turn) % 2 + 1];
				for name, value in pairs(log_in(entry, options.logins)) do table.insert(entry[name], value); end
			end
		end
		local function share(name)
			local shares = {};
			for i, value in ipairs(entries[2][name]) do shares[i] = value / entries[1][name][i]; end
			return figures.summary(shares, 3);
		end
		print(("\n%-12s %26s %26s %24s %24s   %d logins, %d at a time, %s"):format("", "logins a second", "CPU a login, us", "latency, ms",
			"held, ms", options.logins, options.connections, options.auth));
		print(("-"):rep(120));
		for _, entry in ipairs(entries) do
			print(("%-12s %s %s %s %s"):format(entry.label, cell(entry.rate, 0, 26), cell(entry.cpu, 0, 26), cell(entry.latency, 1, 24),
				cell(entry.held, 1, 24)));
		end
		print(("%-12s %s %s %s"):format("share", figures.cell(share "rate", 26), figures.cell(share "cpu", 26), figures.cell(share "latency", 24)));
		-- If entries are missing at a receiver, the comparison is not valid.
		for name, lines in pairs(counters) do
			local expected = (options.turns + 1) * options.logins;
			if not process.wait_until(function () return lines() >= expected; end, 20) then
				error(("the sink %s has %d entries of %d logins"):format(name, lines(), expected), 0);
			end
		end
	end);
	for _, entry in ipairs(entries) do
		if entry.prosody then
			entry.prosody:kill();
			process.run("rm -rf "..process.quote(entry.prosody.folder));
		end
	end
	receiver.stop_all();
	if not ok then error(err, 0); end
end

run.each_series("bench-sinks", options.series, function (series)
	print(("Prosody %s, median (lowest–highest)\n"):format(flags.title(series)));
	local ok, err = pcall(function ()
		if #options.transports > 0 then bench_transports(series); end
		if options.logins > 0 then bench_logins(series); end
	end);
	server.stop_all();
	receiver.stop_all();
	if not ok then error(err, 0); end
	print("");
end);
