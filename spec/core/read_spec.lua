-- Reading the log: src/lua/read/read.lua.

local core = require "audit_core";
local pruning = require "support.pruning";
local st = require "util.stanza";
local support = require "support.log";

local new_log, noon, day, host = support.new, support.noon, 86400, support.host;
local entry, name_of, done = pruning.entry, pruning.name_of, pruning.done;
local unpack = table.unpack or unpack; -- luacheck: ignore 113

describe("reading", function ()
	it("shows the newest first, across partitions and the archive of the community's modules", function ()
		local log = new_log();
		log.store:append(nil, nil, st.stanza("audit-event", { source = "mod_audit_auth", type = "old" }), noon - 2 * day, "juliet");
		log.audit("example.com", "juliet@example.com", "mod_test", "new");
		local text, shown = log:shown("--user=juliet");
		assert.equal(2, shown);
		assert.is_truthy(text:find("new.*old"), text);
	end);

	it("skips damaged entries, and counts them", function ()
		local log = new_log();
		for _ = 1, 3 do log.audit("example.com", nil, "mod_test", "t"); end
		log.store:rows("@events.2026-11-24")[2].value = setmetatable({ name = "x<" ; attr = {}; tags = {} }, getmetatable(st.stanza("x")));
		log.store:rows("@events.2026-11-24")[3].value = setmetatable({}, { __tostring = function () error("broken"); end });
		local _, shown, damaged = log:shown();
		assert.same({ 1, 2 }, { shown, damaged });
	end);

	it("counts the upkeep of the log apart, whichever way it is read", function ()
		local log = new_log();
		for _, event_type in ipairs { "t", "audit-queried", "t", "audit-pruned", "audit-options-changed" } do
			log.audit("example.com", nil, "mod_test", event_type);
		end
		local function result(...)
			local read = log:read(function () end, ...);
			return { read.shown, read.hidden };
		end
		assert.same({ 3, 2 }, result());
		assert.same({ 5, 0 }, result("--all"));
		assert.same({ 2, 0 }, result("--type=audit-queried,audit-pruned"));
		assert.same({ 2, 1 }, result("--limit=2"));
		assert.same({ 3, 2 }, result("--stats"));
		local asked = core.command({ host }, noon).asked;
		local cells, read = log.log.cells(asked, { "event" });
		assert.same({ 3, 2 }, { #cells, read.hidden });
	end);

	it("reads only the entries of a page, on a driver that finds times by bisection", function ()
		local log = new_log();
		local find, rows_read = log.store.find, 0;
		log.store.caps, log.store.trim = { quota = 10000 }, function () end;
		log.store.find = function (self, user, query)
			local rows, limit = find(self, user, { reverse = query.reverse, before = query.before, after = query.after }), query.limit;
			return function ()
				for key, value, when, with in rows do
					if (not query["end"] or when <= query["end"]) and (not query.start or when >= query.start) then
						if limit == 0 then return nil; end
						limit, rows_read = limit - 1, rows_read + 1;
						return key, value, when, with;
					end
				end
			end
		end;
		local ids = {};
		for i = 1, 5000 do
			log.time = noon + i // 3;
			ids[i] = log.audit("example.com", nil, "mod_test", "t");
		end
		for _, case in ipairs { { 2500, 2499 }, { 2500, 2501, "--oldest-first" }, { 1001, 1000 }, { 4000, 4001, "--oldest-first" } } do
			rows_read = 0;
			local text, shown = log:shown("--columns=id", "--limit=50", "--after="..ids[case[1]], case[3]);
			assert.equal(50, shown);
			assert.equal(ids[case[2]], text:match("\n(%x+%-%S+)"));
			assert.is_true(rows_read <= 1100, rows_read.." rows were read");
		end
	end);

	it("reports what went wrong", function ()
		local log = new_log();
		log.store.find = function () return nil, "database is locked"; end;
		local result = log:read(print);
		assert.same({ 0, 0, "database is locked" }, { result.shown, result.damaged, result.problem });
		log.store.users = function () error("no connection"); end;
		assert.is_truthy(log:read(print).problem:find("no connection", 1, true));
	end);

	it("gives lists of entries to a caller who takes some at a time, and says if the store fails in the middle", function ()
		local log = new_log();
		for i = 1, 500 do
			log.time = noon + i;
			log.audit(host, "juliet@example.com", "mod_test", "t"..i, { session = { ip = "203.0.113.80" } });
		end
		local function read()
			local count, lists, reading = 0, 0, log.log.lists(assert(core.command({ host }, log.time)).asked);
			repeat
				local list = reading.next(function () end);
				for _, found in ipairs(list or {}) do
					assert.same({ "t"..(500 - count), "juliet@example.com", "203.0.113.80", "mod_test" },
						{ found.type, found.user, found.ip, found.source });
					count = count + 1;
				end
				lists = lists + 1;
			until not list;
			return count, lists, reading.conclude();
		end
		local count, lists, result = read();
		assert.same({ 500, 500, 0, nil }, { count, result.shown, result.damaged, result.problem });
		assert.is_true(lists > 3, lists.." lists");
		local find, calls = log.store.find, 0;
		function log.store.find(...)
			calls = calls + 1;
			if calls > 2 then return nil, "disk I/O error"; end
			return find(...);
		end
		local fewer, _, failed = read();
		assert.is_true(fewer > 0 and fewer < 500, fewer.." entries");
		assert.equal("disk I/O error", failed.problem);
	end);

	it("stops when the reader stops", function ()
		local log = new_log();
		for i = 1, 5000 do
			log.time = noon + i;
			log.audit("example.com", nil, "mod_test", "t");
		end
		local calls = 0;
		local result = log:read(function () calls = calls + 1; return false; end);
		assert.same({ 1, true }, { calls, result.stopped });
	end);
end);

-- Whatever is removed between two pages of a reading, which lists the partitions once.
for _, kind in ipairs({ "embedded", "sql" }) do
	describe("reading a store of the kind "..kind.." while it is pruned", function ()
		local function fill()
			local log = pruning.new_log({
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

		-- Reads, and prunes before page `moment` -> which entries were shown, how many, and whether that page was reached
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
				-- SQL stores are read in small pages. Not each of them is tried, as that takes half a minute.
				local stride = kind == "sql" and 4 or 1;
				local moment = 1 - stride;
				repeat
					moment = moment + stride;
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

describe("a reading beside other work", function ()
	local log, clock;

	before_each(function ()
		log, clock = new_log({ audit_log_expires_after = "never" }), noon;
		for i = 1, 600 do
			-- Two classes take turns, so that entries of one wait for those of the other.
			local time = noon - 1000 + i;
			local partition = name_of(i % 2 == 0 and "events" or "failures", time);
			log.store:append(partition, nil, st.stanza("audit-event", { source = "mod_test", type = "t" }), time, "@");
		end
		log.environment.now = function () return clock; end;
		log.log = core.new(log.environment);
	end);

	-- Reads, while each row takes `row` seconds, and what is done with an entry `use` seconds -> number of entries, the longest turn
	local function read(row, use, view)
		local find = log.store.find;
		function log.store.find(...)
			local rows = find(...);
			return rows and function ()
				clock = clock + row;
				return rows();
			end;
		end
		local count, since, longest = 0, clock, 0;
		function view.pause()
			longest, since = math.max(longest, clock - since), clock;
		end
		view.writing = {};
		function view.writing.entries(_, query)
			local entries = query:cells { "event" };
			count, clock = count + #entries, clock + use * #entries;
			return "";
		end
		local result = log.log.read(core.command({ host }, noon).asked, function () end, view);
		log.store.find = find;
		assert.is_nil(result.problem);
		return count, math.max(longest, clock - since);
	end

	for name, costs in pairs {
		["rows take long"] = { 0.00005, 0.000001 }; ["what is done with entries takes long"] = { 0.000001, 0.00005 };
		["all of it takes long"] = { 0.00003, 0.00003 }; ["nothing does"] = { 0.000001, 0.000001 };
	} do
		it("holds the loop for a moment only, if "..name, function ()
			local count, longest = read(costs[1], costs[2], { haste = "batches" });
			assert.equal(600, count);
			assert.is_true(longest <= 0.006, longest);
			count, longest = read(costs[1], costs[2], { haste = "beside" });
			assert.equal(600, count);
			assert.is_true(longest <= 0.004, longest);
			count, longest = read(costs[1], costs[2], {});
			assert.equal(600, count);
			assert.is_true(longest <= 0.018, longest);
		end);
	end

	-- The sizes of the pages that are read, while what is done with an entry takes long.
	local function pages_of(view)
		local find, limits = log.store.find, {};
		function log.store.find(store, name, query)
			limits[#limits + 1] = query.limit;
			return find(store, name, query);
		end
		assert.equal(600, (read(0.000001, 0.0005, view)));
		log.store.find = find;
		return limits;
	end

	it("does not read smaller pages for it, as the driver may read a whole partition for each", function ()
		for _, view in ipairs { {}, { haste = "batches" } } do
			local limits = pages_of(view);
			assert.same({ 50, 200 }, { math.min(unpack(limits)), math.max(unpack(limits)) });
		end
	end);

	it("reads small pages from a driver that finds a page by the key of a row", function ()
		local path = require "support.process".new_folder("store").."/audit.sqlite3";
		local environment = {
			host = host; path = path; is_server = false, patience = 1, shared = {}; stanza_mt = st.stanza_mt;
			new_key = function () return core.item_key(noon); end;
		};
		local native = assert(core.storage(environment)):open("audit", "archive");
		local own = new_log({ audit_log_expires_after = "never" }, native);
		for i = 1, 600 do
			local time = noon - 1000 + i;
			assert(native:append(name_of("events", time), nil, st.stanza("audit-event", { source = "mod_test", type = "t" }), time, "@"));
		end
		local time = noon;
		own.environment.now = function () return time; end;
		own.log = core.new(own.environment);
		local rows, largest = native.rows, {};
		local haste;
		function native.rows(store, user, query, ...)
			largest[haste] = math.max(largest[haste] or 0, query.limit);
			time = time + 0.00003 * query.limit;
			return rows(store, user, query, ...);
		end
		for _, one in ipairs { "usual", "batches", "beside" } do
			haste = one;
			local count = 0;
			local writing = { entries = function (_, query) count = count + #query:cells { "event" }; return ""; end };
			own.log.read(core.command({ host }, noon).asked, function () end,
				{ pause = function () end; writing = writing; haste = one ~= "usual" and one or nil });
			assert.equal(600, count);
		end
		assert.same({ usual = 100, batches = 50, beside = 50 }, largest);
	end);

	it("hands out a long text in pieces, and does not count the time that its reader takes", function ()
		local sizes, taken, pauses = {}, {}, 0;
		local limits = {};
		local find = log.store.find;
		function log.store.find(store, name, query)
			limits[#limits + 1] = query.limit;
			return find(store, name, query);
		end
		local function out(text)
			sizes[#sizes + 1], taken[#taken + 1] = #text, text;
			clock = clock + 1;
		end
		local asked = core.command({ "--format=xml", host }, noon).asked;
		log.log.read(asked, out, { piece = 1000; haste = "batches"; pause = function () pauses = pauses + 1; end });
		assert.is_true(math.max(unpack(sizes)) == 1000 and #sizes > 30, #sizes);
		assert.equal(200, math.max(unpack(limits)), "pages are as large as they may be");
		local whole = {};
		log.log.read(asked, function (text) whole[#whole + 1] = text; end, {});
		assert.equal(table.concat(whole), table.concat(taken));
		-- It stops when nobody takes more.
		local count = 0;
		local result = log.log.read(asked, function () count = count + 1; return count < 3; end, { piece = 10 });
		assert.same({ 3, true }, { count, result.stopped });
	end);
end);

describe("a log on our own driver", function ()
	-- Entries of three days, the same in both stores.
	local function fill(one, other)
		math.randomseed(7);
		local function of(list) return list[math.random(#list)]; end
		for i = 1, 900 do
			local partition = ("@events.2026-11-%d%s"):format(22 + (i - 1) // 300, (i - 1) // 150 % 2 == 1 and ".2" or "");
			local user = of { "juliet@example.com", "romeo@example.com", "user"..i.."@example.com", false };
			local stanza = st.stanza("audit-event", {
				type = of { "authentication-success", "authentication-failure", "user-deleted", "audit-queried" }, source = of { "mod_a", "mod_b" };
				user = user or nil; [support.NAMESPACE.."\1id"] = ("01a20e7e-d2b8-75d1-8370-%012x"):format(i);
			});
			stanza:tag("session", { xmlns = support.NAMESPACE })
				:text_tag("remote-ip", of { "203.0.113.7", "203.0.113.0/24", "198.51.100."..i % 250, "2001:db8::1" }):up();
			stanza:text_tag("note", of { "Grüße <&>", "two\nlines", "" }, { xmlns = support.NAMESPACE });
			local when = noon - day * (2 - (i - 1) // 300) - 1000 + i;
			one:append(partition, "k"..i, stanza, when, user or "@");
			assert(other:append(partition, "k"..i, stanza, when, user or "@"));
		end
	end

	it("is shown as on any other, whatever is asked for", function ()
		local environment = {
			host = host; path = require "support.process".new_folder("store").."/audit.sqlite3"; is_server = false, patience = 1, shared = {};
			stanza_mt = st.stanza_mt; new_key = function () return core.item_key(noon); end;
		};
		local native = assert(core.storage(environment)):open("audit", "archive");
		local log, own = new_log({ audit_log_expires_after = "never" }), new_log({ audit_log_expires_after = "never" }, native);
		fill(log.store, native);
		local asked = {
			{}, { "--limit=7", "--oldest-first" }, { "--user=juliet" }, { "--user=user17" }, { "--user=user1*", "--type=*-failure" };
			{ "--ip=203.0.113.0/25" }, { "--ip=198.51.100.17" }, { "--type=user-*,audit-queried" }, { "--type=!authentication-*" };
			{ "--text=grüße" }, { "--text=nowhere" }, { "--source=mod_a", "--since=2026-11-23", "--until=2026-11-24" };
			{ "--global" }, { "--all", "--no-global" };
			{ "--class=events", "--user=romeo,user800" }, { "--class=other" };
		};
		for _, format in ipairs { "--format=json", "--format=xml", "--stats" } do
			for _, flags in ipairs(asked) do
				local all = { format, unpack(flags) };
				local text, shown, damaged = log:shown(unpack(all));
				assert.same({ text, shown, damaged }, { own:shown(unpack(all)) }, table.concat(all, " "));
			end
		end
		assert.is_true(select(2, own:shown("--user=user17")) == 1);
	end);

	it("lets others work while the driver looks for an entry", function ()
		local environment = {
			host = host; path = require "support.process".new_folder("store").."/audit.sqlite3"; is_server = false, patience = 1, shared = {};
			stanza_mt = st.stanza_mt; new_key = function () return core.item_key(noon); end;
		};
		local native = assert(core.storage(environment)):open("audit", "archive");
		local log = new_log({ audit_log_expires_after = "never" }, native);
		native:batch(function ()
			for i = 1, 9000 do native:append(nil, "k"..i, st.stanza("audit-event", { type = "t" }), noon - 9000 + i, "@"); end
		end);
		log.environment.now = function () log.time = log.time + 0.003; return log.time; end;
		log.log = core.new(log.environment);
		local asked, pauses = core.command({ host, "--text=nowhere" }, noon).asked, 0;
		local result = log.log.read(asked, function () end, { pause = function () pauses = pauses + 1; end });
		assert.equal(0, result.shown);
		-- It looks at 2,000 entries at a time, and 3 ms pass with each look at the clock.
		assert.is_true(pauses >= 2, pauses.." pauses");
	end);
end);
