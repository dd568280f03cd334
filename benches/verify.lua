-- Measures verifying a log in which each entry is linked, beside reading the same log: lua5.4 benches/verify.lua [options]
--
--   --entries=N        how many entries; default 1000000
--   --stores=A,B       of audit, sqlite, internal; default: audit and sqlite
--   --series=S         the series of Prosody whose libraries are used; default: the newest
--   --rounds=N         how often each side runs, in turns; the fastest counts; default 3
--   --realtime         gives the reading processes a real-time priority, so that nothing else takes their processor; as root. In each
--                      second the kernel takes it from them for 50 ms all the same, so the loop seems to be held that long
--
-- "Verify" is what prosodyctl mod_audit --verify does, "stats" and "json" are the statistics and the export of the same log. "Server" is
-- the verification inside a server, with the garbage collector's settings of a server, and how long it held the loop at most; beside it
-- the most processor time of a slice, as other programs may take the processor away meanwhile. Each runs in a process of its own. The
-- time is without the start of the process, and the memory is the most that was added to what the process had before.
--
-- The entries are recorded by the library itself, so this takes minutes. The logs are kept under target/bench-verify/.

local here = arg[0]:match("^(.*)/") or ".";
local root = here.."/..";
package.path = root.."/spec/?.lua;"..package.path;

local json = require "dkjson";
local process = require "support.process";

local figures, flags, run = dofile(here.."/figures.lua"), dofile(here.."/flags.lua"), dofile(here.."/run.lua");
local options = flags.parse {
	entries = 1000000, stores = { "audit", "sqlite" }, series = "", rounds = 3, realtime = false;
	-- For the processes that this one starts.
	folder = "", store = "", side = "";
};
local seconds_limit, memory_limit, held_limit = 10, 64, 10;

local host, own = "example.com", "xmpp:prosody.im/audit";
local noon = 1795521600; -- 2026-11-24 12:00 UTC, when the last entry was written
local quote = process.quote;

-- How long this process has used a processor, in seconds.
local cpu_time = os.clock;

local function new_log(folder, store, environment)
	local settings = { audit_log_expires_after = "never", audit_log_location = false, audit_log_flood = false };
	environment.stanza_mt = require "util.stanza".stanza_mt;
	environment.open_store = function () return store; end;
	environment.get_option = function (_, name) return settings[name]; end;
	environment.log = function (_, message) io.stderr:write(message, "\n"); end;
	environment.monotonic = require "util.time".monotonic or require "util.time".now;
	environment.journal_path = function () return folder.."/journal/audit"; end;
	return require "audit_core".new(environment);
end

