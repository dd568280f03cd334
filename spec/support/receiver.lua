-- Receivers of sinks: programs that note what they got, and do wrong what a spec wants (receiver.py).
--
--   local receiver = require "support.receiver";
--   local http = receiver.start { kind = "http", otlp = true };
--   http.port, http.path                    -- where it listens
--   http:mood("503 1")                      -- see receiver.py
--   http:lines()                            -- what it got
--   http:numbers()                          -- "1 2 3": the numbers of test-1, test-2 and test-3, each the first time it came
--   http:kill(); http:start()
--   receiver.start { kind = "rsyslog" }     -- or "syslog-ng", "nginx": as tools/recipes unpacked them; with is_unix, certificate and key
--   receiver.stop_all()
--   receiver.record(prosody, 1, 20)         -- the test entries that has_all(20) waits for

local process = require "support.process";
local recipes = require "support.recipes";
local socket = require "socket";

local receiver = {};
local methods = {};
local receiver_mt = { __index = methods };
local started = {};

function receiver.start(options)
	local self = setmetatable({ options = options; folder = process.new_folder("receiver") }, receiver_mt);
	self.out, self.port, self.path = self.folder.."/out", process.free_ports(1)[1], self.folder.."/socket";
	table.insert(started, self);
	if not options.is_down then self:start(); end
	return self;
end

-- Whether something takes connections at its port, or there is its socket.
function methods:listens()
	if self.options.is_unix then return process.capture({ "test", "-S", self.path }) == 0; end
	local conn = socket.connect("127.0.0.1", self.port);
	if conn then conn:close(); end
	return conn ~= nil;
end

-- What rsyslog or syslog-ng write of a message: its event type, alone in a line.
local configurations = {};

