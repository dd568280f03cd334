-- Gives tests access to a running server: tells when it is up, and runs Lua code
-- that a test sends over a loopback port. Never a part of an installation.

module:set_global();

local async = require "util.async";
local json = require "util.json";
local server = require "net.server";
local st = require "util.stanza";

local prosody = prosody;
local token = assert(module:get_option_string("harness_token"));
local port = assert(module:get_option_number("harness_port"));
local ready_file = assert(module:get_option_string("harness_ready_file"));

local reloads = 0;

local function plain(value, depth)
	local kind = type(value);
	if kind == "nil" then
		return json.null;
	elseif kind == "table" then
		if value == json.null then return value; end
		if st.is_stanza(value) then return tostring(value); end
		if depth > 20 then return "..."; end
		local copy = {};
		for k, v in pairs(value) do
			if type(k) ~= "number" then k = tostring(k); end
			copy[k] = plain(v, depth + 1);
		end
		return copy;
	elseif kind == "string" or kind == "boolean" or kind == "number" then
		return value;
	end
	return tostring(value);
end

local function evaluate(request)
	if request.token ~= token then
		return { error = "not allowed" };
	end
	local env = setmetatable({
		module = module;
		reloads = function () return reloads; end;
		-- Hands over what the audit log has in its journals.
		flush_audit_log = function ()
			local log = module:shared("/*/audit/log").log;
			for host in pairs(log and prosody.hosts or {}) do
				log.flush(host, 5);
			end
		end;
	}, { __index = _G });
	local chunk, err = load(request.code, "=(test)", "t", env);
	if not chunk then
		return { error = err };
	end
	local args = request.args or {};
	for i = 1, request.n or #args do
		if args[i] == json.null then args[i] = nil; end
	end
	local results = table.pack(xpcall(chunk, function (e)
		if type(e) == "table" then return tostring(e.text or e.condition or e); end
		return debug.traceback(tostring(e));
	end, table.unpack(args, 1, request.n or #args)));
	if not results[1] then
		return { error = tostring(results[2]) };
	end
	local values = setmetatable({}, json.array_mt);
	for i = 2, results.n do
		values[i - 1] = plain(results[i], 1);
	end
	return { n = results.n - 1; values = values };
end

-- Runs in an async context, as storage drivers may wait.
local function handle(conn, line)
	local thread = async.runner(function ()
		local request = json.decode(line);
		local answer = request and evaluate(request) or { error = "not a request" };
		conn:write(json.encode(answer).."\n");
	end);
	thread:run(true);
end

local buffers = {};

local listeners = {};

function listeners.onconnect(conn)
	buffers[conn] = "";
end

function listeners.onincoming(conn, data)
	local buffer = (buffers[conn] or "")..data;
	local line, rest = buffer:match("^([^\n]*)\n(.*)$");
	buffers[conn] = rest or buffer;
	if line then
		handle(conn, line);
	end
end

function listeners.ondisconnect(conn)
	buffers[conn] = nil;
end

local listener, listen_error = server.addserver("127.0.0.1", port, listeners, "*a");
if not listener then
	module:log("error", "Failed to open server port %d for the tests: %s", port, listen_error);
end

module:hook_global("config-reloaded", function ()
	reloads = reloads + 1;
end);

local function write_ready()
	local file = assert(io.open(ready_file, "w"));
	file:write(prosody.version or "", "\n");
	file:close();
end

if prosody.start_time and prosody.state == "running" then
	write_ready();
else
	module:hook_global("server-started", write_ready);
end

function module.unload()
	if listener then
		listener:close();
	end
end
