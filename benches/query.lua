-- Measures reading a month's log of a million entries, with the core and in plain Lua: lua5.4 benches/query.lua [options]
--
--   --entries=N        how many entries; default 1000000
--   --stores=A,B       of internal, sqlite, audit, postgresql; default: all that are installed
--   --series=S         the series of Prosody whose libraries are used; default: the newest
--   --questions=A,B    of user, network, type, stats, export, report; default: all
--   --rounds=N         how often each query runs; the fastest counts; default 3 (export and report: once)
--
-- Each query runs in a process of its own, with the garbage collector's settings of prosodyctl. The time is that of the reading,
-- without the start of the process; the memory is the most that the process used. "Plain" is what an operator would write with
-- store:find and util.stanza. "Server" is ours with the pauses of a reading inside a server, and how long it held the loop at most. The
-- logs are made once and kept under target/bench-query/.

local here = arg[0]:match("^(.*)/") or ".";
local root = here.."/..";
package.path = root.."/spec/?.lua;"..package.path;

local json = require "dkjson";
local process = require "support.process";

local figures, flags, run = dofile(here.."/figures.lua"), dofile(here.."/flags.lua"), dofile(here.."/run.lua");
local options = flags.parse {
	entries = 1000000, stores = flags.all_drivers, series = "", questions = { "user", "network", "type", "stats", "export", "report" }, rounds = 3;
	-- For the processes that this one starts.
	folder = "", store = "", side = "", question = "";
};

local host = "example.com";
local noon = 1795521600; -- 2026-11-24 12:00 UTC, when the last entry was written
local quote = process.quote;

local questions = {
	user = { "--user", "user400", "--limit", "50"; says = "the newest 50 of one user" };
	network = { "--ip", "198.51.100.0/24", "--limit", "50"; says = "the newest 50 of one network, seen last five days ago" };
	type = { "--type", "authentication-failure", "--since", "2026-11-20", "--until", "2026-11-21", "--limit", "50";
		says = "the newest 50 of one type in a day" };
	stats = { "--stats", "--since", "7d"; says = "the statistics of a week" };
	export = { "--format", "json"; says = "everything as JSON Lines", once = true };
	report = { "--report", "/dev/null"; says = "a page of everything", once = true, only_ours = true };
};

local function open_store(folder, store)
	local source = ("%s/target/prosody/%s/usr/lib/prosody"):format(root, options.series);
	local prosody = dofile(here.."/prosody.lua").load(source, folder, root.."/lua");
	local storage = { sql = json.decode(process.read(folder.."/sql.json") or "null") };
	return prosody.open_store(host, (store == "internal" or store == "audit") and store or "sql", storage);
end

-- Plain Lua ------------------------------------------------------------------------------------------------------------

-- The days of the log, newest first, each with its partitions.
local function days_of(store)
	local days, by_day = {}, {};
	for name in store:users() do
		local day = name:match("^@%l+%.(%d+%-%d+%-%d+)");
		if day then
			if not by_day[day] then
				by_day[day] = { day = day };
				table.insert(days, by_day[day]);
			end
			table.insert(by_day[day], name);
		end
	end
	table.sort(days, function (a, b) return a.day > b.day; end);
	return days;
end

-- Calls take(stanza, when, with) for matching entries, newest first within a partition, and ends after the day in which `limit` was
-- reached: the newest entries of a day may be in any of its partitions.
local function plain_scan(store, query, fits, limit, take)
	for _, day in ipairs(days_of(store)) do
		if (not query.from or day.day >= query.from) and (not query.to or day.day < query.to) then
			local found = 0;
			for _, partition in ipairs(day) do
				local in_partition = 0;
				local rows = store:find(partition, { reverse = true, with = query.with });
				for _, stanza, when, with in rows or function () end do
					if fits(stanza, when) then
						take(stanza, when, with);
						in_partition = in_partition + 1;
						if limit and in_partition >= limit then break; end
					end
				end
				found = found + in_partition;
			end
			if limit then
				limit = limit - found;
				if limit <= 0 then break; end
			end
		end
	end
