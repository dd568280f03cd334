-- Between an event and its store: the journal of each host, and the task that hands its entries over.

local native, chunks = ...;
local collector, stanzas, stores = chunks.collector, chunks.stanza, chunks.driver;

local ID = native.namespace.."\1id";

-- Entries are handed over after this long, or when so many wait; seconds.
local DELAY, MANY = 0.25, 200;
-- How long the loop may be held by one slice, in seconds, and how many entries a transaction may have.
local SLICE, SMALLEST, LARGEST = 0.008, 10, 200;
-- Where a store is so slow that the smallest transaction takes this long, it is ended with fewer; seconds.
local HOLD = 0.25;
-- With how many it begins: how long a store takes for one is not known yet.
local FIRST = 25;
-- For how many times as long as a slice took the loop is for others before the next, while more is waiting.
local REST = 3;
-- The longest pause after a failure, in seconds.
local LONGEST_PAUSE = 60;
-- So many entries are kept in memory as stanzas; more are read back from the journal.
local HELD = 1000;
-- So many of the last entries of a class are looked at for those that a crash left in both store and journal: more than a
-- slice.
local RECOGNISED = 400;
-- How many entries at the end of a journal are looked at for one that a crash may have left there: more than are added in
-- one turn of the loop.
local LAST = 1000;
-- A driver that has not answered for so many seconds is spoken of.
local UNANSWERED = 60;

local assert, error, next, pairs, pcall, select = assert, error, next, pairs, pcall, select;
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type;
local floor, max, min = math.floor, math.max, math.min;
local remove = table.remove;
local cause_of = stores.cause_of;
local encode, decode = stanzas.encode, stanzas.decode;
local ascii = native.ascii;

-- What stands in the journal for an entry: when it was recorded, and the stanza.
local function payload_of(item)
	return encode(item.at.."\0", item.stanza);
end

local function item_of(stanza_mt, payload)
	local ending = payload:find("\0", 1, true);
	local at = ending and tonumber(payload:sub(1, ending - 1));
	local stanza = at and decode(stanza_mt, payload, ending + 1);
	if stanza then
		return { at = at; stanza = stanza; with = stanza.attr.user or stanzas.HOST_WIDE };
	end
end

