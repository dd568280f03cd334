-- Measures the CPU time of an audit event, for the plain-Lua baseline and the native core: lua5.4 benches/bench.lua [options]
--
--   --prosody=DIR      a folder with Prosody's util/ and core/; default: the newest release of each series under
--                      target/prosody/, one after another
--   --stores=A,B       of counting, memory, internal, sqlite, audit; default: all
--   --rounds=N         rounds of each side, in turns; default 7
--   --events=N         events in a round on the counting store; default 10000 (fewer on the drivers)
--   --gc=A,B           settings of the garbage collector: prosody (what it sets by default), generational (its other mode) and
--                      lua (Lua's own default); default: all for the counting store, prosody for the drivers
--   --memory           instead: records five million events (or --events) with the core, and compares the memory of the process
--   --profile=SIDE     instead: only records --events on one side, for a profiler: plain, ours, or ours with a journal and what the
--                      row of that name has: journal, evidence, both
--
-- Evidence (audit_log_chain) needs a journal, so the rows without a journal have none. The rows with a journal say what they have.

local here = arg[0]:match("^(.*)/") or ".";
local root = here .. "/..";
local xmlns_audit = "xmpp:prosody.im/audit";
local target_ratio, memory_limit, suppressed_limit, alerts_limit = 0.25, 1.1, 3, 2;
-- What the rows with a journal have. The target: the CPU time of an event until audit() returns, journal included, as a fraction of
-- that of plain Lua on a counting store.
local with_journal = {
	{ name = "journal", says = "without either", chain = false, alerts = false, target = 0.15 };
	{ name = "evidence", says = "with evidence", chain = true, alerts = false };
	{ name = "both", says = "with evidence and alerts", chain = true, alerts = true, target = 0.22 };
};
-- The most that the link of an entry may cost, in µs.
local link_limit = 2;

local function fail(message)
	io.stderr:write("bench: ", message, "\n");
	os.exit(1);
end

local options = dofile(here .. "/flags.lua").parse {
	prosody = "", stores = { "counting", "memory", "internal", "sqlite", "audit" }, rounds = 7, events = 0, gc = {}, memory = false, profile = "";
};

-- The number of events, with the default of a mode.
local function events_or(default)
	return options.events > 0 and options.events or default;
end

local function lines_of(command)
	local lines = {};
	local pipe = assert(io.popen(command));
	for line in pipe:lines() do
		lines[#lines + 1] = line;
	end
	pipe:close();
	return lines;
end

local function quoted(text)
	return "'" .. text:gsub("'", "'\\''") .. "'";
end

-- Two series can't share a process: each is measured in a process of its own.
local function run_each_series()
	local sources = lines_of("ls -d " .. quoted(root) .. "/target/prosody/[0-9]*/usr/lib/prosody 2>/dev/null");
	if #sources == 0 then
		fail("no Prosody under target/prosody/: run tools/setup, or say --prosody=DIR");
	end
	-- The newest release of each series.
	local newest, kept = {}, {};
	for _, source in ipairs(sources) do
		newest[source:match("/([^/]*)%-newest/usr/lib/prosody$") or ""] = true;
	end
	for _, source in ipairs(sources) do
		if not newest[source:match("/([^/]*)/usr/lib/prosody$")] then kept[#kept + 1] = source; end
	end
	sources = kept;
	if options.memory or options.profile ~= "" then
		sources = { sources[#sources] };
	end
	for _, source in ipairs(sources) do
		local command = { quoted(arg[-1]), quoted(arg[0]), quoted("--prosody=" .. source) };
		for i = 1, #arg do
			command[#command + 1] = quoted(arg[i]);
		end
		if not os.execute(table.concat(command, " ")) then os.exit(1); end
	end
	os.exit(0);
end

if options.prosody == "" then run_each_series(); end

package.path = root .. "/spec/?.lua;" .. package.path;
local scratch = require "support.process".new_folder("bench");

local function finish(status)
	os.execute("rm -rf " .. quoted(scratch));
	os.exit(status, true);
end

-- A copy of the library, so that a build during the run does not change it.
local library = root .. "/target/lua" .. _VERSION:match("%d.%d") .. "/audit_core.so";
if not os.execute(("cp %s %s"):format(quoted(library), quoted(scratch))) then
	io.stderr:write("bench: no library at ", library, ": run make first\n");
	finish(1);
end
package.cpath = scratch .. "/?.so;" .. package.cpath;
local prosody = dofile(here .. "/prosody.lua").load(options.prosody, scratch, root .. "/lua;" .. here .. "/modules");
local st = require "util.stanza";
local now = require "util.time".now;
local plain_audit = dofile(here .. "/plain_audit.lua");
local audit_core = require "audit_core";

-- Settings of the garbage collector. With Prosody's default a cycle begins when memory has grown by 5 %: then most of the cost of a
-- table is marking and sweeping other objects.
local collectors = {
	prosody = { "incremental", 105, 500 };
	generational = { "generational", 20, 50 };
	lua = { "incremental", 200, 100 };
};

local function set_collector(name)
	collectgarbage(table.unpack(collectors[name]));
end

-- Events ---------------------------------------------------------------------------------------------------------------

local failure_text = "Unable to authorize you with the authentication credentials you've sent.";

-- As many sessions as a busy server has within minutes, each with an address of its own: caching the last one does not help an
-- implementation.
local n_sessions = 500;
local sessions = {};
for i = 1, n_sessions do
	sessions[i] = {
		id = ("c2s55904800%04x"):format(i * 16), type = "c2s_unauthed", user = ("user%d@example.com"):format(i);
		ip = ("203.0.%d.%d"):format(i // 200, i % 200 + 1), client_id = ("d4565fa7-4d72-4749-b3d3-740edb%06x"):format(i);
	};
end

-- How a module makes details, with the functions of each side.
local details = {
	plain = {
		failure = function ()
			return { st.stanza("authentication", { xmlns = xmlns_audit, mechanism = "SCRAM-SHA-1", condition = "not-authorized" })
				:text(failure_text) };
		end;
		success = function ()
			return { st.stanza("authentication", { xmlns = xmlns_audit, mechanism = "SCRAM-SHA-1" }) };
		end;
		registered = function ()
			return { st.stanza("invite-used", { xmlns = xmlns_audit, token = "mYyV1EZ6vDGnFR3mDqH9e1eS" }) };
		end;
		host_wide = function ()
			return { st.stanza("note", { xmlns = xmlns_audit }):text("Received SIGTERM") };
		end;
	};
	ours = {
		failure = function ()
			return { audit_core.detail("authentication", { mechanism = "SCRAM-SHA-1", condition = "not-authorized" }, failure_text) };
		end;
		success = function ()
			return { audit_core.detail("authentication", { mechanism = "SCRAM-SHA-1" }) };
		end;
		registered = function ()
			return { audit_core.detail("invite-used", { token = "mYyV1EZ6vDGnFR3mDqH9e1eS" }) };
		end;
		host_wide = function ()
			return { audit_core.detail("note", nil, "Received SIGTERM") };
		end;
	};
	least = {
		failure = function ()
			local attr = { xmlns = xmlns_audit, mechanism = "SCRAM-SHA-1", condition = "not-authorized" };
			return { setmetatable({ name = "authentication", attr = attr, tags = {}, failure_text }, st.stanza_mt) };
		end;
		success = function ()
			local attr = { xmlns = xmlns_audit, mechanism = "SCRAM-SHA-1" };
			return { setmetatable({ name = "authentication", attr = attr, tags = {} }, st.stanza_mt) };
		end;
		registered = function ()
			local attr = { xmlns = xmlns_audit, token = "mYyV1EZ6vDGnFR3mDqH9e1eS" };
			return { setmetatable({ name = "invite-used", attr = attr, tags = {} }, st.stanza_mt) };
		end;
		host_wide = function ()
			return { setmetatable({ name = "note", attr = { xmlns = xmlns_audit }, tags = {}, "Received SIGTERM" }, st.stanza_mt) };
		end;
	};
	none = setmetatable({}, { __index = function () return function () return nil; end; end });
};

local function events_with(detail)
	local failure, success, registered, host_wide = detail.failure, detail.success, detail.registered, detail.host_wide;
	return {
		["authentication-failure"] = function (audit, host, session)
			return audit(host, session.user, "mod_audit_auth", "authentication-failure", { session = session, custom = failure() });
		end;
		["authentication-success"] = function (audit, host, session)
			return audit(host, session.user, "mod_audit_auth", "authentication-success", { session = session, custom = success() });
		end;
		["user-registered"] = function (audit, host, session)
			return audit(host, session.user, "mod_audit_register", "user-registered", { session = session, custom = registered() });
		end;
		["host-wide, no session"] = function (audit, host)
			return audit(host, nil, "mod_audit_status", "server-stopped", { custom = host_wide() });
		end;
	};
end

-- Ten typical events.
local mix = {
	"authentication-failure", "authentication-success", "authentication-failure", "authentication-success", "user-registered",
	"authentication-failure", "authentication-success", "authentication-failure", "authentication-success", "host-wide, no session",
};

local function cycle(events, names)
	local list = {};
	for i, name in ipairs(names) do
		list[i] = events[name];
	end
	return list;
end

-- Sides ----------------------------------------------------------------------------------------------------------------

-- Counts entries, and keeps only the last one: a store must return what it took.
local function new_counting_store()
	local function nothing() return function () return nil; end; end
	return {
		count = 0, caps = { total = true };
		append = function (self, user, _, value, when)
			self.count = self.count + 1;
			self.user, self.value, self.when = user, value, when;
			return "key";
		end;
		find = function (self, user)
			local value = user == self.user and self.value or nil;
			return function ()
				local found = value;
				value = nil;
				if found then return "key", found, self.when; end
			end;
		end;
		delete = function () return true; end;
		users = nothing;
	};
end

local function environment_with(open)
	return {
		get_option = function () return nil; end;
		open_store = open;
		log = function (level, message) io.stderr:write(level, ": ", message, "\n"); end;
		now = now;
		stanza_mt = st.stanza_mt;
	};
end

-- The minimum: makes the tables of an entry without checking their contents, and appends it.
local function new_least(environment)
	local store, stanza_mt, attr_id = environment.open_store(), environment.stanza_mt, xmlns_audit .. "\1id";
	local partition, when = "@events." .. os.date("!%Y-%m-%d"), os.time();
	local n = 0;

	local function element(name, text)
		return setmetatable({ name = name, attr = {}, tags = {}, text }, stanza_mt);
	end

	return {
		audit = function (_, user, source, event_type, extra)
			local session, detail = extra.session, extra.custom and extra.custom[1];
			n = n + 1;
			local attr = { source = source, type = event_type, user = user, [attr_id] = "06b05bf5-92c1-7468-b28f-" .. n };
			local entry;
			if session then
				local ip, client = element("remote-ip", session.ip), element("client", session.client_id);
				local described = setmetatable({
					name = "session", attr = { xmlns = xmlns_audit, id = session.id, type = session.type }, tags = { ip, client }, ip, client;
				}, stanza_mt);
				entry = { name = "audit-event", attr = attr, tags = { described, detail }, described, detail };
			else
				entry = { name = "audit-event", attr = attr, tags = { detail }, detail };
			end
			return store:append(partition, nil, setmetatable(entry, stanza_mt), when, user or "@");
		end;
	};
end

local sides = { plain = plain_audit.new, ours = audit_core.new, least = new_least };

-- Rounds ---------------------------------------------------------------------------------------------------------------

-- Returns µs of CPU for each event.
local function drive(audit, host, events, n)
	collectgarbage();
	local n_events = #events;
	local started = os.clock();
	for i = 1, n do
		if not events[i % n_events + 1](audit, host, sessions[i % n_sessions + 1]) then
			error("an event was not stored");
		end
	end
	return (os.clock() - started) * 1e6 / n;
end

local function summary(values)
	table.sort(values);
	local middle = (#values + 1) // 2;
	local median = #values % 2 == 1 and values[middle] or (values[middle] + values[middle + 1]) / 2;
	return { median = median, min = values[1], max = values[#values] };
end

-- The same for a log with a journal. Entries are handed over between slices of events, and that time is not counted. Garbage of the
-- hand-over that is collected within a slice of events does count, unless `sweeps`.
local function drive_journaled(log, host, events, n, sweeps)
	local slice, spent = 200, 0;
	collectgarbage();
	local n_events, audit = #events, log.audit;
	for from = 1, n, slice do
		local started = os.clock();
		for i = from, math.min(n, from + slice - 1) do
			if not events[i % n_events + 1](audit, host, sessions[i % n_sessions + 1]) then
				error("an event was not stored");
			end
		end
		spent = spent + os.clock() - started;
		if log.flush then log.flush(host, 60); end
		if sweeps then collectgarbage(); end
	end
	return spent * 1e6 / n;
end

local function wipe(store)
	for _, class in ipairs { "events", "failures" } do
		for _, suffix in ipairs { "", ".2", ".3" } do
			for ago = 0, 86400, 86400 do
				store:delete("@" .. class .. "." .. os.date("!%Y-%m-%d", os.time() - ago) .. suffix);
			end
		end
	end
end

-- Runs the timers of a log, which hand over its entries.
local function put_off() end

-- One of our logs with a journal: of what it has `has` tells, see with_journal.
local function journaled_log(store, host, has)
	local environment = environment_with(function () return store; end);
	environment.schedule = put_off;
	environment.get_option = function (_, name)
		-- Without flood control, as the rows without a journal: it would only count most of so many events.
		if name == "audit_log_flood" then return false; end
		if name == "audit_log_chain" then return has.chain; end
	end;
	environment.journal_path = function () return scratch .. "/journal-" .. host .. "/audit"; end;
	local log = audit_core.new(environment);
	if has.alerts then log.alerts.start(host); end
	return log;
end

-- The runs of a comparison: { name =, side =, has = | nil: no journal }.
local function runs_of(journaled)
	if not journaled then
		return { { name = "least", side = "least" }, { name = "plain", side = "plain" }, { name = "ours", side = "ours" } };
	end
	local runs = { { name = "plain", side = "plain" } };
	for _, has in ipairs(with_journal) do
		runs[#runs + 1] = { name = has.name, side = "ours", has = has };
	end
	return runs;
end

-- Returns the times of each run by its name, and with them the list of the rounds as they were.
local function compare(kind, n, events_of, journaled, sweeps)
	local runs = runs_of(journaled);
	for _, run in ipairs(runs) do
		local host = run.name .. ".example";
		local store, events = kind.open(host), events_of[run.side];
		run.values, run.store = {}, store;
		run.log = run.has and journaled_log(store, host, run.has) or sides[run.side](environment_with(function () return store; end));
		function run.once(count)
			wipe(store);
			-- The first append to an empty store reads the size of the store.
			drive(run.log.audit, host, events, #mix);
			return (journaled and drive_journaled or drive)(journaled and run.log or run.log.audit, host, events, count, sweeps);
		end
	end
	for _, run in ipairs(runs) do -- warm-up
		run.once(math.max(#mix, n // 4));
	end
	for round = 1, options.rounds do
		for i = 1, #runs do
			-- The order changes in each round, so that no side always follows the same one.
			local run = runs[(i + round) % #runs + 1];
			run.values[#run.values + 1] = run.once(n);
		end
	end
	local result = { least = { median = 0 } };
	for _, run in ipairs(runs) do
		if run.log.close then run.log.close(); end
		wipe(run.store);
		local rounds = table.move(run.values, 1, #run.values, 1, {});
		result[run.name] = summary(run.values);
		result[run.name].rounds = rounds;
	end
	return result;
end

-- Tables ---------------------------------------------------------------------------------------------------------------

local columns = "%-10s %-26s %-14s %7s  %-22s  %-22s  %s\n";

local function padded(text, width)
	return text .. (" "):rep(width - utf8.len(text));
end

local function cell(value)
	return padded(("%6.2f (%.2f–%.2f)"):format(value.median, value.min, value.max), 22);
end

local function print_heading()
	io.write(columns:format("store", "events", "garbage coll.", "least", padded("plain Lua", 22), padded("audit_core", 22), "ratio"));
	io.write(("-"):rep(114), "\n");
end

local function print_row(store, label, collector, result)
	io.write(columns:format(store, label, collector, ("%.2f"):format(result.least.median), cell(result.plain), cell(result.ours),
		("%.3f"):format(result.ours.median / result.plain.median)));
	io.stdout:flush();
end

local function machine()
	local cpu = lines_of("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1")[1] or "unknown processor";
	local lua = lines_of(quoted(arg[-1]) .. " -v 2>&1")[1]:match("^Lua [%d.]+") or _VERSION;
	return ("%s, Prosody %s, %s"):format(lua, prosody.version, cpu);
end

-- Modes ----------------------------------------------------------------------------------------------------------------

local function check_names(list, known, what)
	for _, name in ipairs(list) do
		if not known[name] then
			io.stderr:write("bench: unknown ", what, " ", name, "\n");
			finish(1);
		end
	end
	return list;
end

-- A failed login that flood control only counts, and the same in plain Lua, which stores it. Measured from Prosody's event on, with
-- the modules' own handlers.
local function bench_suppressed()
	local store = new_counting_store();
	local plain = prosody.load_module("plain.modules.example", "audit_plain", store);
	local our_host = "ours.modules.example";
	local ours = prosody.load_module(our_host, "audit_auth", new_counting_store());
	local watched_host = "watched.modules.example";
	local watched = prosody.load_module(watched_host, "audit_auth", new_counting_store());
	local log = require "core.modulemanager".get_module("*", "audit").module:shared("log").log;
	log.alerts.start(watched_host);
	print("\nA failed login that flood control counts, from Prosody's event on, µs of CPU:");
	local worst, dearest = 0, 0;
	for _, row in ipairs { { "of one account and address", 1 }, { "of 500 accounts and addresses", 500 }, { "of 50,000", 50000 } } do
		local label, n_failures = row[1], row[2];
		local failures = {};
		for i = 1, n_failures do
			failures[i] = {
				session = {
					id = ("c2s55904800%04x"):format(i * 16), type = "c2s_unauthed"; sasl_handler = { username = "user" .. i, selected = "PLAIN" };
					ip = ("%d.%d.%d.7"):format(11 + i // 62500, i // 250 % 250, i % 250);
				};
				condition = "not-authorized", text = failure_text;
			};
		end
		local function once(events, n)
			collectgarbage();
			local fire = events.fire_event;
			local started = os.clock();
			for i = 1, n do
				fire("authentication-failure", failures[i % n_failures + 1]);
			end
			return (os.clock() - started) * 1e6 / n;
		end
		-- Until flood control only counts them.
		once(ours, 6 * n_failures);
		once(watched, 6 * n_failures);
		local values = { plain = {}, ours = {}, watched = {} };
		for round = 1, options.rounds do
			values.ours[round] = once(ours, 100000);
			values.watched[round] = once(watched, 100000);
			values.plain[round] = once(plain, 10000);
		end
		local result = { plain = summary(values.plain), ours = summary(values.ours), watched = summary(values.watched) };
		dearest = math.max(dearest, result.watched.median - result.ours.median);
		worst = math.max(worst, result.ours.median);
		io.write(("  %-32s plain Lua %s  audit_core %s  ratio %.3f\n"):format(label, cell(result.plain), cell(result.ours),
			result.ours.median / result.plain.median));
		io.write(("  %-32s with alerts %s\n"):format("", cell(result.watched)));
	end
	print(("Alerts cost %.2f µs of a suppressed failure (limit: %.2f, %s)"):format(dearest, alerts_limit,
		dearest <= alerts_limit and "kept" or "MISSED"));
	if store.count == 0 then error("the plain side stored nothing"); end
	-- The first few went to the journal.
	local entries = log.state(our_host).waiting;
	if entries == 0 or entries > 1000 then error(("flood control let %d entries through"):format(entries)); end
	return ("A suppressed failure costs %.2f µs (limit: %.2f, %s)"):format(worst, suppressed_limit, worst <= suppressed_limit and "kept" or "MISSED");
end

local function bench()
	local kinds = { counting = { share = 1, open = new_counting_store, collectors = { "prosody", "generational", "lua" } } };
	for _, driver in ipairs { "memory", "internal" } do
		kinds[driver] = { share = 0.1, collectors = { "prosody" }, open = function (host)
			return prosody.open_store(driver .. "-" .. host, driver, { storage_archive_item_limit = 1000000 });
		end };
	end
	kinds.sqlite = { share = 0.01, collectors = { "prosody" }, open = function (host)
		return prosody.open_store("sqlite-" .. host, "sql", { sql = { driver = "SQLite3", database = host .. ".sqlite" } });
	end };
	kinds.audit = { share = 0.1, collectors = { "prosody" }, open = function (host)
		return prosody.open_store("native-" .. host, "audit", {});
	end };
	local stores = check_names(options.stores, kinds, "store");
	local chosen = check_names(options.gc, collectors, "setting of the garbage collector");

	print("An audit event, µs of CPU: median (lowest–highest) of " .. options.rounds .. " interleaved rounds");
	print(machine());
	print("least: only the tables of an entry, unchecked, and the store\n");
	print_heading();

	local verdicts = {};
	for _, name in ipairs(stores) do
		local kind = kinds[name];
		local n = math.max(#mix, math.floor(events_or(10000) * kind.share));
		for _, collector in ipairs(#chosen > 0 and chosen or kind.collectors) do
			set_collector(collector);
			local function row(label, names, with_details)
				local events = {};
				for side in pairs(sides) do
					events[side] = cycle(events_with(with_details and details[side] or details.none), names);
				end
				local result = compare(kind, n, events);
				print_row(name, label, collector, result);
				return result.ours.median / result.plain.median;
			end
			local ratio, bare = row("a server's mix", mix, true), row("the mix, no details", mix, false);
			if name == "counting" then
				for _, event in ipairs { "authentication-failure", "authentication-success", "user-registered", "host-wide, no session" } do
					row("  " .. event, { event }, true);
				end
				verdicts[#verdicts + 1] = ("With garbage collection as %s: %.3f of the plain-Lua CPU, %.3f without details (target: at most %.2f, %s)")
					:format(collector, ratio, bare, target_ratio, math.max(ratio, bare) <= target_ratio and "kept" or "MISSED");
			end
		end
	end
	if kinds[stores[1]] == kinds.counting then
		set_collector("prosody");
		print("\nThe same until audit() returns, with the journal: the entries wait in its file");
		print("With evidence, as it is by default, each entry is linked to the one before. The rows above have no evidence.");
		local worst, link = {}, {};
		for _, row in ipairs { { "a server's mix", true }, { "the mix, no details", false } } do
			local label, with_details = row[1], row[2];
			local events = {};
			for side in pairs(sides) do
				events[side] = cycle(events_with(with_details and details[side] or details.none), mix);
			end
			local result = compare(kinds.counting, events_or(10000), events, true);
			for _, has in ipairs(with_journal) do
				local ours = result[has.name];
				print_row("journal", has.name == "journal" and label or "  "..has.says, "prosody", { least = result.least, plain = result.plain, ours = ours });
				worst[has.name] = math.max(worst[has.name] or 0, ours.median / result.plain.median);
			end
			-- A store that takes stanzas leaves the garbage of one more element behind. That is no part of making the link.
			local swept, added = compare(kinds.counting, events_or(10000), events, true, true), {};
			for round, with in ipairs(swept.evidence.rounds) do
				added[round] = with - swept.journal.rounds[round];
			end
			link[#link + 1] = summary(added);
			io.write(("%-10s %-26s %s\n"):format("", "  the link of an entry", cell(link[#link])));
		end
		for _, has in ipairs(with_journal) do
			local target = has.target and ("target: at most %.2f, %s"):format(has.target, worst[has.name] <= has.target and "kept" or "MISSED");
			verdicts[#verdicts + 1] = ("With the journal, %s: at most %.3f of the plain-Lua CPU (%s)")
				:format(has.says, worst[has.name], target or "the default");
		end
		verdicts[#verdicts + 1] = ("A link costs %.2f µs, %.2f µs without details (limit: %.2f, %s)"):format(link[1].median, link[2].median,
			link_limit, math.max(link[1].median, link[2].median) <= link_limit and "kept" or "MISSED");
		verdicts[#verdicts + 1] = bench_suppressed();
	end
	print();
	for _, verdict in ipairs(verdicts) do
		print(verdict);
	end
	print();
end

local function resident_kib()
	local file = assert(io.open("/proc/self/statm"));
	local pages = tonumber(file:read("a"):match("^%d+ (%d+)"));
	file:close();
	return pages * tonumber(lines_of("getconf PAGESIZE")[1]) // 1024;
end

-- Everything that an outsider can choose is different in each event, and the clock advances by a second.
local function memory()
	local total, early = events_or(5000000), 100000;
	local store, clock = new_counting_store(), os.time();
	local environment = environment_with(function () return store; end);
	environment.now = function () return clock; end;
	local log = audit_core.new(environment);
	local first;
	print(machine());
	for i = 1, total do
		clock = clock + 1;
		local session_now = {
			id = ("c2s%x"):format(i), type = "c2s_unauthed", client_id = "client-" .. i;
			ip = ("%d.%d.%d.%d"):format(i >> 24 & 0xff, i >> 16 & 0xff, i >> 8 & 0xff, i & 0xff);
		};
		local id = log.audit("example.com", "user" .. i .. "@example.com", "mod_audit_auth", "authentication-failure", {
			session = session_now;
			custom = { audit_core.detail("authentication", { mechanism = "PLAIN", condition = "not-authorized" }, failure_text) };
		});
		if not id then error("an event was not stored"); end
		if i == early then
			collectgarbage();
			first = resident_kib();
			print(("after %9d events: %7d KiB resident"):format(i, first));
		end
	end
	assert(store.count == total, "the store did not get every event");
	collectgarbage();
	local last = resident_kib();
	print(("after %9d events: %7d KiB resident, %.3f times as much (limit: %.2f)"):format(total, last, last / first, memory_limit));
	return last / first <= memory_limit and 0 or 1;
end

local function profile()
	local side = options.profile;
	local store, n = new_counting_store(), events_or(1000000);
	for _, has in ipairs(with_journal) do
		if has.name == side then
			local log = journaled_log(store, "example.com", has);
			print(("%s: %.2f µs an event"):format(side, drive_journaled(log, "example.com", cycle(events_with(details.ours), mix), n)));
			return;
		end
	end
	local log = sides[side](environment_with(function () return store; end));
	print(("%s: %.2f µs an event"):format(side, drive(log.audit, "example.com", cycle(events_with(details[side]), mix), n)));
end

local function main()
	set_collector(collectors[options.gc[1]] and options.gc[1] or "prosody");
	if options.memory then return memory(); end
	if options.profile ~= "" then return profile(); end
	return bench();
end

local ok, status = xpcall(main, debug.traceback);
if not ok then
	io.stderr:write(tostring(status), "\n");
end
finish(ok and (status or 0) or 1);
