-- Calls code that must not raise. A fault is logged once: an event that anybody can cause must not fill the server's log.
--
-- local faults = library "faults";
-- faults.call(module, "a command", f, ...)  --> the first value that f(...) returns | nil, if it raises. The fault is logged in the name of
--                                               this module, once for each name.
-- local try = faults.trier(module);         -- the same for one module: try("a command", f, ...)
-- faults.guard(module, "some-event", f)     --> a handler for Prosody's events that calls f, and never raises

local setmetatable, tostring, xpcall = setmetatable, tostring, xpcall;
local traceback = debug.traceback;

local faults = {};

-- with_traceback(err) -> the error as a text with the traceback, for xpcall()
local function with_traceback(err)
	return traceback(tostring(err), 2);
end
faults.with_traceback = with_traceback;

-- By module: { [name] = true }
local reported = setmetatable({}, { __mode = "k" });

local function call(of_module, name, f, ...)
	local ok, result = xpcall(f, with_traceback, ...);
	if ok then
		return result;
	end
	local names = reported[of_module] or {};
	reported[of_module] = names;
	if not names[name] then
		names[name] = true;
		of_module:log("error", "Fault while handling %s (logged once): %s", name, result);
	end
end
faults.call = call;

function faults.trier(of_module)
	return function (name, f, ...)
		return call(of_module, name, f, ...);
	end
end

-- The code that fires an event may be in the middle of a login. The handler returns nothing: any value would keep the event from
-- the handlers after it.
function faults.guard(of_module, name, f)
	return function (event)
		call(of_module, name, f, event);
	end
end

return faults;
