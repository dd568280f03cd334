-- What all ways to read the log share: the entry that a reading leaves in the log, and pauses of readings inside the server.

local core = require "audit_core";

local async = require "util.async";
local pack = require "util.table".pack;
local monotonic = require "util.time".monotonic;
local timer = require "util.timer";

local audit_log = module:shared("/*/audit/log").log;

local readings = {};

-- Lets the rest of the server run for one turn. For an async context.
function readings.pause()
	async.sleep(0);
end

-- Lets it run for three times as long as a slice takes (read.lua).
function readings.long_pause()
	async.sleep(0.015);
end

-- A storage driver may wait for an answer that never comes. A reading is given up after that many seconds without progress.
local PATIENCE = 10;

readings.unanswered = ("the storage driver has not answered for %d seconds"):format(PATIENCE);

-- bounded(work) -> true, what work(give_up) returned | false, what went wrong. For work that may never end, in an async context. If
-- give_up(message) is called, bounded() returns at once.
function readings.bounded(work)
	local wait, done = async.waiter();
	local results;
	local function finish(...)
		if not results then
			results = pack(...);
			done();
		end
	end
	local function give_up(message)
		finish(false, message);
	end
	async.runner(function ()
		finish(pcall(work, give_up));
	end):run(true);
	wait();
	return (table.unpack or unpack)(results, 1, results.n); -- luacheck: ignore 113/unpack
end

-- read(pause, f) -> true, what f(pause) returned | false, what went wrong. It is given up if f has not paused for too long; its next
-- pause raises then.
function readings.read(pause, read)
	return readings.bounded(function (give_up)
		local at, is_over = monotonic(), false;
		timer.add_task(PATIENCE, function ()
			local left = at + PATIENCE - monotonic();
			if is_over then
				return;
			elseif left > 0 then
				return left;
			end
			is_over = true;
			give_up(readings.unanswered);
		end);
		local function done(ok, ...)
			is_over = true;
			if not ok then error((...), 0); end
			return ...;
		end
		return done(pcall(read, function ()
			if is_over then error(readings.unanswered, 0); end
			at = monotonic();
			pause();
			at = monotonic();
		end));
	end);
end

-- prune(host, wish) -> what audit_log.prune() returns | nil, that the driver does not answer. Waits for a prune that runs already.
function readings.prune(host, wish)
	local ok, results, problem = readings.bounded(function (give_up)
		wish.wait = true;
		function wish.given_up()
			give_up("the storage driver does not answer");
		end
		return audit_log.prune(host, wish);
	end);
	if not ok then
		return nil, results;
	end
	return results, problem;
end

local existing = module:shared("/*/audit/log").existing;

-- Whether a name that was searched for may be stored. It may be a password that somebody typed as a name, and that an operator now
-- searches for.
local function may_store_name(host, name)
	local is_there = not name:find("*", 1, true) and existing.exists(host, (name:gsub("@[^@]*$", "")));
	return is_there or is_there == nil and prosody.process_type ~= "prosodyctl";
end

-- The flags of a reading, as they may be stored: addresses and names as the options say.
local function stored(host, event_type, text)
	if not text or text == "" then return nil; end
	text = audit_log.asked(host, event_type, text);
	if audit_log.hashes_names(host) then
		text = (" "..text):gsub("( %-%-user=)(%S+)", function (flag, names)
			return flag..names:gsub("[^,]+", function (name)
				return not may_store_name(host, name) and "***" or nil;
			end);
		end):sub(2);
	end
	return text;
end

-- record(host, reading) -> the entry's id | nil, condition. Records who read the log, how, with which filter, and how many entries.
-- reading = { through = "prosodyctl" | "shell" | "adhoc" | "module", filter = the flags, entries = number, exported = true if the entries were
-- written to a file or in a format for programs, format = | nil, file = | nil, by = name of the reader | nil, by_source = how that
-- name is known: "login" | "environment" | nil, claimed = true if the name was only told to us, actor = | nil }
function readings.record(host, reading)
	local event_type = reading.exported and "audit-exported" or "audit-queried";
	local by = reading.by;
	-- A JID says who it is. It is better to record that somebody is unknown than nothing.
	if not by and not (reading.actor and reading.actor.jid) then
		by = "unknown";
	end
	local is_known = by ~= nil and by ~= "unknown";
	local query = core.detail("query", {
		through = reading.through; by = by; ["by-source"] = is_known and reading.by_source or nil;
		claimed = is_known and (reading.claimed or reading.by_source == "environment") and "true" or nil;
		filter = stored(host, event_type, reading.filter);
		entries = reading.entries; format = reading.format; file = stored(host, event_type, reading.file);
	});
	return audit_log.audit(host, nil, "mod_audit", event_type, {
		actor = reading.actor; custom = { query };
	});
end

-- hidden(count) -> a line about the entries that a reading has passed over, as nobody asked for them | nil, if there are none
function readings.hidden(count)
	if count == 0 then return nil; end
	return ("%d %s about who read the log and what was removed from it %s hidden; --all shows %s"):format(count,
		count == 1 and "entry" or "entries", count == 1 and "is" or "are", count == 1 and "it" or "them");
end

local prune_lines = {
	expired = "removed %d entries of class %s that have expired, from %s to %s";
	limit = "removed %d entries of class %s beyond its limit, from %s to %s";
	addresses = "cut the addresses in %d entries of class %s, from %s to %s";
};

local function date_of(at)
	return at > -math.huge and at < math.huge and os.date("!%Y-%m-%d", math.floor(at)) or "an unknown day";
end

-- pruned(results) -> list of lines that say what pruning did
function readings.pruned(results)
	local lines = {};
	for _, result in ipairs(results) do
		table.insert(lines, (prune_lines[result.reason]:format(result.count, result.class, date_of(result.from), date_of(result.till))));
	end
	if results.moved > 0 then
		table.insert(lines, ("moved %d entries of an older log to partitions"):format(results.moved));
	end
	return lines;
end

-- describe(host, results) -> the same as a text, for the operator who started it
function readings.describe(host, results)
	local lines = readings.pruned(results);
	if results.held then
		table.insert(lines, ("expired entries are not removed, as %s (if the clock is right, use --trust-clock)"):format(results.held));
	elseif #lines == 0 then
		return host..": nothing has expired";
	end
	return host..": "..table.concat(lines, "\n"..host..": ");
end

return readings;
