-- Lua's garbage collector, while a store is given entries. All that a driver makes for an entry is garbage at once, 9 KiB of it
-- with the embedded one, and with Prosody's settings (a pause of 105, a step multiplier of 500) the collector does as much work
-- for that as the driver does. So it is given credit: what is made on credit hastens no collection, and goes with the next one.

-- There is only as much as the heap may grow by, to this many times what it was when it had last been gone through; and for a
-- slice so many KiB.
local MOST_GROWTH, MOST_CREDIT = 1.25, 4096;

local collectgarbage, floor, min, max, setmetatable = collectgarbage, math.floor, math.min, math.max, setmetatable;

-- Lua 5.3 and 5.4 count what was made since the last step; collectgarbage("step", n) adds n KiB to that, and n may be negative.
local can_lend = _VERSION == "Lua 5.3" or _VERSION == "Lua 5.4";

-- How large the heap was then, in KiB | nil: not known yet.
local size;

-- A finalizer runs when the heap has been gone through. It makes its successor; how large the heap is Lua does not say in it.
local is_through, sentinel = false, {};
function sentinel.__gc()
	is_through = true;
	setmetatable({}, sentinel);
end
if can_lend then
	setmetatable({}, sentinel);
end

local lent, lent_at = 0, 0;

-- Lends until settle(). Nothing that may yield to the rest of the server comes between the two.
local function lend()
	if not can_lend or lent > 0 then
		return;
	end
	local count = collectgarbage("count");
	if is_through then
		is_through, size = false, count;
	end
	lent = size and max(0, floor(min(MOST_CREDIT, size * MOST_GROWTH - count))) or 0;
	if lent > 0 then
		collectgarbage("step", -lent);
		lent_at = count;
	end
end

-- Takes back what was not used.
local function settle()
	local used = max(0, floor(collectgarbage("count") - lent_at));
	if lent > used then
		collectgarbage("step", lent - used);
	end
	lent = 0;
end

return { lend = lend, settle = settle };
