-- Flood control as the server's events meet it: what is asked before an entry is built, and the timer that ends windows.
-- The recorder decides.

local native, chunks = ...;
local stanzas = chunks.stanza;

local NAMESPACE, HOST_WIDE = native.namespace, stanzas.HOST_WIDE;
local ID, OCCURRED = NAMESPACE.."\1id", NAMESPACE.."\1occurred";

-- How soon after the first event that was counted one looks for windows that are over, and how often then; seconds. What is
-- being counted is written down as often.
local SOON, OFTEN = 0.25, 1;
-- How many children of an element are looked at for how much text there is: more than are stored of it.
local MAX_CHILDREN = 256;
-- How many event types of a host are remembered with how the recorder knows them.
local MAX_TYPES = 1000;
-- The type of events that were counted by flood control, and whose count is lost.
local COUNTED = "counted";

local floor, min = math.floor, math.min;
local next, pairs, pcall, setmetatable, tostring, type = next, pairs, pcall, setmetatable, tostring, type;
local element, good_word = stanzas.element, stanzas.good_word;

-- Flood control over a recorder.
--   context = {
--     stanza_mt, log, now, schedule   as the log's environment has them; without schedule() nothing is held back
--     monotonic      function() -> seconds, of a clock that does not jump
--     journal        function(host) -> journal | nil, its path | nil while it has no files; without it nothing is written down
--     lose           function(host, event type, time, count): counts events that are lost
--     recorder
--     keep           function(host, at, stanza, with, offered) -> true | nil: stores an entry, or gives it to the journal
--     holds          function(host, id) -> whether the journal has that entry
--     exists         function(host, username) -> true | false | nil: it can't be said without waiting; nil where nobody can be asked
--   }
local function new(context)
	local log, now, monotonic, recorder, stanza_mt = context.log, context.now, context.monotonic, context.recorder, context.stanza_mt;
	local ask, admits, exists = recorder.ask, recorder.admits, context.exists;
	-- outcomes[host][event_type] is how the recorder knows it, or false where all events of that type are stored.
	local outcomes, type_count = {}, {};
	local ticking, emitting, trouble = false, {}, {};
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
		context.schedule(SOON, tick);
	end

	-- How much text there is in stanzas, in bytes. Not deeper than anybody needs: others are cut when they are stored.
	local function bytes_of(stanzas_of, depth)
		local bytes = 0;
		for i = 1, min(#stanzas_of, MAX_CHILDREN) do
			local child = stanzas_of[i];
			if type(child) == "string" then
				bytes = bytes + #child;
			elseif type(child) == "table" and depth > 0 then
				for _, value in pairs(child.attr or {}) do
					bytes = bytes + (type(value) == "string" and #value or 0);
				end
				bytes = bytes + bytes_of(child, depth - 1);
			end
		end
		return bytes;
	end

	-- Whether an event was counted; if not it is to be stored. `actor` is who did it, as a JID or the domain of a server, and
	-- `custom` the stanzas that are to be stored of it.
	local function counted(host, user, source, event_type, ip, condition, actor, custom)
		local outcome = outcome_of(host, event_type, source);
		if not outcome or ask(outcome, user, ip, condition, actor, custom and bytes_of(custom, 5) or 0, monotonic()) then
			return false;
		end
		if not ticking then start(); end
		return true;
	end

	-- Whether an event of an account of this host is to be stored; if not it has been counted.
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

	local function flag(value)
		return value and "true" or nil;
	end

	local function entry_of(summary)
		local tags, n = {}, 0;
		local stanza = {
			name = "audit-event";
			attr = { source = summary.source; type = summary.type; user = summary.user; [ID] = summary.id };
			tags = tags;
		};
		local function add(parent, child)
			parent[#parent + 1], parent.tags[#parent.tags + 1] = child, child;
		end
		if summary.remote_ip or summary.location then
			local session = element(stanza_mt, "session", { xmlns = NAMESPACE });
			if summary.remote_ip then
				add(session, element(stanza_mt, "remote-ip", {}, summary.remote_ip));
			end
			stanzas.add_location(stanza_mt, session, summary.location);
			n = n + 1;
			stanza[n], tags[n] = session, session;
		end
		if summary.actor then
			local by = summary.remote and element(stanza_mt, "s2s", { xmlns = NAMESPACE; remote = summary.actor })
				or element(stanza_mt, "actor", { xmlns = NAMESPACE; kind = "user"; jid = summary.actor });
			n = n + 1;
			stanza[n], tags[n] = by, by;
		end
		local repeated = element(stanza_mt, "repeated", {
			xmlns = NAMESPACE;
			count = ("%d"):format(summary.count);
			first = recorder.date_time(summary.first);
			last = recorder.date_time(summary.last);
			accounts = ("%d"):format(summary.accounts);
			networks = ("%d"):format(summary.networks);
			actors = summary.actors > 0 and ("%d"):format(summary.actors) or nil;
			["at-least"] = flag(summary.at_least);
			["distinct-at-least"] = flag(summary.distinct_at_least);
		});
		for i = 1, #summary.samples do
			add(repeated, element(stanza_mt, "sample", summary.samples[i]));
		end
		for i = 1, #summary.often do
			add(repeated, element(stanza_mt, "often", summary.often[i]));
		end
		if summary.others then
			add(repeated, element(stanza_mt, "names", {}, summary.names));
		end
		stanza[n + 1], tags[n + 1] = repeated, repeated;
		return setmetatable(stanza, stanza_mt);
	end

	local function store(host, summary)
		local stanza, with = entry_of(summary), summary.user or HOST_WIDE;
		if summary.offered then
			-- Another process may have stored it, just before it died.
			return context.holds(host, summary.id) or context.keep(host, summary.last, stanza, with, true);
		end
		local at = now();
		if summary.at_least then
			-- What it was counting happened before that.
			stanza.attr[OCCURRED] = recorder.occurred(summary.last, at, floor(at));
		end
		return context.keep(host, at, stanza, with, false);
	end

	local function write_down(host, closing)
		local journal, path, problem;
		if context.journal then journal, path = context.journal(host); end
		if not journal then return; end
		local count = recorder.counted(host);
		-- The journal has the number too. It must not have a higher one than the file, or a crash in between would count some twice.
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

	-- Stores the summaries of a host that are due; all of them where it is closing.
	local function sum_up(host, closing)
		if emitting[host] then return; end -- a driver that yields
		emitting[host] = true;
		local summaries = recorder.summaries(host, monotonic(), now(), closing);
		if #summaries > 0 then
			-- With their ids: should the server die now, the next one knows which of them were stored.
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
			context.schedule(OFTEN, tick);
		end
	end

	-- Takes up what another process was counting on a host when it died.
	local function open(host)
		if not context.schedule or not context.journal then return; end
		local journal, path = context.journal(host);
		if not path then return; end
		local before = recorder.counted(host);
		local due, problem = recorder.restore(host, path, monotonic(), now());
		local missing = journal:counted() - (recorder.counted(host) - before);
		if missing > 0 then
			log("error", ("%d events that flood control of %s had counted when the server ended are lost: %s"):format(missing, host,
				problem or "what it counted could not be written down, or is gone"));
			context.lose(host, COUNTED, now(), missing);
		elseif problem then
			log("error", ("What flood control of %s was counting when the server ended is lost: %s"):format(host, problem));
		end
		if due == 0 then
			-- What the file said of the budget is known now.
			write_down(host, false);
		elseif not ticking then
			start();
		end
	end

	-- Ends the windows of a host as they stand, or of all.
	local function close(host)
		if host then
			sum_up(host, true);
			return;
		end
		local hosts = recorder.counting();
		for i = 1, #hosts do
			sum_up(hosts[i], true);
		end
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

	-- { [event type] = number of events that were counted and not stored }, number within the last minute
	local function suppressed(host)
		return recorder.suppressed(host, monotonic());
	end

	return { counted = counted; admitted = admitted; open = open; close = close; forget = forget; suppressed = suppressed; is_counting = is_counting };
end

return { new = new };
