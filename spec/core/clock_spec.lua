-- A clock that may be wrong: src/lua/clock/clock.lua.

local core = require "audit_core";
local lfs = require "lfs";
local pruning = require "support.pruning";
local support = require "support.log";

local noon, day, host = support.noon, 86400, support.host;
local new_log, entry, name_of, done, shown = pruning.new_log, pruning.entry, pruning.name_of, pruning.done, pruning.shown;

for _, kind in ipairs({ "embedded", "sql", "other" }) do
	describe("a clock in doubt, with a store of the kind "..kind, function ()
		local uptime;

		-- A log under a clock that can be set without time passing.
		local function new(options)
			local log = new_log(options, kind);
			uptime = 1000000 - log.time;
			log.environment.uptime = function (at) return at + uptime, "boot"; end;
			log.environment.monotonic = function () return log.time + uptime; end;
			log.environment.clock_files = function () return {}; end;
			log.environment.heartbeat = function () end;
			log.environment.written_elsewhere = function () end;
			log.log = core.new(log.environment);
			log.audit = log.log.audit;
			return log;
		end

		local function step(log, seconds)
			log.time, uptime = log.time + seconds, uptime - seconds;
		end

		local function fill(log)
			for back = 40, 0, -10 do
				local time = noon - back * day;
				log.store:append(name_of("events", time), nil, entry("t"..back, "203.0.113.80"), time, "@");
				log.store:append(nil, nil, entry("old"..back), time, "@");
			end
		end

		it("removes, cuts and moves nothing until the clock has agreed for a day", function ()
			local log = new { audit_log_ips_expire_after = "15d" };
			assert.equal("", (done(log)));
			fill(log);
			local before = log.store:names();
			for _, seconds in ipairs({ 4000 * day, -4000 * day, -20000 * day, 20000 * day }) do
				step(log, seconds);
				local line, results = done(log);
				assert.equal("", line);
				assert.is_truthy(results.held:find("the clock has jumped", 1, true));
				-- There may be more: the jump itself is recorded.
				for name in before:gmatch("%S+") do
					assert.is_truthy((" "..log.store:names().." "):find(" "..name.." ", 1, true), name);
				end
				assert.is_truthy(shown(log):find("old0 old10 old20 old30 old40 t0 t10 t20 t30 t40", 1, true), shown(log));
			end
			log.time = log.time + day - 10;
			assert.is_truthy(select(2, done(log)).held);
			log.time = log.time + 11;
			local line, results = done(log);
			assert.is_nil(results.held);
			assert.is_truthy(line:find("events expired 4 in 2", 1, true), line);
			assert.is_truthy(line:find("events addresses", 1, true), line);
			-- Entries with other times stay.
			assert.equal(4, select(2, log:shown("--type=audit-clock-jumped"):gsub("\n%S+ [%d:]+[* ] +audit%-clock", "")));
		end);

		it("is trusted by the first prune of a process, though only the store casts doubt on it", function ()
			local log = new { audit_log_expires_after = "15d" };
			log.store:append(name_of("events", noon - 40 * day), nil, entry "t40", noon - 40 * day, "@");
			local _, results = done(log);
			assert.is_truthy(results.held:find("the last known time is", 1, true), results.held);
			log.log.close();
			log.log = core.new(log.environment);
			results = assert(log.log.prune(host, { trust_clock = true }));
			assert.is_nil(results.held);
			assert.same({ "expired", 1 }, { results[1].reason, results[1].count });
		end);

		it("stays in doubt as long as its file can't be read, which is not replaced", function ()
			local file = os.tmpname();
			local function on(log)
				log.environment.clock_path = function () return file; end;
				log.environment.schedule = function () end; -- it writes
				log.log = core.new(log.environment);
				return log;
			end
			local log = on(new { audit_log_expires_after = "15d" });
			fill(log);
			done(log);
			step(log, 4000 * day);
			assert.is_truthy(select(2, done(log)).held);
			log.log.close();
			-- The next process. The file is on a disk that is not mounted.
			os.rename(file, file..".elsewhere");
			assert(lfs.link(file..".unmounted", file, true));
			local lines = #log.lines;
			on(log);
			for _ = 1, 2 do
				local line, results = done(log);
				assert.equal("", line);
				assert.is_truthy(results.held:find("can't be read: "..file, 1, true), results.held);
			end
			assert.equal(lines + 1, #log.lines, "it is said once");
			assert.is_truthy(log.lines[#log.lines]:find("Nothing is removed", 1, true));
			log.log.close();
			assert.equal("link", lfs.symlinkattributes(file, "mode"));
			os.rename(file..".elsewhere", file..".unmounted");
			on(log);
			assert.is_truthy(select(2, done(log)).held:find("the clock has jumped", 1, true));
			log.log.close();
			os.remove(file);
			os.remove(file..".unmounted");
		end);

		it("keeps the newest entries of a class with a limit, if it goes back to a day whose partitions are gone", function ()
			local log = new { audit_log_flood = false; audit_log_classes = { things = { types = { "thing-*" }; limit = 150 } } };
			done(log);
			local function record(from, to)
				for i = from, to do log.audit(host, nil, "mod_test", "thing-"..i); end
				done(log, { limits = true });
			end
			record(1, 300);
			log.time = log.time + 60;
			step(log, 40 * day);
			record(301, 900);
			log.time = log.time + 60;
			step(log, -40 * day);
			record(901, 1200);
			local found = (" "..shown(log).." ");
			for i = 1051, 1200 do
				assert.is_truthy(found:find(" thing-"..i.." ", 1, true), i.." is missing");
			end
			assert.is_nil(found:find(" thing-300 ", 1, true));
		end);

		it("is noticed at the first event too", function ()
			local log = new();
			log.log.open(host);
			step(log, 3 * day);
			log.audit(host, nil, "mod_test", "t");
			assert.is_truthy(select(2, done(log)).held:find("the clock has jumped", 1, true));
		end);

		it("is noticed when an event is recorded, even if the clock is right again soon", function ()
			local log = new();
			done(log);
			log.audit(host, nil, "mod_test", "before");
			step(log, -20000 * day);
			log.audit(host, nil, "mod_test", "early");
			log.time = log.time + 1;
			step(log, 20000 * day);
			log.audit(host, nil, "mod_test", "after");
			log.time = log.time + 2 * day;
			assert.is_nil(select(2, done(log)).held);
			log.time = log.time + 20 * day;
			assert.is_nil(select(2, done(log)).held);
			assert.equal("after before early", shown(log));
			log.time = log.time + 10 * day;
			done(log);
			assert.equal("", shown(log));
		end);
	end);
end
