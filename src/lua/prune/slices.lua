-- Splits long work on a store into short slices, with pauses between them in which the server continues.

local native, chunks = ...;
local batches, driver = chunks.batch, chunks.driver;

-- The numbers are defined in the core (src/archive/slices.rs).
local limits = native.slices;

local STOPPED = "the module is being unloaded";

local error, ipairs, pcall, tostring, type = error, ipairs, pcall, tostring, type;
local max, min = math.max, math.min;
local cause_of, is_embedded, is_native, refuses_busy = driver.cause_of, driver.is_embedded, driver.is_native, driver.refuses_busy;

-- new(context) -> slices
--   context = {
--     now      as the log's environment has it
--     pause    function(seconds) | nil: lets the server go on; without it nothing else waits
--     retry    function(attempt, message) -> whether to try again
--     sync     function(host, archive user): forces a file of the embedded driver to disk, instead of a pause
--   }
local function new(context)
	local now, pause = context.now, context.pause;
	local stopped, longest = false, 0;
	-- When the last wait for another process ended.
	local waited_until = -math.huge;

	-- breathe(at once | nil, seconds | nil, slice | nil): pauses if the loop was held for the length of a slice. Calls go_on() before and
	-- after the pause. go_on() raises an error if the work must end.
	local function new_breath(go_on)
		local since = now();
		local function breathe(at_once, seconds, slice)
			local held = now() - max(since, waited_until);
			-- The clock may have gone back.
			if at_once or held >= (slice or limits.slice) or held < 0 then
				go_on();
				longest = max(longest, held);
				if pause then
					pause(seconds or limits.rest);
				end
				if stopped then
					error(STOPPED, 0);
				end
				go_on();
				since = now();
			end
		end
		return breathe;
	end

	-- for_store(breathe, store) -> breathe, with the slices of that store
	local function for_store(breathe, store)
		if not is_native(store) then
			return breathe;
		end
		return function (at_once, seconds)
			breathe(at_once, seconds or limits.native_rest, limits.native_slice);
		end;
	end

	-- After a failure: waits before the next attempt, or raises the error as text if there is none. `began` is when the first attempt was.
	local function wait_or_raise(attempt, problem, began)
		local message = cause_of(problem);
		if pause and refuses_busy(message) and now() - began < limits.busy then
			pause(limits.ask_again);
			waited_until = now();
			if stopped then
				error(STOPPED, 0);
			end
		elseif not context.retry or not context.retry(attempt, message) then
			error(message, 0);
		end
	end

	-- Does pcall(f, …). In the server it does not wait for another process that writes to the file of the driver "audit".
	local function try(store, f, ...)
		if not pause or not is_native(store) then
			return pcall(f, ...);
		end
		local patience = store.patience;
		store.patience = 0;
		local function done(...)
			store.patience = patience;
			return ...;
		end
		return done(pcall(f, ...));
	end

	-- Calls a method of a store. Raises a text if it fails. Returns nil if find() finds nothing.
	local function call(store, method, ...)
		local attempt, began = 0, now();
		while true do
			local ok, result, err = try(store, store[method], store, ...);
			if ok and result then
				return result, err;
			elseif ok and method == "find" and (err == nil or err == "item-not-found") then
				return nil;
			end
			attempt = attempt + 1;
			local problem = ok and err or result;
			if problem == false then problem = nil; end
			wait_or_raise(attempt, problem, began);
		end
	end

	-- Calls visit(key, stanza, when, with) for each entry of an archive user, oldest first, until it returns false, and
	-- page_done() before each pause. Returns the number of entries, and the number of rows that can't be read.
	local function each(store, user, breathe, visit, page_done)
		local paged = batches.can(store);
		local pace, after, count, damaged = native.row_pace(is_native(store)), nil, 0, 0;
		while true do
			local page, began = pace:size(), now();
			local rows = call(store, "find", user, paged and { limit = page, after = after } or {});
			if not rows then break; end
			local in_page, in_a_row, going_on = 0, 0, true;
			while going_on do
				-- A row that is no XML makes the SQL driver's iterator raise; the next call returns the next row.
				local ok, key, stanza, when, with = pcall(rows);
				if ok and key == nil then
					break;
				end
				in_page = in_page + 1;
				if ok then
					after, count, in_a_row = key, count + 1, 0;
					going_on = visit(key, stanza, when, with) ~= false;
				else
					damaged, in_a_row = damaged + 1, in_a_row + 1;
					if in_a_row > limits.damaged then
						error(cause_of(key), 0);
					end
				end
				if not paged then
					breathe();
				end
			end
			if not going_on then
				driver.finish(rows);
			end
			if page_done then
				page_done();
			end
			breathe();
			if not paged or in_page < page or not going_on then break; end
			pace:took(now() - began);
		end
		return count, damaged;
	end

	-- Does work() as one write, for a store that has transactions. work() may be called again.
	local function run(store, work)
		local attempt, began = 0, now();
		while true do
			local ok, done, err = try(store, batches.run, store, work);
			if ok and done then break; end
			batches.undo(store);
			attempt = attempt + 1;
			wait_or_raise(attempt, ok and err or done, began);
		end
	end

	-- Appends rows { stanza, when, with, key | nil, archive user | nil } to an archive user, or each to its own: in one transaction if
	-- the store has transactions.
	local function append_all(store, user, rows)
		local function append()
			for _, row in ipairs(rows) do
				call(store, "append", row[5] or user, row[4], row[1], row[2], row[3]);
			end
		end
		if batches.can(store) and #rows > 1 then
			run(store, append);
		else
			append();
		end
	end

	-- again(store, f, …): calls f(…), and again after a failure, if there is another attempt. Raises if there is none.
	local function again(store, f, ...)
		local attempt, began = 0, now();
		while true do
			local ok, err = try(store, f, ...);
			if ok then return; end
			attempt = attempt + 1;
			wait_or_raise(attempt, err, began);
		end
	end

	-- Changes and removes entries of the embedded driver with one write of the file (embedded.lua). The archive user may have been
	-- removed meanwhile.
	local function rewrite(store, user, by_key)
		local done, err = store:rewrite(user, by_key);
		if not done and err ~= "item-not-found" then
			error(cause_of(err), 0);
		end
	end

	local function rewrites(store)
		return type(store.rewrite) == "function";
	end

	-- Changes an entry. It may have been removed meanwhile.
	local function set(store, user, change)
		local ok, done, err = pcall(store.set, store, user, change.key, change.stanza, nil, change.with);
		if not ok or not done and err ~= nil and err ~= "item-not-found" then
			error(cause_of(not ok and done or err), 0);
		end
	end

	-- set_all(store, user, changes, breathe): changes entries where they lie. changes = list of { key, stanza, with | nil: as it was }
	local function set_all(store, user, changes, breathe)
		if #changes == 0 then
			return;
		elseif rewrites(store) then
			local by_key = {};
			for _, change in ipairs(changes) do by_key[change.key] = change; end
			again(store, rewrite, store, user, by_key);
			return;
		elseif type(store.set) ~= "function" then
			error(("the storage driver %s can't change entries"):format(tostring(store.name)), 0);
		elseif batches.can(store) then
			run(store, function ()
				for _, change in ipairs(changes) do set(store, user, change); end
			end);
			return;
		end
		for _, change in ipairs(changes) do
			again(store, set, store, user, change);
			breathe();
		end
	end

	-- remove(store, user, keys, breathe): removes these entries
	local function remove(store, user, keys, breathe)
		if rewrites(store) and #keys > 0 then
			local by_key = {};
			for _, key in ipairs(keys) do by_key[key] = false; end
			again(store, rewrite, store, user, by_key);
			return;
		elseif not batches.can(store) then
			for _, key in ipairs(keys) do
				call(store, "delete", user, { key = key });
				breathe();
			end
			return;
		end
		local pace, done = native.row_pace(is_native(store)), 0;
		while done < #keys do
			local began, last = now(), min(done + pace:size(), #keys);
			run(store, function ()
				for i = done + 1, last do
					call(store, "delete", user, { key = keys[i] });
				end
			end);
			pace:took(now() - began);
			done = last;
			breathe(true);
		end
	end

	-- When the first or last entry of an archive user was stored, and its key. Rows that can't be read are passed over. Raises if there
	-- are too many of them.
	local function edge(store, user, reverse)
		local problem;
		for _, limit in ipairs({ 1, limits.damaged }) do
			local rows = call(store, "find", user, { limit = limit; reverse = reverse });
			local time, id, ended = nil, nil, not rows;
			-- To its end, as the driver closes what it has opened then.
			for _ = 0, limit do
				if ended then break; end
				local ok, key, _, when = pcall(rows);
				ended = ok and key == nil;
				if not ok then
					problem = key;
				else
					time, id = time or when, id or key;
				end
			end
			if id or not problem then
				return time, id;
			end
		end
		error(cause_of(problem), 0);
	end

	-- Waits until the driver "audit" has synced what this process has written.
	local function settle_native(store, breathe)
		while not store.database:is_synced() do
			breathe(true, native.transfers.ask);
		end
	end

	-- Makes sure that what the embedded driver has written is on disk: waits for the kernel, or forces it. For another driver there is
	-- something to do only if entries are moved to it (joined.lua): the original may be in another file.
	local function settle(host, store, users, breathe, seconds)
		if store.target and is_native(store.target) then
			settle_native(store.target, breathe);
		elseif not is_embedded(store) or #users == 0 then
			return;
		elseif pause then
			breathe(true, seconds or limits.settle);
		elseif context.sync then
			for _, user in ipairs(users) do
				context.sync(host, user);
			end
		end
	end

	return {
		-- new_breath(go_on) -> breathe, for one piece of work
		new_breath = new_breath, for_store = for_store;
		remove = remove, set_all = set_all;
		call = call, run = run, each = each, append_all = append_all, edge = edge, settle = settle, settle_native = settle_native;
		-- stop(): all work ends at its next pause, by raising
		stop = function () stopped = true; end;
		is_stopped = function () return stopped; end;
		-- longest() -> the longest slice, in seconds
		longest = function () return longest; end;
	};
end

return { new = new };
