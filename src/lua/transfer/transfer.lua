-- Moves the entries that another storage driver holds, after the start of the server: one round at a time on each host, with pauses in
-- between (rounds.lua). When the next one begins is decided in the core (src/archive/transfer).

local native, chunks = ...;
local times = native.transfers;

local pairs, pcall, select, type = pairs, pcall, select, type;

-- The moves of all hosts.
--   context = {
--     now, log, recorder, classes   as the log has them
--     schedule    as the log's environment has it
--     joined      function(host) -> the store of a host, if it is one of joined.lua | nil
--     finished    function(host): all entries are moved
--     slices, turn   see prune.lua
--   }
local function new(context)
	local log, slices, turn = context.log, context.slices, context.turn;
	local run_round = chunks.rounds.new(context);
	-- By host: { joined, transfer, moved = number of entries, left = number of archive users, problem | nil }
	local running = {};

	local advance, begin;

	local function later(host, own, seconds)
		context.schedule(seconds, function ()
			if running[host] == own and not slices.is_stopped() then
				advance(host, own);
			end
		end);
	end

	local function say_begin(host, own, left, has_older)
		if own.is_told then return; end
		own.is_told = true;
		local from, to = own.joined.from, own.joined.to;
		local before = own.joined.marks.progress(from);
		own.moved = before or left > 0 and 0 or nil;
		if left == 0 then return; end
		local what = has_older and (left == 1 and "the older log" or ("%d partitions and the older log"):format(left - 1))
			or left == 1 and "1 partition" or ("%d partitions"):format(left);
		if before then
			log("info", ("The audit events of %s go on being moved from the storage driver %s to %s: %d entries were moved before, %s left")
				:format(host, from, to, before, what..(left == 1 and " is" or " are")));
		else
			log("info", ("The audit events of %s are being moved from the storage driver %s to %s: %s"):format(host, from, to, what));
			own.joined.marks.set_progress(from, 0);
		end
	end

	local function say_end(host, own)
		local joined, skipped = own.joined, own.transfer:skipped();
		if own.moved then
			log("info", ("%d audit events of %s were moved from the storage driver %s to %s"):format(own.moved, host, joined.from, joined.to));
			joined.marks.set_progress(joined.from, nil);
		end
		if skipped > 0 then
			log("warn", ("%s of %s stay in the storage driver %s, as some entries there can't be read. What can be read is shown as before"):format(
				skipped == 1 and "The entries of 1 partition" or ("The entries of %d partitions"):format(skipped), host, joined.from));
		end
	end

	local function fail(host, own, problem, original)
		local pause, is_news = own.transfer:failed(original);
		own.problem = problem;
		own.attempt = own.attempt + 1;
		if is_news then
			log("error", ("Audit events of %s can't be moved from the storage driver %s to %s now: %s. It is tried again; they are shown as before")
				:format(host, own.joined.from, own.joined.to, problem));
		end
		later(host, own, pause);
	end

	local function give_up(host)
		local own = running[host];
		if own then
			fail(host, own, "the storage driver does not answer");
		end
	end

	-- Does a round -> whether there may be another one
	local function round(host, own, breathe)
		local moved, left, steps = run_round(host, own.joined, own.transfer, breathe, function (left, has_older)
			own.left = left;
			say_begin(host, own, left, has_older);
		end);
		if own.moved then
			own.moved = own.moved + moved;
			if moved > 0 then
				own.joined.marks.set_progress(own.joined.from, own.moved);
			end
		end
		if steps > 0 then
			return true;
		end
		own.left = left;
		say_end(host, own);
		return false;
	end

	function advance(host, own)
		local attempt = own.attempt;
		-- It may have been given up while it waited, or the moves of the host may have ended.
		local function is_over()
			return running[host] ~= own or own.attempt ~= attempt or slices.is_stopped();
		end
		-- The options may have been read again.
		local joined = context.joined(host);
		if not joined then
			running[host] = nil;
			return;
		elseif joined ~= own.joined then
			if joined.from ~= own.joined.from or joined.to ~= own.joined.to then
				running[host] = nil;
				begin(host);
				return;
			end
			own.joined = joined;
		end
		local breathe, done = turn.begin(host, { wait = true, given_up = function () give_up(host); end });
		if is_over() then
			if breathe then done(); end
			return;
		elseif not breathe then
			-- Another process prunes.
			later(host, own, times.busy);
			return;
		end
		local ok, more = pcall(round, host, own, slices.for_store(breathe, joined.native));
		done();
		if is_over() then
			return;
		elseif not ok then
			if type(more) ~= "table" then
				more = { problem = chunks.driver.cause_of(more) };
			end
			fail(host, own, more.problem, more.original);
			return;
		end
		if own.transfer:succeeded() then
			log("info", ("Audit events of %s are being moved from the storage driver %s again"):format(host, own.joined.from));
		end
		own.problem = own.transfer:is_in_trouble() and own.problem or nil;
		if more then
			later(host, own, times.rest);
		else
			running[host] = nil;
			if own.transfer:skipped() == 0 then
				context.finished(host);
			end
		end
	end

	-- begin(host): moves what there is to move, a moment later
	function begin(host)
		local joined = context.schedule and not running[host] and context.joined(host);
		if not joined then
			return;
		end
		local own = { joined = joined; transfer = native.transfer(joined.from, joined.to); left = 0, attempt = 0 };
		running[host] = own;
		later(host, own, times.start);
	end

	-- state(host) -> { from, to, moved = number of entries, left = number of archive users, problem | nil } | nil: nothing is moved
	local function state(host)
		local own = running[host];
		return own and {
			from = own.joined.from, to = own.joined.to, moved = own.moved or 0, left = own.left, problem = own.problem;
		} or nil;
	end

	-- seen(host) -> the same, as a process sees it that moves nothing itself. It reads the names of all archive users.
	local function seen(host)
		local joined = context.joined(host);
		local ok, nil_is_empty = pcall(function ()
			return select(2, joined:listing(true));
		end);
		if not joined or not ok then
			return nil;
		end
		local left = nil_is_empty and 0 or 1;
		for _ in pairs(joined.listed.originals) do left = left + 1; end
		return left > 0 and { from = joined.from, to = joined.to, moved = joined.marks.progress(joined.from) or 0, left = left } or nil;
	end

	return { begin = begin, state = state, seen = seen };
end

return { new = new };
