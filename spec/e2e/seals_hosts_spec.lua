-- Seals on a server with many hosts: they hold the loop for a short time, and all logs verify. make soak-seals has 200 hosts, and waits
-- until the server seals by itself:
--   AUDIT_SEALS_HOSTS=N       how many hosts; default 20
--   AUDIT_SEALS_TIMES=N       how often it seals by itself, soon after the start and then once a minute; default 0

local process = require "support.process";
local server = require "support.server";

local COUNT = tonumber(os.getenv("AUDIT_SEALS_HOSTS") or 20);
local TIMES = tonumber(os.getenv("AUDIT_SEALS_TIMES") or 0);
-- How long one turn of the loop may work, in seconds of CPU. This counts the thread that writes the seal file, too. The time by the clock
-- is that of the disk and of others on the machine. That it is done in slices is in spec/audit/sealing_spec.lua.
local LONGEST = 0.25;

local names = {};
for i = 1, COUNT do names[i] = ("host%03d.example.test"):format(i); end

server.each_series(describe, pending, function (series)
	local prosody;

	after_each(server.stop_all);

	-- Records entries on each host, in turns that are short themselves.
	local function record(count)
		for i = 1, count do
			for from = 1, COUNT, 20 do
				prosody:eval([[
					local names, i = ...;
					for _, name in ipairs(names) do
						assert(module:context(name):audit("user"..i.."@"..name, "thing-happened", { session = { id = "c2s"..i, ip = "203.0.113."..i } }));
					end
				]], table.move(names, from, math.min(from + 19, COUNT), 1, {}), i);
			end
		end
	end

	-- Does something, and looks for how long the loop was held meanwhile.
	local function watch(what, run)
		prosody:eval("module:shared('/*/loop_watch/watch').reset()");
		run();
		local held, worked = prosody:eval("local watch = module:shared('/*/loop_watch/watch'); return watch.longest, watch.busiest");
		print(("%s, %d hosts, %s: the loop was held for %.1f ms at most, for %.1f ms of CPU"):format(series, COUNT, what, held * 1000, worked * 1000));
		assert.is_true(worked < LONGEST, what);
	end

	local function new_seal(...)
		local status, out, err = prosody:ctl("mod_audit", "--new-seal", ...);
		assert.equal(0, status, out..err);
		return out;
	end

	-- How many hosts the server has sealed since a time.
	local function sealed(since)
		return prosody:eval([[
			local names, since = ...;
			local sealing, count = module:shared("/*/audit/log").sealing, 0;
			for _, name in ipairs(names) do
				if (sealing.state(name).at or 0) > since then count = count + 1; end
			end
			return count;
		]], names, since);
	end

	it("hold the loop for a short time, and all logs verify", function ()
		prosody = server.start {
			series = series; hosts = names; modules = { "audit", "loop_watch" };
			base_modules = { "admin_socket", "admin_shell", "harness" };
			plugin_paths = { process.root.."/lua", process.root.."/benches/modules" };
			config = { audit_log_seal_interval = "60s" };
			-- A busy machine takes long to start many hosts, and this is not about that.
			log_level = "info"; start_timeout = 120 + 2 * COUNT; eval_timeout = 120;
		};
		local keys = {};
		watch("first key", function () keys[1] = new_seal(); end);
		record(2);
		for i = 1, TIMES do
			watch("seals of an interval", function ()
				local since = prosody:eval("return require 'util.time'.now()");
				record(1);
				assert.is_truthy(process.wait_until(function () return sealed(since) == COUNT; end, 90, 0.5), "interval "..i);
			end);
		end
		watch("another key", function () keys[2] = new_seal("--yes"); end);
		record(1);
		prosody:kill();
		prosody:start();
		record(1);
		prosody:stop();
		local status, out, err = prosody:ctl({ stdin = table.concat(keys) }, "mod_audit", "--verify", "--seal-key");
		assert.equal(0, status, out..err);
		assert.equal(COUNT, select(2, out:gsub(": intact: ", "")));
		-- One for each key, one at the end of the first, and one when the server stopped.
		local _, complete = out:gsub("\nsealed: (%d+) seals", function (count) return tonumber(count) >= 4 + TIMES and "" or nil; end);
		assert.equal(COUNT, complete);
	end);
end);
