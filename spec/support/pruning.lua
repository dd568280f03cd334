-- Stores with entries of certain days, and what pruning made of them.
--
--   local log = pruning.new_log({ audit_log_expires_after = "2d" }, "embedded");
--   log.store:append(pruning.name_of("events", time), nil, pruning.entry("type", "203.0.113.80"), time, "@");
--   pruning.done(log) --> "events expired 1 in 1", results

local assert = require "luassert";
local st = require "util.stanza";
local support = require "support.log";

local NAMESPACE, host = support.NAMESPACE, support.host;

local pruning = {};

-- new_log(options, kind, journal, store) -> a log at noon, on a store of this kind, or on this store
function pruning.new_log(options, kind, journal, store)
	local log = support.new(options, store or support.new_store(nil, kind), journal);
	log.time = support.noon;
	return log;
end

-- entry(event_type, ip | nil) -> an entry as a stanza
function pruning.entry(event_type, ip)
	local stanza = st.stanza("audit-event", { type = event_type, source = "mod_test" });
	if ip then
		stanza:tag("session", { xmlns = NAMESPACE }):text_tag("remote-ip", ip):tag("location", { country = "DE" }):up():up();
	end
	return stanza;
end

-- name_of(class, time) -> the name of the partition of that day
function pruning.name_of(class, time)
	return "@"..class..os.date("!.%Y-%m-%d", time);
end

-- damage(store, event_type) -> repair(): makes entries of this type unreadable until repair() is called
function pruning.damage(store, event_type)
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

-- done(log, wish) -> what pruning reports, one phrase for each class and reason, and its results
function pruning.done(log, wish)
	local results, problem = log.log.prune(host, wish);
	assert.is_nil(problem);
	local lines = {};
	for i, result in ipairs(results) do
		lines[i] = ("%s %s %d in %d"):format(result.class, result.reason, result.count, result.partitions);
	end
	return table.concat(lines, ", "), results;
end

-- shown(log) -> sorted event types of the entries that can be read, without those of the log itself. Fails if one is there twice.
function pruning.shown(log)
	local types, seen = {}, {};
	for event_type in log:shown():gmatch("\n%S+ [%d:]+[* ] +(%S+)") do
		if event_type ~= "audit-pruned" and event_type ~= "audit-clock-jumped" and event_type ~= "EVENT" then
			assert.is_nil(seen[event_type], event_type.." is shown twice");
			seen[event_type] = true;
			table.insert(types, event_type);
		end
	end
	table.sort(types);
	return table.concat(types, " ");
end

-- records(log) -> the sorted contents of the entries "audit-pruned"
function pruning.records(log)
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

return pruning;
