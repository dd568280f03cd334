-- Raw streams, for what a good client does not send.
--
--   local raw = require "support.raw_client";
--   local stream = raw.connect(prosody);                 -- TLS, features read
--   stream:plain("romeo", "wrong")                       --> false, "not-authorized"
--   stream:auth("PLAIN", "!!! not base64")               --> false, "incorrect-encoding"
--   stream:close();
--
-- Any number of attempts can fail on one stream: the quickest way to thousands
-- of failures. After a success, connect again.

local mime = require "mime";
local socket = require "socket";
local ssl = require "ssl";

local raw_client = {};

local stream_methods = {};
local stream_mt = { __index = stream_methods };

local tls_parameters = { mode = "client"; protocol = "any"; verify = "none"; options = { "all" } };

local function escape(text)
	return (text:gsub("[&<>'\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&apos;", ["\""] = "&quot;" }));
end

-- A stream of another kind than a client's: connects to that port and sends the header -> the stream, the header of the answer. The
-- stream has send, receive_until and close.
function raw_client.stream(port, header)
	local conn = assert(socket.tcp());
	conn:settimeout(10);
	assert(conn:connect("127.0.0.1", port));
	local self = setmetatable({ conn = conn; timeout = 10; buffer = "" }, stream_mt);
	assert(self:send("<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' "..header..">"));
	return self, assert(self:receive_until("<stream:stream[^>]*>"));
end

-- options: host (default: the server's first), tls = true | false | "direct",
-- timeout (seconds), from (attribute of the stream header), address (of 127.0.0.0/8, to
-- connect from), certificate and key (files, of the client's own)
-- Returns the stream, or nil and the reason.
function raw_client.connect(server, options)
	options = options or {};
	local self = setmetatable({
		host = options.host or server.host;
		from = options.from;
		certificate = options.certificate, key = options.key;
		buffer = "";
	}, stream_mt);
	local conn = assert(socket.tcp());
	conn:settimeout(options.timeout or 10);
	if options.address then
		assert(conn:bind(options.address, 0));
	end
	local tls = options.tls;
	if tls == nil then tls = true; end
	local ok, err = conn:connect("127.0.0.1", tls == "direct" and server.c2s_tls_port or server.c2s_port);
	if not ok then
		conn:close();
		return nil, err;
	end
	conn:setoption("tcp-nodelay", true);
	self.conn = conn;
	self.timeout = options.timeout or 10;
	if tls == "direct" then
		ok, err = self:handshake();
		if not ok then return nil, err; end
	end
	ok, err = self:open_stream();
	if ok and tls == true then
		ok, err = self:starttls();
	end
	if not ok then
		self:close();
		return nil, err;
	end
	return self;
end

function stream_methods:handshake()
	local parameters = setmetatable({ certificate = self.certificate, key = self.key }, { __index = tls_parameters });
	local secured, err = ssl.wrap(self.conn, parameters);
	if not secured then return nil, err; end
	secured:settimeout(self.timeout);
	secured:sni(self.host);
	local ok;
	ok, err = secured:dohandshake();
	if not ok then
		secured:close();
		return nil, err;
	end
	self.conn = secured;
	self.buffer = "";
	return true;
end

-- Sends a stream header and reads the features.
function stream_methods:open_stream()
	local ok, err = self:send(("<?xml version='1.0'?><stream:stream to='%s'%s version='1.0' xmlns='jabber:client' "
		.."xmlns:stream='http://etherx.jabber.org/streams'>"):format(escape(self.host), self.from and (" from='"..escape(self.from).."'") or ""));
	if not ok then return nil, err; end
	local text;
	text, err = self:receive_until("</stream:features>", "<stream:features/>", "</stream:stream>");
	if not text then return nil, err; end
	self.features = text:match("<stream:features.*$");
	if not self.features then return nil, text; end
	return true;
end

function stream_methods:starttls()
	assert(self:send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
	local text, err = self:receive_until("<proceed[^>]*/>", "<failure");
	if not text or not text:find("<proceed", 1, true) then
		return nil, err or text;
	end
	local ok;
	ok, err = self:handshake();
	if not ok then return nil, err; end
	return self:open_stream();
end

function stream_methods:send(text)
	local sent, err = 0, nil;
	while sent and sent < #text do
		sent, err = self.conn:send(text, sent + 1);
	end
	return sent and true, err;
end

-- Reads until one of these Lua patterns matches -> the text up to the end of the
-- match | nil, "timeout" | "closed", what was received
function stream_methods:receive_until(...)
	while true do
		local last;
		for i = 1, select("#", ...) do
			local _, ending = self.buffer:find((select(i, ...)));
			if ending and (not last or ending < last) then
				last = ending;
			end
		end
		if last then
			local text = self.buffer:sub(1, last);
			self.buffer = self.buffer:sub(last + 1);
			return text;
		end
		-- At least one byte, and all others that have arrived.
		local first, err = self.conn:receive(1);
		if not first then
			return nil, err, self.buffer;
		end
		self.conn:settimeout(0);
		local all, _, partial = self.conn:receive(65536);
		self.conn:settimeout(self.timeout);
		self.buffer = self.buffer..first..(all or partial or "");
	end
end

-- SASL with this text as the first message (nil: none) -> true | false, the failure's
-- condition, its text | nil, why there was no answer | "challenge", its text
function stream_methods:auth(mechanism, text)
	local ok, err = self:send(("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>"):format(mechanism, text or ""));
	if not ok then return nil, err; end
	return self:auth_answer();
end

function stream_methods:auth_answer()
	local answer, err, rest = self:receive_until("<success[^>]*/>", "</success>", "</failure>", "<challenge[^>]*/>",
		"</challenge>", "</stream:stream>");
	if not answer then
		return nil, err, rest;
	elseif answer:find("<success", 1, true) then
		return true;
	elseif answer:find("<challenge", 1, true) then
		return "challenge", answer:match("<challenge[^>]*>(.-)</challenge>");
	elseif answer:find("<failure", 1, true) then
		local failure = answer:match("<failure.*$");
		return false, failure:match("<failure[^>]*>%s*<([%w-]+)"), failure:match("<text[^>]*>(.-)</text>");
	end
	return nil, answer;
end

-- SASL PLAIN. Names may have any bytes.
function stream_methods:plain(username, password, authzid)
	return self:auth("PLAIN", (mime.b64((authzid or "").."\0"..username.."\0"..password)));
end

-- After a success: opens a new stream and binds a resource -> the full JID
function stream_methods:bind(resource)
	local ok, err = self:open_stream();
	if not ok then return nil, err; end
	self:send(("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>%s</bind></iq>"):format(
		resource and ("<resource>"..escape(resource).."</resource>") or ""));
	local answer;
	answer, err = self:receive_until("</iq>");
	return answer and answer:match("<jid>(.-)</jid>"), err;
end

function stream_methods:close()
	if self.conn then
		pcall(self.send, self, "</stream:stream>");
		self.conn:close();
		self.conn = nil;
	end
end

-- Connects, logs in by PLAIN and leaves -> true | false, the condition
function raw_client.login(server, username, password, options)
	local stream, err = raw_client.connect(server, options);
	if not stream then return nil, err; end
	local ok, condition, text = stream:plain(username, password);
	stream:close();
	return ok, condition, text;
end

return raw_client;
