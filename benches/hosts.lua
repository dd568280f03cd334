-- What the audit log costs a server with many hosts: lua5.4 benches/hosts.lua [options]
--
--   --hosts=A,B        numbers of virtual hosts; default 1,100,500,2000
--   --series=A,B       default: the newest series under target/prosody/
--   --servers=A,B      of none, audit (mod_audit and mod_audit_auth), all (every module of ours); default all three
--   --base=LIST        what runs beside it: usual (what Prosody's own configuration file enables; the default) or bare (mod_roster
--                      and mod_saslauth alone)
--   --store=NAME       where the log is: internal (the default) or sqlite
--   --rounds=N         starts of each server, in turns; default 3
--   --logins=N         logins of the burst, spread over all hosts; 0 leaves it out; default 400
--   --connections=N    of them at a time; default 16
--   --idle=N           seconds for which a server is left alone before memory and files are read; default 12
--   --opens            counts failed opens during the start, with strace(1); its times are worth nothing then
--
-- One server runs at a time. All numbers are medians of the rounds. The ratios are to the server without an audit log.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here.."/../spec/?.lua;"..package.path;

local flags, run = dofile(here.."/flags.lua"), dofile(here.."/run.lua");
local lfs = require "lfs";
local socket = require "socket";
local process = require "support.process";
local server = require "support.server";

local password = "correct horse";

local function fail(message)
	error({ message = message });
end

-- Servers --------------------------------------------------------------------------------------------------------------

local kinds = {
	none = { label = "no audit log", modules = {} };
	audit = { label = "mod_audit", modules = { "audit", "audit_auth" } };
	all = { label = "all modules", modules = run.all_modules() };
};

-- The modules that the configuration file of Prosody's package enables, on both series.
local usual = {
	"disco"; "roster"; "saslauth"; "tls"; "blocklist"; "bookmarks"; "carbons"; "dialback"; "limits"; "pep"; "private"; "smacks"; "vcard4";
	"vcard_legacy"; "csi_simple"; "invites"; "invites_adhoc"; "invites_register"; "ping"; "register"; "time"; "uptime"; "version"; "mam";
	"admin_adhoc"; "admin_shell"; "admin_socket"; "harness";
};
local bases = { usual = usual, bare = { "roster", "saslauth", "harness" } };

local function host_names(count)
	local names = {};
	for i = 1, count do
		-- Sets of hosts differ in all names, as the certificates that tests make are kept by the first names of a set.
		names[i] = ("h%d-%04d.test"):format(count, i);
	end
	return names;
end

local function start(kind, count, options, prefix)
	local names = host_names(count);
	local host_config = "authentication = \"internal_plain\"\nc2s_require_encryption = false\n";
	local began = socket.gettime();
	local prosody = server.start {
		series = options.series;
		hosts = names;
		base_modules = bases[options.base];
		modules = kinds[kind].modules;
		plugin_paths = { process.root.."/lua" };
		storage = { audit = options.store == "sqlite" and "sql" or "internal" };
		config = {
			allow_unencrypted_plain_auth = true;
			audit_log_location = false;
			audit_log_flood = false; -- All logins become entries, on one host too.
			limits = { c2s = { rate = "10mb/s" } };
			pidfile = "prosody.pid";
			sql = options.store == "sqlite" and { driver = "SQLite3", database = "audit.sqlite" } or nil;
		};
		host_config = host_config;
		log_level = "info";
		start_timeout = 600;
		eval_timeout = 120;
		prefix = prefix;
	};
	return prosody, names, socket.gettime() - began;
end

-- What one of its processes says --------------------------------------------------------------------------------------

local function cpu_of(pid)
	local nanoseconds = tonumber(((process.read("/proc/"..pid.."/schedstat") or ""):match("^%d+")));
	return (nanoseconds or 0) / 1e9;
end

local function memory_of(pid)
	local kilobytes = (process.read("/proc/"..pid.."/status") or ""):match("VmRSS:%s*(%d+)");
	return tonumber(kilobytes or 0) / 1024;
end

local function files_of(pid)
	local count = -2;
	for _ in lfs.dir("/proc/"..pid.."/fd") do
		count = count + 1;
	end
	return count;
end

-- Timers that wait.
local count_timers = [[
	local add_task = require "util.timer".add_task;
	local index, name, value = 0, nil, nil;
	repeat
		index = index + 1;
		name, value = debug.getupvalue(add_task, index);
		if name == "timers" or name == "h" then
			return #value.priorities;
		end
	until not name;
	return -1;
]];

