-- What benchmarks on real servers share.
--
--   local run = dofile(here.."/run.lua");
--   run.all_modules()                                   --> { "audit", "audit_admin", … }: all of our modules
--   run.server(prosody, "0.12, sqlite", function () … end)   -- measures; then kills the server and removes its folder
--   run.real_time(prosody)                              -- nothing else of the machine takes its processor; for root only
--   run.collection(prosody)                             -- one full garbage collection --> its milliseconds of processor time, KiB of the heap
--   run.fire(prosody, 1, 500)                           -- fires the events of so many logins, without the logins
--   run.log_in(prosody, "romeo", password, 200, 8)      -- logs in, 8 at a time --> { successes, failures, rate, latency }
--   run.child({ side = "ours" }, "chrt --fifo 1")       -- runs this program again with these options --> what it prints
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

-- What may take all of a processor is stopped for a twentieth of each second, unless the machine is told not to.
function run.real_time(prosody)
	local throttled = process.read("/proc/sys/kernel/sched_rt_runtime_us");
	if throttled and tonumber(throttled) ~= -1 then
		print("Linux holds what has real-time priority for 50 ms now and then. For the longest hold: sysctl kernel.sched_rt_runtime_us=-1");
	end
	process.run("chrt --all-tasks --fifo --pid 1 "..prosody.pid);
end

-- Any turn of the loop may have one in it: Prosody's settings let Lua do most of it at once.
function run.collection(prosody)
	return prosody:eval([[
		collectgarbage();
		local began = os.clock();
		collectgarbage();
		return (os.clock() - began) * 1000, collectgarbage("count");
	]]);
end

-- Half of them are failures.
function run.fire(prosody, first, last)
	prosody:eval([[
		local host, first, last = ...;
		local fire_event = prosody.hosts[host].events.fire_event;
		for i = first, last do
			local session = {
				id = ("c2s%012x"):format(i), type = "c2s_unauthed", host = host, username = "user"..i % 500, ip = "203.0.113."..i % 200;
				sasl_handler = { username = "user"..i % 500, selected = "SCRAM-SHA-1" };
			};
			if i % 2 == 0 then
				fire_event("authentication-success", { session = session });
			else
				fire_event("authentication-failure", { session = session, condition = "not-authorized", text = "Unable to authorize you" });
			end
		end
	]], prosody.host, first, last);
end

-- Raises an error if the client does, or a login neither succeeds nor is refused. `rate` is logins a second, `latency` milliseconds.
function run.log_in(prosody, username, password, logins, connections)
	local status, output, errors = process.capture({
		"lua5.4", process.root.."/benches/login_client.lua", prosody.c2s_port, prosody.host, username, password, logins, connections;
	}, { timeout = 300 });
	local successes, failures, seconds, latency, trouble = (output or ""):match("^(%d+)\t(%d+)\t(%S+)\t(%S+)\t(.-)\n");
	if status ~= 0 or trouble ~= "" then
		error("the client failed: "..tostring(trouble or errors), 0);
	end
	return { successes = tonumber(successes), failures = tonumber(failures), rate = logins / tonumber(seconds), latency = tonumber(latency) };
end

function run.child(options, prefix)
	local words = { "exec", prefix or "", "lua5.4", process.quote(arg[0]) };
	for name, value in pairs(options) do
		words[#words + 1] = ("--%s=%s"):format(name, process.quote(tostring(value)));
	end
	local pipe = assert(io.popen(table.concat(words, " ")));
	local text = pipe:read("a");
	if not pipe:close() then
		error(("%s on %s failed"):format(options.side, options.store), 0);
	end
	return text;
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
