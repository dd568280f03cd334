-- The Lua half of the binding. Everything that calls a store is in Lua and not in Rust: a driver may yield, a yield can't
-- cross Rust, and a driver's errors must arrive as they are.

local native, chunks = ...;
local entries, stanzas, stores_of_hosts = chunks.entry, chunks.stanza, chunks.driver;

-- A step of the clock that is worth a look, in seconds.
local STEP = 600;

local error, getmetatable, ipairs, pairs, pcall, rawget = error, getmetatable, ipairs, pairs, pcall, rawget;
local require, setmetatable, type = require, setmetatable, type;
local decode, detail, field = stanzas.decode, stanzas.detail, entries.field;
local kind_of, outcomes = entries.kind_of, native.outcomes;
local DURABLE = outcomes.durable;
local cause_of, condition_of = stores_of_hosts.cause_of, stores_of_hosts.condition_of;

local function nothing() end

-- A new audit log.
--   environment = {
--     stanza_mt   the metatable of util.stanza's stanzas
--     open_store  function(host) -> archive store | nil, err
--     get_option  function(host, name) -> the value in the configuration | nil
--     log         function(level, message)
--     now         function() -> UNIX time, with its fraction
--     monotonic   function() -> seconds, of a clock that does not jump; default: now
--     schedule    function(delay, run): runs run() in an async context, so many seconds later; without it there is no journal,
--                 and no flood control
--     pause       function(seconds): lets the server go on, in an async context; without it nothing pauses
--     uptime      function(now) -> seconds since the machine was started, the name of that start | nil; without it every clock
--                 is believed
--     clock_path  function(host) -> the file in which it is kept what is known of the clock | nil
--     clock_files     function(host) -> list of the log's own files and folders, whose times are compared with the clock
--     heartbeat       function(host) -> the last heartbeat of the server | nil
--     written_elsewhere   function(now, uptime) -> when others have written something last | nil
--     pruned      function(host, what was done | nil, message), after prune_soon(); of a failure only what lasts, and once
--     lock_path   function(host) -> the file by which one process at a time prunes a host | nil
--     list_path   function(host, archive user) -> the file in which the embedded driver keeps its entries
--     key_path    function(host) -> the file of the key by which addresses are hashed | nil
--     journal_path   function(host) -> where the journal of a host is | nil; without it events are written directly
--     readable_path  the same for a process that may only read it
--     journals_lock  path of the file by which one process at a time has the journals | nil: each has one beside it
--     retry       function(attempt, message) -> whether to read again: for a process that may wait for a lock
--     exists      function(host, username) -> whether there is such an account | nil: it can't be told without waiting
--     recorded    function(host, event_type): an event was taken; for statistics
--     handed_over function(host, entries, seconds): the store took so many, in so much of the loop's time
--   }
-- State lies in the object that this returns: a module may be reloaded, the library stays.
local function new(environment)
	local recorder = native.recorder();
	local make, mended = entries.new(recorder);
	local stanza_mt, log, now = environment.stanza_mt, environment.log, environment.now;
	local recorded = environment.recorded or nothing;
	local configured, direct, troubled = {}, {}, {};
	local queues, flood, prunes, reading, clocks;
	local monotonic = environment.monotonic or now;
	local owner = environment.schedule and environment.journals_lock and native.owner(environment.journals_lock) or nil;
	-- Without timers there is no flood control.
	local never_counts = environment.schedule == nil;
	-- By how much the clock and the one that does not jump differ.
	local difference;
	local strangers = chunks.strangers.new(recorder, environment.exists);

	local function tell(level, lines)
		for i = 1, #lines do
			log(level, lines[i]);
		end
	end

	local function configure(host)
		configured[host] = true;
		local refused, is_direct, hashes_names = recorder.configure(host, function (name)
			return environment.get_option(host, name);
		end, environment.key_path and environment.key_path(host));
		direct[host] = is_direct;
		strangers.configure(host, hashes_names);
		tell("error", refused);
		tell("warn", recorder.warnings());
	end

	local function ensure_configured(host)
		if not configured[host] then
			configure(host);
		end
	end

	local classes = chunks.classes.new(recorder, ensure_configured);
	local guard = chunks.embedded.new { list_path = environment.list_path; get_option = environment.get_option; log = log, now = now };
	local trust = chunks.trust.new {
		now = now;
		driver_name = function (host)
			local storage = environment.get_option(host, "storage");
			if type(storage) == "table" then
				storage = storage.audit;
			end
			return storage or environment.get_option(host, "default_storage") or "internal";
		end;
	};
	local writer = chunks.writer.new(recorder, classes, trust, function (host, partition, count, is_limited)
		prunes.known(host, partition, count);
		if is_limited then
			prunes.soon(host);
		end
	end);

	-- stores[host] is the host's archive store. Only what works is kept: a failure is tried again at the next event.
	local function open(stores, host)
		local ok, store, err = pcall(environment.open_store, host);
		if not ok then
			return nil, store;
		elseif not store then
			return nil, err;
		elseif store.name == "null" or type(store.caps) == "function" then
			-- The null driver: its every field is a function that refuses.
			return nil, "no storage driver for archives is configured or loaded";
		end
		if type(store.users) ~= "function" then
			recorder.use_single(host);
			classes.forget(host);
		end
		store = stores_of_hosts.bind(guard(host, store), monotonic, environment.retry ~= nil);
		stores[host] = store;
		return store;
	end
	local stores = setmetatable({}, {
		__index = function (self, host)
			return (open(self, host));
		end;
	});

	-- The store of a host | nil, err
	local function store_of(host)
		local store = rawget(stores, host);
		if store then
			return store;
		end
		return open(stores, host);
	end

	-- An entry that is lost.
	local function failed(host, err, at, event_type)
		troubled[host] = true;
		local line = recorder.failed(host, cause_of(err), nil, at);
		if line then
			log("error", line);
		end
		queues.lose(host, event_type, at);
		return nil, condition_of(err);
	end

	-- Hands an entry to the store at once, which was opened: true | nil, err
	local function write(host, at)
		local stanza = decode(stanza_mt);
		local store, err = store_of(host);
		if not store then
			return nil, err;
		end
		local key;
		key, err = writer.put(host, store, at, stanza, stanza.attr.user or native.host_wide);
		if not key then
			trust.doubt(store);
			return nil, err;
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

	-- Whether entries go to the store at once, as far as it takes them. `offered` says that a store may have this one already.
	local function goes_at_once(host, queue, offered)
		return not queue.journal or (direct[host] and not offered or not queue.attached) and queues.is_empty(queue);
	end

	-- Keeps an entry: writes it to the store, or gives it to the journal. True | nil, condition. Without a payload it is the one that was
	-- made last. `is_kept` says that the caller keeps what there is no room for, so that it is not lost.
	local function keep(host, at, payload, event_type, offered, is_kept)
		local queue = queues.queue_of(host);
		local at_once = goes_at_once(host, queue, offered);
		if at_once then
			if payload then
				native.open(payload);
			else
				recorder.open_made();
				-- A driver may yield, and then others are made.
				payload = queue.journal and recorder.payload();
			end
			local ok, done, err = pcall(write, host, at);
			if not ok then
				done, err = nil, done;
			end
			if done then
				recorded(host, event_type);
				return true;
			elseif not queue.journal then
				if is_kept then
					return nil, condition_of(err);
				end
				return failed(host, err, at, event_type);
			end
			-- What the store does not take waits, and is offered again.
		end
		if not queues.add(queue, at, payload, event_type, at_once or offered, is_kept) then
			return nil, "resource-constraint";
		end
		recorded(host, event_type);
		return true;
	end

	-- Looks at the clocks of all hosts if the time has jumped since an event before: what was written meanwhile is to be known.
	local function watch_clock(at, clock)
		local since = at - clock;
		if difference and since - difference < STEP and difference - since < STEP then
			return;
		end
		local is_first = difference == nil;
		difference = since;
		if not is_first then
			clocks.look_at_all();
		end
	end

	-- Whether an administrator did it, who could also stop the log. `actor.administers` says so of an ad-hoc command.
	local function administers(actor)
		return actor.kind == "admin-shell" or actor.administers;
	end

	local function record(host, user, source, event_type, session, actor, custom, timestamp, admitted)
		if not configured[host] then
			configure(host);
		end
		user = strangers.of_jid(host, event_type, user) or user;
		local queue, at, clock = queues.queue_of(host), now(), monotonic();
		if clocks then
			watch_clock(at, clock);
		end
		local is_admitted = admitted or never_counts or actor and administers(actor);
		local appends = queue.attached and not direct[host] or not goes_at_once(host, queue, false);
		if appends and queue.journal then
			queues.touch(queue, at);
		end
		local id, outcome, sequence, is_warned, is_amiss = make(host, user, source, event_type, session, actor, custom, timestamp,
			at, clock, is_admitted, appends, queue.telling);
		local kind = kind_of(event_type);
		if outcome == DURABLE and not is_amiss then
			queues.added(queue, at, sequence);
			recorded(host, kind);
		elseif outcome == outcomes.counted then
			flood.counted();
			return nil, "counted";
		elseif outcome == outcomes.made then
			if is_warned then
				tell("warn", recorder.warnings());
			end
			local kept, condition = keep(host, at, nil, kind, false);
			return kept and id or nil, condition;
		elseif queues.look_after(queue, at, outcome, is_amiss, queue.telling) then
			queues.added(queue, at, sequence);
			recorded(host, kind);
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
	-- Where flood control only counts the event there is no id, and the condition is "counted". `admitted` says that flood control
	-- was asked already, by admits().
	--
	-- `extra` may have session (a session of Prosody's, or a table with its fields id, type, ip, client_id), custom (a list
	-- of stanzas to add), timestamp (when it happened, if not now) and actor (who did it: a table with kind, jid, session
	-- and caused_by; with administers, nothing of what the actor does is only counted). Raises for what only a programmer can do
	-- wrong: no host, host "*", an item of `custom` that is no stanza. Never for anything else.
	local function audit(host, user, source, event_type, extra, admitted)
		if type(host) ~= "string" or host == "*" then
			error("cannot log audit events for global", 2);
		end
		local session, actor, custom, timestamp;
		if type(extra) == "table" then
			session, actor, custom, timestamp = extra.session, extra.actor, extra.custom, extra.timestamp;
			if type(session) ~= "table" then
				session = nil;
			end
			if type(actor) ~= "table" then
				actor = nil;
			end
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
		end
		local ok, id, condition = pcall(record, host, user, source, event_type, session, actor, custom, timestamp, admitted);
		if not ok then
			-- What was made by hand may hold anything.
			local has_mended, texts = pcall(mended, custom);
			if has_mended and texts then
				ok, id, condition = pcall(record, host, user, source, event_type, session, actor, texts, timestamp, admitted);
			end
		end
		if ok then
			return id, condition;
		end
		return failed(host, id, now(), type(event_type) == "string" and event_type or "unknown");
	end

	-- Asks flood control about an event before it is described, which costs more than counting it.
	--   admits(host, username | nil, source, event_type, session, condition) -> whether it is to be recorded; if not it was counted
	local function admits(host, username, source, event_type, session, condition)
		ensure_configured(host);
		username = strangers.of_name(host, event_type, username) or username;
		return flood.admitted(host, username, source, event_type, session and session.ip, condition);
	end

	-- The element that describes a session in an event: session_extra(session) -> stanza. What is stored of its address is what
	-- the default class of session.host says, as nobody knows yet which event it is for.
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

	-- Forgets what is known of a host, or of all: its store, its options, where its entries go. What waits stays.
	local function forget(host)
		if host then
			stores[host], configured[host] = nil, nil;
		else
			for name in pairs(stores) do stores[name] = nil; end
			configured = {};
		end
		classes.forget(host);
		strangers.forget(host);
		flood.forget(host);
		prunes.forget(host);
		recorder.forget(host);
	end

	-- Opens the store of a host: store, names of its archive users | nil, message
	local function open_listed(host)
		ensure_configured(host);
		local store, err = store_of(host);
		if not store then
			return nil, cause_of(err);
		end
		local users;
		users, err = chunks.page.users_of(store);
		if not users then
			return nil, cause_of(err);
		end
		return store, users;
	end

	if environment.uptime then
		clocks = chunks.clock.new {
			log = log, now = now, recorder = recorder, ensure_configured = ensure_configured;
			uptime = function (at)
				local uptime, boot = environment.uptime(at);
				return uptime or monotonic(), boot;
			end;
			path = environment.clock_path, files = environment.clock_files, heartbeat = environment.heartbeat;
			elsewhere = environment.written_elsewhere;
			writes = environment.schedule ~= nil;
			record = function (host, event_type, attributes, actor)
				actor = actor or environment.schedule and { kind = "server" } or nil;
				audit(host, nil, "mod_audit", event_type, { actor = actor, custom = { detail(stanza_mt, "clock", attributes) } });
			end;
		};
	end

	prunes = chunks.prune.new {
		stanza_mt = stanza_mt, log = log, now = now;
		pause = environment.pause, schedule = environment.schedule;
		retry = environment.retry;
		gave_up = function (host, seconds) prunes.gave_up(host, seconds); end;
		lock = function (host)
			local path = environment.lock_path and environment.lock_path(host);
			if path then
				return native.lock(path);
			end
			return { release = nothing };
		end;
		sync = function (host, user)
			local path = environment.list_path and environment.list_path(host, user);
			if path then
				native.sync(path);
			end
		end;
		open = open_listed;
		oldest_waiting = function (host)
			-- In a process that only reads, the journal is another one's.
			return queues.state(host).oldest or not environment.schedule and queues.waiting(host).since or nil;
		end;
		recorder = recorder, classes = classes;
		clock = function (host, users)
			local clock = clocks and clocks.look(host, users, true);
			return clock, clock and clock:remaining(recorder.clock_trust(host));
		end;
		trust_clock = function (host, actor)
			if clocks then clocks.trust(host, actor); end
		end;
		record = function (host, details, actor)
			actor = actor or environment.schedule and { kind = "server" } or nil;
			audit(host, nil, "mod_audit", "audit-pruned", { custom = details, actor = actor });
		end;
	};

	local schedule = chunks.schedule.new {
		plans = prunes.plans, now = now, monotonic = monotonic, schedule = environment.schedule, pruned = environment.pruned, run = prunes.run;
		is_in_trouble = function (host) return queues.state(host).problem ~= nil; end;
	};
	local prune, prune_soon = schedule.prune, schedule.prune_soon;

	prunes.gave_up, prunes.soon = prune_soon, schedule.enforce_soon;

	-- Looks whether somebody has replaced the key by which addresses are hashed, and says so in the log.
	local function look_at_key(host)
		ensure_configured(host);
		local changed, old, key = recorder.look_at_key(host);
		if changed then
			classes.forget(host);
			strangers.forget(host);
		end
		if key then
			audit(host, nil, "mod_audit", "audit-key-replaced", { custom = { detail(stanza_mt, "key", { old = old; new = key }) } });
		end
	end

	queues = chunks.queue.new {
		stanza_mt = stanza_mt, log = log, now = now;
		schedule = environment.schedule;
		journal_path = environment.schedule and environment.journal_path;
		owner = owner;
		readable_path = environment.readable_path;
		recorder = recorder, writer = writer, trust = trust, store_of = store_of;
		handed_over = environment.handed_over or nothing;
		record_lost = function (host, lost)
			local types = {};
			for name, count in pairs(lost.types) do
				types[#types + 1] = detail(stanza_mt, "type", { name = name; count = count });
			end
			local attr = { count = lost.count; since = recorder.date_time(lost.since); ["until"] = recorder.date_time(lost.till) };
			local what = detail(stanza_mt, "lost", attr, nil, types);
			return audit(host, nil, "mod_audit", "audit-entries-lost", { custom = { what } });
		end;
		attached = function (host) flood.open(host); end;
	};

	flood = chunks.flood.new {
		log = log, now = now, monotonic = monotonic;
		schedule = environment.schedule;
		-- Who has the journal has this too.
		journal = environment.journal_path and function (host)
			local queue = queues.queue_of(host);
			if queue.journal then queues.touch(queue, now()); end
			return queue.journal, queue.attached and environment.journal_path(host) or nil;
		end;
		lose = queues.lose;
		recorder = recorder;
		keep = function (host, at, payload, event_type, offered)
			return keep(host, at, payload, event_type, offered, true);
		end;
		exists = environment.exists;
		holds = function (host, id)
			local queue = queues.queue_of(host);
			return queue.journal ~= nil and queue.journal:holds(id);
		end;
	};

	reading = chunks.read.new {
		now = now;
		retry = environment.retry;
		store_of = store_of;
		waiting = queues.waiting;
		recorder = recorder;
		clock = function (host) return clocks and (clocks.look(host)); end;
	};

	-- A function of the reading half, for a host that may not have been configured yet.
	local function for_host(read)
		return function (asked, ...)
			ensure_configured(asked.host);
			return read(asked, ...);
		end
	end

	if owner then
		-- If it is refused, each journal tries again.
		owner:hold();
	end

	-- Opens the journal of a host and offers again what waits in it; and its store now, not at the first hand-over: to connect
	-- to a database and make its tables takes longer than one slice may.
	local function open_journal(host)
		ensure_configured(host);
		if clocks then
			clocks.prepare(host);
		end
		local store = queues.queue_of(host).journal and store_of(host);
		if store then
			pcall(chunks.sql.connect, store);
		end
		if clocks then
			clocks.look(host);
		end
	end

	local function close(host)
		if clocks then
			clocks.close(host);
		end
		flood.close(host);
		queues.close(host);
		if owner and not host then
			owner:release();
		end
	end

	-- How it stands with a host: what queues.state gives, and suppressed = { [event type] = number of events that were counted
	-- and not stored }, suppressed_lately = those of the last minute, unreadable_addresses = number of events with such a one.
	local function state(host)
		local result = queues.state(host);
		result.suppressed, result.suppressed_lately = flood.suppressed(host);
		result.unreadable_addresses = recorder.unreadable(host);
		return result;
	end

	return {
		audit = audit;
		admits = admits;
		session_extra = session_extra;
		stores = stores;
		configure = configure;
		forget = forget;
		-- read(asked, out, view), cells(asked, columns, pause): read.lua describes them; what is asked comes from command()
		read = for_host(reading.write);
		cells = for_host(reading.cells);
		-- follower(asked) -> following, for view.following of read(), what came of it
		follower = for_host(reading.follower);
		-- of_account(asked, since, pause), is_other_account(asked, since, place, pause): read.lua describes them
		of_account = for_host(reading.of_account);
		is_other_account = for_host(reading.is_other_account);
		-- prune(host, wish) -> what was done | nil, message: prune.lua describes both. It pauses where the environment has a way to: then
		-- it is for an async context.
		prune = prune;
		-- events(host | "*") -> what there is to be recorded, as text, with the classes of the host
		events = function (host)
			if not configured[host] then
				configure(host);
			end
			return recorder.events(host);
		end;
		-- prune_soon(host, seconds): prunes it then, and whenever something has expired
		prune_soon = prune_soon;
		-- longest_slice() -> how long pruning has held the loop at most, in seconds
		longest_slice = prunes.longest;
		-- stop(): whatever is being pruned is left as it is; it is taken up by whoever comes next
		stop = prunes.stop;
		look_at_key = look_at_key;
		-- look_at_clock(): notices that the clock has jumped, or has agreed for long enough
		look_at_clock = function ()
			for _, host in ipairs(clocks and clocks.look_at_all() or {}) do
				prune_soon(host, 0);
			end
		end;
		-- hash(host, address) -> as it is stored by ips = "hash", the name of the key | nil
		hash = function (host, ip)
			ensure_configured(host);
			return recorder.hash(host, ip);
		end;
		-- asked(host, event_type, filter) -> what a reading was asked for, as it may be stored
		asked = function (host, event_type, filter)
			ensure_configured(host);
			return recorder.asked(host, event_type, filter);
		end;
		-- hashes_names(host) -> whether names that are no accounts are stored as hashes
		hashes_names = function (host)
			ensure_configured(host);
			return strangers.hashes(host);
		end;
		-- owns_journal(host) -> whether what audit() takes is in the journal
		owns_journal = queues.owns_journal;
		-- is_owned(host) -> whether a server has the journal of a host
		is_owned = function (host)
			local path = environment.readable_path and environment.readable_path(host);
			return path and native.is_owned(environment.journals_lock or path..".lock", path) or false;
		end;
		-- lost() -> how many events could not be stored, of all hosts
		lost = recorder.lost;
		open = open_journal;
		-- flush(host, seconds): hands over now what waits, for so long at most
		flush = queues.flush;
		-- look(host): looks after its journal, whose files somebody may have changed
		look = queues.look;
		-- awake() -> list of the hosts on which something happened lately, waits or is counted; on others there is nothing to do
		awake = function ()
			local found, seen = queues.awake(), {};
			for i = 1, #found do seen[found[i]] = true; end
			local counting = recorder.counting();
			for i = 1, #counting do
				if not seen[counting[i]] then found[#found + 1] = counting[i]; end
			end
			return found;
		end;
		-- is_safe(host) -> whether all that waits is in a file
		is_safe = queues.is_safe;
		-- finish(host): counts what has room nowhere, and says so; for when the process ends
		finish = queues.finish;
		-- close(host | nil): lets go of journals; what waits in their files is offered again when they are opened next
		close = close;
		-- sum_up(host): ends all windows of flood control as they stand
		sum_up = flood.close;
		-- state(host) -> { waiting =, oldest = UNIX time | nil, lost =, problem = text | nil, suppressed =, suppressed_lately = }
		state = state;
		-- waiting(host) -> how many entries the store has not taken yet
		waiting = function (host) return queues.state(host).waiting; end;
		-- is_counting(host) -> whether flood control has counted events whose number is not in an entry yet
		is_counting = flood.is_counting;
	};
end

local exports = {
	version = native.version;
	uptime = native.uptime;
	written_elsewhere = native.written_elsewhere;
	period = native.period;
	option = native.option;
	command = chunks.names.command;
	nearest = native.nearest;
	help = native.help;
	event_types = native.event_types;
	shell_line = native.shell_line;
	shell_commands = native.shell_commands;
	shows_field = native.shows_field;
	field_value = native.field_value;
	terminal_width = native.terminal_width;
	new_key = native.new_key;
	give_from_root = native.give_from_root;
	is_terminal = native.is_terminal;
	exit_on_interrupt = native.exit_on_interrupt;
	writing = chunks.read.writing;
	new_file = native.new_file;
	flags = native.flags;
	new = new;
};

-- The metatable of stanzas is Prosody's, and Prosody may not be here yet when the library is loaded.
local stanza_mt;
function exports.detail(name, attr, text, children)
	stanza_mt = stanza_mt or require "util.stanza".stanza_mt;
	return detail(stanza_mt, name, attr, text, children);
end

return exports;
