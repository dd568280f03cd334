-- Requests of prosodyctl to a running server, over the admin socket. Only the server writes to its store.
--
-- A request is <request action= host= …/>, its answer <result status="ok"|"error">text</result>, in a stream of mod_admin_socket.

local async_ok, unix = pcall(require, "socket.unix");

local config = require "core.configmanager";
local paths = require "util.paths";
local socket = require "socket";
local st = require "util.stanza";
local time = require "util.time";
local xml = require "util.xml";

local NAMESPACE = "xmpp:prosody.im/audit";
local STREAM = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='xmpp:prosody.im/admin'>";

local link = {};

-- serve(actions): answers requests. actions[name](attributes) -> a text | nil, what is wrong. Called in an async context.
function link.serve(actions)
	module:hook("admin/"..NAMESPACE..":request", function (event)
		local origin, attr = event.origin, event.stanza.attr;
		local action = actions[attr.action];
		local ok, text, problem;
		if action then
			ok, text, problem = pcall(action, attr);
		else
			ok, problem = true, "this server knows no "..tostring(attr.action);
		end
		if not ok then
			text, problem = nil, tostring(text);
		end
		origin.send(st.stanza("result", { xmlns = NAMESPACE; status = text and "ok" or "error" }):text(text or problem));
		return true;
	end);
end

-- How long the server may take to accept a connection and to answer the header, for one connection and for all tries; seconds.
local EACH_TRY, ALL_TRIES = 0.3, 1.3;
-- How long the server may take to notice a connection; seconds.
local A_MOMENT = 0.05;
-- How long ask() waits for an answer by default, in seconds.
local PATIENCE = 0.5;

local function connect(path)
	-- COMPAT LuaSocket before 3.0 final: the module is the constructor.
	local conn = (type(unix) == "table" and unix.stream or unix)();
	conn:settimeout(EACH_TRY);
	local ok, err = conn:connect(path);
	if not ok then
		conn:close();
		return nil, err;
	end
	return conn;
end

-- open() -> a connection to the server that runs here | nil
function link.open()
	if not async_ok then
		return nil;
	end
	return (connect(paths.resolve_relative_path(prosody.paths.data, config.get("*", "admin_socket") or "prosody.sock")));
end

-- How many bytes are taken at a time.
local CHUNK = 65536;

-- reader(conn) -> read(wanted, deadline) -> what was received up to the end of this text | nil, err. What came after it is for the next
-- call.
local function reader(conn)
	local received = "";
	return function (wanted, deadline)
		local from = 1;
		while true do
			local _, stop = received:find(wanted, from, true);
			if stop then
				local text = received:sub(1, stop);
				received = received:sub(stop + 1);
				return text;
			end
			from = math.max(1, #received - #wanted + 2);
			local left = deadline - time.now();
			if left <= 0 then
				return nil, "timeout";
			end
			-- To wait with receive() would be to wait for as many bytes as are asked for.
			socket.select({ conn }, nil, left);
			conn:settimeout(0);
			local data, err, part = conn:receive(CHUNK);
			conn:settimeout(EACH_TRY);
			data = data or part;
			if data == "" and err ~= "timeout" then
				return nil, err;
			end
			received = received..data;
		end
	end
end

-- Whether the server uses libevent.
local function uses_libevent()
	return config.get("*", "use_libevent") or config.get("*", "network_backend") == "event";
end

-- open_stream() -> a connection on which the server has answered our header, and its reader | nil, err
--
-- COMPAT libevent: Prosody drops what arrives before it has made a session for the connection. So the header is sent a moment after
-- the connection was made, and the request after the header was answered. If there is no answer, another connection is tried.
local function open_stream()
	local began, err = time.now(), nil;
	local moment = uses_libevent() and A_MOMENT or 0;
	repeat
		local conn = link.open();
		if not conn then
			return nil, err or "there is no admin socket";
		end
		if moment > 0 then
			socket.sleep(moment);
		end
		local deadline, header = time.now() + EACH_TRY, nil;
		local read = reader(conn);
		local sent;
		sent, err = conn:send(STREAM);
		if sent then
			header, err = read(">", deadline);
		end
		-- The XML declaration comes first.
		while header and not header:find("<stream", 1, true) do
			header, err = read(">", deadline);
		end
		if header then
			return conn, read;
		end
		conn:close();
		moment = moment * 2 + A_MOMENT;
	until time.now() - began > ALL_TRIES - EACH_TRY;
	return nil, err;
end

-- ask(attributes, patience | nil) -> text | nil, what is wrong, whether it may have been done nevertheless. `patience` in seconds.
function link.ask(attributes, patience)
	local conn, read = open_stream();
	if not conn then
		return nil, "the server did not answer: "..tostring(read);
	end
	attributes.xmlns = NAMESPACE;
	local received, err = conn:send(tostring(st.stanza("request", attributes)));
	if received then
		received, err = read("</result>", time.now() + (patience or PATIENCE));
	end
	conn:close();
	local answer = received and received:match("<result.*</result>");
	local result = answer and xml.parse(answer);
	if not result then
		return nil, "the server did not answer: "..tostring(err or "its answer makes no sense"), true;
	elseif result.attr.status ~= "ok" then
		return nil, result:get_text();
	end
	return result:get_text();
end

return link;
