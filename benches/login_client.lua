-- Logs in again and again, for benches/login.lua: lua5.4 login_client.lua PORT HOST[,HOST...] USER PASSWORD COUNT CONNECTIONS
--
-- With several hosts each login is to the next of them.
-- It is a process of its own, so that its CPU time is not counted for the server. Each login is a new plaintext connection with SASL
-- PLAIN, at most CONNECTIONS at a time. Prints: successes, failures, seconds, the median time of a login from connecting to the outcome
-- in milliseconds, and what went wrong.

local socket = require "socket";
local mime = require "mime";

local port, hosts, user, password, count, connections = table.unpack(arg);
port, count, connections = tonumber(port), tonumber(count), tonumber(connections);

local headers = {};
for host in hosts:gmatch("[^,]+") do
	headers[#headers + 1] = ("<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
		.. "xmlns:stream='http://etherx.jabber.org/streams'>"):format(host);
end
local auth = ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(mime.b64("\0" .. user .. "\0" .. password));
local patience = 30; -- seconds without an answer of the server

local successes, failures, trouble = 0, 0, nil;
local started, running = 0, 0;
local sockets, states, times = {}, {}, {};

local function open()
	local conn = assert(socket.tcp());
	local began = socket.gettime();
	assert(conn:connect("127.0.0.1", port));
	conn:setoption("tcp-nodelay", true);
	assert(conn:send(headers[started % #headers + 1]));
	conn:settimeout(0);
	sockets[#sockets + 1] = conn;
	states[conn] = { text = "", wanted = "</stream:features>", began = began };
	started, running = started + 1, running + 1;
end

local function close(conn)
	conn:close();
	states[conn] = nil;
	for i, other in ipairs(sockets) do
		if other == conn then
			table.remove(sockets, i);
			break;
		end
	end
	running = running - 1;
end

local function step(conn)
	local state = states[conn];
	local data, err, partial = conn:receive(8192);
	state.text = state.text .. (data or partial or "");
	if state.wanted == "</stream:features>" and state.text:find(state.wanted, 1, true) then
		state.text, state.wanted = "", "outcome";
		conn:send(auth);
	elseif state.wanted == "outcome" and state.text:find("<success", 1, true) then
		successes = successes + 1;
		times[#times + 1] = socket.gettime() - state.began;
		conn:send("</stream:stream>");
		return close(conn);
	elseif state.wanted == "outcome" and state.text:find("</failure>", 1, true) then
		failures = failures + 1;
		times[#times + 1] = socket.gettime() - state.began;
		conn:send("</stream:stream>");
		return close(conn);
	end
	if err == "closed" then
		trouble = "the server closed a connection after: " .. state.text;
		return close(conn);
	end
end

local began = socket.gettime();
while not trouble and (started < count or running > 0) do
	while started < count and running < connections do
		open();
	end
	local readable = socket.select(sockets, nil, patience);
	if #readable == 0 then
		trouble = "no answer within " .. patience .. " seconds";
	end
	for _, conn in ipairs(readable) do
		step(conn);
	end
end
local seconds = socket.gettime() - began;
table.sort(times);
print(successes, failures, seconds, (times[#times // 2 + 1] or 0) * 1000, trouble or "");
