-- Fires Prosody's event authentication-failure as often as it is told, from sessions as they are before a login, of any
-- number of addresses and names; and keeps a heartbeat of 10 ms. What comes over real connections can't be so much in so
-- little time. Never a part of an installation.

local time = require "util.time";

local flood = module:shared("flood");

local monotonic, clock, min = time.monotonic, os.clock, math.min;
local host = module.host;
local fire_event = prosody.hosts[host].events.fire_event;

-- How long failures are fired in one turn of the loop, and how long the loop has for others then; seconds.
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
		-- The events are made first: what they cost is not the log's.
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

-- So many failures, from so many addresses, each with a name and network of its own.
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

-- late = how late each beat was; worst = how late at most, as far as this process was busy since the beat before: another
-- process may have had the processor, or the disk.
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

-- Numbers sent and left; CPU of the events, and of the process since listen(); how late a beat was, most often and at most; how
-- late at most because of this process; seconds of the flood.
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
