-- Requests of prosodyctl to a running server over the admin socket, with each network backend of Prosody.

local dump = require "support.dump";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;
local READINGS = 8;

server.each_series(describe, pending, function (series)
	local prosody;

	after_each(server.stop_all);

	for name, config in pairs {
		["epoll"] = { network_backend = "epoll" };
		["select"] = { network_backend = "select" };
		["libevent"] = { network_backend = "event" };
		["libevent by its old name"] = { use_libevent = true };
	} do
		it("a reading is recorded, and pruning is done, beside a server with "..name, function ()
			local problem;
			prosody, problem = server.try_start { series = series; modules = { "audit" }; config = config };
			if not prosody and tostring(problem):find("luaevent", 1, true) then
				pending("lua-event is not here");
				return;
			end
			assert.is_truthy(prosody, problem);
			for _ = 1, READINGS do
				local status, _, err = prosody:ctl("mod_audit", host, "--limit=1");
				assert.same({ 0 }, { status }, err);
				assert.is_nil(err:find("in the log", 1, true), err);
			end
			assert.equal(READINGS, #dump.of_type(prosody, host, "audit-queried"));
			local status, out = prosody:ctl("mod_audit", "--prune", host);
			assert.equal(0, status);
			assert.is_truthy(out:find(host..": nothing has expired\n", 1, true), out);
		end);
	end

	it("a server that does not answer keeps no reading waiting", function ()
		prosody = server.start { series = series; modules = { "audit" } };
		prosody:ctl("mod_audit", host);
		prosody:signal("STOP");
		local began = socket.gettime();
		local status, _, err = prosody:ctl("mod_audit", host);
		local took = socket.gettime() - began;
		prosody:signal("CONT");
		assert.equal(0, status);
		assert.is_truthy(err:find("This reading is not in the log: the server did not answer: ", 1, true), err);
		-- It waits for 2 seconds at most; the rest is for a slow machine.
		assert.is_true(took < 10, took);
	end);
end);
