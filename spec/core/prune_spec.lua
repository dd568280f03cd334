-- What is removed from a log, when, and that nothing else is, whatever happens on the way.

local core = require "audit_core";
local st = require "util.stanza";
local support = require "support.log";

local noon, day = support.noon, 86400;
local unpack = table.unpack or unpack; -- luacheck: ignore 113
local NAMESPACE = "xmpp:prosody.im/audit";
local host = "example.com";

-- A log at noon, on a store of a kind.
local function new_log(options, kind, journal, store)
	local log = support.new(options, store or support.new_store(nil, kind), journal);
	log.time = noon;
	return log;
end

local function entry(event_type, ip)
	local stanza = st.stanza("audit-event", { type = event_type, source = "mod_test" });
	if ip then
		stanza:tag("session", { xmlns = NAMESPACE }):text_tag("remote-ip", ip):tag("location", { country = "DE" }):up():up();
	end
	return stanza;
end

local function name_of(class, time)
	return "@"..class..os.date("!.%Y-%m-%d", time);
end

-- Entries of a type can't be read from a store any more, until the function that this gives is called.
local function damage(store, event_type)
	local find = store.find;
	function store.find(...)
		local rows = find(...);
		return function ()
			local key, value, when, with = rows();
			if value and value.attr.type == event_type then error("not well-formed"); end
			return key, value, when, with;
		end
	end
	return function () store.find = find; end
end

-- What pruning says that it did, in order.
local function done(log, wish)
	local results, problem = log.log.prune(host, wish);
	assert.is_nil(problem);
	local lines = {};
	for i, result in ipairs(results) do
		lines[i] = ("%s %s %d in %d"):format(result.class, result.reason, result.count, result.partitions);
	end
	return table.concat(lines, ", "), results;
end

-- Types of what is shown, each once, in order; those of the log itself are left out.
local function shown(log)
	local types, seen = {}, {};
	for event_type in log:shown():gmatch("%S+ %S+  (%S+)") do
		if event_type ~= "audit-pruned" and event_type ~= "audit-clock-jumped" and event_type ~= "EVENT" then
			assert.is_nil(seen[event_type], event_type.." is shown twice");
			seen[event_type] = true;
			table.insert(types, event_type);
		end
	end
	table.sort(types);
	return table.concat(types, " ");
end

local function records(log)
	local found = {};
	for name in log.store:names():gmatch("%S+") do
		for _, row in ipairs(log.store:rows(name)) do
			if row.value.attr.type == "audit-pruned" then
				for _, child in ipairs(row.value.tags) do
					local attr = child.attr;
					table.insert(found, ("%s %s %s %s..%s"):format(attr.class, attr.reason, attr.count, attr.from or "", attr["until"] or ""));
				end
			end
		end
	end
	table.sort(found);
	return found;
end