-- Records what generate.lua makes: each event when it says, with a link.
local function generate(folder, store)
	local time = 0;
	local log = new_log(folder, store, { now = function () return time; end; schedule = function () end });
	local generated, pending = {}, 0;
	function generated:append(_, _, stanza, when)
		time = when;
		local custom, session, actor = {}, nil, nil;
		for _, detail in ipairs(stanza.tags) do
			if detail.name == "session" then
				session = { id = detail.attr.id, type = detail.attr.type, ip = detail:get_child_text("remote-ip", own);
					client_id = detail:get_child_text("client", own) };
			elseif detail.name == "actor" then
				actor = { kind = detail.attr.kind };
			else
				custom[#custom + 1] = detail;
			end
		end
		assert(log.audit(host, stanza.attr.user, stanza.attr.source, stanza.attr.type, { session = session, custom = custom, actor = actor }));
		pending = pending + 1;
		if pending % 500 == 0 then log.flush(host, 60); end
		return self;
	end
	dofile(here.."/generate.lua")(generated, options.entries, noon);
	log.flush(host, 60);
	assert(log.state(host).waiting == 0, "entries wait for the store");
	log.close();
end

local read = {
	stats = { "--stats" };
	json = { "--format", "json" };
};

local function measure(folder, store, side)
	local began = require "util.time".now();
	local log = new_log(folder, store, { now = function () return noon + require "util.time".now() - began; end });
	if read[side] then
		local arguments = { "--utc", host, table.unpack(read[side]) };
		local command = assert(require "audit_core".command(arguments, noon));
		local out = assert(io.open("/dev/null", "w"));
		local result = log.read(command.asked, function (text) out:write(text); return true; end, { width = 120 });
		assert(not result.problem and result.damaged == 0, result.problem);
		return result.shown;
	end
	local longest, longest_cpu = 0, 0;
	local pause, begin;
	if side == "server" then
		collectgarbage("incremental", 105, 500); -- Prosody's default
		local clock, since, cpu_since = require "util.time".now, nil, nil;
		function begin() since, cpu_since = clock(), cpu_time(); end
		function pause()
			longest, longest_cpu = math.max(longest, clock() - since), math.max(longest_cpu, cpu_time() - cpu_since);
			begin();
		end
		begin();
	end
	local result = assert(log.verify(host, pause));
	if pause then pause(); end
	assert(result.intact, result.lines and table.concat(result.lines, "\n"));
	return result.verified, longest, longest_cpu;
end

if options.side ~= "" then
	package.cpath = ("%s/target/lua5.4/?.so;%s"):format(root, package.cpath);
	local source = ("%s/target/prosody/%s/usr/lib/prosody"):format(root, options.series);
	local prosody = dofile(here.."/prosody.lua").load(source, options.folder, root.."/lua");
	local storage = { sql = { driver = "SQLite3", database = options.folder.."/log.sqlite" } };
	local store = prosody.open_store(host, options.store == "sqlite" and "sql" or options.store, storage);
	if options.side == "generate" then
		generate(options.folder, store);
		os.exit(0, true);
	end
	require "audit_core";
	-- A server has opened its store when it started.
	store:users();
	local clock, result = require "util.time".now, {};
	collectgarbage();
	local resident, began, spent = figures.memory("self", "VmRSS"), clock(), cpu_time();
	result.entries, result.held, result.held_cpu = measure(options.folder, store, options.side);
	result.seconds, result.cpu = clock() - began, cpu_time() - spent;
	result.memory = figures.memory("self", "VmHWM") - resident;
	print(json.encode(result));
	os.exit(0, true);
end

-- The process that asks the others -------------------------------------------------------------------------------------

if options.series == "" then
	local all = flags.all_series();
	options.series = all[#all];
end

local function child(folder, store, side)
	return run.child({ folder = folder, store = store, side = side, series = options.series, entries = options.entries },
		options.realtime and side ~= "generate" and "chrt --fifo 1" or nil);
end

local function make(store)
	local folder = ("%s/bench-verify/%s-%s-%d"):format(process.target, options.series, store, options.entries);
	if not process.read(folder.."/done") then
		process.run(("rm -rf %s && mkdir -p %s/journal"):format(quote(folder), quote(folder)));
		io.stderr:write(("recording %d entries on %s …\n"):format(options.entries, store));
		child(folder, store, "generate");
		process.write(folder.."/done", "");
	end
	return folder;
end

local sides = { "verify", "server", "stats", "json" };

-- The best of two results, each figure for itself.
local function better(a, b)
	if not a then return b; end
	for name, value in pairs(b) do
		a[name] = math.min(a[name], value);
	end
	return a;
end

local function verdict(name, value, limit, unit)
	return ("%s %.1f %s (limit: %d, %s)"):format(name, value, unit, limit, value <= limit and "kept" or "MISSED");
end

local function main()
	print(("%d linked entries in 28 days, with the libraries of Prosody %s; the best of %d rounds"):format(
		options.entries, flags.title(options.series), options.rounds));
	for _, store in ipairs(options.stores) do
		local folder, results = make(store), {};
		for _ = 1, options.rounds do
			for _, side in ipairs(sides) do
				results[side] = better(results[side], assert(json.decode(child(folder, store, side))));
			end
		end
		print(("\n%-10s %9s %9s %9s %8s %12s %9s %8s %9s"):format(store, "wall s", "CPU s", "entries", "MiB", "entries/s", "of stats", "held ms",
			"CPU ms"));
		for _, side in ipairs(sides) do
			local of = results[side];
			local held = side == "server" and ("%8.1f %9.1f"):format(of.held * 1000, of.held_cpu * 1000) or "";
			print(("%-10s %9.2f %9.2f %9d %8.1f %12.0f %9.2f %s"):format(side, of.seconds, of.cpu, of.entries, of.memory, of.entries / of.seconds,
				of.cpu / results.stats.cpu, held));
		end
		local verify, server = results.verify, results.server;
		print(table.concat({
			verdict("A million entries:", verify.seconds * 1000000 / verify.entries, seconds_limit, "s");
			verdict("processor time:", verify.cpu * 1000000 / verify.entries, seconds_limit, "s");
			verdict("memory:", verify.memory, memory_limit, "MiB");
			verdict("the server is held:", server.held * 1000, held_limit, "ms");
			verdict("processor time:", server.held_cpu * 1000, held_limit, "ms");
		}, "\n"));
		io.stdout:flush();
	end
end

local ok, err = pcall(main);
if not ok then
	io.stderr:write("verify: ", tostring(err), "\n");
end
os.exit(ok, true);
