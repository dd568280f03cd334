-- Sends entries over a connection of TCP or TLS, which is made when there is something to send.
--
-- stream(module, settings, on, sslctx | nil) -> transport | nil, message
--   settings  what sink:settings() returns
--   on        { sent = function(), broken = function(problem) }
--   sslctx    the context for TLS
-- transport = { send = function(text), close = function() }. send() is called again only after on.sent().

local problems = library "sinks/problems";
local timers = library "timers";

local connect = require "net.connect".connect;
local new_resolver = require "net.resolvers.basic".new;

local pcall, tostring = pcall, tostring;

return function (of_module, settings, on, sslctx)
	local host, port = settings.host, settings.port;
	local current; -- the connection, or the attempt to make one

	local function lost(which, problem)
		if current ~= which then return; end
		current = nil;
		on.broken(problem);
	end

	local function open(text)
		local this = { text = text };
		current = this;
		local listeners = { default_port = port; default_mode = "*a" };
		function listeners.onconnect(conn)
			if current ~= this then
				conn:close();
				return;
			end
			-- Neither net.connect nor the context checks the certificate.
			local problem = sslctx and (problems.of_chain(conn) or problems.of_name(conn, host));
			if problem then
				lost(this, problem);
				conn:close();
				return;
			end
			pcall(conn.setoption, conn, "keepalive", true);
			this.conn, this.text, this.is_writing = conn, nil, true;
			conn:write(text);
		end
		function listeners.ondrain()
			if current == this and this.is_writing then
				this.is_writing = false;
				on.sent();
			end
		end
		-- Receivers of syslog have nothing to say.
		function listeners.onincoming() end
		function listeners.onreadtimeout() return true; end
		function listeners.ondisconnect(_, err)
			lost(this, err and err ~= "closed" and tostring(err) or "the receiver closed the connection");
		end
		function listeners.onfail(_, err)
			lost(this, problems.of_connection(err));
		end
		connect(new_resolver(host, port, "tcp", { servername = host }), listeners, { sslctx = sslctx }, this);
		timers.add(of_module, settings.timeout, function ()
			if current == this and not this.conn then
				lost(this, ("no connection within %g seconds"):format(settings.timeout));
			end
		end);
	end

	local transport = {};

	function transport.send(text)
		local conn = current and current.conn;
		if not conn then
			open(text);
			return;
		end
		current.is_writing = true;
		conn:write(text);
	end

	function transport.close()
		local conn = current and current.conn;
		current = nil;
		if conn then conn:close(); end
	end

	return transport;
end
