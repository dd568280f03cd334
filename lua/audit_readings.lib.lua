-- Reading the log, from wherever: what a reading leaves in the log itself, and how one inside the server lets others go first.

local core = require "audit_core";

local async = require "util.async";

local audit_log = module:shared("/*/audit/log").log;

local readings = {};

-- Gives the loop to others for a moment. For an async context.
function readings.pause()
	local wait, done = async.waiter();
	module:add_timer(0, done);
	wait();
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

-- What was pruned, in words.
function readings.pruned(host, dropped, removed)
	if #dropped == 0 and removed == 0 then
		return host..": nothing has expired";
	end
	return ("%s: removed %d partitions%s and %d entries of an older log"):format(host, #dropped,
		#dropped > 0 and (" ("..table.concat(dropped, ", ")..")") or "", removed);
end

return readings;