for _, kind in ipairs({ "embedded", "sql", "other" }) do
	describe("pruning of a store of the kind "..kind, function ()
		local function new(options)
			return new_log(options, kind);
		end

		local function filled(options)
			local log = new(options);
			for back = 40, 0, -1 do
				local time = noon - back * day;
				log.store:append(name_of("events", time), nil, entry("t"..back), time, "@");
				log.store:append(nil, nil, entry("old"..back), time, "@");
			end
			return log;
		end

		it("drops what has expired, and nothing else", function ()
			local log = filled();
			log.store:append("juliet", nil, entry("x"), 0, "@");
			local before = shown(log);
			local _, results = done(log);
			local count = 0;
			for _, result in ipairs(results) do count = count + result.count; end
			assert.equal(12 + 12, count);
			assert.equal(1, #log.store:rows("juliet"));
			assert.equal(1, #log.store:rows("@events.2026-10-27"));
			assert.equal(0, #log.store:rows("@events.2026-10-26"));
			assert.equal(before, shown(log));
			assert.equal("", (done(log)));
			assert.equal(before, shown(log));
		end);

		it("is an entry for each class, that says how many and from when to when", function ()
			local log = new { audit_log_classes = { failures = { expires_after = "1d" } } };
			for _, class in ipairs({ "events", "failures", "former" }) do
				for _, back in ipairs({ 40, 35, 2 }) do
					local time = noon - back * day;
					for i = 1, 3 do
						log.store:append(name_of(class, time), nil, entry(class..back.."-"..i), time + i, "@");
					end
				end
			end
			assert.equal("events expired 6 in 2, failures expired 9 in 3, former expired 6 in 2", (done(log)));
			assert.same({
				"events expired 6 2026-10-15T12:00:01Z..2026-10-20T12:00:03Z";
				"failures expired 9 2026-10-15T12:00:01Z..2026-11-22T12:00:03Z";
				"former expired 6 2026-10-15T12:00:01Z..2026-10-20T12:00:03Z";
			}, records(log));
			assert.is_truthy(log.lines[1]:find("The class former of audit events of example.com is configured no more", 1, true));
		end);

		it("never drops what is kept for ever", function ()
			assert.equal("", (done(filled { audit_log_expires_after = "never" })));
		end);

		it("hides an expired entry before it is removed", function ()
			local _, count = filled():shown();
			assert.equal(58, count);
		end);

		it("says what went wrong, and what was done until then", function ()
			local log = filled();
			local delete, calls = log.store.delete, 0;
			log.store.delete = function (...)
				calls = calls + 1;
				if calls > 3 then return false, "database is locked"; end
				return delete(...);
			end;
			assert.same({ nil, "database is locked" }, { log.log.prune(host) });
			assert.equal("events expired 3 2026-10-15T12:00:00Z..2026-10-17T12:00:00Z", records(log)[1]);
			log.store.delete = function () error("no connection"); end;
			assert.is_truthy(select(2, log.log.prune(host)):find("no connection", 1, true));
			log.store.delete = delete;
			assert.is_truthy(log.log.prune(host));
		end);

		it("lets the oldest go where a class has a limit, and keeps that many", function ()
			local log = new { audit_log_classes = { few = { types = { "few*" }, limit = 250, expires_after = "never" } } };
			for i = 1, 1234 do
				log.time = noon + i;
				assert.is_string(log.audit(host, nil, "mod_test", "few"..i));
			end
			assert.equal("few limit 900 in 9", (done(log)));
			local left = {};
			for number in shown(log):gmatch("few(%d+)") do left[#left + 1] = tonumber(number); end
			table.sort(left);
			assert.same({ 334, 901, 1234 }, { #left, left[1], left[#left] });
			assert.equal("", (done(log)));
		end);

		it("cuts addresses that have expired, and keeps the rest of the entry", function ()
			local log = new { audit_log_classes = {
				events = { ips_expire_after = "7d" };
				bare = { types = { "bare*" }, ips_expire_after = "7d", ips_expire_to = "none" };
			} };
			for _, class in ipairs({ "events", "bare" }) do
				for _, back in ipairs({ 20, 8, 7, 1 }) do
					local time = noon - back * day;
					local event = entry(class..back, "203.0.113.80");
					event:tag("actor", { xmlns = NAMESPACE, kind = "user" }):text_tag("remote-ip", "2001:db8:1:2::5"):up();
					event:tag("repeated", { xmlns = NAMESPACE }):tag("sample", { ip = "203.0.113.81", name = "203.0.113.81" }):up():up();
					event:text_tag("note", "203.0.113.80");
					event:tag("query", { filter = "--client=203.0.113.80 --limit=5" }):up();
					log.store:append(name_of(class, time), nil, event, time, "@");
				end
			end
			log.store:append(name_of("events", noon - 20 * day), nil, entry("hashed"):tag("session"):tag("ip-hash", { key = "k" }):text("0a"):reset(),
				noon - 20 * day, "@");
			local before = shown(log);
			assert.equal("bare addresses 2 in 2, events addresses 3 in 2", (done(log)));
			assert.equal(before, shown(log));
			assert.equal("@bare.2026-11-17 @bare.2026-11-23 @cut-bare.2026-11-04 @cut-bare.2026-11-16 @cut-events.2026-11-04 @cut-events.2026-11-16 "
				.."@events.2026-11-17 @events.2026-11-23 @events.2026-11-24", log.store:names());
			local cut = log.store:rows("@cut-events.2026-11-04");
			assert.equal([[<audit-event source='mod_test' type='events20'><session xmlns='xmpp:prosody.im/audit'>]]
				..[[<remote-ip>203.0.113.0/24</remote-ip><location country='DE'/></session>]]
				..[[<actor kind='user' xmlns='xmpp:prosody.im/audit'><remote-ip>2001:db8:1::/48</remote-ip></actor>]]
				..[[<repeated xmlns='xmpp:prosody.im/audit'><sample ip='203.0.113.0/24' name='203.0.113.81'/></repeated>]]
				..[[<note>203.0.113.80</note>]]
				..[[<query filter='--client=203.0.113.0/24 --limit=5'/></audit-event>]],
				tostring(cut[1].value):gsub("<([%w-]+) ([^>]-)(/?)>", function (name, attr, slash)
					local list = {};
					for one in attr:gmatch("[%w-]+='[^']*'") do list[#list + 1] = one; end
					table.sort(list);
					return "<"..name.." "..table.concat(list, " ")..slash..">";
				end));
			assert.same({ noon - 20 * day, "@", nil }, { cut[1].when, cut[1].with, cut[2].value:find("session/ip-hash#") });
			local bare = tostring(log.store:rows("@cut-bare.2026-11-16")[1].value);
			assert.is_nil(bare:find("remote%-ip") or bare:find("ip=", 1, true));
			assert.is_truthy(bare:find("country='DE'", 1, true));
			assert.is_truthy(bare:find("filter='--client=*** --limit=5'", 1, true), bare);
			assert.equal("", (done(log)));
			log.time = noon + 30 * day;
			done(log);
			assert.is_nil(log.store:names():find("@cut-events.2026-11-04", 1, true), "a copy expires as its original would have");
		end);

		it("does not cut a day for which entries still wait", function ()
			local path = os.tmpname();
			local log = new_log({ audit_log_ips_expire_after = "1d" }, kind, path);
			local append = log.store.append;
			log.store:append("@events.2026-11-24", nil, entry("first", "203.0.113.80"), noon, "@");
			log.store.append = function (self, user, ...)
				if log.locked then return nil, "locked"; end
				return append(self, user, ...);
			end;
			log.locked = true;
			log.log.open(host);
			log.audit(host, nil, "mod_test", "second", { session = { ip = "203.0.113.81" } });
			log.time = noon + 3 * day;
			assert.equal("", (done(log)));
			log.locked = false;
			log:pass(100);
			assert.equal(2, #log.store:rows("@events.2026-11-24"));
			assert.equal("events addresses 2 in 1", (done(log)));
			log.log.close();
			os.execute("rm -f '"..path.."'*");
		end);

		it("leaves what can't be read where it is", function ()
			local log = new { audit_log_ips_expire_after = "1d" };
			for _, back in ipairs({ 3, 2 }) do
				for i = 1, 3 do
					local time = noon - back * day + i;
					log.store:append(name_of("events", time), nil, entry("e"..back..i, "203.0.113.80"), time, "@");
				end
			end
			local mend = damage(log.store, "e32");
			assert.equal("events addresses 3 in 1", (done(log)));
			mend();
			assert.equal("@cut-events.2026-11-22 @events.2026-11-21 @events.2026-11-24", log.store:names());
			assert.is_truthy(log.lines[#log.lines]:find("@events.2026-11-21 were not removed: 1 damaged entries", 1, true));
			assert.equal("e21 e22 e23 e31 e32 e33", shown(log));
		end);

		it("is taken up again wherever it was interrupted, and shows each entry once meanwhile", function ()
			local options = { audit_log_classes = {
				events = { ips_expire_after = "2d", expires_after = "5d" };
				few = { types = { "few*" }, limit = 100, expires_after = "never" };
			} };
			local function fill()
				local store = support.new_store(nil, kind);
				for back = 7, 0, -1 do
					for i = 1, 3 do
						local time = noon - back * day + i;
						store:append(name_of("events", time), nil, entry("e"..back..i, "203.0.113.80"), time, "@");
						store:append(nil, nil, entry((i == 1 and "few" or "o")..back..i, "203.0.113.80"), time, "@");
					end
				end
				return store;
			end
			local whole = new_log(options, nil, nil, fill());
			local expected = shown(whole);
			done(whole);
			local names = whole.store:names();
			local moments = 0;
			repeat
				moments = moments + 1;
				local log = new_log(options, nil, nil, fill());
				local changes, interrupted = 0, false;
				local originals, engine = {}, nil;
				for _, method in ipairs({ "append", "delete" }) do
					local original = log.store[method];
					originals[method] = original;
					local function count(...)
						changes = changes + 1;
						if changes > moments then interrupted = true; error("killed"); end
						return original(...);
					end
					-- An upvalue is what the core knows a driver by.
					local datamanager = { call = count };
					engine = engine or { call = count, transaction = function (_, run, ...) return pcall(run, ...); end };
					local of_kind = {
						embedded = function (...) return datamanager.call(...); end;
						sql = method == "append" and function (...) return engine.call(...); end or count;
						other = count;
					};
					log.store[method] = of_kind[kind];
				end
				log.log.prune(host);
				for method, original in pairs(originals) do log.store[method] = original; end
				local again = new_log(options, nil, nil, log.store);
				assert.equal(expected, shown(again), "killed after "..moments.." changes");
				again.log.prune(host);
				assert.equal(expected, shown(again), "killed after "..moments.." changes and taken up again");
				-- A move that was begun again is another generation.
				assert.equal(names, (again.store:names():gsub("%.%d00001", ".100001")), "killed after "..moments.." changes");
			until not interrupted;
			assert.is_true(moments >= 15, moments.." moments");
		end);
	end);
end

-- Whatever is removed between two pages of a reading, which lists the partitions once.
for _, kind in ipairs({ "embedded", "sql" }) do
	describe("reading a store of the kind "..kind.." while it is pruned", function ()
		local function fill()
			local log = new_log({
				audit_log_classes = { events = { ips_expire_after = "2d" }; failures = { ips_expire_after = "3d" } };
			}, kind);
			-- A clock by which each page takes so long that the next is no larger.
			log.environment.now = function () log.time = log.time + 0.003; return log.time; end;
			log.log = core.new(log.environment);
			local function append(user, event_type, time)
				log.store:append(user, nil, entry(event_type, "203.0.113.80"), time, event_type:find("3$") and "romeo@example.com" or "juliet");
			end
			for back = 4, 0, -1 do
				for i = 1, back == 4 and 50 or 70 do
					-- Some of each second.
					local time = noon - back * day + i // 4;
					append(name_of("events", time), "e"..back.."-"..i, time);
					if i < 20 then append(name_of("failures", time), "f"..back.."-"..i, time); end
					if i % 2 == 0 then
						append(nil, "old"..back.."-"..i, time);
						append(nil, "old"..back.."-"..i.."-refused", time);
					end
				end
			end
			return log;
		end

		-- Reads, and prunes before the page of this number: which were shown, how many, and whether there were so many pages.
		local function read(log, moment, ...)
			local find, pages, pruned = log.store.find, 0, false;
			log.store.find = function (...)
				if not pruned then
					pages = pages + 1;
					if pages == moment then
						pruned = true;
						done(log);
						assert.is_nil(log.store:names():find(" @events.2026-11-20", 1, true));
					end
				end
				return find(...);
			end;
			local asked = assert(core.command({ "--format=json", "--type=e*", "--type=f*", "--type=old*", host, ... }, log.time)).asked;
			local count, seen, last, oldest_first = 0, {}, nil, (...) == "--oldest-first";
			local function out(text)
				for time, event_type in text:gmatch('"time":"([^"]*)".-"type":"([^"]*)"') do
					assert.is_nil(seen[event_type], event_type.." is shown twice");
					seen[event_type] = true;
					assert.is_true(not last or last == time or (last < time) == oldest_first, event_type.." is out of order");
					count, last = count + 1, time;
				end
			end
			assert.is_nil(log.log.read(asked, out, { pause = function () end }).problem);
			log.store.find = find;
			return seen, count, pruned;
		end

		for name, arguments in pairs {
			["newest first"] = { n = 5 * 19 + 2 * (4 * 70 + 50) };
			["oldest first"] = { n = 5 * 19 + 2 * (4 * 70 + 50), "--oldest-first" };
			["of one user"] = { n = 5 * 2 + 4 * 7 + 5, "--user=romeo" };
		} do
			it("shows each entry once, "..name, function ()
				local expected, number = read(fill(), 0, unpack(arguments));
				assert.equal(arguments.n, number);
				local moment = 0;
				repeat
					moment = moment + 1;
					local log = fill();
					local seen, count, pruned = read(log, moment, unpack(arguments));
					for event_type in pairs(expected) do
						assert.is_true(seen[event_type], event_type.." is missing, where it was pruned before page "..moment);
					end
					assert.equal(number, count);
				until not pruned;
				assert.is_true(moment > 15, moment.." pages");
			end);
		end
	end);
end

describe("the older log of the embedded driver", function ()
	local function new(options)
		return new_log(options, "embedded");
	end

	it("is moved to partitions of its classes and days, in order", function ()
		local log = new { audit_log_classes = { failures = { expires_after = "3d" } } };
		for back = 5, 0, -1 do
			for i = 1, 2 do
				log.store:append(nil, nil, entry("t"..back..i), noon - back * day + i, "romeo@example.com");
				log.store:append(nil, nil, entry("f"..back..i.."-refused"), noon - back * day + i, "@");
			end
		end
		log.store:append(nil, nil, entry("backdated"), noon - 4 * day, "@");
		local before = shown(log);
		local line, results = done(log);
		assert.equal("failures expired 4 in 0", line);
		assert.equal(12 + 8 + 1, results.moved);
		assert.equal(0, #log.store:rows(nil));
		assert.equal(before, shown(log));
		for _, name in ipairs({ "@old-events.2026-11-19.100001", "@old-failures.2026-11-21.100001" }) do
			assert.is_truthy(log.store:names():find(name, 1, true), name);
		end
		local rows = log.store:rows("@old-events.2026-11-20.100001");
		assert.same({ "t41", "t42", "backdated" }, { rows[1].value.attr.type, rows[2].value.attr.type, rows[3].value.attr.type });
		assert.same({ noon - 4 * day + 1, "romeo@example.com" }, { rows[1].when, rows[1].with });
		-- Within a partition the time never goes back.
		assert.same({ noon - 4 * day + 2, "2026-11-20T12:00:00Z" }, { rows[3].when, rows[3].value.attr[NAMESPACE.."\1occurred"] });
		-- What comes later is another generation.
		log.store:append(nil, nil, entry("later"), noon, "@");
		done(log);
		assert.is_truthy(log.store:names():find("@old-events.2026-11-24.200001", 1, true));
		log.time = noon + 40 * day;
		done(log);
		assert.is_nil(log.store:names():find("@old", 1, true));
	end);

	it("takes what is written to it meanwhile along", function ()
		local log = new();
		log.store:append(nil, nil, entry("a"), noon, "@");
		local pauses = 0;
		log.environment.pause = function ()
			pauses = pauses + 1;
			if pauses == 1 then log.store:append(nil, nil, entry("b"), noon, "@"); end
		end;
		log.log = core.new(log.environment);
		local _, results = done(log);
		assert.same({ 2, "a b" }, { results.moved, shown(log) });
		assert.equal(0, #log.store:rows(nil));
	end);

	it("stays where it is where new entries go there too", function ()
		local log = new { audit_log_layout = "single" };
		log.store:append(nil, nil, entry("a"), noon - 40 * day, "@");
		log.store:append(nil, nil, entry("b"), noon - day, "@");
		local line, results = done(log);
		assert.same({ "events expired 1 in 0", 0 }, { line, results.moved });
		assert.equal("b", shown(log));
		assert.equal(2, #log.store:rows(nil), "the entry of the pruning lies there too");
	end);
end);

describe("the older log of an SQL store", function ()
	it("loses what has expired by its class, and nothing else", function ()
		local log = new_log({ audit_log_classes = {
			failures = { expires_after = "3d" };
			accounts = { types = { "user-*" }, expires_after = "60d" };
		} }, "sql");
		for back = 70, 0, -1 do
			for _, event_type in ipairs({ "t", "user-", "s-refused-" }) do
				event_type = event_type == "s-refused-" and "s"..back.."-refused" or event_type..back;
				log.store:append(nil, nil, entry(event_type), noon - back * day, "@");
			end
		end
		local before = shown(log);
		done(log);
		assert.equal(before, shown(log));
		assert.equal(61 + 29 + 4, #log.store:rows(nil));
	end);
end);

describe("a copy on the embedded driver", function ()
	it("has 45 seconds to get to the disk before its original goes", function ()
		local log = new_log({ audit_log_ips_expire_after = "1d" }, "embedded");
		log.store:append(name_of("events", noon - 3 * day), nil, entry("a", "203.0.113.80"), noon - 3 * day, "@");
		log.store:append(nil, nil, entry("old"), noon, "@");
		local copied, kept = {}, {};
		local append, delete = log.store.append, log.store.delete;
		function log.store.append(self, user, ...)
			if user and not copied[user] and user:find("^@%l+%-") then copied[user] = log.time; end
			return append(self, user, ...);
		end
		local datamanager = { append = log.store.append };
		function log.store.append(...) return datamanager.append(...); end
		function log.store.delete(self, user, query)
			kept[user or "nil"] = log.time;
			return delete(self, user, query);
		end
		log.environment.pause = function (seconds) log.time = log.time + seconds; end;
		log.log = core.new(log.environment);
		assert.equal("events addresses 1 in 1", (done(log)));
		assert.is_true(kept["@events.2026-11-21"] - copied["@cut-events.2026-11-21"] >= 45);
		assert.is_true(kept["nil"] - copied["@old-events.2026-11-24.100001"] >= 45);
	end);
end);

for _, kind in ipairs({ "embedded", "sql", "other" }) do
	describe("a clock in doubt, with a store of the kind "..kind, function ()
		local uptime;

		-- A log under a clock that can be set without time passing.
		local function new(options)
			local log = new_log(options, kind);
			uptime = 1000000 - log.time;
			log.environment.uptime = function (at) return at + uptime, "boot"; end;
			log.environment.monotonic = function () return log.time + uptime; end;
			log.environment.clock_files = function () return {}; end;
			log.environment.heartbeat = function () end;
			log.environment.written_elsewhere = function () end;
			log.log = core.new(log.environment);
			log.audit = log.log.audit;
			return log;
		end

		local function step(log, seconds)
			log.time, uptime = log.time + seconds, uptime - seconds;
		end

		local function fill(log)
			for back = 40, 0, -10 do
				local time = noon - back * day;
				log.store:append(name_of("events", time), nil, entry("t"..back, "203.0.113.80"), time, "@");
				log.store:append(nil, nil, entry("old"..back), time, "@");
			end
		end

		it("removes nothing, cuts nothing and moves nothing, until it has agreed for a day", function ()
			local log = new { audit_log_ips_expire_after = "15d" };
			assert.equal("", (done(log)));
			fill(log);
			local before = log.store:names();
			for _, seconds in ipairs({ 4000 * day, -4000 * day, -20000 * day, 20000 * day }) do
				step(log, seconds);
				local line, results = done(log);
				assert.equal("", line);
				assert.is_truthy(results.held:find("the clock has jumped", 1, true));
				-- What is recorded of it comes on top.
				for name in before:gmatch("%S+") do
					assert.is_truthy((" "..log.store:names().." "):find(" "..name.." ", 1, true), name);
				end
				assert.is_truthy(shown(log):find("old0 old10 old20 old30 old40 t0 t10 t20 t30 t40", 1, true), shown(log));
			end
			log.time = log.time + day - 10;
			assert.is_truthy(select(2, done(log)).held);
			log.time = log.time + 11;
			local line, results = done(log);
			assert.is_nil(results.held);
			assert.is_truthy(line:find("events expired 4 in 2", 1, true), line);
			assert.is_truthy(line:find("events addresses", 1, true), line);
			-- What was recorded at other times stays.
			assert.equal(4, select(2, log:shown("--type=audit-clock-jumped"):gsub("\n%S+ %S+  audit%-clock", "")));
		end);

		it("is noticed when an event is recorded, however soon it is right again", function ()
			local log = new();
			done(log);
			log.audit(host, nil, "mod_test", "before");
			step(log, -20000 * day);
			log.audit(host, nil, "mod_test", "early");
			log.time = log.time + 1;
			step(log, 20000 * day);
			log.audit(host, nil, "mod_test", "after");
			log.time = log.time + 2 * day;
			assert.is_nil(select(2, done(log)).held);
			log.time = log.time + 20 * day;
			assert.is_nil(select(2, done(log)).held);
			assert.equal("after before early", shown(log));
			log.time = log.time + 10 * day;
			done(log);
			assert.equal("", shown(log));
		end);
	end);
end

describe("a partition with a damaged entry", function ()
	it("takes more of them, and counts it", function ()
		local log = new_log();
		for i = 1, 3 do log.store:append("@events.2026-11-24", nil, entry("e"..i), noon, "@"); end
		damage(log.store, "e3");
		for i = 1, 498 do
			assert.is_string(log.audit(host, nil, "mod_test", "new"..i));
		end
		assert.equal("@events.2026-11-24 @events.2026-11-24.2", log.store:names());
		assert.equal(500, #log.store:rows("@events.2026-11-24"));
	end);
end);

describe("pruning in a server", function ()
	it("goes on in slices, and one process at a time", function ()
		local log = support.new(nil, support.new_store(nil, "embedded"));
		for back = 60, 30, -1 do
			for i = 1, 100 do
				local time = noon - back * day + i;
				log.store:append(name_of("events", time), nil, entry("x"), time, "@");
			end
		end
		-- A clock by which each row takes a millisecond.
		log.environment.now = function () log.time = log.time + 0.001; return log.time; end;
		log.environment.pause = function (seconds) log.time = log.time + seconds; coroutine.yield(); end;
		log.environment.lock_path = function () return log.lock; end;
		log.lock = os.tmpname();
		log.log = core.new(log.environment);
		local slices, thread = 0, coroutine.wrap(function () return done(log); end);
		local result, second;
		repeat
			result = thread();
			slices = slices + 1;
			second = second or select(2, log.log.prune(host));
		until result;
		assert.equal("entries of this host are being removed already", second);
		assert.equal("events expired 3100 in 31", result);
		assert.is_true(slices > 200, slices.." slices");
		assert.is_true(log.log.longest_slice() < 0.010, log.log.longest_slice().." s");
		-- Another process has the lock.
		local other = core.new(log.environment);
		local held = coroutine.wrap(function () return log.log.prune(host); end);
		for _ = 1, 100 do
			log.store:append("@events.2020-01-01", nil, entry("x"), 1577880000, "@");
		end
		held();
		assert.is_truthy(select(2, other.prune(host)):find("in use by another process", 1, true));
		while not held() do end
		os.remove(log.lock);
	end);

	describe("that gets no answer from its driver", function ()
		local log, first, told;
		before_each(function ()
			log = support.new(nil, support.new_store(nil, "embedded"), os.tmpname());
			log.environment.pause = function (seconds) log.time = log.time + seconds; coroutine.yield("pause"); end;
			log.environment.lock_path = function () return log.lock; end;
			log.lock = os.tmpname();
			log.log = core.new(log.environment);
			for _, name in ipairs { "@events.2020-01-01", "@events.2020-01-02" } do
				log.store:append(name, nil, entry("x"), 1577880000, "@");
			end
			local delete = log.store.delete;
			function log.store.delete(...)
				log.store.delete = delete;
				coroutine.yield("no answer");
				return delete(...);
			end
			told = false;
			first = coroutine.wrap(function () return log.log.prune(host, { given_up = function () told = true; end }); end);
			assert.equal("no answer", first());
		end);
		after_each(function ()
			log.log.close();
			os.remove(log.lock);
			os.execute("rm -f '"..log.environment.journal_path().."'*");
		end);

		local function lines()
			local found = {};
			for _, line in ipairs(log.lines) do
				if line:find("can't be pruned", 1, true) then table.insert(found, line); end
			end
			return found;
		end

		it("lets the next one go on, after a minute", function ()
			local began, second = log.time, coroutine.wrap(function () return log.log.prune(host, { wait = true }); end);
			local results;
			repeat results = second(); until type(results) == "table";
			assert.is_true(log.time - began >= 60 and log.time - began < 61, tostring(log.time - began));
			assert.same({ 1, 2 }, { #results, results[1].partitions });
			assert.same({
				"error: Audit events of example.com can't be pruned: the storage driver has not answered for 60 seconds; it is tried again later";
			}, lines());
			-- The answer comes after all.
			local before = log.store:names();
			log.store:append("@events.2020-01-03", nil, entry("x"), 1577880000, "@");
			assert.is_nil((first()));
			assert.is_truthy(log.store:names():find("@events.2020-01-03", 1, true), before);
			assert.equal(1, log.log.prune(host)[1].partitions);
		end);

		it("is given up by itself, and tried again", function ()
			log:pass(59);
			assert.same({ {}, false }, { lines(), told });
			log:pass(2);
			assert.same({ 1, true }, { #lines(), told });
			assert.is_truthy(log.store:names():find("@events.2020-01-02", 1, true));
			log.environment.pause = nil;
			log:pass(900);
			assert.is_nil(log.store:names():find("@events.2020-01", 1, true));
			assert.equal(1, #lines());
		end);

	end);

	it("says once that it failed, if that lasts and the store is not known to be broken", function ()
		local path = os.tmpname();
		local log = support.new(nil, support.new_store(nil, "embedded"), path);
		local told = {};
		log.environment.pruned = function (_, results, problem) table.insert(told, results and "done" or problem); end;
		log.log = core.new(log.environment);
		local delete = log.store.delete;
		function log.store.delete() return nil, "no permission"; end
		log.store:append("@events.2020-01-01", nil, entry("x"), 1577880000, "@");
		log.log.prune_soon(host, 0);
		log:pass(50);
		assert.same({}, told);
		log:pass(7200);
		assert.same({ "no permission" }, told);
		log.store.delete = delete;
		log:pass(900);
		assert.same({ "no permission", "done" }, told);
		-- A store that takes nothing either was spoken of when it took nothing.
		function log.store.users() error("broken"); end
		function log.store.append() return nil, "broken"; end
		log.log.audit(host, nil, "mod_test", "t");
		log:pass(30);
		log.log.prune_soon(host, 0);
		log:pass(7200);
		assert.same({ "no permission", "done" }, told);
		log.log.close();
		os.execute("rm -f '"..path.."'*");
	end);

	it("tries a transaction again that a lock refused", function ()
		local log = support.new({ audit_log_ips_expire_after = "1d" }, support.new_store(nil, "sql"));
		for i = 1, 3 do
			local time = noon - 3 * day + i;
			log.store:append(name_of("events", time), nil, entry("e"..i, "203.0.113.80"), time, "@");
		end
		local engine, attempts = nil, {};
		for i = 1, 9 do
			local name, value = debug.getupvalue(log.store.append, i);
			if name == "engine" then engine = value; end
		end
		local transaction = engine.transaction;
		function engine.transaction(self, run, ...)
			if #attempts < 2 and self.conn then return false, "database is locked"; end
			return transaction(self, run, ...);
		end
		local statement = { closed = 0, close = function (self) self.closed = self.closed + 1; end };
		engine.conn, engine.prepared = { rollback = function () end }, { select = statement };
		log.environment.retry = function (_, message) table.insert(attempts, message); return true; end;
		log.log = core.new(log.environment);
		assert.equal("events addresses 3 in 1", (done(log)));
		assert.same({ "database is locked", "database is locked" }, attempts);
		assert.equal(1, statement.closed);
	end);

	it("is begun again when something expires, and once a class with a limit has grown", function ()
		local path = os.tmpname();
		local store = support.new_store(nil, "embedded");
		local log = support.new({ audit_log_expires_after = "2d", audit_log_classes = {
			few = { types = { "few" }, limit = 100, expires_after = "never" };
		} }, store, path);
		log.log.open(host);
		log.audit(host, nil, "mod_test", "event");
		log:pass(1);
		log.log.prune_soon(host, 0);
		log:pass(1);
		assert.equal(1, #store:rows("@events.2026-11-24"));
		-- The 24th is two days over at the end of the 26th. In a server there is a daily task, too.
		for _ = 1, 2 do
			log:pass(day);
			log.log.prune_soon(host, 0);
		end
		log:pass(day / 2 - 30);
		assert.equal(1, #store:rows("@events.2026-11-24"));
		log:pass(60);
		assert.equal(0, #store:rows("@events.2026-11-24"));
		for _ = 1, 350 do
			log.audit(host, nil, "mod_test", "few");
		end
		log:pass(10);
		assert.is_nil(store:names():find("@few.2026-11-27 ", 1, true));
		assert.is_truthy(store:names():find("@few.2026-11-27.3", 1, true));
		log.log.close();
		os.execute("rm -f '"..path.."'*");
	end);
end);

describe("a keyed hash of addresses", function ()
	local folder = require "lfs".currentdir().."/target/scratch/keys-"..tostring({}):match("0x(%x+)");

	local function new()
		local log = support.new({ audit_log_classes = { failures = { ips = "hash" } } });
		log.environment.key_path = function (name) return folder.."/"..name..".key"; end;
		log.log = core.new(log.environment);
		return log;
	end

	local function hashed(log, ip)
		log.log.audit(host, nil, "mod_test", "s2s-refused", { session = { ip = ip }, actor = { kind = "user", session = { ip = ip } } });
		local rows = log.store:rows("@failures.2026-11-24");
		local session = rows[#rows].value:get_child("session", NAMESPACE);
		local hash = session.tags[1];
		assert.same({ 1, "ip-hash" }, { #session.tags, hash.name });
		assert.same(hash.attr.key, rows[#rows].value:get_child("actor", NAMESPACE).tags[1].attr.key);
		return hash:get_text(), hash.attr.key;
	end

	teardown(function () os.execute("rm -rf '"..folder.."'"); end);

	it("stands for an address, is the same for the same one, and changes with its key", function ()
		local log = new();
		local hash, key = hashed(log, "203.0.113.80");
		assert.is_truthy(hash:match("^%x+$") and #hash == 32 and #key == 8);
		assert.equal(hash, (hashed(log, "::ffff:203.0.113.80")));
		assert.is_true(hash ~= hashed(log, "203.0.113.81"));
		assert.same({ hash, key }, { log.log.hash(host, "203.0.113.80") });
		assert.equal(hash, (hashed(new(), "203.0.113.80")), "another process has the same key");
		assert.is_truthy(log:shown():find(hash, 1, true));
		assert.same({ 2, 1, 3 }, { (select(2, log:shown("--ip", "203.0.113.80"))), (select(2, log:shown("--ip", "203.0.113.81"))),
			(select(2, log:shown())) });

		log.log.look_at_key(host);
		local old, new_key = core.new_key(folder.."/"..host..".key");
		assert.is_true(old == key and new_key ~= key);
		log.log.look_at_key(host);
		log.log.look_at_key(host);
		local again, id = hashed(log, "203.0.113.80");
		assert.same({ new_key, false }, { id, again == hash });
		local rows = log.store:rows("@events.2026-11-24");
		assert.equal(1, #rows);
		assert.equal("audit-key-replaced", rows[1].value.attr.type);
		assert.same({ xmlns = NAMESPACE; old = old; new = new_key }, rows[1].value.tags[1].attr);
	end);

	it("is not replaced by the address where there is no key", function ()
		local log = new();
		os.execute("rm -rf '"..folder.."'; mkdir -p '"..folder.."'; echo nonsense > '"..folder.."/"..host..".key'");
		log.log.audit(host, nil, "mod_test", "s2s-refused", { session = { ip = "203.0.113.80" } });
		log.log.audit(host, nil, "mod_test", "s2s-refused", { session = { ip = "203.0.113.81" } });
		local rows = log.store:rows("@failures.2026-11-24");
		assert.same({ 2, 0 }, { #rows, #rows[1].value.tags[1].tags });
		assert.equal(1, #log.lines);
		assert.is_truthy(log.lines[1]:find("no key to hash them with", 1, true));
	end);
end);
