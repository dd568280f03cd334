-- Removes what has expired, cuts addresses, and moves what lies under archive user nil into partitions. What is to be done
-- is decided in the core (pruning.rs); here it is done, in slices that hold the server's loop for a moment each.

local native, stanzas, stores = ...;

local OCCURRED = native.namespace.."\1occurred";

-- How long one slice may be, and the pause behind it, in seconds.
local SLICE, REST = 0.006, 0.015;
-- How often it is looked whether who prunes a host has done so, in seconds.
local WAIT = 0.2;
-- Rows of an SQL store that are read at once to begin with, and at most.
local PAGE, LARGEST_PAGE = 25, 200;
-- So many rows in a row that can't be read are not a damaged row but a damaged archive.
local MOST_DAMAGED = 100;
-- The embedded driver leaves it to the kernel when what it has written gets to the disk. Before an original goes, its copy
-- has so many seconds.
local SETTLE = 45;
-- Seconds of entries that are removed at once from an SQL store to begin with.
local FIRST_SPAN = 60;
-- What may hold an address, in elements of the log.
local ADDRESS_ATTRIBUTES = { address = true; ip = true; network = true; ["remote-ip"] = true };

local BUSY = "entries of this host are being removed already";
local STOPPED = "the module is being unloaded";

local assert, error, ipairs, pairs, pcall, tonumber, type = assert, error, ipairs, pairs, pcall, tonumber, type;
local floor, huge, max, min = math.floor, math.huge, math.max, math.min;
local cause_of, engine_of, in_one_transaction, is_embedded = stores.cause_of, stores.engine_of, stores.in_one_transaction, stores.is_embedded;
local detail = stanzas.detail;

