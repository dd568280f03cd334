-- Fires Prosody's event authentication-failure many times, with sessions as before a login, of any number of addresses and names. Also
-- measures the delays of a timer of 10 ms. Real connections could not cause that many failures in the time. Never a part of an
-- installation.

local time = require "util.time";

local flood = module:shared("flood");

local monotonic, clock, min = time.monotonic, os.clock, math.min;
local host = module.host;
local fire_event = prosody.hosts[host].events.fire_event;

-- How long failures are fired in one turn of the loop, and the pause after that; seconds.
local SLICE, PAUSE = 0.004, 0.002;
local BEAT = 0.01;

local generation = {};

local function failure(number, origins)
	local origin = number % origins;
	return {
		session = {
			id = ("c2s%x"):format(number); type = "c2s_unauthed"; host = host;
			-- 61.0.0.7, 61.0.1.7, …: each in a network of its own.
			ip = ("%d.%d.%d.7"):format(61 + origin // 65536, origin // 256 % 256, origin % 256);
			sasl_handler = { username = origins == 1 and "mallory" or ("user%d"):format(origin); selected = "PLAIN" };
		};
		condition = "not-authorized";
		text = "Unable to authorize you with the authentication credentials you've sent.";
	};
end

local function fire(_, mine)
	if mine ~= generation then return; end
	local deadline = monotonic() + SLICE;
	while flood.left > 0 and monotonic() < deadline do
		-- The events are made before the measurement.
		local events, count = {}, min(flood.left, 20);
		for i = 1, count do
			events[i] = failure(flood.sent + i, flood.origins);
		end
		local began = clock();
		for i = 1, count do
			fire_event("authentication-failure", events[i]);
			flood.sent, flood.left = flood.sent + 1, flood.left - 1;
			if monotonic() > deadline then break; end
		end
		flood.cpu = flood.cpu + clock() - began;
	end
	if flood.left > 0 then
		return PAUSE;
	end
	flood.took = monotonic() - flood.began;
end

-- start(count, origins): fires `count` failures from `origins` addresses, each with a name and network of its own.
function flood.start(count, origins)
	flood.sent, flood.left, flood.origins, flood.cpu, flood.began, flood.took = 0, count, origins, 0, monotonic(), nil;
	generation = {};
	module:add_timer(0, fire, generation);
end

-- Ends it.
function flood.stop()
	generation = {};
	flood.left, flood.took = 0, monotonic() - flood.began;
end

-- late = the delay of each beat; worst = the longest delay, counting only the time in which this process was busy: another process may
-- have used the processor or the disk.
local due, busy;
function flood.listen()
	flood.late, flood.worst, flood.cpu_began = {}, 0, clock();
	due, busy = monotonic() + BEAT, clock();
end
flood.listen();

module:add_timer(BEAT, function ()
	local now, cpu = monotonic(), clock();
	local late = now - due;
	flood.late[#flood.late + 1] = late;
	flood.worst = math.max(flood.worst, min(late, cpu - busy));
	due, busy = now + BEAT, cpu;
	return BEAT;
end);

-- The numbers of failures sent and left; CPU time of the events, and of the process since listen(); the median and longest delay of a
-- beat; the longest delay by this process; the duration of the flood in seconds.
function flood.report()
	table.sort(flood.late);
	local late = flood.late;
	return {
		sent = flood.sent, left = flood.left, cpu = flood.cpu, process_cpu = clock() - flood.cpu_began, took = flood.took;
		median_late = late[(#late + 1) // 2] or 0, longest_late = late[#late] or 0, worst = flood.worst;
	};
end

function module.unload()
	generation = {};
end
