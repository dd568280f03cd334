-- Sends entries as the bodies of HTTP requests, one after the other.
--
-- http(module, settings, on, sslctx | nil) -> transport; settings as stream.lib.lua has them, and
--   on = { answered = function(status, Retry-After | nil), failed = function(problem) }

local problems = library "sinks/problems";
local timers = library "timers";

local http = require "net.http";

local io_open, pairs, pcall = io.open, pairs, pcall;

-- The token in a file: text | nil, message. It is read each time, as it may be replaced.
local function read_token(path)
	local file, err = io_open(path);
	if not file then return nil, "the token can't be read: "..err; end
	local token = file:read("*l");
	file:close();
	token = token and token:match("^%s*(.-)%s*$") or "";
	if token == "" or token:find("%c") then return nil, "there is no token in "..path; end
	return token;
end

return function (of_module, settings, on, sslctx)
	local client = http.new { sslctx = sslctx or nil; suppress_errors = true };
	local current;

	local function headers_of(settings_headers)
		local headers = { ["Content-Type"] = settings.content_type };
		for name, text in pairs(settings_headers) do headers[name] = text; end
		headers["Content-Encoding"] = settings.content_encoding or headers["Content-Encoding"];
		if settings.token_file then
			local token, err = read_token(settings.token_file);
			if not token then return nil, err; end
			headers["Authorization"] = "Bearer "..token;
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

	local transport = {};

	function transport.send(body)
		local headers, err = headers_of(settings.headers);
		if not headers then return on.failed(err); end
		local this = {};
		current = this;
		local function answer(text, status, response)
			if current ~= this then return; end
			current = nil;
			if not status or status == 0 then
				on.failed(problem_of(text, response));
			else
				local of_response = response and response.headers;
				on.answered(status, of_response and of_response["retry-after"]);
			end
		end
		-- A URL may have a secret in it, which must not be in the server's log.
		local ok, request = pcall(client.request, client, settings.url, {
			id = "audit-sink-"..settings.name; suppress_url = true; method = "POST"; headers = headers; body = body; suppress_errors = true;
		}, answer);
		if not ok then
			return answer("the request can't be made", 0);
		end
		this.request = request;
		timers.add(of_module, settings.timeout, function ()
			if current ~= this then return; end
			answer(("no answer within %g seconds"):format(settings.timeout), 0);
			if request then http.destroy_request(request, true); end
		end);
	end

	function transport.close()
		local request = current and current.request;
		current = nil;
		if request then http.destroy_request(request, true); end
	end

	return transport;
end
