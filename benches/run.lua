-- What benchmarks on real servers share.
--
--   local run = dofile(here.."/run.lua");
--   run.all_modules()                                   --> { "audit", "audit_admin", … }: all of our modules
--   run.server(prosody, "0.12, sqlite", function () … end)   -- measures; then kills the server and removes its folder
--   run.real_time(prosody)                              -- nothing else of the machine takes its processor; for root only
--   run.each_series("bench-flood", options.series, bench)    -- calls bench(series) for each, and ends the program

local lfs = require "lfs";
local process = require "support.process";

local run = {};

function run.all_modules()
	local names = {};
	for file in lfs.dir(process.root.."/lua") do
		names[#names + 1] = file:match("^mod_(audit.*)%.lua$");
	end
	table.sort(names);
	return names;
end

function run.server(prosody, title, measure)
	local ok, err = pcall(measure);
	prosody:kill();
	process.run("rm -rf "..process.quote(prosody.folder));
	if not ok then
		error(("Prosody %s: %s"):format(title, tostring(err)), 0);
	end
end

function run.real_time(prosody)
	process.run("chrt --all-tasks --fifo --pid 1 "..prosody.pid);
end

function run.each_series(name, series, bench)
	local ok, err = pcall(function ()
		for _, one in ipairs(series) do
			bench(one);
		end
	end);
	if not ok then
		io.stderr:write(name, ": ", tostring(err), "\n");
		os.exit(1, true);
	end
	os.exit(0, true);
end

return run;