end

local function newest(store, query, fits)
	local found = {};
	plain_scan(store, query, fits, 50, function (stanza, when) found[#found + 1] = { when = when, text = tostring(stanza) }; end);
	table.sort(found, function (a, b) return a.when > b.when; end);
	return math.min(#found, 50);
end

local function session_of(stanza)
	return stanza:get_child("session", "xmpp:prosody.im/audit");
end

local plain = {};

function plain.user(store)
	return newest(store, { with = "user400@"..host }, function () return true; end);
end

function plain.network(store)
	local ip = require "util.ip";
	local network, bits = ip.parse_cidr("198.51.100.0/24");
	return newest(store, {}, function (stanza)
		local session = session_of(stanza);
		local address = session and session:get_child_text("remote-ip");
		return address and ip.match(ip.new_ip(address), network, bits);
	end);
end

function plain.type(store)
	return newest(store, { from = "2026-11-20", to = "2026-11-21" }, function (stanza)
		return stanza.attr.type == "authentication-failure";
	end);
end

function plain.stats(store)
	local since, count = noon - 7 * 86400, 0;
	local totals = { types = {}, users = {}, networks = {}, countries = {}, days = {} };
	local function add(name, value)
		totals[name][value] = (totals[name][value] or 0) + 1;
	end
	plain_scan(store, { from = os.date("!%Y-%m-%d", since) }, function (_, when) return when >= since; end, nil, function (stanza, when)
		count = count + 1;
		add("types", stanza.attr.type);
		add("days", when // 86400);
		if stanza.attr.user then add("users", stanza.attr.user); end
		local session = session_of(stanza);
		if session then
			add("networks", session:get_child_text("remote-ip"):match("^(.*)%."));
			add("countries", session:get_child("location").attr.country);
		end
	end);
	return count;
end

function plain.export(store)
	local encode, datetime = require "util.json".encode, require "util.datetime".datetime;
	local out, count = assert(io.open("/dev/null", "w")), 0;
	plain_scan(store, {}, function () return true; end, nil, function (stanza, when)
		local session = session_of(stanza);
		local location = session and session:get_child("location");
		local object = {
			schema = 1, id = stanza.attr["xmpp:prosody.im/audit\1id"], time = datetime(when), host = host, type = stanza.attr.type;
			user = stanza.attr.user, source = stanza.attr.source, ["session.id"] = session and session.attr.id;
			["session.type"] = session and session.attr.type, ip = session and session:get_child_text("remote-ip");
			country = location and location.attr.country, continent = location and location.attr.continent;
			client = session and session:get_child_text("client");
		};
		for _, detail in ipairs(stanza.tags) do
			if detail.name ~= "session" then
				for name, value in pairs(detail.attr) do
					if name ~= "xmlns" then object[detail.name.."."..name] = value; end
				end
				local text = detail:get_text();
				if text ~= "" then object[detail.name..".text"] = text; end
			end
		end
		out:write(encode(object), "\n");
		count = count + 1;
	end);
	return count;
end

-- Ours -----------------------------------------------------------------------------------------------------------------

-- With `pause`, as inside a server.
local function ours(store, question, pause)
	local core = require "audit_core";
	local clock = require "util.time".now;
	local begin = clock();
	local function now() return noon + clock() - begin; end
	local log = core.new {
		stanza_mt = require "util.stanza".stanza_mt;
		open_store = function () return store; end;
		get_option = function (_, name) return ({ audit_log_expires_after = "never", audit_log_location = false })[name]; end;
		log = function (_, message) io.stderr:write(message, "\n"); end;
		now = now;
	};
	local arguments = { "--utc", host };
	table.move(questions[question], 1, #questions[question], #arguments + 1, arguments);
	local command, problem = core.command(arguments, noon);
	assert(command, problem);
	local out = assert(io.open("/dev/null", "w"));
	local result = log.read(command.asked, function (text) out:write(text); return true; end, { width = 120, pause = pause });
	assert(not result.problem, result.problem);
	assert(result.damaged == 0);
	return result.shown;
end

if options.side ~= "" then
	package.cpath = ("%s/target/lua5.4/?.so;%s"):format(root, package.cpath);
	local store = open_store(options.folder, options.store);
	if options.side == "generate" then
		local generate = dofile(here.."/generate.lua");
		generate(store, options.entries, noon);
		os.exit(0, true);
	end
	local clock = require "util.time".now;
	local result = { seconds = math.huge };
	for _ = 1, questions[options.question].once and 1 or options.rounds do
		local began, spent = clock(), figures.processor_time("self");
		if options.side == "plain" then
			result.entries = plain[options.question](store);
		elseif options.side == "server" then
			local since, longest = clock(), 0;
			local function pause()
				longest = math.max(longest, clock() - since);
				since = clock();
			end
			result.entries = ours(store, options.question, pause);
			pause();
			result.held = math.min(result.held or math.huge, longest);
		else
			result.entries = ours(store, options.question);
		end
		local seconds = clock() - began;
		if seconds < result.seconds then
			result.seconds, result.cpu = seconds, figures.processor_time("self") - spent;
		end
	end
	result.memory = figures.memory("self", "VmHWM");
	print(json.encode(result));
	os.exit(0, true);
end

-- The process that asks the others -------------------------------------------------------------------------------------

if options.series == "" then
	local all = flags.all_series();
	options.series = all[#all];
end

local function child(folder, store, side, question)
	return run.child {
		folder = folder, store = store, side = side, question = question, series = options.series, entries = options.entries, rounds = options.rounds;
	};
end

local kept = process.target.."/bench-query";

local function make(store)
	local folder = ("%s/%s-%s-%d"):format(kept, options.series, store, options.entries);
	if store == "postgresql" then
		folder = process.new_folder("benchquery");
	elseif process.read(folder.."/done") then
		return folder;
	end
	process.run(("rm -rf %s && mkdir -p %s"):format(quote(folder), quote(folder)));
	if store == "sqlite" then
		process.write(folder.."/sql.json", json.encode { driver = "SQLite3", database = folder.."/log.sqlite" });
	elseif store == "postgresql" then
		process.write(folder.."/sql.json", json.encode(require "support.postgres".shared():database()));
	end
	io.stderr:write(("making %d entries on %s …\n"):format(options.entries, store));
	child(folder, store, "generate", "-");
	process.write(folder.."/done", "");
	return folder;
end

local function main()
	print(("%d entries in 28 days, with the libraries of Prosody %s; the fastest of %d rounds"):format(
		options.entries, flags.title(options.series), options.rounds));
	for _, store in ipairs(options.stores) do
		local folder = make(store);
		print(("\n%-58s %-6s %9s %9s %9s %8s %12s %8s"):format(store, "", "wall s", "CPU s", "entries", "MiB", "entries/s", "held ms"));
		for _, question in ipairs(options.questions) do
			local all = questions[question].once and { "ours", "plain" } or { "ours", "server", "plain" };
			for _, side in ipairs(questions[question].only_ours and { "ours" } or all) do
				local result = assert(json.decode(child(folder, store, side, question)));
				local says = side == "ours" and questions[question].says or "";
				local speed = result.entries > 50 and ("%.0f"):format(result.entries / result.seconds) or "";
				local held = result.held and ("%.1f"):format(result.held * 1000) or "";
				print(("%-58s %-6s %9.3f %9.3f %9d %8.1f %12s %8s"):format(says, side, result.seconds, result.cpu, result.entries, result.memory,
					speed, held));
				io.stdout:flush();
			end
		end
	end
end

local ok, err = pcall(main);
if package.loaded["support.postgres"] then
	pcall(function () require "support.postgres".shared():stop(); end);
end
if not ok then
	io.stderr:write("query: ", tostring(err), "\n");
end
os.exit(ok, true);
