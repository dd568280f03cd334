-- Removes expired entries and addresses (rewrite.lua), and moves the entries of archive user nil to partitions (older.lua). The core
-- decides what to remove (src/archive/pruning.rs). The work is done in slices (slices.lua).

local native, chunks = ...;
local stanzas, stores = chunks.stanza, chunks.driver;

local error, ipairs, pcall, tonumber = error, ipairs, pcall, tonumber;
local huge, max, min = math.huge, math.max, math.min;
local cause_of, can_batch = stores.cause_of, chunks.batch.can;
local detail = stanzas.detail;

-- The pruning of all hosts.
--   context = {
--     stanza_mt, now, log      as the log's environment has them
--     pause                    function(seconds) | nil: lets the server go on; without it nothing else waits
--     retry                    function(attempt, message) -> whether to try again
--     schedule                 as the log's environment has it
--     gave_up                  function(host, seconds): pruning was given up, and is to be tried again after that time
--     lock                     function(host) -> lock | nil, message
--     sync                     function(host, archive user): forces a file of the embedded driver to disk, instead of a pause
--     open                     function(host) -> store, names of its archive users | nil, message
--     oldest_waiting           function(host) -> a time before which no entry was recorded that the store has not taken yet | nil
--     recorder, classes
--     clock                    function(host, archive users) -> the clock, seconds until it is trusted again | nil: it is trusted
--     trust_clock              function(host, actor | nil): an operator says that the clock is right
--     evidence                 as removal.lua has it
--     record                   function(host, list of details, actor | nil): records what was done, and who asked for it
--   }
local function new(context)
	local now, recorder = context.now, context.recorder;
	local plans = native.prune_schedule();
	local slices = chunks.slices.new(context);
	local turn = chunks.turn.new(context, slices, plans);
	local call, each, edge = slices.call, slices.each, slices.edge;
	local cut, prune_old = chunks.rewrite.new(context, slices), chunks.older.new(context, slices);
	local limits, removal_of = native.limits(), chunks.removal.new(context, slices);

	-- The number of entries of a partition, and the times of the first and the last.
	local function survey(store, partition, breathe, removal)
		local first, last;
		local count, damaged = each(store, partition, breathe, function (_, stanza, when)
			first, last = first or when, when;
			if removal then
				removal.entry(stanza);
			end
		end);
		return count + damaged, first, last;
	end

	local function new_results()
		local list, of = {}, {};
		-- Adds up what was done to entries of a class for one reason.
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

	-- Removes the entries of a partition that are not held -> how many, first and last time
	local function drop_others(host, store, partition, breathe, removal)
		local keys, first, last = {}, nil, nil;
		local class = recorder.home(partition);
		if not recorder.holds_class(host, class) then
			each(store, partition, breathe, function (key, stanza, when, with)
				if not recorder.holds(host, class, with, stanza) then
					keys[#keys + 1], first, last = key, first or when, when;
					removal.entry(stanza);
				end
			end);
		end
		removal.announce();
		slices.remove(store, partition, keys, breathe);
		return #keys, tonumber(first), tonumber(last);
	end

	local function drop(host, store, partition, breathe, clock, removal)
		if recorder.holds_anything(host) then
			local count, first, last = drop_others(host, store, partition, breathe, removal);
			if count > 0 then limits:removed(host, partition); end
			if edge(store, partition, false) then
				return count, first, last;
			elseif count > 0 then
				if clock then clock:removed(partition); end
				return count, first, last;
			end
		end
		local counts_itself = can_batch(store);
		local count, first, last;
		if counts_itself then
			-- The driver counts what it removes. The first and last rows may be damaged.
			local _;
			_, first = pcall(edge, store, partition, false);
			_, last = pcall(edge, store, partition, true);
			removal.partition(store, partition, breathe);
		else
			local ok;
			ok, count, first, last = pcall(survey, store, partition, breathe, removal);
			if not ok then
				-- It may have ended because pruning was stopped or given up: then this raises too.
				breathe(true);
				count, first, last = 0, nil, nil;
			end
		end
		removal.announce();
		local deleted = call(store, "delete", partition);
		limits:removed(host, partition);
		if clock then
			clock:removed(partition);
		end
		breathe();
		return count or tonumber(deleted) or 0, tonumber(first), tonumber(last);
	end

	local function drop_all(host, store, class, reason, partitions, breathe, add, clock, removal)
		for _, partition in ipairs(partitions) do
			local count, first, last = drop(host, store, partition, breathe, clock, removal);
			if count > 0 or not recorder.holds_anything(host) then
				add(class, reason, count, 1, first, last);
			end
		end
	end

	-- Removes the oldest partitions of a class that are above its limit. Which ones is decided in the core (src/archive/limits.rs).
	local function enforce_limit(host, store, class, partitions, breathe, add, clock, removal)
		local entries = recorder.limit(host, class);
		if not entries then return; end
		local limit = limits:enforce(host, entries, partitions);
		local step, partition = limit:next();
		while step do
			if step == "count" then
				limit:counted((survey(store, partition, breathe)));
			else
				drop_all(host, store, class, "limit", { partition }, breathe, add, clock, removal);
			end
			step, partition = limit:next();
		end
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

	local function work(host, wish, results, add, breathe, removal)
		local at = now();
		local store, users = context.open(host);
		if not store then
			error(users, 0);
		end
		breathe = slices.for_store(breathe, store);
		-- Listing a large log may take a whole slice.
		breathe();
		local clock, settles = context.clock(host, users);
		if wish.trust_clock then
			-- Now, as what is stored may be all that casts doubt on it.
			context.trust_clock(host, wish.actor);
		end
		results.held = clock and clock:doubt();
		local old_is_empty = recorder.is_moving(users) and edge(store, nil, false) == nil;
		local plan = recorder.plan(host, users, old_is_empty, at, clock);
		for _, partition in ipairs(plan.unfinished) do
			call(store, "delete", partition);
			breathe();
		end
		for _, marker in ipairs(plan.markers) do
			call(store, "delete", marker);
		end
		local function drop_partitions()
			for _, expired in ipairs(plan.expired) do
				drop_all(host, store, expired.class, "expired", expired.partitions, breathe, add, clock, removal);
			end
			for _, limited in ipairs(plan.limited) do
				enforce_limit(host, store, limited.class, limited.partitions, breathe, add, clock, removal);
			end
		end
		drop_partitions();
		local moved = not wish.limits and not results.held and prune_old(host, store, users, at, breathe, add, wish, clock, removal) or 0;
		if moved > 0 then
			-- The partitions that were made may have expired.
			store, users = context.open(host);
			if not store then
				error(users, 0);
			end
			plan = recorder.plan(host, users, true, at, clock);
			drop_partitions();
		end
		if not wish.limits then
			local waiting, due = context.oldest_waiting(host), {};
			for _, partition in ipairs(plan.cut) do
				if not waiting or not recorder.may_hold(partition, waiting) then
					due[#due + 1] = partition;
				end
			end
			if #due > 0 then
				-- The next entries of these days go behind the copies.
				context.classes.forget(host);
			end
			cut(host, store, due, breathe, add, wish);
		end
		for _, class in ipairs(plan.former) do
			context.log("info", ("The class %s of audit events of %s is configured no more; its entries are kept for as long as any"):format(class, host));
		end
		results.moved, results.next = moved, results.held and at + settles or plan.next;
	end

	-- Prunes a host.
	--   run(host, wish | nil) -> results | nil, message
	--   results = a list of { class, reason = "expired" | "limit" | "addresses", count, partitions, from, till }, with
	--     moved   the number of entries of an older log that were moved into partitions
	--     held    why nothing that has expired was removed | nil
	--     next    when something expires next | nil
	--   wish = {
	--     limits       enforce limits only
	--     settle       how many seconds copies have before their originals are removed
	--     wait         wait for a prune of this host that runs
	--     trust_clock  the clock is right
	--     actor        who asked for it
	--     given_up     called if the driver does not answer: run() does not return then
	--   }
	local function run(host, wish)
		wish = wish or {};
		local breathe, done = turn.begin(host, wish);
		if not breathe then
			return nil, done;
		end
		local results, add = new_results();
		local removal = removal_of(host);
		local ok, err = pcall(work, host, wish, results, add, breathe, removal);
		removal.close();
		done();
		-- Also after a failure: some entries may have been removed before.
		record(host, results, wish.actor);
		if not ok then
			return nil, cause_of(err);
		end
		return results;
	end

	return {
		run = run;
		plans = plans;
		-- For other long work on a store: one piece of it, or a prune, runs at a time on each host.
		slices = slices, turn = turn;
		-- known(host, partition, count): a partition is full
		known = function (host, partition, count) limits:full(host, partition, count); end;
		forget = function (host) limits:forget(host); end;
		-- stop(): prunes end at their next pause
		stop = slices.stop;
		-- longest() -> the longest slice, in seconds
		longest = slices.longest;
	};
end

return { new = new };
