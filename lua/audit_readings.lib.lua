-- Reading the log, from wherever: what a reading leaves in the log itself, and how one inside the server lets others go first.

local core = require "audit_core";

local async = require "util.async";

local audit_log = module:shared("/*/audit/log").log;

local readings = {};

-- Gives the loop to others for a moment. For an async context.
function readings.pause()
	async.sleep(0);
end

-- Gives it to them for three times as long as a slice takes (read.lua).
function readings.long_pause()
	async.sleep(0.015);
end

-- What a reading leaves: who asked, through what, for what, and how many entries there were.
--   record(host, reading) -> the entry's id | nil, condition
-- reading = { through = "prosodyctl" | "shell" | "adhoc", filter = what was asked as flags, entries = number, exported = true
-- where it left the terminal, format = | nil, file = | nil, by = name of an operator | nil, actor = | nil }
function readings.record(host, reading)
	local query = core.detail("query", {
		through = reading.through; by = reading.by;
		filter = reading.filter ~= "" and reading.filter or nil;
		entries = reading.entries; format = reading.format; file = reading.file;
	});
	return audit_log.audit(host, nil, "mod_audit", reading.exported and "audit-exported" or "audit-queried", {
		actor = reading.actor; custom = { query };
	});
end

local prune_lines = {
	expired = "removed %d entries of class %s that have expired, of %s to %s";
	limit = "removed %d entries of class %s beyond its limit, of %s to %s";
	addresses = "cut the addresses in %d entries of class %s, of %s to %s";
};

local function date_of(time)
	return time > -math.huge and time < math.huge and os.date("!%Y-%m-%d", math.floor(time)) or "an unknown day";
end

-- What pruning did, in words: a list of lines.
function readings.pruned(results)
	local lines = {};
	for _, result in ipairs(results) do
		table.insert(lines, (prune_lines[result.reason]:format(result.count, result.class, date_of(result.from), date_of(result.till))));
	end
	if results.moved > 0 then
		table.insert(lines, ("moved %d entries of an older log to where the others are"):format(results.moved));
	end
	return lines;
end

-- The same for an operator who asked for it.
function readings.describe(host, results)
	local lines = readings.pruned(results);
	if results.held then
		table.insert(lines, ("nothing that has expired is removed, as %s (--trust-clock: the clock is right)"):format(results.held));
	elseif #lines == 0 then
		return host..": nothing has expired";
	end
	return host..": "..table.concat(lines, "\n"..host..": ");
end

return readings;
