-- Many connections at the same time, held open by another process (crowd.py).
--
--   local crowd = require "support.crowd";
--   local many = crowd.gather(prosody.http_port, 10000, "GET /audit/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
--   many.answers   --> { ["403"] = 10000 }
--   many:leave();

local json = require "dkjson";
local process = require "support.process";

local crowd = {};

local methods = {};
local mt = { __index = methods };

-- gather(port, count, request, seconds | nil) -> the connections: opened, answers by status, seconds
function crowd.gather(port, count, request, seconds)
	local folder = process.new_folder("crowd");
	process.write(folder.."/request", request);
	local child = process.start { folder = folder; command = { "/usr/bin/python3", process.support.."/crowd.py", port, count, folder.."/request" } };
	local line = process.wait_until(function ()
		return child:output():match("^(%b{})") or not child:alive() and "";
	end, seconds or 300, 0.1);
	local self = json.decode(line or "");
	if not self then
		local said = child:output();
		child:finish("KILL");
		error("the connections were not made: "..said:sub(-1000));
	end
	self.child = child;
	return setmetatable(self, mt);
end

function methods:leave()
	self.child:finish("KILL");
end

return crowd;
