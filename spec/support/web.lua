-- A client of HTTP for the tests: raw requests, cookies, and event streams.
--
--   local web = require "support.web";
--   local answer = web.request(port, "GET", "/audit/", { headers = { Host = "localhost" } });
--   answer.status, answer.headers["content-type"], answer.body

local socket = require "socket";

local web = {};

local function read_headers(conn)
	local status = conn:receive("*l");
	if not status then return nil, "no answer"; end
	local headers = {};
	for line in function () return conn:receive("*l"); end do
		if line == "" then break; end
		local name, value = line:match("^([^:]+):%s*(.*)$");
		if name then headers[name:lower()] = value; end
	end
	return tonumber(status:match("^HTTP/1%.%d (%d+)")), headers;
end

local function read_body(conn, headers)
	if headers["transfer-encoding"] == "chunked" then
		local parts, largest = {}, 0;
		while true do
			local size = tonumber((conn:receive("*l")), 16);
			if not size then return table.concat(parts), "incomplete", largest; end
			largest = math.max(largest, size);
			if size == 0 then
				conn:receive("*l");
				return table.concat(parts), nil, largest;
			end
			parts[#parts+1] = conn:receive(size);
			conn:receive("*l");
		end
	elseif headers["content-length"] then
		local size = tonumber(headers["content-length"]);
		return size == 0 and "" or (conn:receive(size));
	end
	return (conn:receive("*a"));
end

-- open(port, method, path, { headers =, body =, host =, tls = true, from = own address }) -> connection, status, headers. The body is
-- not read.
function web.open(port, method, path, options)
	options = options or {};
	local conn = assert(socket.tcp());
	conn:settimeout(options.timeout or 10);
	if options.from then assert(conn:bind(options.from, 0)); end
	assert(conn:connect("127.0.0.1", port));
	if options.tls then
		conn = assert(require "ssl".wrap(conn, { mode = "client"; protocol = "any"; verify = "none" }));
		conn:settimeout(options.timeout or 10);
		assert(conn:dohandshake());
	end
	local lines = { ("%s %s HTTP/1.1"):format(method, path), "Host: "..(options.host or "localhost") };
	for name, value in pairs(options.headers or {}) do lines[#lines+1] = name..": "..value; end
	if options.body then lines[#lines+1] = "Content-Length: "..#options.body; end
	assert(conn:send(table.concat(lines, "\r\n").."\r\n\r\n"..(options.body or "")));
	local status, headers = read_headers(conn);
	return conn, status, headers;
end

-- request(port, method, path, options) -> { status =, headers =, body =, incomplete =, largest = the largest chunk, in bytes }
function web.request(port, method, path, options)
	local conn, status, headers = web.open(port, method, path, options);
	if not status then
		conn:close();
		return { status = 0; headers = {}; body = "" };
	end
	local body, incomplete, largest = "", nil, nil;
	if method ~= "HEAD" then body, incomplete, largest = read_body(conn, headers); end
	conn:close();
	return { status = status; headers = headers; body = body or ""; incomplete = incomplete; largest = largest };
end

-- The cookie that an answer sets, as a header of the next request.
function web.cookie(answer)
	return answer.headers["set-cookie"] and answer.headers["set-cookie"]:match("^([^;]+)");
end

-- events(connection, seconds, wanted | nil) -> the messages of an event stream that come in that time, or until one has this text
function web.events(conn, seconds, wanted)
	local deadline, text = socket.gettime() + seconds, "";
	repeat
		conn:settimeout(math.max(0, deadline - socket.gettime()));
		local line = conn:receive("*l");
		local size = line and tonumber(line, 16);
		if not size or size == 0 then break; end
		text = text..(conn:receive(size) or "");
		conn:receive("*l");
	until wanted and text:find(wanted, 1, true) or socket.gettime() > deadline;
	return text;
end

return web;
