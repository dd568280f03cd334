-- The audit log of a server, put together from its parts. All calls of a store are in Lua, not in Rust: a driver may yield, a
-- yield can't cross Rust, and the errors of a driver must arrive unchanged.

local native, chunks = ...;
local stanzas = chunks.stanza;

local error, ipairs, pairs, pcall = error, ipairs, pairs, pcall;
local detail, later = stanzas.detail, chunks.later;

local function nothing() end

-- new(environment) -> log: a new audit log. All state is in the log, because a module may be reloaded while the library stays
-- loaded.
--   environment = {
--     stanza_mt    the metatable of util.stanza's stanzas
--     open_store   function(host) -> archive store | nil, err
--     open_with    function(host, driver, name of the store) -> archive store of that driver | nil, err; without it no entries are
--                  moved from one driver to another
--     has_native   function() -> whether there is a file of the driver "audit"
--     get_option   function(host, name) -> the value in the configuration | nil
--     log          function(level, message)
--     now          function() -> UNIX time, with fractions of a second
--     monotonic    function() -> seconds, of a clock that does not jump; default: now
--     schedule     function(delay, run): calls run() in an async context after this many seconds. Without it there is no journal
--                  and no flood control.
--     pause        function(seconds): lets the server go on, in an async context; without it nothing pauses
--     uptime       function(now) -> seconds since the machine was started, the name of that start | nil; without it the clock is
--                  always trusted
--     clock_path   function(host) -> the file for what is known about the clock | nil
--     clock_files  function(host) -> list of the log's files and folders, whose times are compared with the clock
--     heartbeat    function(host) -> the last heartbeat of the server | nil
--     written_elsewhere   function(now, uptime) -> the last time at which other programs wrote a file | nil
--     pruned       function(host, results | nil, message), called after prune_soon(). A failure is reported once, if it lasts.
--     lock_path    function(host) -> the lock file that lets one process at a time prune a host | nil
--     list_path    function(host, archive user) -> the file in which the embedded driver keeps its entries
--     key_path     function(host) -> the file of the key that addresses are hashed with | nil
--     journal_path    function(host) -> the path of the journal of a host | nil; without it entries go to the store directly
--     readable_path   the same, for a process that may only read it
--     erased_path     function(host) -> the file that lists what was erased from its entries; without it that is not known
--     seal_path       path of the file with the seal key, of all hosts
--     journals_lock   path of the lock file of all journals | nil: each journal has a lock file beside it
--     retry        function(attempt, message) -> whether to read again: for a process that may wait for a lock
--     exists       function(host, username) -> whether there is such an account | nil: unknown without waiting
--     recorded     function(host, event_type): an event was recorded; for statistics
--     handed_over  function(host, entries, seconds): the store took this many entries, and the loop was held this long
--     slices       a table for what is being written, by host. The next log gets the same one when the module is reloaded: it
--                  waits for what this log has begun | nil
--   }
local function new(environment)
	local recorder = native.recorder();
	local stanza_mt, log, now = environment.stanza_mt, environment.log, environment.now;
	-- The parts that record.lua needs and that need record.lua. They are set below.
	local parts = {};
	local queues, flood, prunes, reading, clocks, transfers;
	local monotonic, writes = environment.monotonic or now, chunks.writes.new(environment.slices or {}, now);
	local owner = environment.schedule and environment.journals_lock and native.owner(environment.journals_lock) or nil;
	local strangers = chunks.strangers.new(recorder, environment.exists);

	local function tell(level, lines)
		for i = 1, #lines do
			log(level, lines[i]);
		end
	end

	local hosts = chunks.hosts.new(environment, recorder, strangers, monotonic, tell);
	local classes, ensure_configured, store_of, trust = hosts.classes, hosts.ensure_configured, hosts.store_of, hosts.trust;
	local writer = chunks.writer.new(recorder, classes, trust, ensure_configured, function (host, partition, count, is_limited)
		prunes.known(host, partition, count);
		if is_limited then
			prunes.soon(host);
		end
	end, function (host) prunes.forget(host); end);

	local recording = chunks.record.new {
		environment = environment, recorder = recorder, strangers = strangers, hosts = hosts, writer = writer, writes = writes;
		monotonic = monotonic, tell = tell, parts = parts;
		recorded = function (host, event_type) parts.readers.recorded(host, event_type); end;
	};
	local audit, keep = recording.audit, recording.keep;

	-- Asks flood control about an event before the details of the event are collected, which takes longer than counting it.
	--   admits(host, username | nil, source, event_type, session, condition) -> whether it is to be recorded; if not it was counted
	local function admits(host, username, source, event_type, session, condition)
		ensure_configured(host);
		username = strangers.of_name(host, event_type, username) or username;
		return flood.admitted(host, username, source, event_type, session and session.ip, condition);
	end

	-- Forgets what is known of a host, or of all: its store, its options, where its entries go. What waits stays.
	local function forget(host)
		hosts.forget(host);
		strangers.forget(host);
		flood.forget(host);
		prunes.forget(host);
		recorder.forget(host);
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

	parts.clocks = clocks;
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
		open = hosts.open_listed;
		oldest_waiting = function (host)
			local oldest = queues.state(host).since;
			if not oldest and not environment.schedule then
				-- In a process that only reads, the journal belongs to another process.
				local waiting = queues.waiting(host);
				if waiting.problem then
					error(waiting.problem, 0);
				end
				oldest = waiting.since;
			end
			return oldest;
		end;
		recorder = recorder, classes = classes;
		clock = function (host, users)
			local clock = clocks and clocks.look(host, users, true);
			return clock, clock and clock:remaining(recorder.clock_trust(host));
		end;
		trust_clock = function (host, actor)
			if clocks then clocks.trust(host, actor); end
		end;
		evidence = chunks.evidence.of(environment, recorder, parts);
		record = function (host, details, actor)
			actor = actor or environment.schedule and { kind = "server" } or nil;
			audit(host, nil, "mod_audit", "audit-pruned", { custom = details, actor = actor });
		end;
	};

	transfers = later(function ()
		return chunks.transfer.new {
			now = now, log = log, recorder = recorder, classes = classes;
			schedule = environment.pause and environment.schedule;
			joined = hosts.joined, finished = hosts.moved;
			slices = prunes.slices, turn = prunes.turn;
		};
	end, "begin state seen");
	local has_moved = false;

	-- Begins to move what another driver holds of a host's entries.
	local function move(host)
		if environment.pause and environment.schedule and hosts.joined(host) then
			has_moved = true;
			transfers.begin(host);
		end
	end

	local schedule = chunks.schedule.new {
		plans = prunes.plans, now = now, monotonic = monotonic, schedule = environment.schedule, pruned = environment.pruned, run = prunes.run;
		is_in_trouble = function (host) return queues.state(host).problem ~= nil; end;
	};
	local prune, prune_soon = schedule.prune, schedule.prune_soon;

	prunes.gave_up, prunes.soon = prune_soon, schedule.enforce_soon;
	queues = chunks.queue.new {
		stanza_mt = stanza_mt, log = log, now = now;
		schedule = environment.schedule;
		journal_path = environment.schedule and environment.journal_path;
		owner = owner;
		readable_path = environment.readable_path;
		recorder = recorder, writer = writer, trust = trust, store_of = store_of;
		handed_over = environment.handed_over or nothing, writes = writes;
		record_lost = function (host, lost)
			local types = {};
			for name, count in pairs(lost.types) do
				types[#types + 1] = detail(stanza_mt, "type", { name = name; count = count });
			end
			local attr = { count = lost.count; since = recorder.date_time(lost.since); ["until"] = recorder.date_time(lost.till) };
			local what = detail(stanza_mt, "lost", attr, nil, types);
			return audit(host, nil, "mod_audit", "audit-entries-lost", { custom = { what } });
		end;
		attached = function (host)
			local looked = chunks.evidence.catch_up(environment, recorder, host, store_of(host), hosts.direct[host], audit);
			if looked then queues.queue_of(host).journal:write_heads(); end
			flood.open(host);
		end;
	};

	flood = chunks.flood.new {
		log = log, now = now, monotonic = monotonic;
		schedule = environment.schedule;
		-- The checkpoint is beside the journal, and belongs to the same process.
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

	parts.queues, parts.flood = queues, flood;

	local erasing = later(function ()
		return chunks.erase.new {
			stanza_mt = stanza_mt, now = now, recorder = recorder, classes = classes, slices = prunes.slices, turn = prunes.turn;
			open = hosts.open_listed, ensure_configured = ensure_configured, queues = queues, flood = flood, audit = audit;
			erased_path = environment.erased_path;
		};
	end, "run record privacy on_user_deleted");

	reading = later(function ()
		return chunks.read.new {
			now = now, retry = environment.retry, store_of = store_of, waiting = queues.waiting, recorder = recorder;
			clock = function (host) return clocks and (clocks.look(host)); end;
		};
	end, "open scan patiently new_breath write cells lists follower of_account is_other_account");

	parts.readers = chunks.reader.new {
		now = now, recorder = recorder, queue_of = queues.queue_of, scan = reading.scan; recorded = environment.recorded or nothing;
	};

	-- Wraps a function that reads: the host may not have been configured yet.
	local function for_host(read)
		return function (asked, ...)
			ensure_configured(asked.host);
			return read(asked, ...);
		end
	end

	local evidence = later(function ()
		return chunks.verify.new(environment, recorder, reading, ensure_configured, hosts.direct);
	end, "verify export anchors");
	local alerts = chunks.alerts.new { environment = environment, recorder = recorder, monotonic = monotonic, audit = audit;
		ensure_configured = ensure_configured, forget = flood.forget };

	if owner then
		owner:hold(); -- If it is refused, each journal tries again.
	end

	-- Opens the journal of a host, and offers what waits in it to the store again. The store is opened now, not at the first
	-- hand-over: connecting to a database and making its tables takes longer than one slice may.
	local function open_journal(host)
		ensure_configured(host);
		move(host);
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

	-- The state of a host: what queues.state returns, and suppressed = { [event type] = number of events that were counted and
	-- not stored }, suppressed_lately = those of the last minute, unreadable_addresses = events with an address that can't be read,
	-- moving = what transfer.lua says.
	local function state(host)
		local result = queues.state(host);
		result.suppressed, result.suppressed_lately = flood.suppressed(host);
		result.unreadable_addresses = recorder.unreadable(host);
		result.moving = has_moved and transfers.state(host) or nil;
		return result;
	end

	return {
		audit = audit;
		admits = admits;
		session_extra = recording.session_extra;
		stores = hosts.stores;
		configure = function (host) hosts.configure(host); move(host); end;
		forget = forget;
		-- read(asked, out, view), cells(asked, columns, pause): read.lua describes them; what is asked comes from command()
		read = for_host(reading.write);
		cells = for_host(reading.cells);
		verify = evidence.verify, export_evidence = evidence.export, anchors = evidence.anchors; -- see verify.lua
		seals = function () return recorder.seals(environment.seal_path); end; -- see src/lua/evidence/seals.rs
		-- lists(asked) -> a reading in parts: read.lua describes it
		lists = for_host(reading.lists);
		-- follower(asked, pause | nil) -> following, for view.following of read(), what came of it
		follower = for_host(reading.follower);
		-- reader(host, saved | nil) -> a reader of its entries with a position of its own | nil, message: reader.lua describes it
		reader = function (host, saved) ensure_configured(host); return parts.readers.open(host, saved); end;
		-- of_account(asked, since, pause), is_other_account(asked, since, place, pause): read.lua describes them
		of_account = for_host(reading.of_account);
		is_other_account = for_host(reading.is_other_account);
		-- prune(host, wish) -> what was done | nil, message: see prune.lua. If the environment has pause(), call it in an async context.
		prune = prune;
		-- events(host | "*") -> the registry of event types as text, with the classes of the host
		events = function (host)
			ensure_configured(host);
			return recorder.events(host);
		end;
		-- prune_soon(host, seconds): prunes a host after this many seconds, and then whenever something has expired
		prune_soon = prune_soon;
		longest_slice = prunes.longest; -- () -> the longest time for which pruning has held the loop, in seconds
		stop = prunes.stop; -- (): stops pruning where it is; the next start continues
		left_behind = hosts.left_behind, moving = transfers.seen; -- (host): see hosts.lua and transfer.lua
		-- look_at_key(host): checks whether the key that addresses are hashed with was replaced, and records that
		look_at_key = function (host) hosts.look_at_key(host, audit); end;
		-- A person's data: erase.lua describes these.
		erase = erasing.run, erased = erasing.record, privacy = erasing.privacy, on_user_deleted = erasing.on_user_deleted;
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
		owns_journal = queues.owns_journal; -- (host) -> whether what audit() takes is in the journal
		-- is_owned(host) -> whether a server has the journal of a host
		is_owned = function (host)
			local path = environment.readable_path and environment.readable_path(host);
			return path and native.is_owned(environment.journals_lock or path..".lock", path) or false;
		end;
		-- lost() -> how many events could not be stored, of all hosts
		lost = recorder.lost;
		open = open_journal;
		-- flush(host, seconds): hands over now what waits, for at most this long
		flush = queues.flush;
		-- look(host): looks after its journal, whose files somebody may have changed
		look = queues.look;
		-- awake() -> list of the hosts on which something happened lately, waits or is counted; on others there is nothing to do
		awake = function () return flood.awake(queues.awake()); end;
		is_safe = queues.is_safe; -- (host) -> whether all that waits is in a file
		-- finish(host): counts and reports what neither the store nor the journal has room for; called when the process ends
		finish = queues.finish;
		-- close(host | nil): closes journals; what waits in their files is offered to the store again after the next open
		close = close;
		-- sum_up(host): ends all windows of flood control as they stand
		sum_up = flood.close;
		-- state(host) -> { waiting =, oldest = UNIX time | nil, lost =, problem = text | nil, suppressed =, suppressed_lately = }
		state = state;
		waiting = function (host) return queues.state(host).waiting; end; -- how many entries the store has not taken yet
		is_counting = flood.is_counting; -- whether flood control has counted events of a host whose number is not in an entry yet
		alerts = alerts; -- see alerts.lua
	};
end

return { new = new };
