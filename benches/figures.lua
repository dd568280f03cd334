-- What benchmarks measure of processes, and how they show it.
--
--   local figures = dofile(here.."/figures.lua");
--   figures.processor_time(pid)      --> seconds of all threads of a process
--   figures.memory(pid, "VmHWM")     --> MiB that a process has ("VmRSS"), or has had at most
--   figures.median(values)           --> median, lowest, highest
--   figures.summary(values, 1)       --> "3.1 (2.9–3.4)": the same as text, with so many decimals
--   figures.cell("3.1 (2.9–3.4)", 20)    --> the text at the end of a column that has this width

local lfs = require "lfs";
local process = require "support.process";

local figures = {};

-- From the scheduler's count of nanoseconds of each thread if the kernel has one, or else from the clock ticks in the stat line. Our own
-- driver has a thread, which lives as long as the server.
function figures.processor_time(pid)
	local nanoseconds = 0;
	for task in lfs.dir("/proc/"..pid.."/task") do
		local precise = task:find("^%d") and process.read("/proc/"..pid.."/task/"..task.."/schedstat");
		nanoseconds = nanoseconds + (precise and tonumber(precise:match("^%d+")) or 0);
	end
	if nanoseconds > 0 then
		return nanoseconds / 1e9;
	end
	local _, ticks_a_second = process.capture({ "getconf", "CLK_TCK" });
	local user, system = process.read("/proc/"..pid.."/stat"):match("^%d+ %b() %a"..(" %S+"):rep(10).." (%d+) (%d+)");
	return (tonumber(user) + tonumber(system)) / tonumber(ticks_a_second);
end

function figures.memory(pid, which)
	return tonumber(process.read("/proc/"..pid.."/status"):match(which..":%s*(%d+)")) / 1024;
end

function figures.median(values)
	local sorted = table.move(values, 1, #values, 1, {});
	table.sort(sorted);
	local middle = (#sorted + 1) // 2;
	return #sorted % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2, sorted[1], sorted[#sorted];
end

function figures.summary(values, digits)
	local form = ("%%.%df"):format(digits);
	return (form.." ("..form.."–"..form..")"):format(figures.median(values));
end

-- A character may have more than a byte.
function figures.cell(text, width)
	return (" "):rep(width - utf8.len(text))..text;
end

return figures;
