-- For benches/rush.lua and benches/web.lua: measures how long the server's loop was held.
--
-- There are two measures, as Prosody runs its timers only if no connection has data: the time between two waits for connections, which
-- is the duration of a callback, and the delay of a timer of 5 ms. On a busy machine, the processor time of a callback says more.

module:set_global();

local monotonic = require "util.time".monotonic;
local poll_methods = getmetatable(require "util.poll".new()).__index;

local watch = module:shared("watch");
local interval = 0.005;
local bounds = { 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1 };

function watch.reset()
	watch.longest, watch.busiest, watch.late, watch.longer = 0, 0, 0, {};
	for i = 1, #bounds do watch.longer[i] = 0; end
end
watch.reset();
watch.bounds = bounds;

local real_wait = poll_methods.wait;
local since, worked_since;

local function note(held, worked)
	if worked > watch.busiest then watch.busiest = worked; end
	if held > watch.longest then watch.longest = held; end
	for i = 1, #bounds do
		if held < bounds[i] then break; end
		watch.longer[i] = watch.longer[i] + 1;
	end
end

local function after(...)
	since, worked_since = monotonic(), os.clock();
	return ...;
end

function poll_methods.wait(...)
	if since then note(monotonic() - since, os.clock() - worked_since); end
	return after(real_wait(...));
end

local due = monotonic() + interval;
module:add_timer(interval, function ()
	local now = monotonic();
	if now - due > watch.late then watch.late = now - due; end
	due = now + interval;
	return interval;
end);

function module.unload()
	poll_methods.wait = real_wait;
end
