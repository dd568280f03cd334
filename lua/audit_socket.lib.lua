-- What prosodyctl asks a running server for, over the admin socket: only the server writes to its store.
--
-- A request is <request action= host= …/>, its answer <result status="ok"|"error">text</result>, in a stream of mod_admin_socket.

local async_ok, unix = pcall(require, "socket.unix");

local config = require "core.configmanager";
local paths = require "util.paths";
local st = require "util.stanza";
local xml = require "util.xml";

local NAMESPACE = "xmpp:prosody.im/audit";
local STREAM = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='xmpp:prosody.im/admin'>";

local link = {};

-- Answers requests: actions[name](attributes) returns a text, or nil and what is wrong. Called in an async context.
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

local function connect(path)
	-- COMPAT LuaSocket before 3.0 final: the module is the constructor.
	local conn = (type(unix) == "table" and unix.stream or unix)();
	conn:settimeout(5);
	local ok, err = conn:connect(path);
	if not ok then
		conn:close();
		return nil, err;
	end
	return conn;
end

-- A connection to the server that runs here | nil
function link.open()
	if not async_ok then
		return nil;
	end
	local path = paths.resolve_relative_path(prosody.paths.data, config.get("*", "admin_socket") or "prosody.sock");
	local conn = connect(path);
	if not conn then
		return nil;
	end
	return conn;
end

-- Asks for something, and waits: text | nil, what is wrong
function link.ask(attributes)
	local conn = link.open();
	if not conn then
		return nil, "there is no admin socket";
	end
	attributes.xmlns = NAMESPACE;
	local sent, err = conn:send(STREAM..tostring(st.stanza("request", attributes)));
	local received = "";
	conn:settimeout(600);
	while sent and not received:find("</result>", 1, true) do
		local data;
		data, err = conn:receive(1);
		if not data then break; end
		received = received..data;
	end
	conn:close();
	local answer = received:match("<result.*</result>");
	local result = answer and xml.parse(answer);
	if not result then
		return nil, "the server did not answer: "..tostring(err or "its answer makes no sense");
	elseif result.attr.status ~= "ok" then
		return nil, result:get_text();
	end
	return result:get_text();
end

return link;
