-- Lua's garbage collector during the hand-over. A driver makes temporary objects for each entry, 9 KiB with the embedded driver.
-- With Prosody's settings (a pause of 105, a step multiplier of 500) the collector would work as long on them as the driver does.
-- So the collector is given credit: objects made on credit do not trigger extra collections, and the next regular one frees them.
-- Nothing is done to the collector before the first call of lend(), which gives no credit yet. The driver "audit" needs no credit.

-- The credit is limited: the heap may grow to this many times its size after the last full collection, and one slice has at most
-- this many KiB.
local MOST_GROWTH, MOST_CREDIT = 1.25, 4096;

local collectgarbage, floor, min, max, setmetatable = collectgarbage, math.floor, math.min, math.max, setmetatable;

-- Lua 5.3 and 5.4 count what was made since the last step; collectgarbage("step", n) adds n KiB to that, and n may be negative.
local can_lend = _VERSION == "Lua 5.3" or _VERSION == "Lua 5.4";

-- The size of the heap after the last full collection, in KiB. nil if it is not known yet.
local size;

-- A finalizer runs at the end of each full collection, and creates the next one. The size of the heap can't be read in a finalizer,
-- so it is read later.
local is_through, sentinel = false, {};
function sentinel.__gc()
	is_through = true;
	setmetatable({}, sentinel);
end

local lent, lent_at, is_watched = 0, 0, false;

-- Gives the collector credit until settle() is called. No code in between may yield.
local function lend()
	if not can_lend or lent > 0 then
		return;
	end
	if not is_watched then
		is_watched = true;
		setmetatable({}, sentinel);
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

-- Takes back the credit that was not used.
local function settle()
	if lent == 0 then
		return;
	end
	local used = max(0, floor(collectgarbage("count") - lent_at));
	if lent > used then
		collectgarbage("step", lent - used);
	end
	lent = 0;
end

return { lend = lend, settle = settle };
