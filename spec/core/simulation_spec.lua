-- Runs the embedded Lua on simulated hosts, see spec/support/simulated.lua. SIMULATE=FIRST-LAST chooses the seeds. If nothing is said, there
-- are forty on the newest release, and fewer on others: little of what is simulated differs between them.

local journals = require "support.journal";
local simulated = require "support.simulated";

local is_newest = prosody_series == "13.0-newest";
local chosen = os.getenv("SIMULATE") or is_newest and "1-40" or "1-12";
local first, last = chosen:match("^(%d+)-(%d+)$");
local seeds = {};
for seed = tonumber(first), tonumber(last) do
	seeds[#seeds + 1] = seed;
end

describe("a simulated host", function ()
	local journal = journals.new("simulated");
	before_each(journal.begin);
	after_each(journal.finish);

	for _, seed in ipairs(seeds) do
		it("loses nothing and stores nothing twice: "..seed, function ()
			local host = simulated.new(seed, journal.path);
			local ok, err = xpcall(host.run, debug.traceback, host, 60);
			host:finish();
			if not ok then
				error(("seed %d: %s\n  %s\n  %s"):format(seed, tostring(err), table.concat(host.steps, "\n  "),
					table.concat(host.lines, "\n  ", math.max(1, #host.lines - 12))));
			end
		end);
	end
end);
