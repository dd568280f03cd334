-- Measures what the audit log adds to a login on real Prosody servers: lua5.4 benches/login.lua [options]
--
--   --series=A,B       default: the newest release of each series under target/prosody/
--   --servers=A,B      of none, ours-internal, ours-audit (our driver), ours-sqlite, ours-postgresql, the same with plain- (the
--                      plain-Lua baseline) and with direct- (audit_log_write = "direct") and with all- (every module of ours, not
--                      mod_audit_auth alone); default: none, ours-, plain- and all-internal, all-audit, those of postgresql where it is
--                      installed
--   --rounds=N         rounds of each server and outcome, in turns; default 5
--   --logins=N         logins in a round; default 120
--   --connections=N    connections at a time; default 8
--   --auth=MODULE      default internal_hashed, as Prosody has it; with internal_plain a login costs a quarter, and the log shows more
--   --gc=MODE          garbage collector of the servers: incremental (default, as Prosody has it) or generational
--   --seconds=N        no round begins later than this; default 300
--
-- All servers of a series run side by side, and each round of logins goes to one of them while the others are idle.
-- Accounts are always in the internal store; only the audit log's store differs. All traffic stays on the loopback.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here .. "/../spec/?.lua;" .. package.path;

local figures, flags, run = dofile(here .. "/figures.lua"), dofile(here .. "/flags.lua"), dofile(here .. "/run.lua");
local postgres = require "support.postgres";
local socket = require "socket";
local process = require "support.process";
local server = require "support.server";

local host, password = "example.test", "correct horse";

local function fail(message)
	error({ message = message });
end

-- Servers --------------------------------------------------------------------------------------------------------------

local kinds = {
	none = { label = "no audit log", modules = {} };
	ours = { label = "audit_core", modules = { "audit", "audit_auth" } };
	all = { label = "all modules", modules = run.all_modules() };
	direct = { label = "direct", modules = { "audit", "audit_auth" }, write = "direct" };
	plain = { label = "plain Lua", modules = { "audit_plain" } };
};

local store_labels = { internal = "internal", audit = "audit", sqlite = "SQLite", postgresql = "PostgreSQL" };

local function sql_of(store)
	if store == "sqlite" then
		return { driver = "SQLite3", database = "audit.sqlite" };
	elseif store == "postgresql" then
		return postgres.shared():database();
	end
end

local function start(series, name, options)
	local kind_name, store = name:match("^(%l+)%-?(%l*)$");
	local kind = kinds[kind_name] or fail("unknown server " .. name);
	local sql = sql_of(store);
	local prosody = server.start {
		series = series;
		hosts = { host };
		modules = kind.modules;
		plugin_paths = { process.root .. "/lua", process.root .. "/benches/modules" };
		storage = { audit = sql and "sql" or store == "audit" and "audit" or "internal" };
		config = {
			allow_unencrypted_plain_auth = true;
			audit_log_location = false; -- the baseline has no locations
			audit_log_write = kind.write;
			-- This measures failures that become entries; benches/flood.lua measures those that are only counted.
			audit_log_flood = false;
			gc = { mode = options.gc };
			sql = sql;
		};
		-- Replaces what the test support sets for every host.
		host_config = { [host] = { authentication = options.auth, c2s_require_encryption = false } };
		log_level = "info";
	};
	for _, module in ipairs(kind.modules) do
		if not prosody:eval("return (require 'core.modulemanager'.is_loaded(...))", host, module) then
			fail("mod_" .. module .. " is not loaded: " .. prosody.log_file);
		end
	end
	prosody:adduser("romeo@" .. host, password);
	return {
		prosody = prosody, kind = kind_name, store = store, label = kind.label, store_label = store_labels[store] or "";
		outcomes = { success = { cpu = {}, rate = {}, latency = {} }, failure = { cpu = {}, rate = {}, latency = {} } };
	};
end

-- Rounds ---------------------------------------------------------------------------------------------------------------

local function drive(entry, outcome, logins, connections)
	local given = outcome == "success" and password or "wrong horse";
	local before = figures.processor_time(entry.prosody.pid);
	local ok, result = pcall(run.log_in, entry.prosody, "romeo", given, logins, connections);
	if not ok then fail(result); end
	-- Includes what the server does a moment later: entries are handed over within 0.25 seconds.
	socket.sleep(0.4);
	local cpu = figures.processor_time(entry.prosody.pid) - before;
	if (outcome == "success" and result.successes or result.failures) ~= logins then
		fail(("expected %d of %s, got %d successes and %d failures"):format(logins, outcome, result.successes, result.failures));
	end
	return cpu * 1e6 / logins, result.rate, result.latency;
end

-- If a login is missing in the log, the comparison is not valid.
local function check_entries(entry, expected)
	if entry.kind == "none" then return; end
	local found = entry.prosody:eval([[
		local host = ...;
		local log = module:shared("/*/audit/log").log;
		if log and log.flush then log.flush(host, 10); end
		local store = module:context(host):open_store("audit", "archive");
		local found = 0;
		for name in store:users() do
			for _, entry in store:find(name, {}) do
				if entry.attr.type:find("^authentication%-") then found = found + 1; end
			end
		end
		return found;
	]], host);
	if found ~= expected then
		fail(("%s, %s: %d logins, but %d entries in the audit log"):format(entry.label, entry.store_label, expected, found));
	end
end

-- KiB of Lua's memory that a login takes. What it costs to collect that is a large part of the processor time of a login, and unlike
-- the time it is the same on a busy machine. Returns nil if the hand-over to the store stops and starts the collector itself.
local function garbage_of(entry, outcome, options)
	if entry.kind ~= "none" and entry.store ~= "audit" then return nil; end
	local count = "collectgarbage(); collectgarbage(); collectgarbage 'stop'; return collectgarbage 'count'";
	local before = entry.prosody:eval(count);
	drive(entry, outcome, options.logins, options.connections);
	local after = entry.prosody:eval("local count = collectgarbage 'count'; collectgarbage 'restart'; return count");
	return (after - before) / options.logins;
