-- When a host is pruned: whenever something has expired, and again after a failure.

-- What is due later than this is seen to by the daily task, in seconds.
local LONGEST_DELAY = 86400;
-- After a failure it is tried again so much later, in seconds; the first time sooner.
local FIRST_RETRY, RETRY = 60, 900;

local pcall = pcall;

-- The times at which all hosts are pruned.
--   context = {
--     now, monotonic, schedule, pruned    as the log's environment has them
--     run                      function(host, wish) -> what was done | nil, message, as prune.lua describes both
--     is_in_trouble            function(host) -> whether it was said already that its store takes nothing
--   }
local function new(context)
	local now, monotonic = context.now, context.monotonic;
	local prune;

	-- Prunes a host after so many seconds, and goes on to do so when there is something to remove again. `limits`: it only looks at
	-- limits.
	local due, failures = {}, {};
	local function prune_soon(host, delay, limits)
		local at = monotonic() + delay;
		if not context.schedule or due[host] and due[host] <= at or delay > LONGEST_DELAY then
			return;
		end
		due[host] = at;
		context.schedule(delay, function ()
			if due[host] ~= at then return; end
			due[host] = nil;
			-- Who asked for it may be at it.
			local ok, results, problem = pcall(prune, host, { limits = limits, wait = true });
			if not ok then
				results, problem = nil, results;
			end
			local failure = not results and (failures[host] or { count = 0 }) or nil;
			failures[host] = failure;
			if failure then
				failure.count = failure.count + 1;
				prune_soon(host, failure.count == 1 and FIRST_RETRY or RETRY);
				-- Somebody else may have been at it, and a store that takes no entries has been spoken of.
				if failure.told or failure.count == 1 or context.is_in_trouble(host) then
					return;
				end
				failure.told = true;
			end
			if context.pruned then
				context.pruned(host, results, problem);
			end
		end);
	end

	-- Prunes a host now, and again when there is something to remove.
	function prune(host, wish)
		local results, problem = context.run(host, wish);
		if results and results.next then
			prune_soon(host, results.next - now() + 1);
		end
		return results, problem;
	end

	return {
		prune = prune, prune_soon = prune_soon;
		-- failed(host): pruning did not come to its end
		failed = function (host) prune_soon(host, RETRY); end;
	};
end

return { new = new };
