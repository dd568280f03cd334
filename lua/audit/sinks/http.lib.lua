-- Sends entries as the bodies of HTTP requests, one after the other. They use the same connection as long as the receiver keeps it.
--
-- http(module, settings, on, sslctx | nil) -> transport; settings as stream.lib.lua has them, and
--   on = { answered = function(status, Retry-After | nil, body | nil), failed = function(problem) }. settings.sign(secret, body) returns
-- the headers of a signature | nil, message

local problems = library "sinks/problems";
local timers = library "timers";

local http = require "net.http";
local monotonic = require "util.time".monotonic;

local io_open, pairs, pcall, type = io.open, pairs, pcall, type;

-- How long a connection is kept that is not used, in seconds. What is between the server and the receiver may forget it after a while
-- without telling anybody.
local KEPT = 15;

-- What is in a file that has a token or a secret: text | nil, message. It is read each time, as it may be replaced.
local function read_secret(what, path)
	local file, err = io_open(path);
	if not file then return nil, "the "..what.." can't be read: "..err; end
	local secret = file:read("*l");
	file:close();
	secret = secret and secret:match("^%s*(.-)%s*$") or "";
	if secret == "" or secret:find("%c") then return nil, "there is no "..what.." in "..path; end
	return secret;
end

-- Whether the receiver keeps the connection for another request (RFC 9112 §9.3), and the end of its answer is known.
local function is_kept(response)
	local options = (","..(response.headers.connection or "")..","):lower():gsub("%s", "");
	local is_wanted = response.httpversion == "1.1" and not options:find(",close,", 1, true) or options:find(",keep-alive,", 1, true);
	return is_wanted and (response.body_length or response.chunked);
end

return function (of_module, settings, on, sslctx)
	-- COMPAT 0.12 has no pool, and closes the connection after each request.
	local client = http.new { sslctx = sslctx or nil; suppress_errors = true; connection_pooling = true };
	local current; -- the request without an answer, with the time until which it may have one
	local is_timed = false; -- whether expire() runs
	local kept, kept_at, is_watched; -- the connection in the pool, since when it is there, and whether watch() runs

	local function drop()
		local conn = kept;
		kept = nil;
		if conn then conn:close(); end
	end

	local function watch()
		local left = kept and kept_at + KEPT - monotonic();
		if left and left > 0 then return left; end
		is_watched = false;
		drop();
	end

	-- Puts the connection of a request into the pool, or closes it. COMPAT Prosody 13.0 closes the connections that the receiver keeps,
	-- and puts the others into the pool. If the request has no connection any more, it does nothing.
	local function keep(request, response)
		local conn, pool = request.conn, client.pool;
		if not conn or type(pool) ~= "table" then return; end
		if not response or not is_kept(response) then return http.destroy_request(request, true); end
		local id = request.scheme.."://"..request.authority;
		request.conn, pool[id], pool[conn] = nil, conn, id;
		kept, kept_at = conn, monotonic();
		-- What is sent now need not wait until the receiver has confirmed what was sent before.
		pcall(conn.setoption, conn, "tcp-nodelay", true);
		if not is_watched then
			is_watched = true;
			timers.add(of_module, KEPT, watch);
		end
	end

	local function headers_of(settings_headers, body)
		local headers = { ["Content-Type"] = settings.content_type };
		for name, text in pairs(settings_headers) do headers[name] = text; end
		headers["Content-Encoding"] = settings.content_encoding or headers["Content-Encoding"];
		if settings.token_file then
			local token, err = read_secret("token", settings.token_file);
			if not token then return nil, err; end
			headers["Authorization"] = "Bearer "..token;
		end
		if settings.sign_file then
			local secret, err = read_secret("secret", settings.sign_file);
			local signed, problem;
			if secret then signed, problem = settings.sign(secret, body); end
			if not signed then return nil, err or problem; end
			for name, text in pairs(signed) do headers[name] = text; end
		end
		return headers;
	end

	-- What went wrong, from what net.http calls it. It has checked the certificate before it sends anything.
	local function problem_of(text, request)
		if text == "certificate-chain-invalid" then
			return request and request.conn and problems.of_chain(request.conn) or "its certificate is not trusted";
		elseif text == "certificate-verify-failed" then
			return "its certificate is not for "..(request and request.host or "this name");
		end
		return problems.of_connection(text);
	end

	-- One timer for all requests: a timer of each would keep what was sent until it is due, and Lua's garbage collector takes longer
	-- for it.
	local function expire()
		local left = current and current.due - monotonic();
		if left and left > 0 then return left; end
		is_timed = false;
		if not left then return; end
		local request = current.request;
		current = nil;
		on.failed(("no answer within %g seconds"):format(settings.timeout));
		if request then http.destroy_request(request, true); end
	end

	-- Sends a request. A receiver may close a connection at the moment at which it is used again. That is no failure: the request is
	-- sent again over a new one.
	local function send(body, headers)
		local this, reusable = { due = monotonic() + settings.timeout }, kept;
		current, kept = this, nil;
		local function failed(problem)
			current = nil;
			on.failed(problem);
		end
		local function answer(text, status, response, request)
			if current ~= this then return; end
			if not status or status == 0 then
				local problem = problem_of(text, response);
				if response then keep(response); end
				if this.is_reused then return send(body, headers); end
				return failed(problem);
			end
			current = nil;
			if request then keep(request, response); end
			on.answered(status, response and response.headers and response.headers["retry-after"], text);
		end
		-- A URL may have a secret in it, which must not be in the server's log.
		local ok, request = pcall(client.request, client, settings.url, {
			id = "audit-sink-"..settings.name; suppress_url = true; method = "POST"; headers = headers; body = body; suppress_errors = true;
		}, answer);
		if current ~= this then return; end
		if not ok then return failed("the request can't be made"); end
		this.request, this.is_reused = request, request and reusable and request.conn == reusable;
		if not is_timed then
			is_timed = true;
			timers.add(of_module, settings.timeout, expire);
		end
	end

	local transport = {};

	function transport.send(body)
		local headers, err = headers_of(settings.headers, body);
		if not headers then return on.failed(err); end
		send(body, headers);
	end

	function transport.close()
		local request = current and current.request;
		current = nil;
		if request then http.destroy_request(request, true); end
		drop();
	end

	return transport;
end
