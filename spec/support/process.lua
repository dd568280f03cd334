-- Child processes, files and time for the tests.

local lfs = require "lfs";
local socket = require "socket";

local process = {};

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".";
if here:sub(1, 1) ~= "/" then
	here = lfs.currentdir().."/"..here;
end

here = here:gsub("/%./", "/"):gsub("/%.$", "");
while here:find("/[^/]+/%.%./") do
	here = here:gsub("/[^/]+/%.%./", "/", 1);
end

-- The checkout, and the only folder that tests write to.
process.root = here:match("^(.*)/spec/support$");
process.support = process.root.."/spec/support";
process.target = process.root.."/target";
process.scratch = process.target.."/scratch";

function process.quote(text)
	return "'"..tostring(text):gsub("'", "'\\''").."'";
end

function process.quote_all(list)
	local quoted = {};
	for i, item in ipairs(list) do
		quoted[i] = process.quote(item);
	end
	return table.concat(quoted, " ");
end

function process.read(filename)
	local file = io.open(filename, "rb");
	if not file then return nil; end
	local text = file:read("a");
	file:close();
	return text;
end

function process.write(filename, text)
	local file = assert(io.open(filename, "wb"));
	assert(file:write(text));
	assert(file:close());
end

function process.run(command, ...)
	local ok, how, code = os.execute(command, ...);
	if not ok then
		error(("command failed (%s %s): %s"):format(how, tostring(code), command), 2);
	end
end

-- The first line of a command's output.
function process.first_line(command)
	local pipe = assert(io.popen(command, "r"));
	local line = pipe:read("l");
	pipe:close();
	return line;
end

-- Calls ask() until it returns a true value, or the time (seconds) is over.
function process.wait_until(ask, timeout, pause)
	local deadline = socket.gettime() + (timeout or 10);
	repeat
		local answer = ask();
		if answer then return answer; end
		socket.sleep(pause or 0.01);
	until socket.gettime() > deadline;
	return ask();
end

-- Finds that many different free ports. Another program may take one before the
-- server does: then the caller tries again.
function process.free_ports(count)
	local sockets, ports = {}, {};
	for i = 1, count do
		sockets[i] = assert(socket.bind("127.0.0.1", 0));
		local _, port = sockets[i]:getsockname();
		ports[i] = math.tointeger(tonumber(port));
	end
	for i = 1, count do
		sockets[i]:close();
	end
	return ports;
end

function process.random_text()
	local file = assert(io.open("/dev/urandom", "rb"));
	local bytes = file:read(16);
	file:close();
	return (bytes:gsub(".", function (char) return ("%02x"):format(char:byte()); end));
end

local own_pid = tonumber((process.read("/proc/self/stat") or "0"):match("^%d+"));

local function running(pid)
	return lfs.attributes("/proc/"..pid, "mode") ~= nil;
end

-- Folders are named after the process that made them. Those of earlier test
-- runs are removed when the next run begins.
local function remove_old_folders()
	if not lfs.attributes(process.scratch, "mode") then
		process.run("mkdir -p "..process.quote(process.scratch));
		return;
	end
	for name in lfs.dir(process.scratch) do
		local pid = name:match("^%l+%-(%d+)%-%d+$");
		if pid and not running(pid) then
			os.execute("rm -rf "..process.quote(process.scratch.."/"..name));
		end
	end
end

local folders = 0;

-- A new folder that only its owner can read (it has passwords in it).
function process.new_folder(name)
	if folders == 0 then
		remove_old_folders();
	end
	folders = folders + 1;
	local folder = ("%s/%s-%d-%d"):format(process.scratch, name, own_pid, folders);
	process.run("rm -rf "..process.quote(folder).." && mkdir -p -m 700 "..process.quote(folder));
	return folder;
end

