-- Records a stream of numbered audit events, kills the server meanwhile, and checks the log afterwards. For the specs, and for
-- benches/crash.lua, which does it many times.
--
--   local crash = require "support.crash";
--   crash.stream(prosody, { from = 1, count = 1000 });       -- recorded by mod_test_stream, a moment later
--   crash.settle(prosody);                                   -- until all of them are in the store
--   crash.faults(crash.stored(prosody), crash.returned(prosody))   --> { "7 is missing", "9 is there twice", … }

local process = require "support.process";
local produced = require "support.produced";
local server = require "support.server";
local socket = require "socket";

local crash = {};

crash.modules = { "audit", "test_stream" };

-- Begins a stream. options: from (1), count (as many as there will be), interval (0.01 seconds), burst (1 event each time).
-- A burst of the whole count is recorded before this returns.
function crash.stream(prosody, options)
	prosody:eval([[
		local host, from, count, interval, burst = ...;
		module:shared("/"..host.."/test_stream/stream").start(from, count, interval, burst);
	]], prosody.host, options.from or 1, options.count or 1000000000, options.interval or 0.01, options.burst or 1);
end

-- Ends it -> the number that would have been next, the longest time of audit() in seconds
function crash.stop(prosody)
	return prosody:eval([[
		local stream = module:shared("/"..(...).."/test_stream/stream");
		stream.left = 0;
		return stream.next, stream.slowest;
	]], prosody.host);
end