-- Leaves of an entry's addresses what cut(text) gives.
local function narrow(stanza, cut)
	for name, value in pairs(stanza.attr) do
		if ADDRESS_ATTRIBUTES[name] then
			stanza.attr[name] = cut(value);
		end
	end
	local children, tags = {}, {};
	for i = 1, #stanza do
		local child = stanza[i];
		stanza[i] = nil;
		if type(child) == "table" then
			if child.name == "remote-ip" then
				local left = cut(child:get_text() or "");
				for k = #child, 1, -1 do child[k] = nil; end
				child[1], child.tags = left, {};
				child = left and child;
			elseif child.name == "ip-hash" then
				child = nil;
			else
				narrow(child, cut);
			end
			tags[#tags + 1] = child;
		end
		children[#children + 1] = child or nil;
	end
	for i = 1, #children do
		stanza[i] = children[i];
	end
	stanza.tags = tags;
end

-- The pruning of all hosts.
--   context = {
--     stanza_mt, now, log      as the log's environment has them
--     pause                    function(seconds) | nil: lets the server go on; without it nothing else waits
--     retry                    function(attempt, message) -> whether to try again
--     lock                     function(host) -> lock | nil, message
--     sync                     function(host, archive user): forces a file of the embedded driver to disk, instead of waiting
--     open                     function(host) -> store, names of its archive users | nil, message
--     oldest_waiting           function(host) -> when the oldest entry was recorded that the store has not taken yet | nil
--     recorder, classes
--     record                   function(host, list of details, actor | nil): makes an entry of what was done, by whose order
--   }
local function new(context)
	local now, recorder, pause = context.now, context.recorder, context.pause;
	local running, stopped, longest = {}, false, 0;
	-- How many entries there are in partitions that take no more: counts[host][partition].
	local counts = {};

	-- breathe(at once | nil, seconds | nil): lets the server go on where a slice has been long enough.
	local function new_breath()
		local since = now();
		return function (at_once, seconds)
			local held = now() - since;
			if held >= SLICE or at_once then
				longest = max(longest, held);
				if pause then
					pause(seconds or REST);
				end
				if stopped then
					error(STOPPED, 0);
				end
				since = now();
			end
		end
	end

	-- Calls a method of a store. Raises a text where it fails; gives nothing where there is nothing.
	local function call(store, method, ...)
		local attempt = 0;
		while true do
			local ok, result, err = pcall(store[method], store, ...);
			if ok and result then
				return result, err;
			elseif ok and method == "find" and (err == nil or err == "item-not-found") then
				return nil;
			end
			attempt = attempt + 1;
			local problem = ok and err or result;
			if problem == false then problem = nil; end
			local message = cause_of(problem);
			if not context.retry or not context.retry(attempt, message) then
				error(message, 0);
			end
		end
	end

	-- Calls visit(key, stanza, when, with) for each entry of an archive user, oldest first, until it returns false, and
	-- page_done() before each pause. Gives how many there were, and how many that can't be read.
	local function each(store, user, breathe, visit, page_done)
		local paged = engine_of(store) ~= nil;
		local page, after, count, damaged = PAGE, nil, 0, 0;
		while true do
			local began = now();
			local rows = call(store, "find", user, paged and { limit = page, after = after } or {});
			if not rows then break; end
			local in_page, in_a_row, going_on = 0, 0, true;
			while going_on do
				-- A row that is no XML makes the SQL driver's iterator raise; the next call gives the next row.
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
					if in_a_row > MOST_DAMAGED then
						error(cause_of(key), 0);
					end
				end
				if not paged then
					breathe();
				end
			end
			if page_done then
				page_done();
			end
			breathe();
			if not paged or in_page < page or not going_on then break; end
			local took = now() - began;
			page = took > SLICE and max(10, floor(page / 2)) or took < SLICE / 2 and min(LARGEST_PAGE, page * 2) or page;
		end
		return count, damaged;
	end

	-- Appends rows { stanza, when, with } to an archive user: in one transaction where there are transactions.
	local function append_all(store, user, rows)
		local engine = engine_of(store);
		local function append()
			for _, row in ipairs(rows) do
				call(store, "append", user, nil, row[1], row[2], row[3]);
			end
		end
		if engine and #rows > 1 then
			local attempt = 0;
			repeat
				local ok, done, err = pcall(in_one_transaction, engine, append);
				local message = not (ok and done) and cause_of(ok and err or done);
				if message then
					stores.close_statements(engine);
					attempt = attempt + 1;
					if not context.retry or not context.retry(attempt, message) then
						error(message, 0);
					end
				end
			until not message;
		else
			append();
		end
	end

	-- How many entries a partition has, and the times of its first and last.
	local function survey(store, partition, breathe)
		local first, last;
		local count, damaged = each(store, partition, breathe, function (_, _, when)
			first, last = first or when, when;
		end);
		return count + damaged, first, last;
	end

	-- When the first or last entry of an archive user was stored, and its key.
	local function edge(store, user, reverse)
		local time, id;
		local rows = call(store, "find", user, { limit = 1; reverse = reverse });
		if rows then
			for key, _, when in rows do
				time, id = time or when, id or key;
			end
		end
		return time, id;
	end

	local function new_results()
		local list, of = {}, {};
		-- Adds to what was done to entries of a class for one reason.
		local function add(class, reason, count, partitions, from, till)
			local key = class.." "..reason;
			local result = of[key];
			if not result then
				result = { class = class; reason = reason; count = 0; partitions = 0; from = huge; till = -huge };
				of[key], list[#list + 1] = result, result;
			end
			result.count, result.partitions = result.count + count, result.partitions + partitions;
			result.from, result.till = min(result.from, from or huge), max(result.till, till or -huge);
		end
		return list, add;
	end

	local function drop(host, store, partition, breathe)
		local engine = engine_of(store);
		local count, first, last;
		if engine then
			-- The driver counts what it removes. What its first and last rows hold may be damaged.
			local _;
			_, first = pcall(edge, store, partition, false);
			_, last = pcall(edge, store, partition, true);
		else
			local ok;
			ok, count, first, last = pcall(survey, store, partition, breathe);
			if not ok then
				if stopped then error(count, 0); end
				count, first, last = 0, nil, nil;
			end
		end
		local deleted = call(store, "delete", partition);
		if counts[host] then
			counts[host][partition] = nil;
		end
		breathe();
		return count or tonumber(deleted) or 0, tonumber(first), tonumber(last);
	end

	local function drop_all(host, store, class, reason, partitions, breathe, add)
		for _, partition in ipairs(partitions) do
			local count, first, last = drop(host, store, partition, breathe);
			add(class, reason, count, 1, first, last);
		end
	end

	-- Classes with a limit let their oldest partitions go.
	local function enforce_limit(host, store, class, partitions, breathe, add)
		local known, sizes = counts[host] or {}, {};
		counts[host] = known;
		for i, partition in ipairs(partitions) do
			local size = i > 1 and known[partition] or survey(store, partition, breathe);
			sizes[i] = size;
			if i > 1 then
				known[partition] = size;
			end
		end
		local oldest = {};
		for i = #partitions, #partitions - recorder.surplus(host, class, sizes) + 1, -1 do
			oldest[#oldest + 1] = partitions[i];
		end
		drop_all(host, store, class, "limit", oldest, breathe, add);
	end

	-- Lets the kernel write out what the embedded driver has written, or sees to it.
	local function settle(host, store, users, breathe, seconds)
		if not is_embedded(store) or #users == 0 then
			return;
		elseif pause then
			breathe(true, seconds or SETTLE);
		elseif context.sync then
			for _, user in ipairs(users) do
				context.sync(host, user);
			end
		end
	end

	-- A copy of each partition with less of its addresses; then the originals go.
	local function cut(host, store, partitions, breathe, add, wish)
		local copies, copied = {}, {};
		for _, partition in ipairs(partitions) do
			local class, copy = recorder.home(partition), recorder.cut_name(partition);
			local function leave(text)
				return recorder.narrow(host, class, text);
			end
			local batch, first, last = {}, nil, nil;
			local function write()
				if #batch > 0 then
					append_all(store, copy, batch);
					batch = {};
				end
			end
			local paged = engine_of(store) ~= nil;
			local count, damaged = each(store, partition, breathe, function (_, stanza, when, with)
				first, last = first or when, when;
				narrow(stanza, leave);
				batch[#batch + 1] = { stanza, when, with };
				if not paged then
					write();
				end
			end, write);
			if damaged > 0 then
				-- What can't be read can't be copied, and is not for us to remove.
				call(store, "delete", copy);
				context.log("warn", ("Addresses of %s in %s were not removed: %d damaged entries there can't be copied"):format(host, partition, damaged));
			else
				copies[#copies + 1] = copy;
				copied[#copied + 1] = { partition = partition; class = class; count = count; first = first; last = last };
			end
		end
		settle(host, store, copies, breathe, wish.settle);
		for _, done in ipairs(copied) do
			call(store, "delete", done.partition);
			add(done.class, "addresses", done.count, 1, done.first, done.last);
			breathe();
		end
	end

	-- Archive user nil of the embedded driver, where every removal would rewrite all of it: its entries are moved to partitions.
	local function move_old(host, store, users, at, breathe, add, wish)
		local generation = recorder.next_generation(users);
		local marker = recorder.marker(generation, at);
		call(store, "append", marker, nil, detail(context.stanza_mt, "moving"), floor(at), "@");
		-- Where entries of a class and day go.
		local places, copies, last_key, moved = {}, {}, nil, 0;

		local function copy(key, stanza, when, with)
			last_key = key;
			local class = context.classes.of(host, stanza.attr.type or "").name;
			if recorder.is_past(host, class, when, at) then
				add(class, "expired", 1, 0, when, when);
				return;
			end
			local day = class..floor(when / 86400);
			local place = places[day];
			if not place then
				place = { name = recorder.moved_name(class, generation, when); count = 0 };
			elseif place.count >= place.room then
				place = { name = recorder.next_name(place.name); count = 0; when = place.when };
			end
			if place.count == 0 then
				place.room, places[day], copies[#copies + 1] = recorder.room(host, class), place, place.name;
			end
			-- That log may be in another order than that of time, a partition may not.
			place.when = max(place.when or 0, floor(when));
			if place.when > when and not stanza.attr[OCCURRED] then
				stanza.attr[OCCURRED] = recorder.date_time(when);
			end
			call(store, "append", place.name, nil, stanza, place.when, with);
			place.count, moved = place.count + 1, moved + 1;
		end

		local _, damaged = each(store, nil, breathe, copy);
		if damaged == 0 then
			settle(host, store, copies, breathe, wish.settle);
			-- Somebody may have written there meanwhile. From here to the end nothing pauses.
			local newest, key = edge(store, nil, true);
			if newest and key ~= last_key then
				local rows = call(store, "find", nil, { after = last_key });
				for late, stanza, when, with in rows or function () end do
					copy(late, stanza, when, with);
				end
			end
			call(store, "delete", nil);
		else
			for _, name in ipairs(copies) do
				call(store, "delete", name);
			end
			context.log("warn", ("The older log of %s was not moved: %d damaged entries there can't be copied"):format(host, damaged));
		end
		call(store, "delete", marker);
		return damaged == 0 and moved or 0;
	end

	-- Archive user nil of an SQL store: what is older than any class keeps goes by time, a bit at a time; what only its own class
	-- lets go is removed by its key.
	local function prune_rows(host, store, at, breathe, add)
		local cutoff = recorder.last_cutoff(host, at);
		local oldest = edge(store, nil, false);
		local first, span, removed = oldest, FIRST_SPAN, 0;
		local to;
		while oldest and cutoff and oldest < cutoff do
			local began = now();
			-- `end` is inclusive.
			to = min(floor(oldest) + span, recorder.before(cutoff));
			removed = removed + (tonumber(call(store, "delete", nil, { ["end"] = to })) or 0);
			local took = now() - began;
			span = took > SLICE and max(1, floor(span / 2)) or took < SLICE / 2 and span * 2 or span;
			breathe(true);
			oldest = edge(store, nil, false);
		end
		if removed > 0 then
			add("events", "expired", removed, 0, first, to);
		end
		local first_cutoff = recorder.first_cutoff(host, at);
		if not oldest or not first_cutoff or oldest >= first_cutoff then
			return;
		end
		local keys = {};
		each(store, nil, breathe, function (key, stanza, when)
			if when >= first_cutoff then
				return false;
			end
			local class = context.classes.of(host, stanza.attr.type or "").name;
			if recorder.is_past(host, class, when, at) then
				keys[#keys + 1] = key;
				add(class, "expired", 1, 0, when, when);
			end
		end);
		local engine = engine_of(store);
		for i = 1, #keys, PAGE do
			assert(in_one_transaction(engine, function ()
				for k = i, min(i + PAGE - 1, #keys) do
					call(store, "delete", nil, { key = keys[k] });
				end
			end));
			breathe(true);
		end
	end

	local function prune_old(host, store, users, at, breathe, add, wish)
		if engine_of(store) then
			prune_rows(host, store, at, breathe, add);
			return 0;
		end
		local oldest = edge(store, nil, false);
		if not oldest then
			return 0;
		elseif is_embedded(store) and not recorder.is_single(host) then
			return move_old(host, store, users, at, breathe, add, wish);
		end
		local cutoff = recorder.last_cutoff(host, at);
		if cutoff and oldest < cutoff then
			local count = tonumber(call(store, "delete", nil, { ["end"] = recorder.before(cutoff) })) or 0;
			add("events", "expired", count, 0, oldest, recorder.before(cutoff));
			recorder.pruned(host);
			context.classes.forget(host);
		end
		return 0;
	end

	local function record(host, results, actor)
		local of_class, names = {}, {};
		for _, result in ipairs(results) do
			if not of_class[result.class] then
				of_class[result.class] = {};
				names[#names + 1] = result.class;
			end
			local list = of_class[result.class];
			list[#list + 1] = detail(context.stanza_mt, "pruned", {
				class = result.class; reason = result.reason; count = result.count; partitions = result.partitions;
				from = result.from < huge and recorder.date_time(result.from) or nil;
				["until"] = result.till > -huge and recorder.date_time(result.till) or nil;
			});
		end
		for _, class in ipairs(names) do
			context.record(host, of_class[class], actor);
		end
	end

	local function work(host, wish, results, add)
		local store, users = context.open(host);
		if not store then
			error(users, 0);
		end
		local at, breathe = now(), new_breath();
		local old_is_empty = recorder.is_moving(users) and edge(store, nil, false) == nil;
		local plan = recorder.plan(host, users, old_is_empty, at);
		for _, partition in ipairs(plan.unfinished) do
			call(store, "delete", partition);
			breathe();
		end
		for _, marker in ipairs(plan.markers) do
			call(store, "delete", marker);
		end
		local function drop_partitions()
			for _, expired in ipairs(plan.expired) do
				drop_all(host, store, expired.class, "expired", expired.partitions, breathe, add);
			end
			for _, limited in ipairs(plan.limited) do
				enforce_limit(host, store, limited.class, limited.partitions, breathe, add);
			end
		end
		drop_partitions();
		local moved = not wish.limits and prune_old(host, store, users, at, breathe, add, wish) or 0;
		if moved > 0 then
			-- What was moved is treated like the rest.
			store, users = context.open(host);
			if not store then
				error(users, 0);
			end
			plan = recorder.plan(host, users, true, at);
			drop_partitions();
		end
		if not wish.limits then
			local waiting, due = context.oldest_waiting(host), {};
			for _, partition in ipairs(plan.cut) do
				if not waiting or not recorder.may_hold(partition, waiting) then
					due[#due + 1] = partition;
				end
			end
			cut(host, store, due, breathe, add, wish);
		end
		for _, class in ipairs(plan.former) do
			context.log("info", ("The class %s of audit events of %s is configured no more; its entries are kept for as long as any"):format(class, host));
		end
		results.moved, results.next = moved, plan.next;
	end

	-- Prunes a host: list of { class, reason = "expired" | "limit" | "addresses", count, partitions, from, till }, with `moved`, the
	-- number of entries of an older log that lie in partitions now, and `next`, when there will be something to do | nil, message.
	-- `wish` may have limits (look at limits only), settle (how many seconds copies have before their originals go), wait (until
	-- who prunes the host now has done so) and actor (who asked for it).
	local function run(host, wish)
		while running[host] and wish and wish.wait and pause and not stopped do
			pause(WAIT);
		end
		if running[host] then
			return nil, BUSY;
		end
		local lock, problem = context.lock(host);
		if not lock then
			return nil, problem;
		end
		running[host] = true;
		local results, add = new_results();
		local ok, err = pcall(work, host, wish or {}, results, add);
		running[host] = nil;
		lock:release();
		-- What was done was done, whatever came then.
		record(host, results, wish and wish.actor);
		if not ok then
			return nil, cause_of(err);
		end
		return results;
	end

	return {
		run = run;
		-- known(host, partition, count): a partition takes no more
		known = function (host, partition, count)
			counts[host] = counts[host] or {};
			counts[host][partition] = count;
		end;
		forget = function (host)
			if host then counts[host] = nil; else counts = {}; end
		end;
		stop = function () stopped = true; end;
		-- longest() -> the longest slice, in seconds
		longest = function () return longest; end;
	};
end

return { new = new };
