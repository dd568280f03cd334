-- Sinks over TCP and TLS: lua/audit/sinks/stream.lib.lua. Prosody's connections are stand-ins.

local module_api = require "support.module_api";

describe("a sink over a stream", function ()
	local real, real_x509, attempts, told, new, of_module;
	local settings = { host = "siem.test", port = 6514, timeout = 5 };

	before_each(function ()
		real, real_x509 = package.loaded["net.connect"], package.loaded["util.x509"];
		attempts, told = {}, {};
		package.loaded["net.connect"] = { connect = function (_, listeners, options)
			table.insert(attempts, { listeners = listeners, options = options });
		end };
		package.loaded["net.resolvers.basic"] = package.loaded["net.resolvers.basic"] or { new = function () return {}; end };
		package.loaded["util.x509"] = { verify_identity = function (name, _, certificate) return certificate == name; end };
		local host = module_api.host();
		new = host:library "sinks/stream";
		of_module = host:load("audit").module;
	end);
	after_each(function () package.loaded["net.connect"], package.loaded["util.x509"] = real, real_x509; end);

	local function open(sslctx)
		return new(of_module, settings, {
			sent = function () table.insert(told, "sent"); end;
			broken = function (problem) table.insert(told, problem); end;
		}, sslctx);
	end

	local function connection(is_trusted, certificate)
		local conn = { written = "", closed = false };
		function conn:write(text) self.written = self.written..text; end
		function conn:close() self.closed = true; end
		function conn.setoption() end
		function conn.socket()
			return {
				getpeerverification = function () return is_trusted, { { "self-signed" } }; end;
				getpeercertificate = function () return certificate; end;
			};
		end
		return conn;
	end

	it("connects once, and sends the next batch when the one before was taken", function ()
		local transport = open();
		transport.send("one ");
		local conn, listeners = connection(), attempts[1].listeners;
		listeners.onconnect(conn);
		listeners.ondrain(conn);
		listeners.ondrain(conn);
		transport.send("two ");
		listeners.ondrain(conn);
		assert.same({ "one two ", 1, { "sent", "sent" } }, { conn.written, #attempts, told });
		assert.is_true(listeners.onreadtimeout(conn));
		listeners.ondisconnect(conn, "closed");
		transport.send("three ");
		assert.same({ 2, "the receiver closed the connection" }, { #attempts, told[3] });
	end);

	it("sends nothing to an end whose certificate is not trusted, or is for another name", function ()
		local transport = open("context");
		for _, case in ipairs {
			{ false, "siem.test", "its certificate is not trusted: self-signed" }, { true, "x.test", "its certificate is not for siem.test" };
		} do
			transport.send("one ");
			local conn = connection(case[1], case[2]);
			attempts[#attempts].listeners.onconnect(conn);
			assert.same({ "", true, case[3] }, { conn.written, conn.closed, told[#told] });
		end
		transport.send("one ");
		local conn = connection(true, "siem.test");
		attempts[3].listeners.onconnect(conn);
		assert.same({ "one ", "context" }, { conn.written, attempts[3].options.sslctx });
	end);

	it("gives up a connection that takes too long, and closes it if it comes later", function ()
		module_api.pass(10); -- attempts of other tests
		told = {};
		open().send("one ");
		module_api.pass(6);
		assert.same({ "no connection within 5 seconds" }, told);
		local conn = connection();
		attempts[1].listeners.onconnect(conn);
		assert.same({ "", true }, { conn.written, conn.closed });
		open().send("one ");
		attempts[2].listeners.onfail(nil, "unable to resolve service");
		assert.equal("its name can't be resolved", told[2]);
	end);
end);
