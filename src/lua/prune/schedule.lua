-- The timers of pruning. When a host is pruned is decided in the core (src/archive/schedule.rs).

local pcall = pcall;

--   context = {
--     now, monotonic, schedule, pruned    as the log's environment has them
--     plans                    native.prune_schedule()
--     run                      function(host, wish) -> what was done | nil, message, as prune.lua describes both
--     is_in_trouble            function(host) -> whether it was reported already that its store takes nothing
--   }
local function new(context)
	local now, monotonic, plans = context.now, context.monotonic, context.plans;
	local prune_soon;

	-- Prunes a host now, and again when something expires.
	local function prune(host, wish)
		local results, problem = context.run(host, wish);
		if results and results.next then
			prune_soon(host, plans:delay_until(results.next, now()));
		end
		return results, problem;
	end

	local function prune_scheduled(host, limits)
		local ok, results, problem = pcall(prune, host, { limits = limits, wait = true });
		if not ok then
			results, problem = nil, results;
		end
		if results then
			plans:succeeded(host);
		else
			local retry, is_news = plans:failed(host, context.is_in_trouble(host));
			prune_soon(host, retry);
			if not is_news then
				return;
			end
		end
		if context.pruned then
			context.pruned(host, results, problem);
		end
	end

	local function start_timer(host, at, delay, limits)
		context.schedule(delay, function ()
			if plans:rings(host, at, limits) then
				prune_scheduled(host, limits);
			end
		end);
	end

	-- Prunes a host after this many seconds.
	function prune_soon(host, delay)
		local at = context.schedule and plans:ask(host, monotonic(), delay);
		if at then
			start_timer(host, at, delay, false);
		end
	end

	-- Enforces the limits of a host soon.
	local function enforce_soon(host)
		if not context.schedule then return; end
		local at, delay = plans:ask_for_limits(host, monotonic());
		if at then
			start_timer(host, at, delay, true);
		end
	end

	return { prune = prune, prune_soon = prune_soon, enforce_soon = enforce_soon };
end

return { new = new };
