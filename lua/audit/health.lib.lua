-- How far the log of a host can be relied on, as this server knows it: what waits, what was lost, what was counted, the last verification,
-- the last seal, and the sinks. The pages show it, and prosodyctl asks for it for a report.
--
--   library "health" (audit_log)
--   module:shared("/*/audit/log").health(host)   --> list of { standing = "good" | "note" | "bad", text }

local time = require "util.time";

local ipairs, math, pairs = ipairs, math, pairs;
local concat = table.concat;

local shared, actions = module:shared("/*/audit/log"), module:shared("/*/audit/actions");

local function at(when)
	return os.date("!%Y-%m-%d %H:%M UTC", math.floor(when));
end

local function of_store(state)
	if state.problem then
		return "bad", ("%d events wait: %s"):format(state.waiting, state.problem);
	elseif state.waiting > 0 then
		return "good", ("On their way to the store: %d"):format(state.waiting);
	end
	return "good", "Everything that was recorded is in the store";
end

local function of_losses(state)
	if state.lost == 0 then
		return "good", "Nothing was lost since the start of the server";
	end
	return "bad", ("Lost events: %d"):format(state.lost);
end

local function of_summaries(state)
	local counted = 0;
	for _, count in pairs(state.suppressed) do counted = counted + count; end
	if counted == 0 then
		return "good", "Every event is an entry of its own since the start of the server";
	end
	return "note", ("Events that were counted in summaries since the start of the server: %d"):format(counted);
end

local function of_verification(last)
	if not last then
		return "note", "Not verified since the start of the server";
	elseif last.problem then
		return "bad", ("It could not be verified at %s: %s"):format(at(last.at), last.problem);
	elseif last.intact then
		local text = ("Verified, and intact, at %s: %d entries"):format(at(last.at), last.verified);
		if (last.unprotected or 0) > 0 then
			text = text..(". Not protected, as they were recorded without a link: %d"):format(last.unprotected);
		end
		return "good", text;
	end
	return "bad", ("Verified, and not intact, at %s: %d faults"):format(at(last.at), last.faults);
end

local function of_seals(seals)
	if seals.problem then
		return "bad", "The log can't be sealed: "..seals.problem;
	elseif not seals.is_on then
		return "note", "Not sealed: there is no seal key";
	elseif seals.at then
		return "good", "Sealed at "..at(seals.at);
	end
	return "note", "Not sealed since the start of the server";
end

local function of_sink(sink)
	local late = sink.oldest and math.max(0, time.now() - sink.oldest) or 0;
	if sink.problem then
		return "bad", ("The sink %s does not work: %s. %d wait for it"):format(sink.name, sink.problem, sink.behind);
	elseif sink.refused > 0 then
		return "note", ("The sink %s has refused %d since the start of the server"):format(sink.name, sink.refused);
	elseif sink.behind == 0 then
		return "good", ("The sink %s has everything"):format(sink.name);
	end
	return "good", ("On their way to the sink %s: %d, the oldest for %.0f seconds"):format(sink.name, sink.behind, late);
end

return function (audit_log)
	function shared.health(host)
		local list = {};
		local function add(standing, text)
			list[#list + 1] = { standing = standing; text = text };
		end
		local state = audit_log.state(host);
		add(of_store(state));
		add(of_losses(state));
		add(of_summaries(state));
		add(of_verification(shared.verifying and shared.verifying.of(host)));
		if shared.sealing then add(of_seals(shared.sealing.state(host))); end
		local sinks = module:shared("/*/audit_sinks/sinks").list;
		for _, sink in ipairs(sinks and sinks(host) or {}) do add(of_sink(sink)); end
		return list;
	end

	-- For prosodyctl: a line for each.
	function actions.health(attr)
		if not audit_log.stores[attr.host] then
			return nil, "mod_audit is not loaded on it";
		end
		local lines = {};
		for i, state in ipairs(shared.health(attr.host)) do
			lines[i] = state.standing.." "..state.text:gsub("%c", " ");
		end
		return concat(lines, "\n");
	end
end
