-- Reports the progress of a long reading on standard error.
--
--   local progress = library "reading/progress" ();
--   progress.each(shown)   after each page: how many entries were shown
--   progress.done()        removes the last line from a terminal

local core = require "audit_core";

local time = require "util.time";

-- How often the progress is reported, in seconds.
local TELL = 1;

return function ()
	local told_at, told = time.now(), false;
	local on_terminal = core.is_terminal("stderr");
	local progress = {};
	function progress.each(shown)
		local now = time.now();
		if now - told_at >= TELL then
			told_at, told = now, true;
			io.stderr:write(("%d entries …"):format(shown), on_terminal and "\r" or "\n");
			io.stderr:flush();
		end
	end
	function progress.done()
		if told and on_terminal then
			io.stderr:write((" "):rep(40), "\r");
		end
	end
	return progress;
end
