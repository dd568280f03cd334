-- The timers of all our modules on all hosts. They share one timer of the server, for what is due next.
--
--   local timers = library "timers";
--   timers.add(host_module, seconds, f): calls f then, and again after as many seconds as it returns
--   timers.each(module, seconds, list, visit): calls visit(item) for each item of list(), once in that many seconds
--
-- Many hosts can be due at the same moment. One turn of the loop serves as many as fit into a slice; the next turn continues.

local faults = library "faults";

local new_heap = require "util.indexedbheap".create;
local monotonic = require "util.time".monotonic;

local ceil, max, min, type, xpcall = math.ceil, math.max, math.min, type, xpcall;

-- How long one turn may hold the loop, in seconds. A single function may take longer.
local SLICE = 0.008;
-- The items of a list are visited in at most that many steps: each step wakes the server up.
local STEPS = 20;

local timers = {};

local waiting = new_heap();
local timer, timer_at; -- the timer of the server, and when it is due
local turn; -- the time of the turn that runs now

local tick;

local function arm()
	local due = waiting:peek();
	if timer and due and timer_at <= due then return; end
	if timer then
		timer:stop();
		timer = nil;
	end
	if due then
		timer, timer_at = module:add_timer(max(0, due - monotonic()), tick), due;
	end
end

local function insert(task, due, id)
	-- What is added during a turn runs in the next one at the earliest.
	task.due = turn and due <= turn and turn + 1e-6 or due;
	waiting:insert(task, task.due, id);
end

function tick()
	timer, turn = nil, max(monotonic(), timer_at);
	local deadline, due = monotonic() + SLICE, waiting:peek();
	while due and due <= turn do
		local _, task, id = waiting:pop();
		if task.module.loaded ~= false then
			local ok, again = xpcall(task.run, faults.with_traceback);
			if not ok then
				module:log("error", "Fault in a timer: %s", again);
			elseif type(again) == "number" then
				insert(task, max(task.due + again, turn), id);
			end
		end
		if monotonic() > deadline then break; end
		due = waiting:peek();
	end
	turn = nil;
	arm();
end

function timers.add(of_module, seconds, run)
	insert({ module = of_module, run = run }, monotonic() + seconds);
	if not turn then arm(); end
end

function timers.each(of_module, seconds, list, visit)
	local try = faults.trier(of_module);
	local items, done, size, pause = {}, 0, 0, seconds;
	local function step()
		if done >= #items then
			items, done = list(), 0;
			local steps = max(1, min(#items, STEPS));
			size, pause = ceil(#items / steps), seconds / steps;
		end
		local first = done + 1;
		done = min(#items, done + size);
		for i = first, done do
			try("a timer", visit, items[i]);
		end
		return pause;
	end
	timers.add(of_module, seconds, step);
end

return timers;
