-- Prunes archive user nil, where the community's modules stored their entries.

local native, chunks = ...;
local batches, stanzas, stores = chunks.batch, chunks.stanza, chunks.driver;

local OCCURRED = native.namespace.."\1occurred";

local ipairs, tonumber = ipairs, tonumber;
local floor, min = math.floor, math.min;
local is_embedded = stores.is_embedded;
local detail = stanzas.detail;

--   context = { stanza_mt, log, now, recorder, classes } as prune.lua has them
-- Returns prune_old(host, store, users, at, breathe, add, wish, clock | nil, removal) -> how many entries were moved to partitions.
local function new(context, slices)
	local now, recorder = context.now, context.recorder;
	local call, each, edge = slices.call, slices.each, slices.edge;

	-- Moves the entries of archive user nil to partitions. This is for the embedded driver, which would rewrite all entries for each
	-- removal. The core decides into which partitions (src/archive/moving.rs).
	local function move_old(host, store, users, at, breathe, add, wish, clock, removal)
		local move, moved, last_key = recorder.new_move(users), 0, nil;
		local marker = move:marker(at);
		call(store, "append", marker, nil, detail(context.stanza_mt, "moving"), floor(at), "@");

		local function copy(key, stanza, when, with)
			last_key = key;
			local class = context.classes.of(host, stanza.attr.type or "").name;
			if recorder.is_past(host, class, when, at, clock) and not recorder.holds(host, class, with, stanza) then
				removal.entry(stanza);
				add(class, "expired", 1, 0, when, when);
				return;
			end
			local partition, time = recorder.place_moved(move, host, class, when);
			if time > when and not stanza.attr[OCCURRED] then
				stanza.attr[OCCURRED] = recorder.date_time(when);
			end
			call(store, "append", partition, nil, stanza, time, with);
			moved = moved + 1;
		end

		local _, damaged = each(store, nil, breathe, copy);
		if damaged == 0 then
			slices.settle(host, store, move:made(), breathe, wish.settle);
			-- Entries may have been added meanwhile. There must be no pause from here on.
			local newest, key = edge(store, nil, true);
			if newest and key ~= last_key then
				local rows = call(store, "find", nil, { after = last_key });
				for late, stanza, when, with in rows or function () end do
					copy(late, stanza, when, with);
				end
			end
			removal.announce();
			call(store, "delete", nil);
		else
			for _, name in ipairs(move:made()) do
				call(store, "delete", name);
			end
			context.log("warn", ("The older log of %s was not moved: %d damaged entries there can't be copied"):format(host, damaged));
		end
		call(store, "delete", marker);
		return damaged == 0 and moved or 0;
	end

	-- Removes expired entries of archive user nil of an SQL store. Entries that have expired in every class are removed by time. Then
	-- entries that have expired only in their own class are removed by key.
	local function prune_rows(host, store, at, breathe, add, clock, removal)
		local oldest = edge(store, nil, false);
		local cutoff = recorder.last_cutoff(host, at, clock, oldest);
		local first, span, removed = oldest, native.span_pace(), 0;
		local to;
		-- By time nothing could be left out that is held.
		while oldest and cutoff and oldest < cutoff and not recorder.holds_anything(host) do
			local began = now();
			-- `end` is inclusive.
			to = min(floor(oldest) + span:size(), recorder.before(cutoff));
			removal.before(store, to, breathe);
			removal.announce();
			removed = removed + (tonumber(call(store, "delete", nil, { ["end"] = to })) or 0);
			span:took(now() - began);
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
		each(store, nil, breathe, function (key, stanza, when, with)
			if when >= first_cutoff then
				return false;
			end
			local class = context.classes.of(host, stanza.attr.type or "").name;
			if recorder.is_past(host, class, when, at, clock) and not recorder.holds(host, class, with, stanza) then
				keys[#keys + 1] = key;
				removal.entry(stanza);
				add(class, "expired", 1, 0, when, when);
			end
		end);
		removal.announce();
		slices.remove(store, nil, keys, breathe);
	end

	local function prune_old(host, store, users, at, breathe, add, wish, clock, removal)
		if batches.can(store) or recorder.holds_anything(host) and recorder.is_single(host) then
			prune_rows(host, store, at, breathe, add, clock, removal);
			if not batches.can(store) then
				recorder.pruned(host);
				context.classes.forget(host);
			end
			return 0;
		end
		local oldest = edge(store, nil, false);
		if not oldest then
			return 0;
		elseif is_embedded(store) and not recorder.is_single(host) then
			return move_old(host, store, users, at, breathe, add, wish, clock, removal);
		end
		local cutoff = recorder.last_cutoff(host, at, clock, oldest);
		if cutoff and oldest < cutoff then
			removal.before(store, recorder.before(cutoff), breathe);
			removal.announce();
			local count = tonumber(call(store, "delete", nil, { ["end"] = recorder.before(cutoff) })) or 0;
			add("events", "expired", count, 0, oldest, recorder.before(cutoff));
			recorder.pruned(host);
			context.classes.forget(host);
		end
		return 0;
	end

	return prune_old;
end

return { new = new };
