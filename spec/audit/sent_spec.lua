-- Watching what is sent to a session: lua/audit/sent.lib.lua.

local module_api = require "support.module_api";

describe("watching a session", function ()
	local library, session, sent;

	local function watch(watched, look)
		local watching = {};
		library.watch(watched, look, watching);
		return function () library.stop(watching); end;
	end

	before_each(function ()
		library = library or module_api.host():library "audit/sent";
		sent = {};
		session = { send = function (...) table.insert(sent, { ... }); return "sent", 2; end };
	end);

	it("shows each stanza before it is sent, with all arguments, and returns what send() returns", function ()
		local seen = {};
		watch(session, function (_, ...)
			table.insert(seen, { ... });
			assert.equal(#sent, #seen - 1);
		end);
		assert.same({ "sent", 2 }, { session.send("a", "b") });
		session.send("c");
		assert.same({ { "a", "b" }, { "c" } }, seen);
		assert.same(seen, sent);
	end);

	it("gives the table of its caller to it", function ()
		local watching, given = { about = "a login" }, nil;
		library.watch(session, function (of) given = of; end, watching);
		session.send("a");
		assert.equal(watching, given);
		assert.same({ "a login", session }, { given.about, given.session });
	end);

	it("leaves the session as it was when it stops", function ()
		local own = session.send;
		local stop = watch(session, function () end);
		assert.is_true(session.send ~= own);
		stop();
		assert.equal(own, session.send);
	end);

	it("leaves nothing of its own in a session that inherits send()", function ()
		local inheriting = setmetatable({}, { __index = session });
		watch(inheriting, function () end)();
		assert.is_nil(rawget(inheriting, "send"));
		inheriting.send("a");
		assert.equal(1, #sent);
	end);

	it("does not take away a send() that came later", function ()
		local stop = watch(session, function () end);
		local function later() end
		session.send = later;
		stop();
		assert.equal(later, session.send);
	end);
end);