-- The state of a process, and when it was started: with its number, this identifies
-- a process. (Its command line does not: it is empty for a moment in exec.)
local function state_of(pid)
	local state, rest = (process.read("/proc/"..pid.."/stat") or ""):match("^%d+ %(.*%) (%a) (.*)$");
	if not state or state == "Z" or state == "X" then return nil; end
	local at = 3;
	for field in rest:gmatch("%S+") do
		at = at + 1;
		if at == 22 then return state, field; end
	end
end

local child_methods = {};
local child_mt = { __index = child_methods };

-- Starts a program. It ends when this process ends, at the latest.
-- options: command (list), folder, env (map; false removes), prefix (shell text run before it)
function process.start(options)
	local child = setmetatable({ output_file = options.folder.."/output.txt" }, child_mt);
	local pidfile = options.folder.."/pid";
	os.remove(pidfile);
	local environment = { "env" };
	for name, value in pairs(options.env or {}) do
		if value == false then
			table.insert(environment, 2, "-u");
			table.insert(environment, 3, name);
		end
	end
	for name, value in pairs(options.env or {}) do
		if value ~= false then
			environment[#environment+1] = name.."="..value;
		end
	end
	local command = process.quote_all(environment).." "..process.quote_all(options.command);
	if options.prefix then
		command = "bash -c "..process.quote(options.prefix.."\nexec \"$@\"").." bash "..command;
	end
	child.handle = assert(io.popen(("exec setsid bash %s %s %s %s"):format(
		process.quote(process.support.."/supervise"), process.quote(pidfile), process.quote(child.output_file), command), "w"));
	child.pid = process.wait_until(function ()
		return tonumber(process.read(pidfile) or "");
	end, 10, 0.002);
	if not child.pid then
		child.handle:close();
		error("a child process did not start: "..command);
	end
	child.started = select(2, state_of(child.pid));
	return child;
end

-- Whether the process that we started still runs, not another one with its number.
function child_methods:alive()
	if not self.handle then return false; end
	local state, started = state_of(self.pid);
	return state ~= nil and started == self.started;
end

function child_methods:output()
	return process.read(self.output_file) or "";
end

function child_methods:signal(name)
	if not self:alive() then return false; end
	return (os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid)));
end

-- Sends a signal and waits for the end -> whether it ended by that
function child_methods:finish(signal, timeout)
	local gone = true;
	if self:alive() then
		self:signal(signal);
		gone = process.wait_until(function () return not self:alive(); end, timeout or 10, 0.005);
		if not gone then
			self:signal("KILL");
			process.wait_until(function () return not self:alive(); end, 5, 0.005);
		end
	end
	if self.handle then
		self.handle:close();
		self.handle = nil;
	end
	return gone and true or false;
end

-- Runs a program to its end -> exit status, standard output, standard error
-- options: env, stdin (text), timeout (seconds)
function process.capture(command, options)
	options = options or {};
	local folder = process.scratch.."/.capture";
	if not lfs.attributes(folder, "mode") then
		process.run("mkdir -p -m 700 "..process.quote(folder));
	end
	local base = ("%s/%d-%s"):format(folder, own_pid, process.random_text():sub(1, 8));
	local environment = { "env" };
	for name, value in pairs(options.env or {}) do
		if value == false then
			table.insert(environment, 2, "-u");
			table.insert(environment, 3, name);
		else
			environment[#environment+1] = name.."="..value;
		end
	end
	local input = "/dev/null";
	if options.stdin then
		input = base..".in";
		process.write(input, options.stdin);
	end
	-- By popen, so that the program does not inherit the pipes that keep servers running.
	local _, how, code = assert(io.popen(("exec timeout -k 5 %d %s %s <%s >%s.out 2>%s.err"):format(
		options.timeout or 60, process.quote_all(environment), process.quote_all(command), process.quote(input),
		process.quote(base), process.quote(base)), "r")):close();
	local output, errors = process.read(base..".out"), process.read(base..".err");
	os.remove(base..".in");
	os.remove(base..".out");
	os.remove(base..".err");
	if how == "signal" then
		code = 128 + code;
	end
	return code, output, errors;
end

return process;
