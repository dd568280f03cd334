-- Flood control: asks the core before an entry is made whether to store the event or only count it, and has the timer that ends the
-- windows of counting.

local native, chunks = ...;

local first_look, look_interval = native.timing.flood_first_look, native.timing.flood_look;
-- The largest number of event types of a host whose numbers in the recorder are remembered.
local MAX_TYPES = 1000;
-- The type under which events are counted as lost that flood control had counted.
local COUNTED = "counted";

local next, pcall, tostring = next, pcall, tostring;
local good_word = chunks.stanza.good_word;

-- Flood control over a recorder.
--   context = {
--     log, now, schedule   as the log's environment has them; without schedule() nothing is held back
--     monotonic      function() -> seconds, of a clock that does not jump
--     journal        function(host) -> journal | nil, its path | nil while it has no files; without it nothing is written down
--     lose           function(host, event type, time, count): counts events that are lost
--     recorder
--     keep           function(host, at, payload, event type, offered) -> true | nil: stores an entry, or gives it to the journal
--     holds          function(host, id) -> whether the journal has that entry
--     exists         function(host, username) -> true | false | nil: it can't be said without waiting; nil where nobody can be asked
--   }
local function new(context)
	local log, now, monotonic, recorder = context.log, context.now, context.monotonic, context.recorder;
	local admits, exists = recorder.admits, context.exists;
	-- outcomes[host][event_type] is the number of the outcome in the recorder, or false if all events of that type are stored.
	local outcomes, type_count = {}, {};
	local ticking, emitting, trouble = false, {}, {};
	-- Hosts for which the file with the counts of an earlier process can't be read yet. The value is the number of events in it,
	-- according to the journal.
	local unread = {};
	local tick;

	local function tell_once(host, what, message)
		local key = host.."\0"..what;
		if trouble[key] ~= message then
			trouble[key] = message;
			if message then
				log("error", what:format(host, message));
			end
		end
	end

	local function find_outcome(host, event_type, source)
		local outcome = context.schedule and recorder.outcome(host, good_word(event_type), good_word(source), monotonic(), now()) or false;
		if not outcomes[host] or type_count[host] >= MAX_TYPES then
			outcomes[host], type_count[host] = {}, 0;
		end
		outcomes[host][event_type], type_count[host] = outcome, type_count[host] + 1;
		return outcome;
	end

	local function outcome_of(host, event_type, source)
		local of_host = outcomes[host];
		local outcome = of_host and of_host[event_type];
		if outcome == nil then
			return find_outcome(host, event_type, source);
		end
		return outcome;
	end

	local function start()
		ticking = true;
		context.schedule(first_look, tick);
	end

	-- An event was counted.
	local function counted()
		if not ticking then start(); end
	end

	-- Returns whether to store an event. If this returns false, the event was counted.
	local function admitted(host, username, source, event_type, ip, condition)
		local outcome = outcome_of(host, event_type, source);
		if not outcome then
			return true;
		end
		local stored, asks = admits(outcome, username, ip, condition, monotonic());
		if stored then
			return true;
		elseif asks and exists and exists(host, username) then
			recorder.exists();
		end
		if not ticking then start(); end
		return false;
	end

	local function store(host, summary)
		-- Another process may have stored it, just before it died.
		if summary.offered and context.holds(host, summary.id) then
			return true;
		end
		return context.keep(host, summary.at, summary.entry, summary.type, summary.offered);
	end

	local function write_down(host, closing)
		local journal, path, problem;
		if context.journal then journal, path = context.journal(host); end
		if not journal then return; end
		local count = recorder.counted(host);
		if unread[host] then
			-- The file is not replaced before it was read. After a crash, the next process reports what is only in this number.
			journal:set_counted(unread[host] + count);
			return;
		end
		-- The journal also has the number of counted events. It is lowered before the file is written and raised after that. So a crash
		-- in between counts no event twice.
		if count < journal:counted() then journal:set_counted(count); end
		if path then
			problem = recorder.checkpoint(host, path, monotonic(), closing);
		elseif count > 0 then
			problem = journal:trouble() or "there is no journal";
		end
		journal:set_counted(count);
		local consequence = journal:is_kept() and "A crash would leave only the number of events." or "A crash would take it.";
		tell_once(host, "What flood control of %s counts can't be written down: %s", problem and problem..". "..consequence);
	end

	-- Stores the summaries of a host that are due, or all of them if the host is closing.
	local function sum_up(host, closing)
		if emitting[host] then return; end -- a driver that yields
		emitting[host] = true;
		local summaries = recorder.summaries(host, monotonic(), now(), closing);
		if #summaries > 0 then
			-- The file has their ids. If the server dies now, the next start can find out which of them were stored.
			write_down(host, false);
		end
		local stored, problem = 0, nil;
		for i = 1, #summaries do
			local ok, done = pcall(store, host, summaries[i]);
			if not ok then problem = tostring(done); end
			if not ok or not done then break; end
			stored = i;
		end
		recorder.settle(host, stored);
		emitting[host] = nil;
		tell_once(host, "What flood control of %s has counted can't be stored: %s", problem);
		write_down(host, closing);
	end

	function tick()
		local hosts = recorder.counting();
		for i = 1, #hosts do
			local ok, problem = pcall(sum_up, hosts[i], false);
			tell_once(hosts[i], "Fault in flood control of %s: %s", not ok and tostring(problem) or nil);
		end
		ticking = next(recorder.counting()) ~= nil;
		if ticking then
			context.schedule(look_interval, tick);
		end
	end

	-- Continues with the counts that an earlier process had when it ended. Tries again later if they can't be read now.
	local open;
	function open(host)
		if not context.schedule or not context.journal then return; end
		local journal, path = context.journal(host);
		if not path then return; end
		local before, saved = recorder.counted(host), unread[host] or journal:counted();
		local due, problem, is_unread = recorder.restore(host, path, monotonic(), now());
		if is_unread then
			tell_once(host, "What flood control of %s was counting when the server ended can't be read now: %s. It is tried again.", problem);
			unread[host] = saved;
			context.schedule(look_interval, function ()
				if unread[host] then open(host); end
			end);
			return;
		end
		unread[host] = nil;
		local missing = saved - (recorder.counted(host) - before);
		if missing > 0 then
			log("error", ("%d events that flood control of %s had counted when the server ended are lost: %s"):format(missing, host,
				problem or "what it counted could not be written down, or is gone"));
			context.lose(host, COUNTED, now(), missing);
		elseif problem then
			log("error", ("What flood control of %s was counting when the server ended is lost: %s"):format(host, problem));
		end
		if due == 0 then
			-- The budgets in the file were read, so the file can be replaced.
			write_down(host, false);
		elseif not ticking then
			start();
		end
	end

	-- Ends all windows of a host, or of all hosts, before their time.
	local function close(host)
		if host then
			sum_up(host, true);
			unread[host] = nil;
			return;
		end
		local hosts = recorder.counting();
		for i = 1, #hosts do
			sum_up(hosts[i], true);
		end
		unread = {};
	end

	-- Options have changed.
	local function forget(host)
		if host then
			outcomes[host] = nil;
		else
			outcomes = {};
		end
	end

	local function is_counting(host)
		local hosts = recorder.counting();
		for i = 1, #hosts do
			if hosts[i] == host then return true; end
		end
		return false;
	end

	-- Adds the hosts on which something is counted to a list of hosts, and returns it.
	local function awake(found)
		local seen, counting = {}, recorder.counting();
		for i = 1, #found do seen[found[i]] = true; end
		for i = 1, #counting do
			if not seen[counting[i]] then found[#found + 1] = counting[i]; end
		end
		return found;
	end

	-- { [event type] = number of events that were counted and not stored }, number within the last minute
	local function suppressed(host)
		return recorder.suppressed(host, monotonic());
	end

	return {
		counted = counted; admitted = admitted; open = open; close = close; forget = forget; awake = awake;
		suppressed = suppressed; is_counting = is_counting;
	};
end

return { new = new };
