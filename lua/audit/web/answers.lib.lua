-- Answers over HTTP: the headers that all of them have, cookies, and answers that are sent piece by piece.

local core = require "audit_core";

local async = require "util.async";
local time = require "util.time";

local web = core.web;
local limits = web.limits;

local answers = {};

-- How long an answer waits before it looks whether its reader has taken more, in seconds.
local A_MOMENT = 0.02;

local HTML, JSON = "text/html; charset=utf-8", "application/json";

-- answer(status, content_type, body, headers | nil) -> what a handler of mod_http returns
local function answer(status, content_type, body, headers)
	local all = { content_type = content_type };
	for name, value in pairs(web.headers) do all[name] = value; end
	for name, value in pairs(headers or {}) do all[name] = value; end
	return { status_code = status; headers = all; body = body };
end

function answers.page(text, headers)
	return answer(200, HTML, text, headers);
end

-- notice(status, title, text, headers | nil): a page that only says something
function answers.notice(status, title, text, headers)
	return answer(status, HTML, web.notice(title, text), headers);
end

-- file(content_type, text): a file that is the same for everybody
function answers.file(content_type, text)
	return answer(200, content_type, text, { cache_control = "public, max-age=300" });
end

function answers.json(status, text, headers)
	return answer(status, JSON, text, headers);
end

-- problem(status, condition, text, headers | nil): the same for programs
function answers.problem(status, condition, text, headers)
	return answer(status, JSON, web.problem(condition, text), headers);
end

-- go_to(place, headers | nil): leads a browser to another page of ours
function answers.go_to(place, headers)
	local all = { location = place };
	for name, value in pairs(headers or {}) do all[name] = value; end
	return answer(303, HTML, "", all);
end

-- cookie(request, name) -> the value of a cookie of ours | nil
function answers.cookie(request, name)
	local cookies = request.headers.cookie;
	if not cookies then return nil; end
	for field in cookies:gmatch("[^;,]+") do
		local value = field:match("^%s*"..name:gsub("%p", "%%%0").."=([%w_-]+)%s*$");
		if value then return value; end
	end
end

-- is_safe(request) -> whether nobody between can read along: by TLS, here or at a trusted proxy, or as it does not leave the machine
function answers.is_safe(request)
	local ip = tostring(request.ip or "");
	return not not request.secure or ip:find("^127%.") ~= nil or ip == "::1" or ip:find("^::ffff:127%.") ~= nil;
end

-- is_own(request) -> whether a form may come from a page of ours. Browsers that do not say so are told apart by the form's secret.
function answers.is_own(request)
	local site = request.headers.sec_fetch_site;
	return site == nil or site == "same-origin" or site == "none";
end

-- form(request) -> the fields of a form that was sent | nil
function answers.form(request)
	local body = request.body;
	if type(body) ~= "string" or #body > limits.largest_form then return nil; end
	return (web.form(body));
end

-- unsent(conn) -> how many bytes wait to be sent, as far as the network backend tells
function answers.unsent(conn)
	local buffer = conn.writebuffer;
	if type(conn.writebufferlen) == "number" then -- libevent
		return conn.writebufferlen;
	elseif type(conn.bufferlen) == "function" then -- select
		return (conn:bufferlen()) or 0;
	elseif type(buffer) == "string" then
		return #buffer;
	elseif type(buffer) == "table" and type(buffer[1]) == "string" then -- COMPAT 0.12: a list
		local size = 0;
		for i = 1, #buffer do size = size + #buffer[i]; end
		return size;
	elseif buffer then
		local ok, size = pcall(function () return buffer:length(); end);
		return ok and tonumber(size) or 0;
	end
	return 0;
end

-- drop(conn): closes a connection at once, without waiting until everything is sent
local function drop(conn)
	if type(conn.on) == "function" and type(conn.destroy) == "function" then -- epoll
		conn:on("disconnect", "the reader does not keep up");
		conn:destroy();
	else
		conn:close();
	end
end

local stream_methods = {};
local stream_mt = { __index = stream_methods };

-- stream(response, content_type, headers | nil) -> a stream: an answer that is sent piece by piece. Its headers are sent at once. If its
-- length is not among them, it is sent in chunks.
function answers.stream(response, content_type, headers)
	local self = setmetatable({ response = response; gone = false; fresh = 0 }, stream_mt);
	for name, value in pairs(answer(200, content_type, nil, headers).headers) do
		response.headers[name] = value;
	end
	local has_length = response.headers.content_length ~= nil;
	self.chunked = not has_length and response.request.httpversion == "1.1";
	if self.chunked then
		response.headers.transfer_encoding = "chunked";
	elseif not has_length then
		response.headers.connection = "close";
		response.persistent = false;
	end
	function response.on_destroy()
		self.gone = true;
	end
	response:write_headers();
	return self;
end

-- put(text) -> whether somebody may still read it
function stream_methods:put(text)
	if self.gone then return false; end
	if text ~= "" then
		self.response.conn:write(self.chunked and ("%x\r\n%s\r\n"):format(#text, text) or text);
	end
	return not self.gone;
end

function stream_methods:unsent()
	return self.gone and 0 or answers.unsent(self.response.conn);
end

-- pause(): lets the rest of the server run for a turn, or longer if the reader is slow. For an async context.
function stream_methods:pause()
	async.sleep(self:unsent() > limits.unsent and A_MOMENT or 0);
end

-- put_slowly(text, pause) -> as put(), after the reader has taken most of what was sent before; false if it takes nothing for too long.
-- In one turn of the loop no more is sent than a piece.
function stream_methods:put_slowly(text, pause)
	if self.fresh + #text > limits.piece and self.fresh > 0 then
		pause();
		self.fresh = 0;
	end
	self.fresh = self.fresh + #text;
	local before, since = self:unsent(), time.monotonic();
	while before > limits.unsent do
		pause();
		local now = self:unsent();
		if now < before then
			since = time.monotonic();
		elseif self.gone or time.monotonic() - since > limits.stalled then
			return false;
		end
		before = now;
	end
	return self:put(text);
end

-- finish(): the answer is complete
function stream_methods:finish()
	if self.gone then return; end
	if self.chunked then
		self.response.conn:write("0\r\n\r\n");
	end
	self.response:done();
	self.gone = true;
end

-- abort(): the answer is not complete, and the reader notices
function stream_methods:abort()
	if self.gone then return; end
	self.gone = true;
	self.response.persistent = false;
	drop(self.response.conn);
end

-- send(event, answer) -> answer | true, when it was sent piece by piece. The body of the answer is a long text of the core.
function answers.send(event, given)
	local text, headers = given.body, given.headers;
	if #text <= limits.piece or event.request.method == "HEAD" then
		given.body = text:next(#text) or "";
		return given;
	end
	headers.content_length = ("%d"):format(#text);
	local stream = answers.stream(event.response, headers.content_type, headers);
	local function pause() stream:pause(); end
	local piece = text:next(limits.piece);
	while piece and stream:put_slowly(piece, pause) do
		piece = text:next(limits.piece);
	end
	if piece then stream:abort(); else stream:finish(); end
	return true;
end

return answers;
