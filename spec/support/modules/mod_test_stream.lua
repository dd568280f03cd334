-- Records numbered audit events, as many and as fast as a test says, and writes the results of audit() to a file. Never a part of an
-- installation.

module:depends("audit");

local st = require "util.stanza";
local time = require "util.time";

-- The shared table by which support.crash controls the stream.
local stream = module:shared("stream");

local host = module.host;
local filename = module:get_option_string("test_stream_file", prosody.paths.data.."/returned.txt");
local returned = assert(io.open(filename, "a"));
-- A line is written at once after audit() has returned: it is there even if the process is killed then.
returned:setvbuf("full", 4096);

local function record(number)
	local before = time.monotonic();
	local ok, id, condition = pcall(module.audit, module, ("n%d@%s"):format(number, host), "test-event", {
		custom = {
			st.stanza("number", { xmlns = "xmpp:prosody.im/audit", n = ("%d"):format(number), at = ("%.3f"):format(time.now()) })
				-- Entries of many lengths.
				:text(("x"):rep(number * 37 % 300));
		};
	});
	local took = time.monotonic() - before;
	if took > (stream.slowest or 0) then stream.slowest = took; end
	if not ok then
		module:log("error", "audit() raised: %s", id);
		id, condition = nil, "raised";
	end
	returned:write(("%d %s\n"):format(number, id or "-"..tostring(condition)));
	returned:flush();
end

local generation = {};

local function tick(_, mine)
	if mine ~= generation or (stream.left or 0) <= 0 then return; end
	for _ = 1, math.min(stream.burst, stream.left) do
		local number = stream.next;
		stream.next, stream.left = number + 1, stream.left - 1;
		record(number);
	end
	return stream.interval;
end

function stream.start(from, count, interval, burst)
	stream.next, stream.left, stream.interval, stream.burst, stream.slowest = from, count, interval, burst, 0;
	generation = {};
	if count <= burst then
		tick(nil, generation);
	else
		module:add_timer(interval, tick, generation);
	end
end

-- A stream continues after a reload.
if (stream.left or 0) > 0 then
	module:add_timer(stream.interval, tick, generation);
end

function module.unload()
	generation = {};
	returned:close();
end