-- For a driver that refuses an entry as it is (a database in an encoding that lacks a character, say): the same in ASCII.
local function in_ascii(stanza_mt, stanza)
	local copy = setmetatable({ name = ascii(stanza.name); attr = {}; tags = {} }, stanza_mt);
	for name, value in pairs(stanza.attr) do
		copy.attr[name] = ascii(value);
	end
	for i = 1, #stanza do
		local child = stanza[i];
		if type(child) == "string" then
			copy[i] = ascii(child);
		else
			copy[i] = in_ascii(stanza_mt, child);
			copy.tags[#copy.tags + 1] = copy[i];
		end
	end
	return copy;
end

-- The queues of all hosts.
--   context = {
--     stanza_mt, log, now     as the log's environment has them
--     schedule                function(delay, run): runs run() in an async context, later
--     journal_path            function(host) -> path | nil: no journal
--     recorder, writer, trust
--     store_of                function(host) -> store | nil, err
--     record_lost             function(host, lost) -> the id of an entry that says what was lost | nil
--     attached                function(host): the journal has its files
--     handed_over             function(host, entries, seconds)
--   }
local function new(context)
	local queues = {};
	local stanza_mt, log, now, recorder, writer = context.stanza_mt, context.log, context.now, context.recorder, context.writer;
	local trust = context.trust;

	local run;

	-- Queues whose time has come, in order. Each turn of the loop is for one of them, so that hosts that are due at the same
	-- moment don't hold it one after the other.
	local turns = {};

	local function take_turn()
		local queue = remove(turns, 1);
		queue.in_turn = false;
		-- Before the slice, as a driver may wait within it.
		if turns[1] then
			context.schedule(0, take_turn);
		end
		run(queue);
	end

	local function ask_for_turn(queue)
		if not queue.in_turn then
			queue.in_turn = true;
			turns[#turns + 1] = queue;
			if #turns == 1 then
				context.schedule(0, take_turn);
			end
		end
	end

	local function schedule(queue, delay)
		local due = now() + delay;
		if queue.in_turn or queue.due and queue.due <= due then
			return;
		elseif delay == 0 then
			queue.due = nil;
			return ask_for_turn(queue);
		end
		queue.due = due;
		context.schedule(delay, function ()
			-- An earlier one may have been scheduled, and have run.
			if queue.due == due then
				queue.due = nil;
				ask_for_turn(queue);
			end
		end);
	end

	-- Says what was found to be missing.
	local function tell_missing(queue)
		local line = recorder.missing(queue.host, queue.journal:missing());
		if line then
			log("error", line);
		end
	end

	-- Says once that the number of what is lost can't be written down, as long as that is so.
	local function tell_of_losses_file(queue)
		local is_kept, problem = queue.journal:is_kept();
		if problem and not queue.told_of_losses_file then
			log("error", ("The number of audit events of %s that are lost can't be written down: %s. A crash would take it."):format(queue.host,
				problem));
		end
		queue.told_of_losses_file = not is_kept;
	end

	-- Takes the files of a journal, and tries again later if that fails. What waits in memory has other sequences then.
	local attach;
	function attach(queue)
		local journal = queue.journal;
		local function again(delay)
			context.schedule(min(LONGEST_PAUSE, delay), function ()
				if not queue.attached then attach(queue); end
			end);
		end
		if not journal then
			return;
		elseif queue.running then
			return again(DELAY);
		end
		local attached, err, is_locked = journal:attach(now());
		queue.attached, queue.attempts = attached, queue.attempts + 1;
		if not attached then
			-- Another process may look at the lock for a moment.
			if queue.attempts == (is_locked and 2 or 1) then
				queue.told = true;
				log("error", ("The journal of the audit events of %s can't be used: %s. It is tried again; until then events are written to the "
					.."store directly, and what the store does not take waits in memory."):format(queue.host, err));
			end
			return again(DELAY * 2 ^ (queue.attempts - 1));
		elseif queue.told then
			log("info", ("The journal of the audit events of %s can be used now."):format(queue.host));
		end
		queue.held, queue.held_count = {}, 0;
		tell_missing(queue);
		tell_of_losses_file(queue);
		if journal:first() < journal:next() or journal:has_lost() then
			queue.recognise_to = journal:next();
			queue.unread = { from = journal:first(), to = journal:next() };
			schedule(queue, 0);
		end
		context.attached(queue.host);
	end

	local function open(host)
		local queue = { host = host; days = {}; held = {}; held_count = 0; failures = 0; size = FIRST; longest = 0; attempts = 0 };
		queues[host] = queue;
		local path = context.journal_path and context.journal_path(host);
		if path then
			queue.journal = native.journal(path);
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

	local function hold(queue, sequence, item)
		if not queue.held[sequence] then
			queue.held[sequence], queue.held_count = item, queue.held_count + 1;
		end
	end

	local function release(queue, to)
		local held = queue.held;
		for sequence = queue.journal:first(), to - 1 do
			if held[sequence] then
				held[sequence] = nil;
				queue.held_count = queue.held_count - 1;
			end
		end
		queue.journal:release(to);
	end

	-- Looks whether somebody has changed the journal's files, and gives back what is still known of entries that are gone.
	local function mend(queue)
		local journal = queue.journal;
		local gone = journal:look(now());
		for i = 1, #gone do
			local item = queue.held[gone[i]];
			if item then
				journal:restore(gone[i], payload_of(item), item.stanza.attr.type, item.at);
			end
		end
		journal:settle();
		tell_missing(queue);
		tell_of_losses_file(queue);
	end

	-- The entry of a sequence: item | nil, why it can't be read now
	local function item_at(queue, sequence)
		local item = queue.held[sequence];
		if item then
			return item;
		end
		local payload, err = queue.journal:get(sequence);
		item = payload and item_of(stanza_mt, payload);
		if payload and not item then
			queue.journal:spoil(sequence);
		end
		return item, err;
	end

	-- The next entries that wait, and the sequence behind them.
	local function take(queue, count)
		local journal, items = queue.journal, {};
		local sequence, last = journal:first(), journal:next();
		while sequence < last and #items < count do
			local item, err = item_at(queue, sequence);
			if err then
				-- Not to be read now is not gone.
				if #items > 0 then break; end
				error(err, 0);
			end
			if item and not (queue.recognised and queue.recognised[item.stanza.attr[ID]]) then
				item.sequence = sequence;
				items[#items + 1] = item;
			end
			sequence = sequence + 1;
		end
		return items, sequence;
	end

	-- On which days the entries were recorded that a process before this one has left: the clock may have gone back, so it is not
	-- enough to look at the first. Only the time is read of each. Gives whether all were looked at before the deadline.
	local function learn_days(queue, deadline)
		local unread, count = queue.unread, 0;
		while unread and unread.from < unread.to do
			local payload, err = queue.journal:get(unread.from);
			if err then
				error(err, 0);
			end
			local at = payload and tonumber(payload:sub(1, (payload:find("\0", 1, true) or 1) - 1));
			if at then
				queue.days[floor(at / 86400)] = at;
			end
			unread.from, count = unread.from + 1, count + 1;
			if count % SMALLEST == 0 and now() > deadline then
				return unread.from == unread.to;
			end
		end
		queue.unread = nil;
		return true;
	end

	-- A crash between the store and the journal leaves entries in both, and so does a store that takes entries and says that
	-- it did not. They were the last that it took, of their days. Raises where the store can't be read: then nothing is known.
	local function recognise(queue, store)
		local recognised, times = {}, {};
		for _, at in pairs(queue.days) do
			times[#times + 1] = at;
		end
		if #times > 0 then
			local users, problem = stores.users_of(store);
			if not users then
				error(problem, 0);
			end
			local function look(user)
				local rows, err = store:find(user, { reverse = true; limit = RECOGNISED });
				local count = 0;
				if rows then
					for _, stanza in rows do
						local id = stanza.attr[ID];
						if id then recognised[id] = true; end
						count = count + 1;
					end
				elseif err ~= nil and err ~= "item-not-found" then
					error(err, 0);
				end
				return count;
			end
			look(nil);
			local sequences = recorder.written_on(users, times);
			for i = 1, #sequences do
				local sequence, count, number = sequences[i], 0, 1;
				while count < RECOGNISED and sequence[number] do
					count, number = count + look(sequence[number]), number + 1;
				end
			end
		end
		queue.recognised = next(recognised) and recognised or nil;
		queue.recognise_to = nil;
	end

	local function put(queue, store, item)
		local key, err = writer.put(queue.host, store, item.at, item.stanza, item.with);
		if key then
			return true;
		end
		return nil, err;
	end

	-- Hands items to a store, in order: how many it took, why it took no more, and when the last of them was appended where
	-- they were committed after that.
	local function store_items(queue, store, items, deadline)
		local engine = stores.engine_of(store);
		if engine and #items > 0 then
			local count, appended, unknown;
			local ok = pcall(function ()
				assert(stores.in_one_transaction(engine, function ()
					if appended then
						-- The connection was lost, and Prosody begins again. Where all was appended the commit may have been done.
						unknown = true;
						error("the connection was lost", 0);
					end
					count = 0;
					repeat
						local done, err = put(queue, store, items[count + 1]);
						if not done then
							error(cause_of(err), 0);
						end
						count = count + 1;
					until count == #items or now() > deadline and (count >= SMALLEST or now() > deadline + HOLD);
					appended = now();
				end));
			end);
			if ok then
				return count, nil, appended;
			elseif unknown then
				stores.undo(engine);
				return 0, "the connection was lost";
			end
			-- One at a time shows which of them it was, and how far one gets.
			stores.undo(engine);
		end
		for i = 1, #items do
			local ok, done, err = pcall(put, queue, store, items[i]);
			if not ok or not done then
				if ok then done = err; end
				stores.undo(engine);
				local item = items[i];
				local plain = payload_of(item):find("[\128-\255]") and { at = item.at; stanza = in_ascii(stanza_mt, item.stanza); with = ascii(item.with) };
				local taken = plain and select(2, pcall(put, queue, store, plain)) == true;
				if not taken then
					stores.undo(engine);
					return i - 1, done == nil and "the storage driver refused without saying why" or done;
				end
			end
			if now() > deadline then
				return i;
			end
		end
		return #items;
	end

	-- Hands over for as long as one slice may take: whether more is waiting | nil, err
	local function hand_over(queue)
		local started = now();
		local deadline = started + SLICE;
		local store, err = context.store_of(queue.host);
		if not store then
			return nil, err;
		end
		local stands, doubt = trust.stands(store);
		if not stands then
			return nil, doubt;
		end
		if queue.recognise_to then
			if not learn_days(queue, deadline) then
				return true;
			end
			local ok, problem = pcall(recognise, queue, store);
			if not ok then
				stores.undo(stores.engine_of(store));
				return nil, problem;
			end
		end
		if stores.is_embedded(store) or stores.engine_of(store) then
			-- These don't yield.
			collector.lend();
		end
		local entries = 0;
		while not is_empty(queue) do
			local began = now();
			local items, behind = take(queue, queue.size);
			local done, problem, appended = store_items(queue, store, items, deadline);
			stores.keep_connection(stores.engine_of(store));
			entries = entries + done;
			release(queue, done < #items and items[done + 1].sequence or behind);
			-- To read them from the journal again would take the next slice as long.
			for i = done + 1, #items do
				hold(queue, items[i].sequence, items[i]);
			end
			local ended = now();
			-- To commit takes a slow disk as long for ten entries as for a hundred: fewer of them would hold the loop more often.
			local spent = (appended or ended) - began;
			if spent > SLICE then
				queue.size = max(SMALLEST, floor(queue.size / 2));
			elseif done == #items and spent < SLICE / 2 then
				queue.size = min(LARGEST, queue.size * 2);
			end
			if problem ~= nil then
				context.handed_over(queue.host, entries, ended - started);
				return nil, problem;
			elseif ended > deadline then
				break;
			end
		end
		if is_empty(queue) then
			queue.recognised, queue.days = nil, {};
		end
		context.handed_over(queue.host, entries, now() - started);
		return not is_empty(queue);
	end

	-- Where entries wait that the store does not take.
	local function place_of(queue)
		return queue.journal:in_memory() > 0 and "memory" or "journal";
	end

	-- Makes an entry of what was lost.
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

	-- Whether all was handed over that could be now.
	function run(queue)
		if queue.running or not queue.journal or is_empty(queue) and not queue.journal:has_lost() then
			return true;
		end
		if queue.attached then
			mend(queue);
		end
		local wait = stores.wait(context.store_of(queue.host));
		if wait > 0 then
			schedule(queue, wait);
			return true;
		end
		local began = now();
		queue.running, queue.resting = began, false;
		local ok, more, err = pcall(hand_over, queue);
		collector.settle();
		local took = now() - began;
		queue.running, queue.unanswered, queue.longest = false, nil, max(queue.longest, took);
		if not queue.journal then
			return true; -- closed meanwhile
		end
		tell_missing(queue);
		if not ok then
			more, err = nil, more;
		end
		if more == nil then
			queue.failures = queue.failures + 1;
			queue.recognise_to = queue.journal:next();
			local store = context.store_of(queue.host);
			queue.problem = store and trust.problem_of(store) or cause_of(err);
			if store then
				trust.doubt(store);
				stores.give_up_without_tables(store, queue.problem);
			end
			local line = recorder.failed(queue.host, queue.problem, place_of(queue), now());
			if line then
				log("error", line);
			end
			schedule(queue, min(LONGEST_PAUSE, 2 ^ (queue.failures - 1)));
			return true;
		end
		queue.failures, queue.problem = 0, nil;
		-- While the journal can't be written there is room for the count only if nothing else waits.
		if not more or not queue.journal:trouble() then
			record_lost(queue);
		end
		if more then
			queue.resting = true;
			schedule(queue, min(REST * took, DELAY));
			return false;
		end
		local line = recorder.stored(queue.host);
		if line then
			log("info", line);
		end
		return true;
	end

	-- A driver that never answers keeps its queue for itself.
	local function watch_driver(queue)
		local at = now();
		if queue.running and not queue.unanswered and at - queue.running > UNANSWERED then
			queue.unanswered = true;
			queue.problem = ("the storage driver has not answered for %d seconds"):format(UNANSWERED);
			local line = recorder.failed(queue.host, queue.problem, place_of(queue), at);
			if line then
				log("error", line);
			end
		end
	end

	local function tell_of_journal(queue, place, at)
		-- That it has no files was said.
		if not queue.attached and place then return; end
		local cause = "the journal can't be written ("..(queue.journal:trouble() or "no reason given")..")";
		local line = recorder.failed(queue.host, cause, place, at);
		if line then
			log("error", line);
		end
	end

	-- Takes an entry: true, or nothing if there is room for it nowhere. It is counted then, unless the caller keeps it.
	-- `offered` says that the store was offered it before, and may have taken it whatever it said.
	local function add(queue, at, stanza, with, offered, is_kept)
		local item = { at = at; stanza = stanza; with = with };
		is_kept = is_kept or queue.telling;
		local sequence, durable, is_amiss = queue.journal:append(payload_of(item), stanza.attr.type, at, is_kept);
		if is_amiss then
			mend(queue);
			durable = queue.journal:in_memory() == 0;
		end
		if not sequence then
			tell_of_journal(queue, is_kept and "memory", at);
			if not is_kept then
				recorder.lose(queue.host, 1);
			end
			return nil;
		end
		if offered then
			queue.recognise_to = sequence + 1;
		end
		queue.days[floor(at / 86400)] = at;
		if queue.held_count < HELD then
			hold(queue, sequence, item);
		end
		if not durable then
			tell_of_journal(queue, "memory", at);
		end
		if queue.failures == 0 and not queue.resting then
			schedule(queue, sequence - queue.journal:first() >= MANY and 0 or DELAY);
		end
		return true;
	end

	-- Counts events that became no entry.
	local function lose(host, event_type, at, count)
		local queue = queue_of(host);
		recorder.lose(host, count or 1);
		if queue.journal then
			queue.journal:lose(event_type, count or 1, at);
			if queue.failures == 0 then
				schedule(queue, DELAY);
			end
		end
	end

	-- Whether the entry with that id is one of the last that wait.
	local function holds(queue, id)
		local journal = queue.journal;
		for sequence = journal:next() - 1, max(journal:first(), journal:next() - LAST), -1 do
			local item = item_at(queue, sequence);
			if item and item.stanza.attr[ID] == id then
				return true;
			end
		end
		return false;
	end

	-- Hands over now what waits, for so many seconds at most.
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

	-- The process may end now: what has room neither in the store nor in the journal is counted, and said.
	local function finish(host)
		local queue = queues[host];
		if not queue or not queue.journal then return; end
		if not queue.attached then attach(queue); end
		local journal = queue.journal;
		local cause = journal:trouble();
		local lost, unrecorded, is_kept = journal:give_up(now());
		recorder.lose(host, lost);
		tell_missing(queue);
		local line = recorder.ended(host, unrecorded, is_kept, cause or queue.problem);
		if line then
			log("error", line);
		end
	end

	-- Lets go of the journal of a host, or of all. What waits in its files is offered again when it is opened next.
	local function close(host)
		for name, queue in pairs(queues) do
			if host == nil or name == host then
				finish(name);
				if queue.journal then
					queue.journal:close();
					queue.journal, queue.attached = nil, nil;
				end
				queues[name] = nil;
			end
		end
	end

	-- What waits on a host, whichever process has its journal: { since = UNIX time | nil: nothing waits, page =, damaged = }
	--   page(limit, behind | nil, oldest_first) -> rows as a query takes them, number of records that are no entries
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
		if problem then
			log("warn", ("The journal of the audit events of %s can't be read: %s"):format(host, problem));
		end
		if not snapshot then
			return { damaged = 0 };
		end
		local count, damaged = snapshot:count();
		local function item_of_index(index)
			local _, payload = snapshot:get(index);
			return payload and item_of(stanza_mt, payload);
		end
		local function page(limit, behind, oldest_first)
			local rows, n, skipped = {}, 0, 0;
			local step = oldest_first and 1 or -1;
			local first = behind and tonumber(behind) + step or oldest_first and 1 or count;
			for index = first, oldest_first and min(count, first + limit - 1) or max(1, first - limit + 1), step do
				local item = item_of_index(index);
				if item then
					rows[n + 1], rows[n + 2], rows[n + 3], rows[n + 4] = tostring(index), floor(item.at), item.with, tostring(item.stanza);
					n = n + 4;
				else
					skipped = skipped + 1;
				end
			end
			return rows, skipped;
		end
		local oldest;
		for index = 1, count do
			oldest = item_of_index(index);
			if oldest then break; end
		end
		return { since = oldest and floor(oldest.at); page = page; damaged = damaged };
	end

	-- How it stands with a host: { waiting, oldest = UNIX time | nil, lost, problem = text | nil, longest = seconds }. The last
	-- is the longest time that the loop was held by a slice, or that a driver took which yields.
	local function state(host)
		local queue = queues[host];
		if not queue or not queue.journal then
			return { waiting = 0; lost = 0; problem = queue and queue.problem; longest = 0 };
		end
		watch_driver(queue);
		local journal = queue.journal;
		local oldest = not is_empty(queue) and item_at(queue, journal:first()) or nil;
		return {
			waiting = journal:count(); oldest = oldest and oldest.at;
			lost = journal:lost(); problem = queue.problem; longest = queue.longest;
		};
	end

	-- Whether what is added waits in a file, of which this process is the only writer.
	local function owns_journal(host)
		return queue_of(host).attached == true;
	end

	-- Looks after the journal of a host, for when nothing happens that would.
	local function look(host)
		local queue = queues[host];
		if queue and queue.attached then
			mend(queue);
		end
	end

	return {
		owns_journal = owns_journal; finish = finish; lose = lose; look = look;
		queue_of = queue_of; is_empty = is_empty; add = add; holds = holds; flush = flush; close = close;
		waiting = waiting; state = state;
	};
end

return { new = new };