-- For which numbers audit() has returned: { [number] = the entry's id, or "-" and the condition }, the highest number.
function crash.returned(prosody)
	local found, highest = {}, 0;
	for number, id in (process.read(prosody.data.."/returned.txt") or ""):gmatch("(%d+) ([^\n]*)\n") do
		number = tonumber(number);
		found[number] = id;
		if number > highest then highest = number; end
	end
	return found, highest;
end

-- How many entries wait for the store, and how many are lost.
function crash.waiting(prosody)
	return prosody:eval([[
		local log = module:shared("/*/audit/log").log;
		return log and log.waiting and log.waiting(...) or 0, log and log.lost and log.lost() or 0;
	]], prosody.host);
end

-- Hands over waiting entries now, without the pause after a failure.
function crash.flush(prosody)
	prosody:eval([[
		local log = module:shared("/*/audit/log").log;
		if log and log.flush then log.flush((...), 10); end
	]], prosody.host);
end

-- Waits until the store has all entries. Returns false if it still has not.
function crash.settle(prosody, timeout)
	return process.wait_until(function () return crash.waiting(prosody) == 0; end, timeout or 60, 0.02) or false;
end

-- Names of partitions in the order of the log.
local list_partitions = [[
	local store = assert(require "core.storagemanager".open(..., "audit", "archive"));
	local partitions = {};
	for name in store:users() do
		if type(name) == "string" and name ~= "" then table.insert(partitions, name); end
	end
	-- Day by day, then ".2", ".3" … ".10".
	local function parts(name)
		local day, part = name:match("^(.-%d%d%d%d%-%d%d%-%d%d)%.?(%d*)$");
		return day or name, tonumber(part) or 1;
	end
	table.sort(partitions, function (a, b)
		local day_a, part_a = parts(a);
		local day_b, part_b = parts(b);
		if day_a ~= day_b then return day_a < day_b; end
		return part_a < part_b;
	end);
	return partitions;
]];

-- A partition as text, one line for each entry. It is made in the server, as JSON would take too long.
local read_partition = [[
	local host, partition = ...;
	local store = assert(require "core.storagemanager".open(host, "audit", "archive"));
	local lines = {};
	for _, entry, when in assert(store:find(partition, {})) do
		local number = entry:get_child("number", "xmpp:prosody.im/audit");
		local lost;
		if entry.attr.type == "audit-entries-lost" then
			lost = tostring(entry):match("count=['\"](%d+)['\"]");
		end
		local elements = {};
		for i, child in ipairs(entry.tags) do elements[i] = child.name; end
		table.insert(lines, ("%s %s %s %s %s %s %s %s %s"):format(number and number.attr.n or "-",
			entry.attr["xmpp:prosody.im/audit\1id"] or "-", when, entry.attr["xmpp:prosody.im/audit\1occurred"] or "-",
			number and number.attr.at or "-", entry.attr.type, lost or "-", entry.attr.source, table.concat(elements, ",")));
	end
	return table.concat(lines, "\n").."\n";
]];

-- The whole store, one partition at a time: an answer of five megabytes would be too long.
local function read_store(prosody)
	local texts = { prosody:eval(read_partition, prosody.host, nil) };
	for _, partition in ipairs(prosody:eval(list_partitions, prosody.host)) do
		texts[#texts + 1] = prosody:eval(read_partition, prosody.host, partition);
	end
	return table.concat(texts);
end

-- The entries of the stream in the store: a list of { number, id, when, occurred, at }; how many are lost by entries about losses; and
-- the numbers of other entries: { [type] = count }.
function crash.stored(prosody)
	local entries, lost, others = {}, 0, {};
	for number, id, when, occurred, at, type, count, source, elements in read_store(prosody):gmatch(
			"(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S*)\n") do
		if number == "-" then
			produced.note(prosody.series, source, type, elements);
			others[type] = (others[type] or 0) + 1;
			lost = lost + (tonumber(count) or 0);
		else
			entries[#entries + 1] = {
				number = tonumber(number); id = id; when = tonumber(when); at = tonumber(at);
				occurred = occurred ~= "-" and occurred or nil;
			};
		end
	end
	return entries, lost, others;
end

local function unix_time(text)
	local year, month, day, hour, minute, second = text:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)Z$");
	-- os.time takes local time.
	local at = os.time { year = year, month = month, day = day, hour = hour, min = minute, sec = second, isdst = false };
	return at + os.difftime(at, os.time(os.date("!*t", at)));
end

local most_faults = 20;

-- Faults of these entries, as a list of sentences. Every number for which audit() returned an id must be there once, with that id, in
-- order, and with the time at which it happened. `returned` is the result of crash.returned.
function crash.faults(entries, returned)
	local faults, seen, before = {}, {}, nil;
	local function fault(text, ...)
		faults[#faults + 1] = #faults < most_faults and text:format(...) or nil;
	end
	for _, entry in ipairs(entries) do
		local number = entry.number;
		if seen[number] then
			fault("%d is there twice", number);
		else
			seen[number] = true;
			if before and number < before.number then
				fault("%d is after %d", number, before.number);
			end
		end
		if before and entry.when < before.when then
			fault("the time of %d is before that of %d", number, before.number);
		end
		local happened = entry.occurred and unix_time(entry.occurred) or entry.when;
		if math.abs(happened - entry.at) > 2 then
			fault("%d happened at %s, but the entry says %s", number, entry.at, happened);
		end
		local id = returned[number];
		if id and id ~= entry.id then
			fault("%d has the id %s, audit() gave %s", number, entry.id, id);
		end
		before = entry;
	end
	local numbers = {};
	for number, id in pairs(returned) do
		if id:sub(1, 1) ~= "-" and not seen[number] then
			numbers[#numbers + 1] = number;
		end
	end
	table.sort(numbers);
	for _, number in ipairs(numbers) do
		fault("%d is missing", number);
	end
	return faults;
end

-- The stream as prosodyctl shows it: numbers, oldest first; exit status; errors.
function crash.shown(prosody)
	local status, out, err = prosody:ctl({ env = { COLUMNS = "240" }, timeout = 300 }, "mod_audit", "--all", prosody.host);
	local numbers = {};
	for number in out:gmatch("%f[%w]n(%d+)@?") do
		table.insert(numbers, 1, tonumber(number));
	end
	return numbers, status, err;
end

-- The same as crash.faults, for numbers only.
function crash.faults_of_numbers(numbers, returned)
	local faults, seen = {}, {};
	for i, number in ipairs(numbers) do
		if seen[number] then faults[#faults + 1] = ("%d is shown twice"):format(number); end
		if i > 1 and number < numbers[i - 1] then faults[#faults + 1] = ("%d is shown after %d"):format(number, numbers[i - 1]); end
		seen[number] = true;
	end
	for number, id in pairs(returned) do
		if id:sub(1, 1) ~= "-" and not seen[number] then
			faults[#faults + 1] = ("%d is not shown"):format(number);
		end
	end
	return table.move(faults, 1, math.min(#faults, most_faults), 1, {});
end

-- Whether prosodyctl finds that nobody has changed the log, and what it says.
function crash.verified(prosody)
	local status, out, err = prosody:ctl("mod_audit", "--verify", prosody.host);
	return status == 0, out..err;
end

-- The journal's files of a host: a list of { path, size, permissions }, and their sizes together.
function crash.journal(prosody, host)
	local lfs = require "lfs";
	local folder = prosody.data.."/"..(host or prosody.host):gsub("%W", function (c) return ("%%%02x"):format(c:byte()); end);
	local files, size = {}, 0;
	if lfs.attributes(folder, "mode") then
		for name in lfs.dir(folder) do
			if name:match("^audit%.journal") then
				local attributes = lfs.attributes(folder.."/"..name);
				files[#files + 1] = { path = folder.."/"..name; size = attributes.size; permissions = attributes.permissions };
				size = size + attributes.size;
			end
		end
	end
	table.sort(files, function (a, b) return a.path < b.path; end);
	return files, size;
end

local paces = {
	{ interval = 0.001, burst = 3 };
	{ interval = 0.01, burst = 1 };
	{ interval = 0.01, burst = 50 };
	{ interval = 0.05, burst = 210 };
};

-- Kills the server options.kills times at random moments of a stream, and checks the log after each start.
-- options: series, storage, seed, fresh (a new server after so many kills, as reading grows), least (how many events there are before a
-- kill, at least), config, report (called with a text after each kill).
-- Returns { kills, killed_while_starting, events, unreturned, shown, seconds, faults }.
function crash.run(options)
	local random_state = options.seed or os.time();
	-- A generator of its own: the same seed makes the same moments.
	local function random()
		random_state = (random_state * 1103515245 + 12345) % 2147483648;
		return random_state / 2147483648;
	end
	local result = { kills = 0, killed_while_starting = 0, events = 0, unreturned = 0, shown = 0, faults = {}, seed = options.seed };
	local began = socket.gettime();
	local prosody;
	local function add(faults, where)
		for _, fault in ipairs(faults) do
			table.insert(result.faults, ("after kill %d%s: %s"):format(result.kills, where, fault));
		end
	end
	local ok, err = pcall(function ()
		local counted = 0;
		while result.kills < options.kills and #result.faults == 0 do
			if not prosody or result.kills % (options.fresh or 50) == 0 then
				if prosody then
					prosody:stop();
					process.run("rm -rf "..process.quote(prosody.folder));
				end
				prosody = server.start {
					series = options.series; storage = options.storage; modules = crash.modules; config = options.config; log_level = "info";
				};
				counted = 0;
			end
			local _, highest = crash.returned(prosody);
			local pace = paces[1 + math.floor(random() * #paces)];
			-- One number is left out: the last event may be in the log although audit() has not returned.
			crash.stream(prosody, { from = highest + 2; interval = pace.interval; burst = pace.burst });
			socket.sleep(random() * 0.8);
			if options.least then
				-- On a busy machine the stream may hardly have begun.
				process.wait_until(function () return select(2, crash.returned(prosody)) >= highest + options.least; end, 10, 0.02);
			end
			prosody:kill();
			result.kills = result.kills + 1;
			-- Sometimes the next server is killed soon, too: while it hands over the entries that it has found.
			while random() < 0.3 and result.kills < options.kills do
				local pause = ("(sleep %.3f; kill -KILL $$ 2>/dev/null) >/dev/null 2>&1 &"):format(0.1 + random() * 0.7);
				if pcall(prosody.start, prosody, { prefix = pause }) then
					process.wait_until(function () return not prosody:alive(); end, 5, 0.005);
				end
				prosody:kill();
				result.kills = result.kills + 1;
				result.killed_while_starting = result.killed_while_starting + 1;
			end
			local returned = crash.returned(prosody);
			if result.kills % 5 == 0 or options.kills <= 5 then
				local numbers, status, errors = crash.shown(prosody);
				add(crash.faults_of_numbers(numbers, returned), ", by prosodyctl");
				if status ~= 0 then
					add({ ("exit status %d: %s"):format(status, errors) }, ", by prosodyctl");
				end
				result.shown = result.shown + 1;
			end
			prosody:start({ prefix = false });
			if not crash.settle(prosody) then
				add({ ("%d entries still wait after 30 seconds"):format((crash.waiting(prosody))) }, "");
			end
			local entries, lost = crash.stored(prosody);
			add(crash.faults(entries, returned), "");
			if lost > 0 then
				add({ ("%d entries are said to be lost"):format(lost) }, "");
			end
			local intact, found = crash.verified(prosody);
			if not intact then
				add({ found }, ", verifying");
			end
			result.events = result.events + #entries - counted;
			counted = #entries;
			for _, entry in ipairs(entries) do
				if entry.number > highest and not returned[entry.number] then result.unreturned = result.unreturned + 1; end
			end
			if options.report then
				options.report(("%d of %d kills, %d events, %d faults"):format(result.kills, options.kills, result.events, #result.faults));
			end
		end
	end);
	if prosody then
		result.folder = prosody.folder;
		prosody:stop();
	end
	if not ok then error(err, 0); end
	result.seconds = socket.gettime() - began;
	return result;
end

return crash;
