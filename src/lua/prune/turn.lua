-- Lets one prune of each host run at a time, and gives up one whose storage driver does not answer. What may begin, and when a
-- prune is given up, is decided in the core (src/archive/schedule.rs).

local BUSY = "entries of this host are being removed already";

local error = error;

--   context = { now, log, pause, schedule, lock, gave_up } as prune.lua has them
--   plans = native.prune_schedule()
local function new(context, slices, plans)
	local now, pause = context.now, context.pause;
	-- By host, the prune that runs: { lock, on_giving_up }
	local running = {};

	local function give_up(host)
		local own = running[host];
		running[host] = nil;
		own.lock:release();
		local seconds, retry = plans:give_up(host);
		if seconds then
			context.log("error", ("Audit events of %s can't be pruned: the storage driver has not answered for %d seconds; it is tried again later")
				:format(host, seconds));
		end
		context.gave_up(host, retry);
		if own.on_giving_up then
			own.on_giving_up();
		end
	end

	local function watch(host, ticket)
		local found, seconds = plans:watch(host, ticket, now());
		if found == "silent" then
			give_up(host);
		elseif found then
			context.schedule(seconds, function () watch(host, ticket); end);
		end
	end

	-- begin(host, wish) -> breathe as slices.lua has it, done | nil, message. Call done() at the end. `wish` is that of prune.lua.
	local function begin(host, wish)
		local turn, seconds = plans:turn(host, now(), wish.wait);
		while turn == "wait" and pause and not slices.is_stopped() do
			pause(seconds);
			turn, seconds = plans:turn(host, now(), wish.wait);
		end
		if turn == "silent" then
			give_up(host);
		elseif turn ~= "free" then
			return nil, BUSY;
		end
		local lock, problem = context.lock(host);
		if not lock then
			return nil, problem;
		end
		local ticket = plans:begin(host, now());
		running[host] = { lock = lock, on_giving_up = wish.given_up };
		if context.schedule and pause then
			watch(host, ticket);
		end
		local breathe = slices.new_breath(function ()
			if not plans:goes_on(host, ticket, now()) then
				error("it was given up", 0);
			end
		end);
		return breathe, function ()
			if plans:ended(host, ticket) then
				running[host] = nil;
				lock:release();
			end
		end;
	end

	return { begin = begin };
end

return { new = new };