function configurations.rsyslog(self, place)
	local options = self.options;
	local lines;
	if options.is_unix then
		lines = {
			'module(load="imuxsock" SysSock.Use="off")';
			('input(type="imuxsock" Socket=%q UseSpecialParser="off" ParseHostname="on" RateLimit.Interval="0")'):format(self.path);
		};
	else
		if options.certificate then
			lines = {
				("global(DefaultNetstreamDriverCAFile=%q DefaultNetstreamDriverCertFile=%q DefaultNetstreamDriverKeyFile=%q)"):format(
					options.certificate, options.certificate, options.key);
				'module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")';
			};
		else
			lines = { 'module(load="imtcp")' };
		end
		lines[#lines + 1] = ('input(type="imtcp" port="%d")'):format(self.port);
	end
	lines[#lines + 1] = 'template(name="type" type="string" string="%msgid%\n")';
	lines[#lines + 1] = ('action(type="omfile" file=%q template="type")'):format(self.out);
	local _, modules = process.capture({ "find", place, "-name", "imtcp.so", "-printf", "%h" });
	process.write(self.folder.."/main.conf", table.concat(lines, "\n").."\n");
	return { place.."/usr/sbin/rsyslogd", "-n", "-f", self.folder.."/main.conf", "-i", self.folder.."/rsyslogd.pid", "-M", modules };
end

configurations["syslog-ng"] = function (self, place, env)
	local options, program = self.options, place.."/usr/sbin/syslog-ng";
	local _, version = process.capture({ program, "--version" }, { env = env });
	local tls = options.certificate and ('transport("tls") tls(key-file(%q) cert-file(%q) peer-verify(optional-untrusted))'):format(
		options.key, options.certificate) or 'transport("tcp")';
	local source = options.is_unix and ("unix-dgram(%q flags(syslog-protocol))"):format(self.path)
		or ('syslog(ip("127.0.0.1") port(%d) %s)'):format(self.port, tls);
	process.write(self.folder.."/main.conf", ([[
@version: %s
source s { %s; };
destination d { file("%s" template("${MSGID}\n") flush-lines(1)); };
log { source(s); destination(d); };
]]):format(version:match("%d+%.%d+", (version:find("version", 1, true))), source, self.out));
	local _, modules = process.capture({ "find", place, "-name", "libaffile.so", "-printf", "%h" });
	return {
		program, "--foreground", "--no-caps", "--cfgfile", self.folder.."/main.conf", "--module-path", modules, "--persist-file", self.folder.."/persist";
		"--pidfile", self.folder.."/syslog-ng.pid", "--control", self.folder.."/control";
	};
end;

-- A web server before the receiver at port options.behind.
function configurations.nginx(self, place)
	process.write(self.folder.."/main.conf", ([[
daemon off; master_process off; pid nginx.pid; error_log error.log; events {}
http { access_log off; server { listen 127.0.0.1:%d; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
scgi_temp_path t5; location / { proxy_pass http://127.0.0.1:%d; } } }
]]):format(self.port, self.options.behind));
	return { place.."/usr/sbin/nginx", "-p", self.folder, "-c", self.folder.."/main.conf", "-e", "error.log" };
end

-- Starts a program that tools/recipes brings.
local function start_program(self)
	local name = self.options.kind;
	local env = { LD_LIBRARY_PATH = recipes.libraries(name); TZ = "UTC" };
	local command = configurations[name](self, recipes.folder.."/"..name, env);
	self.child = process.start { folder = self.folder; command = command; env = env };
	assert(process.wait_until(function () return self:listens(); end, 20), self.child:output());
	return self;
end

function methods:start()
	local options = self.options;
	if configurations[options.kind] then return start_program(self); end
	local python = options.otlp and process.target.."/python/bin/python" or "python3";
	local command = { python, process.support.."/receiver.py", options.kind, "--out", self.out };
	local function add(...)
		for _, word in ipairs { ... } do command[#command + 1] = tostring(word); end
	end
	if options.kind == "unix" then add("--path", self.path); else add("--port", self.port); end
	if options.certificate then add("--certificate", options.certificate, "--key", options.key); end
	if options.clients then add("--clients", options.clients); end
	if options.newline then add("--newline"); end
	if options.otlp then add("--otlp"); end
	if options.secret then add("--secret", options.secret); end
	os.remove(self.folder.."/output.txt");
	self.child = process.start { folder = self.folder; command = command };
	assert(process.wait_until(function () return self.child:output():find("ready", 1, true); end, 20), self.child:output());
	return self;
end

function methods:mood(text)
	process.write(self.out..".mood", text or "");
end

function methods:kill()
	self.child:finish("KILL");
end

function methods:lines()
	local lines = {};
	for line in (process.read(self.out) or ""):gmatch("[^\n]+") do lines[#lines + 1] = line; end
	return lines;
end

-- The numbers of test entries in the order in which each came first, and how often one came again.
function methods:numbers()
	local seen, list, again = {}, {}, 0;
	for _, line in ipairs(self:lines()) do
		local number = line:match("test%-(%d+)");
		if number and not seen[number] then
			seen[number] = true;
			list[#list + 1] = number;
		elseif number then
			again = again + 1;
		end
	end
	return table.concat(list, " "), again;
end

-- Waits until it got the test entries from 1 to `last`, in order.
function methods:has_all(last, timeout)
	local list = {};
	for i = 1, last do list[i] = i; end
	local expected = table.concat(list, " ");
	-- To look takes a while if there are many.
	local pause = last > 1000 and 1 or 0.05;
	if process.wait_until(function () return #self:lines() >= last and self:numbers() == expected; end, timeout or 20, pause) then
		return true;
	end
	return nil, "it got: "..self:numbers();
end

-- Records the test entries from `first` to `last` on the server's host.
function receiver.record(prosody, first, last)
	for from = first, last, 500 do
		prosody:eval([[
			local host, first, last = ...;
			local of_host = module:context(host);
			for i = first, last do of_host:audit("juliet@"..host, "test-"..i, nil, true); end
		]], prosody.host, from, math.min(last, from + 499));
	end
end

function receiver.stop_all()
	for _, one in ipairs(started) do
		if one.child then one.child:finish("KILL"); end
	end
	started = {};
end

return receiver;
