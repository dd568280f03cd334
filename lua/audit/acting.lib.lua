-- Who acts now: links what an administrator does with the events that it causes. It never guesses.
--
-- The actor belongs to the coroutine that runs, since other code runs while a handler waits. A promise continues in a later turn of
-- the loop and outside of that coroutine: it keeps the actor of the place where it was made.

local acting = {};

local promise = require "util.promise";

local error, pcall, setmetatable, type = error, pcall, setmetatable, type;
local running = coroutine.running;

-- Shared by all modules: coroutine -> actor.
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

-- run(actor, f, ...) -> what f(...) returns. While f runs, and in the promises that it makes, the actor is
-- actor = { kind =, jid = | nil, session = | nil, entries = { [host] = id of the entry that says so } | nil }
function acting.run(actor, f, ...)
	local thread = current_thread();
	local before = of[thread];
	of[thread] = actor;
	return finish(thread, before, pcall(f, ...));
end

-- now() -> the actor that was passed to run() | nil
function acting.now()
	return of[current_thread()];
end

-- follow_promises() -> stop(): makes promises keep their actor until stop() is called
function acting.follow_promises()
	local name, next_tick = debug.getupvalue(promise.set_nexttick, 1);
	if name ~= "next_tick" or type(next_tick) ~= "function" then
		return function () end; -- The actor of a promise can't be known.
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
