-- Runs one slice of the hand-over: carries out the steps that the core returns (src/journal/hand_over.rs), until there are no more.

local native, chunks = ...;
local batches, collector, sql, stores = chunks.batch, chunks.collector, chunks.sql, chunks.driver;

local ID = native.namespace.."\1id";

local assert, error, pcall, select = assert, error, pcall, select;
local CLOSED = "the journal was closed while the storage driver was at work";

local can_not_load, cause_of, finish = stores.can_not_load, stores.cause_of, stores.finish;
local ascii, decode = native.ascii, chunks.stanza.decode;

-- in_ascii(stanza_mt, payload) -> the entry in ASCII, as a stanza. It is used if the driver refuses the entry, because a database may
-- have an encoding without some of the characters.
local function in_ascii(stanza_mt, payload)
	native.open(native.in_ascii(payload));
	return decode(stanza_mt);
end

-- new(context, take) -> run_slice(queue, store)
--   context = { stanza_mt, now, writer, handed_over } as queue.lua has them
--   take    = function(queue, count) -> the next items that wait, the sequence after the last of them
local function new(context, take)
	local now, stanza_mt, writer = context.now, context.stanza_mt, context.writer;

	-- Reads the ids of the newest entries of an archive user, and the time of the oldest of them.
	local function look_at(queue, store, user, limit)
		local rows, err = store:find(user, { reverse = true; limit = limit });
		local ids, count, oldest = {}, 0, nil;
		if rows then
			while count < limit do
				-- An entry that can't be read is not one that waits.
				local ok, key, stanza, when = pcall(rows);
				if ok and key == nil then break; end
				count = count + 1;
				if ok then
					ids[#ids + 1], oldest = stanza.attr[ID], when;
				end
			end
			if count >= limit then
				finish(rows);
			end
		elseif err ~= nil and err ~= "item-not-found" and not can_not_load(err) then
			error(err, 0);
		end
		queue.journal:looked(ids, count, oldest);
	end

	-- Reads what is needed to recognise entries that the store has already.
	local function recognise(queue, store, step, user, limit)
		if step == "list" then
			local users, problem = chunks.page.places_of(store);
			if not users then
				error(problem, 0);
			end
			queue.journal:listed(users);
		else
			look_at(queue, store, user, limit);
		end
	end

	local function put(queue, store, item)
		local key, err = writer.put(queue.host, store, item.at, item.stanza, item.with);
		if key then
			return true;
		end
		return nil, err;
	end

	-- Appends items to a store, in order. Returns how many were appended, an error | nil, and the time of the last append if all were
	-- in one transaction. `batch` has the limits that journal:next_step() returned.
	local function store_items(queue, store, items, batch)
		if batches.can(store) and #items > 0 then
			local count, appended, unknown;
			local ok = pcall(function ()
				assert(batches.run(store, function ()
					if appended then
						-- The connection was lost, and Prosody runs this again. The commit may have been done.
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
					until count == #items or now() > batch.deadline and (count >= batch.at_least or now() > batch.latest);
					appended = now();
				end));
			end);
			if ok then
				return count, nil, appended;
			end
			batches.undo(store);
			writer.undone(queue.host);
			if unknown then
				return 0, "the connection was lost";
			end
			-- The transaction failed. Append the entries one at a time, up to the one that is refused.
		end
		for i = 1, #items do
			local ok, done, err = pcall(put, queue, store, items[i]);
			if not ok or not done then
				if ok then done = err; end
				batches.undo(store);
				if not queue.journal then
					return i - 1, CLOSED;
				end
				local item = items[i];
				local payload = queue.journal:get(item.sequence);
				local plain = payload and payload:find("[\128-\255]")
					and { at = item.at; stanza = in_ascii(stanza_mt, payload); with = ascii(item.with) };
				local taken = plain and select(2, pcall(put, queue, store, plain)) == true;
				if not taken then
					batches.undo(store);
					return i - 1, done == nil and "the storage driver refused without saying why" or done;
				end
			end
			if not queue.journal then
				-- The next log hands over the rest.
				return i, CLOSED;
			elseif now() > batch.deadline then
				return i;
			end
		end
		return #items;
	end

	-- Appends a batch to the store and releases the appended entries from the journal -> number of entries, problem | nil
	local function hand_over_batch(queue, store, size, batch)
		local items, behind = take(queue, size);
		if queue.journal:recognises() then
			-- Entries that the store has already are released first. Otherwise there would be more of them after each crash.
			queue.journal:release(items[1] and items[1].sequence or behind);
		end
		local done, problem, appended = store_items(queue, store, items, batch);
		sql.keep_connection(stores.engine_of(store));
		if not queue.journal then
			return done, CLOSED;
		end
		queue.journal:release(done < #items and items[done + 1].sequence or behind);
		queue.journal:handed_over(appended or now(), #items, done);
		return done, problem;
	end

	-- Runs one slice: true | nil, err
	local function run_slice(queue, store)
		local journal, began, entries = queue.journal, now(), 0;
		local problem;
		local lent = false;
		local takes_bytes = writer.takes_bytes(store);
		repeat
			local step, a, b, c, d = journal:next_step(now());
			if step == "batch" and takes_bytes then
				local done, err = writer.hand_over(queue.host, store, journal, a, now(), c);
				entries, problem = entries + (done or 0), err;
			elseif step == "batch" then
				if not lent and (stores.is_embedded(store) or stores.engine_of(store)) then
					-- These drivers don't yield.
					collector.lend();
					lent = true;
				end
				local done;
				done, problem = hand_over_batch(queue, store, a, { at_least = b, deadline = c, latest = d });
				entries = entries + done;
			elseif step == "failed" then
				problem = a;
			elseif step == "list" or step == "look" then
				local ok, err = pcall(recognise, queue, store, step, a, b);
				if not ok then
					batches.undo(store);
					problem = cause_of(err);
				end
			end
		until not step or problem ~= nil;
		context.handed_over(queue.host, entries, now() - began);
		if problem ~= nil then
			return nil, problem;
		end
		return true;
	end

	return run_slice;
end

return { new = new };