end

local function run_rounds(entries, options, deadline)
	for _, entry in ipairs(entries) do -- warm-up
		for _, outcome in ipairs { "success", "failure" } do
			drive(entry, outcome, math.max(options.connections, options.logins // 4), options.connections);
			entry.outcomes[outcome].garbage = garbage_of(entry, outcome, options);
		end
	end
	for round = 1, options.rounds do
		for _, outcome in ipairs { "success", "failure" } do
			for i = 1, #entries do
				-- The order changes in each round.
				local entry = entries[(i + round) % #entries + 1];
				local cpu, rate, latency = drive(entry, outcome, options.logins, options.connections);
				table.insert(entry.outcomes[outcome].cpu, cpu);
				table.insert(entry.outcomes[outcome].rate, rate);
				table.insert(entry.outcomes[outcome].latency, latency);
			end
		end
		if socket.gettime() > deadline then return round; end
	end
	return options.rounds;
end

-- Tables ---------------------------------------------------------------------------------------------------------------

local function summary(values)
	values = table.move(values, 1, #values, 1, {});
	table.sort(values);
	local middle = (#values + 1) // 2;
	local median = #values % 2 == 1 and values[middle] or (values[middle] + values[middle + 1]) / 2;
	return { median = median, min = values[1], max = values[#values] };
end

-- Round by round, so that other processes influence the share less.
local function shares_of(values, of)
	local shares = {};
	for i, value in ipairs(values) do
		shares[i] = value / of[i];
	end
	return shares;
end

local function cell(value, digits, width)
	local text = ("%%.%df (%%.%df–%%.%df)"):format(digits, digits, digits):format(value.median, value.min, value.max);
	return (" "):rep(width - utf8.len(text)) .. text;
end

local function print_table(entries)
	-- Shares are relative to the same round without an audit log.
	local line = "%-14s %-11s %-9s %22s %7s %9s %24s %6s %20s %6s %13s\n";
	io.write(line:format("audit log", "store", "outcome", "CPU a login, µs ", "ratio", "added µs", "logins a second", "share", "latency, ms",
		"ratio", "garbage, KiB"));
	io.write(("-"):rep(152), "\n");
	for _, outcome in ipairs { "success", "failure" } do
		local base = summary(entries[1].outcomes[outcome].cpu).median;
		for i, entry in ipairs(entries) do
			local of_outcome = entry.outcomes[outcome];
			local shares = i > 1 and shares_of(of_outcome.rate, entries[1].outcomes[outcome].rate);
			local slower = i > 1 and shares_of(of_outcome.latency, entries[1].outcomes[outcome].latency);
			local cpu, rate, latency = summary(of_outcome.cpu), summary(of_outcome.rate), summary(of_outcome.latency);
			io.write(line:format(entry.label, entry.store_label, outcome, cell(cpu, 0, 22),
				i > 1 and ("%.3f"):format(cpu.median / base) or "", i > 1 and ("%.0f"):format(cpu.median - base) or "", cell(rate, 0, 24),
				shares and ("%.0f %%"):format(summary(shares).median * 100) or "", cell(latency, 1, 20),
				slower and ("%.2f"):format(summary(slower).median) or "", of_outcome.garbage and ("%.1f"):format(of_outcome.garbage) or ""));
		end
	end
	print();
end

local function all_servers()
	local names = { "none" };
	for _, store in ipairs(flags.all_stores()) do
		names[#names + 1] = "ours-" .. store;
		names[#names + 1] = "plain-" .. store;
	end
	names[#names + 1] = "all-internal";
	names[#names + 1] = "all-audit";
	return names;
end

local running = {};

local function bench_series(series, names, options, deadline)
	local entries = {};
	for i, name in ipairs(names) do
		entries[i] = start(series, name, options);
		running[#running + 1] = entries[i].prosody;
	end
	local rounds = run_rounds(entries, options, deadline);
	for _, entry in ipairs(entries) do
		local drives = rounds + (entry.outcomes.success.garbage and 1 or 0);
		check_entries(entry, 2 * (drives * options.logins + math.max(options.connections, options.logins // 4)));
		entry.prosody:stop();
	end
	print(("Prosody %s, SASL PLAIN with %s, %s collector, median (lowest–highest) of %d interleaved rounds of %d logins, %d at a time"):format(
		flags.title(series), options.auth, options.gc, rounds, options.logins, options.connections));
	if rounds < options.rounds then
		print(("Stopped after %d of %d rounds: the time was over."):format(rounds, options.rounds));
	end
	if table.concat(names, " "):find("postgresql", 1, true) then
		print("PostgreSQL runs as in the tests, without fsync.");
	end
	print();
	print_table(entries);
end

local function main()
	local options = flags.parse {
		series = flags.all_series, servers = all_servers, rounds = 5, logins = 120, connections = 8, seconds = 300;
		auth = "internal_hashed", gc = "incremental";
	};
	local names = options.servers;
	if names[1] ~= "none" then
		table.insert(names, 1, "none");
	end
	local began = socket.gettime();
	for i, series in ipairs(options.series) do
		bench_series(series, names, options, began + options.seconds * i / #options.series);
	end
end

local ok, err = xpcall(main, function (err)
	return type(err) == "table" and err.message or debug.traceback(tostring(err));
end);
for _, prosody in ipairs(running) do
	if prosody:alive() then prosody:stop(); end
end
if not ok then
	io.stderr:write("bench-login: ", err, "\n");
	os.exit(1, true);
end
os.exit(0, true);
