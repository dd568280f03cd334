-- What a crash leaves while neither the store nor the journal can be written: --verify says the truth afterwards.

local crash = require "support.crash";
local outage = require "support.outage";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	local prosody, disk, why;

	after_each(function ()
		if disk then disk:heal(); end
		server.stop_all();
		if disk then disk:unmount(); end
	end);

	-- A server whose disk can be made to fail.
	local function start(storage)
		prosody = server.start { series = series; storage = storage; modules = crash.modules };
		prosody:stop();
		disk, why = outage.broken_disk(prosody);
		if disk then prosody:start(); end
		return disk;
	end

	local function record(from, count)
		crash.stream(prosody, { from = from; count = count; burst = count });
	end

	-- How many entries were verified.
	local function is_intact()
		local status, out, err = prosody:ctl("mod_audit", "--verify", host);
		assert.equal(0, status, out..err);
		return tonumber(out:match(": intact: (%d+)"));
	end

	for _, storage in ipairs { "native", "internal" } do
		it("verifies after a kill with a thousand entries in memory, on "..storage, function ()
			if not start(storage) then return pending(why); end
			record(1, 20);
			assert.is_truthy(crash.settle(prosody));
			local before = is_intact();
			-- The store takes nothing, and the journal can't be written.
			disk:fail("write EIO audit", "sync EIO audit", "open EIO audit", "write EIO events", "open EIO events");
			record(101, 1000);
			local waiting = crash.waiting(prosody);
			assert.is_true(waiting >= 900, waiting);
			prosody:kill();
			disk:heal();
			prosody:start();
			local after = is_intact();
			assert.is_true(after >= before and after < before + 100, ("%d, %d"):format(before, after));
			-- The chain goes on.
			record(2001, 10);
			assert.is_truthy(crash.settle(prosody));
			prosody:stop();
			assert.is_true(is_intact() >= after + 10);
		end);
	end
end);
