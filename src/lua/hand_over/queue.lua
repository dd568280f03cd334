-- The journal of each host, and the task that hands its entries over to the store. The core decides what to do next
-- (src/journal/hand_over.rs). The calls of the store are here, because a driver may yield.

local native, chunks = ...;
local collector, pending, stores = chunks.collector, chunks.pending, chunks.driver;

local pairs, pcall = pairs, pcall;
local huge, max = math.huge, math.max;
local outcomes = native.outcomes;

-- The queues of all hosts.
--   context = {
--     stanza_mt, log, now     as the log's environment has them
--     schedule                function(delay, run): runs run() in an async context, later
--     journal_path            function(host) -> path | nil: no journal
--     owner                   native.owner(), which all journals share | nil: each has its own
--     recorder, writer, trust
--     store_of                function(host) -> store | nil, err
--     record_lost             function(host, lost) -> the id of an entry that says what was lost | nil
--     attached                function(host): the journal has its files
--     handed_over             function(host, entries, seconds)
--     writes                  what is being written to stores, see writes.lua
--   }
local function new(context)
	local queues, writes = {}, context.writes;
	local stanza_mt, log, now, recorder = context.stanza_mt, context.log, context.now, context.recorder;
	local trust = context.trust;

	local reports = chunks.reports.new(context);

	local turns = native.turns();
	local run;

	-- The queues whose journals may have open files, and the queues with pending work.
	local awake = native.awake();
	local refused; -- why no journal can be used, as it was reported

	-- The queue that was touched last.
	local touched;

	-- Called when the journal of a queue is used. The one that was used longest ago closes its files instead.
	local function touch(queue, at)
		if touched == queue and at >= queue.touched_at and at - queue.touched_at < 1 then
			return;
		end
		touched, queue.touched_at = queue, at;
		local other = queues[awake:touch(queue.host, at)];
		if other and other.journal then
			other.journal:rest();
		end
	end

	local function take_turn()
		local host, more = turns:take();
		-- Before the slice, as a driver may yield within it.
		if more then
			context.schedule(0, take_turn);
		end
		if queues[host] then
			run(queues[host]);
		end
	end

	local function schedule(queue, delay)
		local host = queue.host;
		local pause, due = turns:ask(host, now(), delay);
		if due then
			context.schedule(pause, function ()
				if turns:rings(host, due) then
					context.schedule(0, take_turn);
				end
			end);
		elseif pause then
			context.schedule(0, take_turn);
		end
	end

	-- Schedules the next slice. The answer of the journal stays the same until the entry `ask_from` is added or the clock goes back.
	local function plan(queue)
		local pause, ask_from = queue.journal:when();
		queue.ask_from, queue.asked_at = ask_from or huge, now();
		if pause then
			schedule(queue, pause);
		end
	end

	-- Opens the files of a journal, and tries again later if that fails. Afterwards the entries in memory have other sequences.
	local attach;
	function attach(queue)
		local journal = queue.journal;
		if not journal then
			return;
		end
		local attached, err, pause, is_news = journal:attach(now());
		if not attached then
			-- All hosts share one lock, so the same failure is reported only once.
			if is_news and err ~= refused then
				queue.told, refused = true, context.owner and err or nil;
				log("error", ("The journal of the audit events of %s can't be used: %s. It is tried again; until then events are written to the "
					.."store directly, and what the store does not take waits in memory."):format(queue.host, err));
			end
			context.schedule(pause, function ()
				if not queue.attached then attach(queue); end
			end);
			return;
		end
		queue.attached, refused = true, nil;
		if queue.told then
			log("info", ("The journal of the audit events of %s can be used now."):format(queue.host));
		end
		reports.files(queue);
		if journal:has_work() then
			schedule(queue, 0);
		end
		context.attached(queue.host);
		if journal:has_work() then
			touch(queue, now());
		else
			journal:rest();
			awake:leave(queue.host);
			touched = nil;
		end
	end

	local function open(host)
		local queue = { host = host; ask_from = 0; asked_at = 0 };
		queues[host] = queue;
		local path = context.journal_path and context.journal_path(host);
		if path then
			queue.journal = native.journal(path, context.owner or native.owner(path..".lock"), now());
			queue.number = recorder.use_journal(host, queue.journal);
			attach(queue);
		end
		return queue;
	end

	local function queue_of(host)
		return queues[host] or open(host);
	end

	local function is_empty(queue)
		return not queue.journal or queue.journal:first() >= queue.journal:next();
	end

	-- Notices that another program has changed the journal's files, and writes the entries again that are still known.
	local function mend(queue)
		local journal = queue.journal;
		journal:look(now());
		journal:settle();
		reports.files(queue);
	end

	local run_slice = chunks.slice.new(context, function (queue, count) return pending.take(stanza_mt, queue.journal, count); end);

	local function hand_over(queue)
		local store, err = context.store_of(queue.host);
		if not store then
			return nil, err;
		end
		local stands, doubt = trust.stands(store);
		if not stands then
			return nil, doubt;
		end
		return run_slice(queue, store);
	end

	-- Records how many entries were lost.
	local function record_lost(queue)
		local journal = queue.journal;
		local lost = journal:take_lost();
		if not lost then return; end
		local before = journal:next();
		queue.telling = true;
		local ok, id = pcall(context.record_lost, queue.host, lost);
		queue.telling = nil;
		if not queue.journal then
			return; -- closed meanwhile
		elseif ok and id then
			journal:tell(journal:next() > before and before or nil);
		else
			journal:not_told();
		end
	end

	-- Hands over for one slice. Returns whether all entries were handed over that can be now.
	function run(queue)
		queue.ask_from = 0;
		if not queue.journal or not queue.journal:has_work() then
			return true;
		end
		touch(queue, now());
		if queue.attached then
			mend(queue);
		end
		local journal, host = queue.journal, queue.host;
		local wait = max(stores.wait(context.store_of(host)), writes.wait(host, journal));
		if wait > 0 then
			schedule(queue, wait);
			return true;
		end
		local slice = writes.begin(host);
		journal:begin(slice.began, context.writer.takes_bytes(context.store_of(host)));
		local ok, done, err = pcall(hand_over, queue);
		writes.ended(host, slice);
		collector.settle();
		if not ok then
			done, err = nil, done;
		end
		local more, pause = journal:ended(now(), done == true);
		queue.ask_from = 0;
		if not queue.journal then
			return true; -- closed meanwhile
		end
		reports.missing(queue);
		if not done then
			reports.failure(queue, err);
			schedule(queue, pause);
			return true;
		end
		queue.problem = nil;
		-- While the journal can't be written, there is room for the number of lost entries only if nothing else waits.
		if not more or not journal:trouble() then
			record_lost(queue);
		end
		if more then
			schedule(queue, pause);
			return false;
		end
		reports.stored(queue);
		return true;
	end

	-- Called if an entry was added to the journal but not written to its file, or if another program has changed the files. Returns
	-- whether the entry waits. If there was no room for it, it was counted as lost, unless the caller keeps it.
	local function look_after(queue, at, outcome, is_amiss, is_kept)
		if is_amiss then
			mend(queue);
		end
		if outcome == outcomes.refused then
			reports.journal(queue, is_kept and "memory", at);
			if not is_kept then
				recorder.lose(queue.host, 1);
			end
			return false;
		elseif is_amiss and queue.journal:in_memory() > 0 or not is_amiss and outcome == outcomes.volatile then
			reports.journal(queue, "memory", at);
		end
		return true;
	end

	-- Called when an entry was added to the journal.
	local function added(queue, at, sequence)
		if sequence >= queue.ask_from or at < queue.asked_at then
			plan(queue);
		end
	end

	-- Adds an entry to the journal. Returns true, or nil if there is no room; it is counted then, unless the caller keeps it.
	-- `offered` says that the entry was offered to the store before, which may have taken it although it reported a failure.
	local function add(queue, at, payload, event_type, offered, is_kept)
		is_kept = is_kept or queue.telling;
		touch(queue, at);
		local outcome, sequence, is_amiss = recorder.append(queue.host, queue.journal, payload, event_type, at, is_kept);
		if (outcome ~= outcomes.durable or is_amiss) and not look_after(queue, at, outcome, is_amiss, is_kept) then
			return nil;
		end
		if offered then
			queue.journal:doubt();
		end
		added(queue, at, sequence);
		return true;
	end

	-- Counts events as lost.
	local function lose(host, event_type, at, count)
		local queue = queue_of(host);
		recorder.lose(host, count or 1);
		if queue.journal then
			touch(queue, at);
			queue.journal:lose(event_type, count or 1, at);
			plan(queue);
		end
	end

	-- Hands over waiting entries now, for at most this many seconds.
	local function flush(host, seconds)
		local queue = queues[host];
		local deadline = now() + seconds;
		if queue then
			stores.try_again(context.store_of(host));
			repeat
				local done = run(queue);
			until done or now() > deadline;
		end
	end

	-- Called when the process ends. Entries for which neither the store nor the journal has room are counted and reported.
	local function finish(host)
		local queue = queues[host];
		if not queue or not queue.journal then return; end
		if not queue.attached then attach(queue); end
		local journal = queue.journal;
		local cause = journal:trouble();
		local lost, unrecorded, is_kept = journal:give_up(now());
		recorder.lose(host, lost);
		reports.missing(queue);
		journal:rest();
		local line = recorder.ended(host, unrecorded, is_kept, cause or queue.problem);
		if line then
			log("error", line);
		end
	end

	-- Closes the journal of a host, or of all. What waits in its files is offered to the store again after the next open.
	local function close(host)
		for name, queue in pairs(queues) do
			if host == nil or name == host then
				finish(name);
				awake:leave(name);
				touched = nil;
				if queue.journal then
					queue.journal:close();
					queue.journal, queue.number, queue.attached = nil, nil, nil;
				end
				queues[name] = nil;
			end
		end
	end

	-- What waits on a host, whichever process has its journal: the result of pending.of(), in pending.lua
	local function waiting(host)
		local queue = queues[host];
		local snapshot, problem;
		if queue and queue.journal then
			if queue.attached then mend(queue); end
			snapshot = queue.journal:snapshot();
		else
			local path = context.journal_path and context.journal_path(host) or context.readable_path and context.readable_path(host);
			if path then
				snapshot, problem = native.read_journal(path);
			end
		end
		if not snapshot then
			return { damaged = 0; problem = problem };
		end
		return pending.of(stanza_mt, snapshot);
	end

	-- The state of a host: { waiting, oldest = UNIX time | nil, since = a time before which none was recorded | nil, lost, problem =
	-- text | nil, longest = seconds }. `longest` is the duration of the longest slice, including the time for which the driver yielded.
	local function state(host)
		local queue = queues[host];
		if not queue or not queue.journal then
			return { waiting = 0; lost = 0; problem = queue and queue.problem; longest = 0 };
		end
		reports.silent_driver(queue);
		local journal = queue.journal;
		local oldest = not is_empty(queue) and pending.item_at(stanza_mt, journal, journal:first()) or nil;
		return {
			waiting = journal:count(); oldest = oldest and oldest.at; since = journal:since();
			lost = journal:lost(); problem = queue.problem; longest = journal:longest();
		};
	end

	-- Whether this process owns the journal, so that new entries are written to its files.
	local function owns_journal(host)
		return queue_of(host).attached == true;
	end

	local function is_safe(host)
		local queue = queues[host];
		return queue and queue.attached and queue.journal:in_memory() == 0 or false;
	end

	-- Checks the files of a journal, also if no event does. Closes them if they were not used for a while.
	local function look(host)
		local queue = queues[host];
		if queue and queue.attached then
			mend(queue);
			if not queue.journal:has_work() and awake:is_idle(host, now()) then
				queue.journal:rest();
				awake:leave(host);
				touched = nil;
			end
		end
	end

	return {
		owns_journal = owns_journal; finish = finish; lose = lose; look = look; is_safe = is_safe;
		queue_of = queue_of; is_empty = is_empty; add = add; added = added; look_after = look_after; flush = flush; close = close;
		waiting = waiting; state = state; touch = touch;
		-- awake() -> list of the hosts whose journals are in use
		awake = function () return awake:hosts(); end;
	};
end

return { new = new };
