-- Records events: makes an entry of an event and gives it to the journal or the store, or lets flood control count the event.

local native, chunks = ...;
local drivers, entries = chunks.driver, chunks.entry;

local error, getmetatable, pcall, type = error, getmetatable, pcall, type;
local decode, field, outcomes, word_of = chunks.stanza.decode, entries.field, native.outcomes, chunks.stanza.word_of;
local step = native.timing.clock_step;
local DURABLE, IS_ADMITTED, IS_KEPT = outcomes.durable, native.event_bits.is_admitted, native.event_bits.is_kept;
local cause_of, condition_of = drivers.cause_of, drivers.condition_of;

-- new(context) -> { audit =, keep =, session_extra = }
--   context = {
--     environment, recorder, strangers, hosts, writer, writes, monotonic, tell    as log.lua has them
--     recorded    function(host, event_type): an event was recorded
--     parts = { queues =, flood =, clocks = | nil }, which are made later
--   }
local function new(context)
	local environment, recorder, strangers, tell = context.environment, context.recorder, context.strangers, context.tell;
	local monotonic, parts, writer, writes = context.monotonic, context.parts, context.writer, context.writes;
	local configured, direct, ensure_configured = context.hosts.configured, context.hosts.direct, context.hosts.ensure_configured;
	local store_of, trust = context.hosts.store_of, context.hosts.trust;
	local hashing, alias_of_jid = strangers.hashing, strangers.of_jid;
	local stanza_mt, log, now = environment.stanza_mt, environment.log, environment.now;
	local recorded = context.recorded;
	local passed = entries.new(recorder);
	local describe, mended, passing, pass = passed.describe, passed.mended, passed.passing, recorder.record;
	local troubled = {};
	-- Without timers there is no flood control.
	local never_counts = environment.schedule == nil;
	-- The difference between the wall clock and the monotonic clock, from the start on: there may be a step before the first event.
	local difference = now() - monotonic();

	-- Counts an entry that is lost.
	local function failed(host, err, at, event_type)
		troubled[host] = true;
		local line = recorder.failed(host, cause_of(err), nil, at);
		if line then
			log("error", line);
		end
		parts.queues.lose(host, event_type, at);
		return nil, condition_of(err);
	end

	-- Appends an entry to the store, which is open already, without the journal: true | nil, err
	local function write(host, at)
		local stanza = decode(stanza_mt);
		local store, err = store_of(host);
		if not store then
			return nil, err;
		end
		local ok, key;
		ok, key, err = pcall(writer.put, host, store, at, stanza, stanza.attr.user or native.host_wide);
		if not ok or not key then
			trust.doubt(store);
			return nil, not ok and key or err;
		end
		if troubled[host] then
			troubled[host] = nil;
			local line = recorder.stored(host);
			if line then
				log("info", line);
			end
		end
		return true;
	end

	-- Whether the entry goes to the store directly. `offered` says that the store may have the entry already.
	local function goes_at_once(host, queue, offered)
		local queues = parts.queues;
		return not queue.journal
			or (direct[host] and not offered or not queue.attached) and queues.is_empty(queue) and writes.wait(host, queue.journal) == 0;
	end

	-- Writes an entry to the store or to the journal: true | nil, condition. Without a payload, it is the entry that was made last.
	-- `is_kept` says that the caller keeps the entry if there is no room for it. Then it does not count as lost.
	local function keep(host, at, payload, event_type, offered, is_kept)
		local queue = parts.queues.queue_of(host);
		local at_once = goes_at_once(host, queue, offered);
		if at_once then
			if payload then
				payload = queue.journal and recorder.link(host, payload, event_type) or payload;
				native.open(payload);
			else
				recorder.open_made();
				-- If the driver yields, other entries may be made meanwhile.
				payload = queue.journal and recorder.payload();
			end
			if queue.attached and recorder.has_new_chain(host) then
				queue.journal:write_heads();
			end
			local slice = writes.begin(host);
			local ok, done, err = pcall(write, host, at);
			writes.ended(host, slice);
			if not ok then
				done, err = nil, done;
			end
			if done then
				if queue.journal then
					queue.journal:stored(payload, at);
					if queue.attached then queue.journal:write_heads(); end
				end
				recorded(host, event_type);
				return true;
			elseif not queue.journal then
				if is_kept then
					return nil, condition_of(err);
				end
				return failed(host, err, at, event_type);
			end
			-- If the store refuses the entry, it waits in the journal and is offered again later.
		end
		if not parts.queues.add(queue, at, payload, event_type, at_once or offered, is_kept) then
			return nil, "resource-constraint";
		end
		recorded(host, event_type);
		return true;
	end

	-- Checks the clocks of all hosts because the time has jumped since the last event, so that it is known which entries were written
	-- while the clock was wrong.
	local function clock_has_jumped(since)
		difference = since;
		parts.clocks.look_at_all();
	end

	local function record(host, user, source, event_type, extra, admitted)
		local queues = parts.queues;
		if not configured[host] then
			ensure_configured(host);
		end
		if hashing[host] then
			user = alias_of_jid(host, event_type, user) or user;
		end
		local queue, at, clock = queues.queue_of(host), now(), monotonic();
		if parts.clocks then
			local since = at - clock;
			if since - difference >= step or difference - since >= step then
				clock_has_jumped(since);
			end
		end
		local number = queue.number;
		if number then
			if queue.attached and not direct[host] or not goes_at_once(host, queue, false) then
				queues.touch(queue, at);
			else
				number = nil;
			end
		end
		passing.event = true;
		local bits, session_id, kind, ip, client, timestamp = describe(extra);
		bits = bits + ((admitted or never_counts) and IS_ADMITTED or 0) + (queue.telling and IS_KEPT or 0);
		local id, outcome, sequence, is_warned, is_amiss = pass(host, user, word_of(source), word_of(event_type), session_id, kind, ip, client,
			at, clock, timestamp, bits, number);
		passing.event = false;
		if outcome == DURABLE and not is_amiss then
			queues.added(queue, at, sequence);
			recorded(host, word_of(event_type));
		elseif outcome == outcomes.counted then
			parts.flood.counted();
			return nil, "counted";
		elseif outcome == outcomes.made then
			if is_warned then
				tell("warn", recorder.warnings());
			end
			local kept, condition = keep(host, at, nil, word_of(event_type), false);
			return kept and id or nil, condition;
		elseif queues.look_after(queue, at, outcome, is_amiss, queue.telling) then
			queues.added(queue, at, sequence);
			recorded(host, word_of(event_type));
		else
			return nil, "resource-constraint";
		end
		if is_warned then
			tell("warn", recorder.warnings());
		end
		return id;
	end

	-- Records an event of `host`.
	--   audit(host, user, source, event_type, extra, admitted) -> the entry's id | nil, condition
	-- If flood control only counts the event, this returns nil, "counted". `admitted` says that admits() was called before, so that
	-- flood control is not asked again.
	--
	-- `extra` may have session (a session of Prosody's, or a table with its fields id, type, ip, client_id), custom (a list
	-- of stanzas to add), timestamp (when it happened, if not now) and actor (who did it: a table with kind, jid, session
	-- and caused_by; with administers, flood control does not apply). Raises an error only for mistakes of the programmer: no host,
	-- host "*", or an item of `custom` that is not a stanza.
	local function audit(host, user, source, event_type, extra, admitted)
		if host == "*" or not configured[host] and type(host) ~= "string" then
			error("cannot log audit events for global", 2);
		end
		if extra ~= nil and type(extra) ~= "table" then
			extra = nil;
		end
		local custom = extra and extra.custom;
		if custom ~= nil then
			if type(custom) ~= "table" then
				error("extra.custom is no list of stanzas but a "..type(custom), 2);
			end
			for i = 1, #custom do
				if getmetatable(custom[i]) ~= stanza_mt then
					error("extra.custom["..i.."] is no stanza but a "..type(custom[i]), 2);
				end
			end
		end
		local ok, id, condition = pcall(record, host, user, source, event_type, extra, admitted);
		if not ok then
			-- A stanza that was not made by util.stanza may have any values in it, as a session may.
			local has_mended, tries_again, text, copy = pcall(mended, user, extra);
			if has_mended and tries_again then
				ok, id, condition = pcall(record, host, text, source, event_type, copy, admitted);
			end
		end
		if ok then
			return id, condition;
		end
		recorder.forget_event();
		return failed(host, id, now(), word_of(event_type));
	end

	-- session_extra(session) -> the element that describes a session in an event. The event is not known here, so the address policy
	-- of the default class of session.host is used.
	local function session_extra(session)
		local host = type(session.host) == "string" and session.host or "";
		if host ~= "" then
			ensure_configured(host);
		end
		local is_warned = recorder.session(host, field(session.id), field(session.type), field(session.ip), field(session.client_id));
		local stanza = decode(stanza_mt);
		if is_warned then
			tell("warn", recorder.warnings());
		end
		return stanza;
	end

	return { audit = audit; keep = keep; session_extra = session_extra };
end

return { new = new };