-- Notes the longest turn of the loop, by the clock and by the processor's time for this process alone.
local watch_loop = [[
	local now, clock = require "util.time".monotonic, os.clock;
	local loop = { longest = 0, busiest = 0 };
	module:shared("/*/harness/loop").loop = loop;
	local last_at, last_cpu;
	require "util.timer".add_task(0.001, function ()
		if loop.ended then return; end
		local at, cpu = now(), clock();
		if last_at then
			loop.longest, loop.busiest = math.max(loop.longest, at - last_at), math.max(loop.busiest, cpu - last_cpu);
		end
		last_at, last_cpu = at, cpu;
		return 0.001;
	end);
]];

local end_watch = [[
	local loop = module:shared("/*/harness/loop").loop;
	loop.ended = true;
	return loop.longest, loop.busiest;
]];

local function make_accounts(prosody)
	prosody:eval([[
		local password = ...;
		local create_user = require "core.usermanager".create_user;
		local wait, done = require "util.async".waiter();
		local names = {};
		for host, session in pairs(prosody.hosts) do
			if session.type == "local" then names[#names + 1] = host; end
		end
		-- Not all in one turn: that would be one long event.
		local function some()
			for _ = 1, 20 do
				local host = table.remove(names);
				if not host then return done(); end
				create_user("romeo", password, host);
			end
			return 0.001;
		end
		require "util.timer".add_task(0, some);
		wait();
	]], password);
end

local function burst(prosody, names, options)
	prosody:eval(watch_loop);
	local before = cpu_of(prosody.pid);
	local status, output, errors = process.capture({
		"lua5.4", process.root.."/benches/login_client.lua", prosody.c2s_port, table.concat(names, ","), "romeo", password,
		options.logins, options.connections;
	}, { timeout = 300 });
	socket.sleep(1);
	local cpu = cpu_of(prosody.pid) - before;
	local longest, busiest = prosody:eval(end_watch);
	local successes, _, _, _, trouble = (output or ""):match("^(%d+)\t(%d+)\t(%S+)\t(%S+)\t(.-)\n");
	if status ~= 0 or not successes or trouble ~= "" then
		fail("the client failed: "..tostring(trouble or errors));
	elseif tonumber(successes) ~= options.logins then
		fail(("%d logins were asked for, %s succeeded"):format(options.logins, successes));
	end
	return { longest = longest * 1000, busiest = busiest * 1000, login = cpu * 1e6 / options.logins, files_busy = files_of(prosody.pid) };
end

-- All entries of the burst must be there, or the comparison means nothing.
local function check_entries(prosody, expected)
	local found, troubled = prosody:eval([[
		local log = module:shared("/*/audit/log").log;
		local found, troubled = 0, nil;
		for host, session in pairs(prosody.hosts) do
			if session.type == "local" then
				log.flush(host, 10);
				local store = module:context(host):open_store("audit", "archive");
				for name in store:users() do
					for _, entry in store:find(name, {}) do
						if entry.attr.type == "authentication-success" then found = found + 1; end
					end
				end
				troubled = troubled or log.state(host).problem;
			end
		end
		return found, troubled;
	]]);
	if found ~= expected then
		fail(("%d logins, but %d entries in the audit log; %s"):format(expected, found, tostring(troubled)));
	end
end

-- Rounds ---------------------------------------------------------------------------------------------------------------

local function failed_opens(path)
	local count = 0;
	for line in io.lines(path) do
		if line:find("open", 1, true) and line:find(" = -1 ENOENT", 1, true) then
			count = count + 1;
		end
	end
	os.remove(path);
	return count;
end

local function measure_once(kind, count, options)
	local trace = options.opens and process.scratch.."/opens-"..process.random_text();
	local prefix = trace and ("strace -qq -e trace=open,openat -o %s -p $$ & sleep 1"):format(process.quote(trace));
	local prosody, names, seconds = start(kind, count, options, prefix);
	local result = { start = seconds, start_cpu = cpu_of(prosody.pid) };
	local ok, err = xpcall(function ()
		socket.sleep(options.idle);
		result.memory, result.files = memory_of(prosody.pid), files_of(prosody.pid);
		local before = cpu_of(prosody.pid);
		result.timers = prosody:eval(count_timers);
		socket.sleep(5);
		result.idle = (cpu_of(prosody.pid) - before) / 5 * 1000;
		if options.logins > 0 then
			make_accounts(prosody);
			socket.sleep(2);
			for name, value in pairs(burst(prosody, names, options)) do
				result[name] = value;
			end
			if kind ~= "none" then
				check_entries(prosody, options.logins);
			end
		end
	end, function (problem)
		return type(problem) == "table" and problem or { message = debug.traceback(tostring(problem)) };
	end);
	local stopping = socket.gettime();
	if not prosody:stop() then
		fail("the server had to be killed: "..prosody.log_file);
	end
	result.stop = socket.gettime() - stopping;
	if not ok then error(err, 0); end
	if trace then result.opens = failed_opens(trace); end
	os.execute("rm -rf "..process.quote(prosody.folder));
	return result;
end

local function median(values)
	table.sort(values);
	local middle = (#values + 1) // 2;
	return #values % 2 == 1 and values[middle] or (values[middle] + values[middle + 1]) / 2;
end

-- Tables ---------------------------------------------------------------------------------------------------------------

local columns = {
	{ "start", "start, s", 2, true }; { "start_cpu", "CPU, s", 2, true }; { "memory", "memory, MiB", 1, true }; { "files", "files", 0 };
	{ "timers", "timers", 0 }; { "idle", "idle, ms/s", 1 }; { "login", "CPU a login, µs", 0 }; { "busiest", "turn, CPU ms", 1 };
	{ "longest", "turn, ms", 1 }; { "files_busy", "files then", 0 }; { "stop", "stop, s", 2 }; { "opens", "failed opens", 0 };
};

local function pad(text, width)
	return (" "):rep(width - utf8.len(text))..text;
end

local function print_table(count, servers, results)
	local head = { ("%-14s"):format(count == 1 and "1 host" or count.." hosts") };
	for _, column in ipairs(columns) do
		if results[1][column[1]] then
			head[#head + 1] = pad(column[2], column[4] and 15 or 12);
		end
	end
	print(table.concat(head, "  "));
	for i, kind in ipairs(servers) do
		local cells = { ("%-14s"):format(kinds[kind].label) };
		for _, column in ipairs(columns) do
			local value, base = results[i][column[1]], results[1][column[1]];
			if value then
				local text = ("%."..column[3].."f"):format(value);
				if column[4] then
					text = text..(i > 1 and (" %6.2f"):format(value / base) or "       ");
				end
				cells[#cells + 1] = pad(text, math.max(utf8.len(column[2]), column[4] and 15 or 12));
			end
		end
		print(table.concat(cells, "  "));
	end
	print();
	io.stdout:flush();
end

local function measure(count, options)
	local rounds = {};
	for round = 1, options.rounds do
		for i = 1, #options.servers do
			-- Another one is first in each round.
			local index = (i + round) % #options.servers + 1;
			local result = measure_once(options.servers[index], count, options);
			rounds[index] = rounds[index] or {};
			table.insert(rounds[index], result);
		end
	end
	local results = {};
	for index, of_server in ipairs(rounds) do
		local medians = {};
		for _, column in ipairs(columns) do
			local values = {};
			for _, result in ipairs(of_server) do
				values[#values + 1] = result[column[1]];
			end
			medians[column[1]] = #values > 0 and median(values) or nil;
		end
		results[index] = medians;
	end
	print_table(count, options.servers, results);
end

local function newest_series()
	local all = flags.all_series();
	return { all[#all] };
end

local function main()
	local options = flags.parse {
		hosts = function () return { "1", "100", "500", "2000" }; end, series = newest_series;
		servers = function () return { "none", "audit", "all" }; end, base = "usual", store = "internal", rounds = 3, logins = 400;
		connections = 16, idle = 12, opens = false;
	};
	if options.servers[1] ~= "none" then
		table.insert(options.servers, 1, "none");
	end
	for _, name in ipairs(options.servers) do
		if not kinds[name] then fail("unknown server "..name); end
	end
	if not bases[options.base] then fail("unknown base "..options.base); end
	for _, series in ipairs(options.series) do
		print(("Prosody %s, %s, audit log in %s, medians of %d rounds\n"):format(flags.title(series),
			options.base == "bare" and "mod_roster and mod_saslauth alone" or "with the modules that its configuration file enables",
			options.store, options.rounds));
		for _, text in ipairs(options.hosts) do
			local count = math.tointeger(tonumber(text)) or fail("--hosts takes numbers");
			local of_series = setmetatable({ series = series }, { __index = options });
			measure(count, of_series);
		end
	end
end

local ok, err = xpcall(main, function (problem)
	return type(problem) == "table" and problem.message or debug.traceback(tostring(problem));
end);
if not ok then
	io.stderr:write("bench-hosts: ", err, "\n");
	os.exit(1, true);
end
os.exit(0, true);
