-- nginx with TLS in front of a server of the tests, with the lines that docs/web.md recommends. Debian's program, its files under target/.
--
--   local nginx = require "support.nginx";
--   local proxy = nginx.start { name = "localhost", http_port = prosody.http_port };
--   proxy.port
--   proxy:stop();

local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local nginx = {};

local program = "/usr/sbin/nginx";

-- available() -> true | false, why not
function nginx.available()
	if lfs.attributes(program, "mode") then
		return true;
	end
	return false, "nginx is not here: tools/setup test installs it";
end

-- The location of docs/web.md, for another port of Prosody.
function nginx.documented(http_port)
	local text = process.read(process.root.."/docs/web.md"):match("```nginx\n(.-)```");
	local changed, count = text:gsub("127%.0%.0%.1:5280", "127.0.0.1:"..http_port);
	assert(count == 1, "docs/web.md names Prosody's port once");
	return changed;
end

local config = [[
daemon off;
worker_processes 1;
pid %(folder)/nginx.pid;
error_log %(folder)/error.log info;
events { worker_connections 512; }
http {
    access_log %(folder)/access.log;
    client_body_temp_path %(folder)/body;
    proxy_temp_path %(folder)/proxy;
    fastcgi_temp_path %(folder)/fastcgi;
    uwsgi_temp_path %(folder)/uwsgi;
    scgi_temp_path %(folder)/scgi;
    server {
        listen 127.0.0.1:%(port) ssl;
        server_name %(name);
        ssl_certificate %(certificate);
        ssl_certificate_key %(key);
        %(lines)
        %(location)
    }
}
]];

local methods = {};
local mt = { __index = methods };

-- start { name =, http_port =, port = nil, lines = more of the server's configuration } -> proxy, with its port
function nginx.start(options)
	local self = setmetatable({ folder = process.new_folder("nginx"); port = options.port or process.free_ports(1)[1] }, mt);
	local certificate, key = server.certificate(options.name);
	local values = {
		folder = self.folder; port = self.port; name = options.name; certificate = certificate; key = key; lines = options.lines or "";
		location = nginx.documented(options.http_port);
	};
	local file = self.folder.."/nginx.conf";
	process.write(file, (config:gsub("%%%((%l+)%)", values)));
	self.child = process.start { folder = self.folder; command = { program, "-p", self.folder, "-e", self.folder.."/error.log", "-c", file } };
	local is_there = process.wait_until(function ()
		local conn = socket.tcp();
		local ok = conn:connect("127.0.0.1", self.port);
		conn:close();
		return ok or not self.child:alive();
	end, 20, 0.05);
	if not is_there or not self.child:alive() then
		local said = self.child:output()..(process.read(self.folder.."/error.log") or "");
		self:stop();
		error("nginx did not start: "..said);
	end
	return self;
end

-- What nginx has written about requests and errors.
function methods:log()
	return (process.read(self.folder.."/access.log") or "")..(process.read(self.folder.."/error.log") or "");
end

function methods:stop()
	self.child:finish("TERM", 5);
end

return nginx;
