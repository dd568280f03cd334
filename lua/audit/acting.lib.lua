-- Who acts now: leads from what an administrator does to the events that come of it, and never guesses.
--
-- The link lies with the coroutine in which something runs: a handler may wait, and others run meanwhile. A promise goes on
-- in a later turn of the loop, outside of that coroutine; the link goes with it, from the place where it was made.

local acting = {};

local promise = require "util.promise";

local error, pcall, setmetatable, type = error, pcall, setmetatable, type;
local running = coroutine.running;

-- One for all modules: coroutine -> actor.
local shared = module:shared("/*/audit/acting");
shared.of = shared.of or setmetatable({}, { __mode = "k" });
local of = shared.of;

local function current_thread()
	return running() or "main"; -- COMPAT LuaJIT: nil there
end

local function finish(thread, before, ok, ...)
	of[thread] = before;
	if not ok then error((...), 0); end
	return ...;
end

-- run(actor, f, ...) -> what f(...) gives. What is recorded meanwhile, and what promises do that f makes, is done by
-- actor = { kind =, jid = | nil, session = | nil, entries = { [host] = id of the entry that says so } | nil }
function acting.run(actor, f, ...)
	local thread = current_thread();
	local before = of[thread];
	of[thread] = actor;
	return finish(thread, before, pcall(f, ...));
end

-- now() -> the actor that was given to run(), or nil
function acting.now()
	return of[current_thread()];
end

-- Lets promises take the link with them; returns a function that ends that.
function acting.follow_promises()
	local name, next_tick = debug.getupvalue(promise.set_nexttick, 1);
	if name ~= "next_tick" or type(next_tick) ~= "function" then
		return function () end; -- What a promise does later is done by nobody known.
	end
	local ended = false;
	local function follow(f)
		local actor = not ended and acting.now();
		if not actor then
			return next_tick(f);
		end
		return next_tick(function ()
			return acting.run(actor, f);
		end);
	end
	promise.set_nexttick(follow);
	return function ()
		ended = true;
		local _, last = debug.getupvalue(promise.set_nexttick, 1);
		if last == follow then
			promise.set_nexttick(next_tick);
		end
	end
end

return acting;
