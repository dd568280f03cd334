-- Sends each entry as a datagram, over UDP or to a Unix socket. Prosody's own connections join what is written, which would merge
-- datagrams, so these are sent by luasocket. A send never waits.
--
-- datagram(module, settings, on) -> transport; settings and on as stream.lib.lua has them, and
--   on.sent(count): the receiver took this many of them; on.busy(count): it takes no more at the moment
--   on.refused(why): it will never take the next one

local timers = library "timers";

local new_resolver = require "net.resolvers.basic".new;
local socket = require "socket";

local pcall, require, tostring = pcall, require, tostring;

-- What luasocket says if there is no room in the receiver's queue, and if a datagram is too large.
local busy = { timeout = true, ["No buffer space available"] = true, ["Resource temporarily unavailable"] = true };
local too_large = { ["Message too long"] = true };

return function (of_module, settings, on)
	local conn;
	local attempt;

	local function close()
		if conn then conn:close(); end
		conn, attempt = nil, nil;
	end

	local function failed(problem)
		close();
		on.broken(tostring(problem));
	end

	local function send(texts)
		for i = 1, #texts do
			local sent, err = conn:send(texts[i]);
			if not sent then
				if too_large[err] then
					on.sent(i - 1);
					on.refused("it is too large for a datagram");
				elseif busy[err] then
					on.sent(i - 1);
					on.busy(i - 1);
				else
					failed(err);
				end
				return;
			end
		end
		on.sent();
	end

	-- connected(socket | nil, problem)
	local function open_unix(connected)
		local ok, unix = pcall(require, "socket.unix");
		local new = ok and (type(unix) == "table" and unix.dgram);
		if not new then return connected(nil, "luasocket has no Unix sockets for datagrams"); end
		local made = new();
		made:settimeout(0);
		local done, err = made:connect(settings.path);
		if not done then
			made:close();
			return connected(nil, err);
		end
		return connected(made);
	end

	local function open_udp(connected)
		local this, is_found = {}, false;
		attempt = this;
		new_resolver(settings.host, settings.port, "udp"):next(function (kind, ip, port)
			if attempt ~= this then return; end
			attempt, is_found = nil, true;
			local made = kind and socket[kind] and socket[kind]();
			if not made then return connected(nil, "its name can't be resolved"); end
			made:settimeout(0);
			local done, err = made:setpeername(ip, port);
			if not done then
				made:close();
				return connected(nil, err);
			end
			return connected(made);
		end);
		if is_found then return; end
		timers.add(of_module, settings.timeout, function ()
			if attempt == this then failed(("no address within %g seconds"):format(settings.timeout)); end
		end);
	end

	local transport = { close = close };

	function transport.send(texts)
		if conn then return send(texts); end
		(settings.path and open_unix or open_udp)(function (made, problem)
			if not made then return failed(problem); end
			conn = made;
			send(texts);
		end);
	end

	return transport;
end
