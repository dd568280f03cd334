-- Sinks that get datagrams: lua/audit/sinks/datagram.lib.lua. The receivers are real sockets.

local module_api = require "support.module_api";
local process = require "support.process";
local socket = require "socket";
local unix = require "socket.unix";

describe("a sink of datagrams", function ()
	local new, of_module, told, on, receiver, transport;

	before_each(function ()
		local host = module_api.host();
		new, of_module = host:library "sinks/datagram", host:load("audit").module;
		told = {};
		on = {};
		for _, name in ipairs { "sent", "busy", "broken", "refused" } do
			on[name] = function (what) table.insert(told, name.." "..tostring(what)); end;
		end
	end);
	after_each(function ()
		if transport then transport.close(); end
		if receiver then receiver:close(); end
		receiver, transport = nil, nil;
	end);

	local function listen_unix()
		local path = process.new_folder("sink").."/socket";
		receiver = unix.dgram();
		assert(receiver:bind(path));
		receiver:settimeout(1);
		return path;
	end

	it("sends each entry for itself over UDP", function ()
		receiver = socket.udp();
		receiver:setsockname("127.0.0.1", 0);
		receiver:settimeout(1);
		local _, port = receiver:getsockname();
		transport = new(of_module, { host = "127.0.0.1", port = tonumber(port), timeout = 5 }, on);
		transport.send { "one", "two" };
		assert.same({ "one", "two" }, { receiver:receive(), receiver:receive() });
		assert.same({ "sent nil" }, told);
	end);

	it("sends to a Unix socket as much as it takes, without waiting", function ()
		transport = new(of_module, { path = listen_unix(), timeout = 5 }, on);
		local many = {};
		for i = 1, 5000 do many[i] = "entry "..i; end
		transport.send(many);
		local sent = tonumber(told[1]:match("^sent (%d+)$"));
		assert.is_true(sent > 0 and sent < 5000);
		assert.equal("busy "..sent, told[2]);
		for i = 1, sent do assert.equal("entry "..i, receiver:receive()); end
		transport.send { "one more" };
		assert.equal("sent nil", told[3]);
	end);

	it("says that a datagram is too large", function ()
		transport = new(of_module, { path = listen_unix(), timeout = 5 }, on);
		transport.send { "one", ("x"):rep(10 * 1024 * 1024), "two" };
		assert.same({ "sent 1", "refused it is too large for a datagram" }, told);
	end);

	it("says that nobody is there", function ()
		transport = new(of_module, { path = "/nonexistent/socket", timeout = 5 }, on);
		transport.send { "one" };
		assert.equal(1, #told);
		assert.is_truthy(told[1]:find("^broken "));
	end);
end);
