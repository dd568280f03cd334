-- Calls code that must not raise. A fault is logged once: an event that anybody can cause must not fill the server's log.
--
-- local faults = library "faults";
-- local try = faults.trier(module);         -- logs in the name of this module, once for each name
-- try("a command", f, ...)                  --> the first value that f(...) returns | nil, if it raises
-- faults.guard(module, "some-event", f)     --> a handler for Prosody's events that calls f, and never raises

local tostring, xpcall = tostring, xpcall;
local traceback = debug.traceback;

local faults = {};

-- with_traceback(err) -> the error as a text with the traceback, for xpcall()
local function with_traceback(err)
	return traceback(tostring(err), 2);
end
faults.with_traceback = with_traceback;

local function log(of_module, name, err)
	of_module:log("error", "Fault while handling %s (logged once): %s", name, err);
end

function faults.trier(of_module)
	local reported = {};
	return function (name, f, ...)
		local ok, result = xpcall(f, with_traceback, ...);
		if ok then
			return result;
		elseif not reported[name] then
			reported[name] = true;
			log(of_module, name, result);
		end
	end
end

-- The code that fires an event may be in the middle of a login. The handler returns nothing: any value would keep the event from
-- the handlers after it.
function faults.guard(of_module, name, f)
	local reported = false;
	return function (event)
		local ok, err = xpcall(f, with_traceback, event);
		if not ok and not reported then
			reported = true;
			log(of_module, name, err);
		end
	end
end

return faults;
