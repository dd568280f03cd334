-- Servers with a clock that a spec sets, by Debian's libfaketime. The monotonic clock is not changed.
--
--   local clock = require "support.clock".new();
--   local prosody = server.start { env = clock.env, … };
--   clock:set("+40d");              -- ahead, also of a running server
--   clock:set("@1970-01-01 00:01:00");
--   clock:set();                    -- right again

local lfs = require "lfs";
local process = require "support.process";

local clock = {};
local clock_methods = {};
local clock_mt = { __index = clock_methods };

local function library()
	for _, folder in ipairs({ "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/arm-linux-gnueabihf", "/usr/lib" }) do
		local path = folder.."/faketime/libfaketime.so.1";
		if lfs.attributes(path, "mode") then return path; end
	end
end

-- Whether libfaketime is installed.
function clock.available()
	return library() ~= nil;
end

function clock.new()
	local self = setmetatable({ file = process.new_folder("clock").."/now" }, clock_mt);
	self.env = {
		LD_PRELOAD = assert(library(), "libfaketime is not here: tools/setup test installs it");
		FAKETIME_TIMESTAMP_FILE = self.file; FAKETIME_NO_CACHE = "1";
		FAKETIME_DONT_FAKE_MONOTONIC = "1"; DONT_FAKE_MONOTONIC = "1"; NO_FAKE_STAT = "1";
		TZ = "UTC";
	};
	self:set();
	return self;
end

function clock_methods:set(time)
	-- Atomically: it may be read at any moment.
	process.write(self.file..".new", (time or "+0").."\n");
	assert(os.rename(self.file..".new", self.file));
	self.started = os.time();
end

-- Gives files that were written since set() the time that they would have with this clock.
function clock_methods:date_files(folder, time)
	process.run(("find %s -newermt @%d -exec touch -d @%d {} +"):format(process.quote(folder), self.started - 1, time));
end

return clock;
