-- A real XMPP client for the tests: slixmpp, in a process of its own that is
-- started when it is first needed and serves the whole test run.
--
--   local client = require "support.client";
--   client.register(prosody, "romeo@example.test", "secret")     --> { ok = true, … }
--   client.login(prosody, "romeo@example.test", "wrong")
--       --> { ok = false, condition = "not-authorized", text = … }
--
-- Every function returns a table with ok, and if ok is false a condition
-- (of the stanza or of SASL, or "disconnected", "timeout", "connection-failed").

local json = require "dkjson";
local process = require "support.process";
local socket = require "socket";

local client = {};

local conn, child;

local function start()
	local listener = assert(socket.bind("127.0.0.1", 0));
	local _, port = listener:getsockname();
	local token = process.random_text();
	local folder = process.new_folder("client");
	child = process.start {
		folder = folder;
		command = { "/usr/bin/python3", process.support.."/xmpp_client.py", tostring(port), token };
	};
	listener:settimeout(0.1);
	local deadline = socket.gettime() + 20;
	repeat
		local candidate = listener:accept();
		if candidate then
			candidate:settimeout(5);
			if candidate:receive("*l") == token then
				conn = candidate;
				conn:settimeout(90);
			else
				candidate:close();
			end
		end
	until conn or not child:alive() or socket.gettime() > deadline;
	listener:close();
	if not conn then
		local said = child:output();
		child:finish("KILL");
		child = nil;
		error("the XMPP client did not start: "..said:sub(-2000));
	end
end

local function ask(request)
	if not conn then start(); end
	assert(conn:send(json.encode(request).."\n"));
	local line, err = conn:receive("*l");
	if not line then
		local said = child:output();
		client.stop();
		error("the XMPP client is gone: "..tostring(err).."\n"..said:sub(-2000));
	end
	return (json.decode(line));
end

-- Ends the process; a later call starts another.
function client.stop()
	if conn then conn:close(); end
	if child then child:finish("TERM"); end
	conn, child = nil, nil;
end

local function request_for(server, operation, jid, password, options)
	local request = { op = operation; port = server.c2s_port; certificate = server.certificate; jid = jid; password = password };
	for name, value in pairs(options or {}) do
		request[name] = value;
	end
	return request;
end

-- Makes an account in-band (XEP-0077).
function client.register(server, jid, password, options)
	return ask(request_for(server, "register", jid, password, options));
end

-- Logs in by SCRAM over TLS and logs out.
-- options: mechanism = "SCRAM-SHA-1" (default) | "PLAIN" | …, resource, timeout
function client.login(server, jid, password, options)
	return ask(request_for(server, "login", jid, password, options));
end

-- Changes the password in-band, in a session of its own.
function client.change_password(server, jid, password, new_password)
	return ask(request_for(server, "change_password", jid, password, { new_password = new_password }));
end

-- Deletes the account in-band.
function client.delete_account(server, jid, password)
	return ask(request_for(server, "delete_account", jid, password));
end

-- Runs an ad-hoc command. options: to (default: the host), start = the first action ("execute"), forms = { { field = value or list }, … },
-- one for each further step. The result has status, notes and form = { title, fields, xml, … }.
function client.command(server, jid, password, node, options)
	local request = request_for(server, "command", jid, password, options);
	request.node = node;
	return ask(request);
end

-- Sends an iq with this payload. options: to (default: the host; "": nobody), type = "get" | "set". The result has xml.
function client.iq(server, jid, password, xml, options)
	local request = request_for(server, "iq", jid, password, options);
	request.xml = xml;
	return ask(request);
end

local session_methods = {};
local session_mt = { __index = session_methods };

local opened = 0;

-- Logs in and stays -> a session | nil, the result
function client.open(server, jid, password, options)
	opened = opened + 1;
	local request = request_for(server, "open", jid, password, options);
	request.number = opened;
	local result = ask(request);
	if not result.ok then
		return nil, result;
	end
	return setmetatable({ number = opened; jid = result.jid }, session_mt);
end

function session_methods:close()
	return ask({ op = "close"; session = self.number });
end

-- What it has received since this was last called: list of { from =, type =, body = }
function session_methods:messages()
	return ask({ op = "messages"; session = self.number }).messages;
end

function session_methods:connected()
	return ask({ op = "connected"; session = self.number }).connected;
end

function session_methods:change_password(new_password)
	return ask({ op = "change_password"; session = self.number; new_password = new_password });
end

function session_methods:delete_account()
	return ask({ op = "delete_account"; session = self.number });
end

function session_methods:command(node, options)
	local request = { op = "command"; session = self.number; node = node };
	for name, value in pairs(options or {}) do
		request[name] = value;
	end
	return ask(request);
end

function session_methods:iq(xml, options)
	local request = { op = "iq"; session = self.number; xml = xml };
	for name, value in pairs(options or {}) do
		request[name] = value;
	end
	return ask(request);
end

-- Sends this text unchanged.
function session_methods:send(xml)
	return ask({ op = "send"; session = self.number; xml = xml });
end

return client;
