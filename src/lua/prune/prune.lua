-- Removes what has expired, cuts addresses (cut.lua), and moves what lies under archive user nil into partitions (older.lua).
-- What is to be done is decided in the core (pruning.rs); here it is done, in slices (slices.lua).

local _, chunks = ...;
local stanzas, stores = chunks.stanza, chunks.driver;

-- How often it is looked whether who prunes a host has done so, in seconds.
local WAIT = 0.2;

-- A driver may wait for an answer that never comes. Pruning that has got no further for so many seconds is given up, and the next
-- may begin.
local SILENT = 60;

local BUSY = "entries of this host are being removed already";

local error, ipairs, pcall, tonumber = error, ipairs, pcall, tonumber;
local huge, max, min = math.huge, math.max, math.min;
local cause_of, engine_of = stores.cause_of, stores.engine_of;
local detail = stanzas.detail;

-- The pruning of all hosts.
--   context = {
--     stanza_mt, now, log      as the log's environment has them
--     pause                    function(seconds) | nil: lets the server go on; without it nothing else waits
--     retry                    function(attempt, message) -> whether to try again
--     schedule                 as the log's environment has it
--     gave_up                  function(host): pruning was given up
--     lock                     function(host) -> lock | nil, message
--     sync                     function(host, archive user): forces a file of the embedded driver to disk, instead of waiting
--     open                     function(host) -> store, names of its archive users | nil, message
--     oldest_waiting           function(host) -> when the oldest entry was recorded that the store has not taken yet | nil
--     recorder, classes
--     clock                    function(host, archive users) -> the clock, seconds until it is believed again | nil: it is believed
--     trust_clock              function(host, actor | nil): it is right, whatever it did
--     record                   function(host, list of details, actor | nil): makes an entry of what was done, by whose order
--   }
local function new(context)
	local now, recorder, pause = context.now, context.recorder, context.pause;
	local slices = chunks.slices.new(context);
	local call, each, edge = slices.call, slices.each, slices.edge;
	local cut, prune_old = chunks.rewrite.new(context, slices), chunks.older.new(context, slices);
	-- By host: { at = when it got further last, lock, given_up = whether it was, on_giving_up }
	local running = {};
	-- Hosts of which it was said that pruning was given up, until one has come to its end.
	local told = {};
	-- How many entries there are in partitions that take no more: counts[host][partition].
	local counts = {};

	-- How many entries a partition has, and the times of its first and last.
	local function survey(store, partition, breathe)
		local first, last;
		local count, damaged = each(store, partition, breathe, function (_, _, when)
			first, last = first or when, when;
		end);
		return count + damaged, first, last;
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
				if slices.is_stopped() then error(count, 0); end
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

	local function give_up(host, own)
		own.given_up, running[host] = true, nil;
		own.lock:release();
		if not told[host] then
			told[host] = true;
			context.log("error", ("Audit events of %s can't be pruned: the storage driver has not answered for %d seconds; it is tried again later")
				:format(host, SILENT));
		end
		context.gave_up(host);
		if own.on_giving_up then
			own.on_giving_up();
		end
	end

	local function is_silent(own)
		return now() - own.at >= SILENT;
	end

	-- Gives a host's pruning up when it gets no further.
	local function watch(host, own)
		if context.schedule and pause then
			context.schedule(max(1, own.at + SILENT - now()), function ()
				if running[host] ~= own then
					return;
				elseif is_silent(own) then
					give_up(host, own);
				else
					watch(host, own);
				end
			end);
		end
	end

	-- breathe() for a host's pruning: it raises where that was given up.
	local function new_breath(own)
		local breathe = slices.new_breath();
		local function go_on()
			if own.given_up then
				error("it was given up", 0);
			end
			own.at = now();
		end
		return function (...)
			go_on();
			breathe(...);
			go_on();
		end
	end

	local function work(host, wish, results, add, breathe)
		local at = now();
		local store, users = context.open(host);
		if not store then
			error(users, 0);
		end
		-- To list a large log takes a slice of its own.
		breathe();
		local clock, settles = context.clock(host, users);
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
				drop_all(host, store, expired.class, "expired", expired.partitions, breathe, add);
			end
			for _, limited in ipairs(plan.limited) do
				enforce_limit(host, store, limited.class, limited.partitions, breathe, add);
			end
		end
		drop_partitions();
		local moved = not wish.limits and not results.held and prune_old(host, store, users, at, breathe, add, wish, clock) or 0;
		if moved > 0 then
			-- What was moved is treated like the rest.
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
			cut(host, store, due, breathe, add, wish);
		end
		for _, class in ipairs(plan.former) do
			context.log("info", ("The class %s of audit events of %s is configured no more; its entries are kept for as long as any"):format(class, host));
		end
		results.moved, results.next = moved, results.held and at + settles or plan.next;
	end

	-- Prunes a host: list of { class, reason = "expired" | "limit" | "addresses", count, partitions, from, till }, with `moved`, the
	-- number of entries of an older log that lie in partitions now, `held`, why nothing that has expired was removed | nil, and
	-- `next`, when there will be something to do | nil, message.
	-- `wish` may have limits (look at limits only), settle (how many seconds copies have before their originals go), wait (until
	-- who prunes the host now has done so), trust_clock (it is right), actor (who asked for it) and given_up (called when the driver
	-- does not answer: run() does not return then).
	local function run(host, wish)
		while running[host] and wish and wish.wait and pause and not slices.is_stopped() and not is_silent(running[host]) do
			pause(WAIT);
		end
		if running[host] and is_silent(running[host]) then
			give_up(host, running[host]);
		elseif running[host] then
			return nil, BUSY;
		end
		local lock, problem = context.lock(host);
		if not lock then
			return nil, problem;
		end
		local own = { at = now(), lock = lock, on_giving_up = wish and wish.given_up };
		running[host] = own;
		watch(host, own);
		if wish and wish.trust_clock then
			context.trust_clock(host, wish.actor);
		end
		local results, add = new_results();
		local ok, err = pcall(work, host, wish or {}, results, add, new_breath(own));
		if running[host] == own then
			running[host], told[host] = nil, nil;
			lock:release();
		end
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
		-- stop(): whatever is being pruned is left as it is
		stop = slices.stop;
		-- longest() -> the longest slice, in seconds
		longest = slices.longest;
	};
end

return { new = new };
