-- A clock that is wrong for a while, on real servers: no entry is removed because of it, and it is reported.

local clock = require "support.clock";
local dump = require "support.dump";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local day = 86400;

if not clock.available() then
	pending("a clock that is wrong: libfaketime is not here");
	return;
end

local with_limit = {
	audit_log_flood = false;
	audit_log_classes = { limited = { types = { "limited-*" }; limit = 200; expires_after = "never" } };
};

-- Records `count` numbered events of a type.
local function record(prosody, event_type, count)
	prosody:eval([[
		local host, event_type, count = ...;
		for i = 1, count do assert(module:context(host):audit(nil, event_type.."-"..i)); end
		flush_audit_log();
	]], host, event_type, count);
end

-- Stores an entry with the time of that many days ago, by the current clock.
local function seed(prosody, class, event_type, ago)
	prosody:eval([[
		local host, class, event_type, ago = ...;
		local st = require "util.stanza";
		local when = os.time() - ago * 86400;
		local store = require "core.storagemanager".open(host, "audit", "archive");
		assert(store:append("@"..class.."."..os.date("!%Y-%m-%d", when), nil,
			st.stanza("audit-event", { source = "mod_test", type = event_type }), when, "@"));
	]], host, class, event_type, ago);
end

local function prune(prosody)
	return prosody:eval([[
		local host = ...;
		local results, problem = module:shared("/*/audit/log").log.prune(host, { settle = 0, wait = true });
		return results and (results.held or "done") or problem;
	]], host);
end

-- How many entries of a type are stored, whatever follows in its name.
local function stored(prosody, event_type)
	local count = 0;
	for _, entry in ipairs(dump.entries(prosody, host)) do
		count = count + (entry.type:find(event_type, 1, true) == 1 and 1 or 0);
	end
	return count;
end

local function shown(prosody, event_type)
	local status, out, err = prosody:ctl({ env = { COLUMNS = "200" } }, "mod_audit", "--type", event_type, host);
	assert.equal(0, status, err);
	return select(2, out:gsub("\n%S+ [%d:]+[* ] +%S+", ""));
end

local function lines(prosody, text)
	return select(2, prosody:log():gsub(text:gsub("%p", "%%%0"), ""));
end

server.each_series(describe, pending, function (series)
	for _, storage in ipairs({ "internal", "sqlite" }) do
		describe("a clock that is wrong, with "..storage, function ()
			local prosody, wrong;

			local function start(config)
				wrong = clock.new();
				prosody = server.start { series = series; storage = storage; modules = { "audit", "audit_status" }; config = config; env = wrong.env };
			end

			-- Stops the server, and starts it when the clock shows something else.
			local function start_at(time, options)
				prosody:stop();
				if prosody.shows then
					wrong:date_files(prosody.data, prosody.shows);
				end
				wrong:set(time and "@"..os.date("!%Y-%m-%d %H:%M:%S", time));
				prosody.shows = time;
				prosody:start(options);
			end

			after_each(server.stop_all);

			it("removes nothing at a start in a later year, nor when it is corrected", function ()
				start();
				record(prosody, "kept", 20);
				seed(prosody, "events", "kept-before", 10);
				seed(prosody, "events", "gone", 40);
				for _, time in ipairs({ os.time { year = 2035, month = 1, day = 1 }, false }) do
					start_at(time or nil);
					assert.is_truthy(prune(prosody):find("the clock", 1, true));
					assert.equal(21, stored(prosody, "kept"));
					assert.equal(1, stored(prosody, "gone"), "also what has expired");
					assert.equal(21, shown(prosody, "kept-*"));
				end
				assert.equal(2, lines(prosody, "Nothing is removed from the audit log of "..host..": the clock"));
				assert.equal(2, stored(prosody, "audit-clock-jumped"));
				local jump = dump.of_type(prosody, host, "audit-clock-jumped");
				local years = {};
				for i, entry in ipairs(jump) do
					years[i] = entry:child("clock").attr.expected:sub(1, 4).." "..entry:child("clock").attr.shown:sub(1, 4);
				end
				table.sort(years);
				assert.same({ os.date("!%Y").." 2035", "2035 "..os.date("!%Y") }, years);

				-- Pruning continues when the clock has agreed for long enough.
				start_at(nil, { config = { audit_log_clock_trust = "3s" } });
				assert.is_truthy(process.wait_until(function () return stored(prosody, "gone") == 0; end, 30));
				assert.equal(21, stored(prosody, "kept"));
				assert.equal(1, lines(prosody, "The clock has agreed for long enough"));
				assert.equal(2, stored(prosody, "audit-clock-jumped"));
			end);

			it("keeps what it recorded in 1970 as long as other entries", function ()
				start();
				record(prosody, "kept", 5);
				start_at(60);
				record(prosody, "early", 7);
				assert.is_truthy(prune(prosody):find("the clock", 1, true));
				start_at(nil);
				assert.is_truthy(prune(prosody):find("the clock", 1, true));
				seed(prosody, "events", "gone", 40);
				assert.equal(7, shown(prosody, "early-*"));
				local status, out, err = prosody:ctl("mod_audit", "--prune", host);
				assert.equal(0, status, err);
				assert.is_truthy(out:find("expired entries are not removed, as the clock", 1, true), out);
				assert.equal(1, stored(prosody, "gone"));
				status, out, err = prosody:ctl("mod_audit", "--prune", "--trust-clock", host);
				assert.equal(0, status, err);
				assert.is_truthy(out:find("removed 1 entries of class events", 1, true), out);
				assert.equal(1, #dump.of_type(prosody, host, "audit-clock-trusted"));
				assert.equal("done", prune(prosody));
				assert.same({ 7, 5, 0 }, { stored(prosody, "early"), stored(prosody, "kept"), stored(prosody, "gone") });
				assert.equal(7, shown(prosody, "early-*"));
				prosody:restart();
				assert.equal("done", prune(prosody));
				assert.equal(7, stored(prosody, "early"));
			end);

			it("keeps what an empty log has recorded in 1970", function ()
				start();
				prosody:stop();
				process.run("rm -rf "..process.quote(prosody.data).."/*");
				wrong:set("@1970-01-01 00:01:00");
				prosody:start();
				record(prosody, "early", 7);
				start_at(nil);
				assert.is_truthy(prune(prosody):find("the clock", 1, true));
				assert.equal(7, stored(prosody, "early"));
				assert.equal(7, shown(prosody, "early-*"));
			end);

			it("notices that a running server is 40 days ahead, and removes nothing of another class", function ()
				start(with_limit);
				record(prosody, "kept", 20);
				record(prosody, "limited", 150);
				wrong:set("+40d");
				record(prosody, "limited-ahead", 150);
				require "socket".sleep(3);
				assert.is_truthy(prune(prosody):find("the clock has jumped", 1, true));
				wrong:set();
				record(prosody, "limited-after", 50);
				assert.is_truthy(prune(prosody):find("the clock has jumped", 1, true));
				assert.equal(20, stored(prosody, "kept"));
				-- A limit does not depend on the clock: the entries that were written last stay.
				assert.equal(150, stored(prosody, "limited-ahead"));
				assert.equal(50, stored(prosody, "limited-after"));
				assert.is_true(lines(prosody, "Nothing is removed from the audit log of "..host..": the clock has jumped") >= 2);
			end);

			it("keeps the newest of a class with a limit after an excursion to a later year", function ()
				start(with_limit);
				record(prosody, "limited-before", 120);
				start_at(os.time() + 4000 * day);
				record(prosody, "limited-ahead", 250);
				prune(prosody);
				start_at(nil);
				for i = 1, 4 do
					record(prosody, "limited-after"..i, 60);
					prune(prosody);
					assert.equal(60, stored(prosody, "limited-after"..i), "round "..i);
				end
				-- The last 20 lie in a partition with later ones.
				assert.is_true(stored(prosody, "limited-before") <= 20, "the oldest have gone");
				local _, out = prosody:ctl("mod_audit", "--prune", "--trust-clock", host);
				record(prosody, "limited-last", 60);
				prune(prosody);
				assert.equal(60, stored(prosody, "limited-last"), out);
				assert.is_true(stored(prosody, "limited-after") >= 140, "so many of the newest stay");
				assert.is_true(stored(prosody, "limited") <= 400);
			end);

			it("is noticed by prosodyctl too, while the server is stopped", function ()
				start();
				record(prosody, "kept", 3);
				seed(prosody, "events", "gone", 40);
				prosody:stop();
				wrong:set("+400d");
				local status, out, err = prosody:ctl("mod_audit", "--prune", host);
				assert.equal(0, status, err);
				assert.is_truthy(out:find("expired entries are not removed, as the clock", 1, true), out);
				assert.equal(3, shown(prosody, "kept-*"));
				wrong:set();
				_, out = prosody:ctl("mod_audit", "--prune", "--trust-clock", host);
				assert.is_truthy(out:find("removed 1 entries of class events", 1, true), out);
				prosody:start();
				assert.equal(3, stored(prosody, "kept"));
				assert.equal(1, #dump.of_type(prosody, host, "audit-clock-trusted"));
				assert.is_true(#dump.of_type(prosody, host, "audit-clock-jumped") >= 1);
			end);

			it("is right after a long outage, if something else was written lately under it", function ()
				if tonumber(process.read("/proc/uptime"):match("^[%d.]+")) < 330 then
					pending("what is written while a machine starts says nothing, and this one was started just now");
					return;
				end
				wrong = clock.new();
				wrong:set("-60d");
				prosody = server.start { series = series; storage = storage; modules = { "audit", "audit_status" }; env = wrong.env };
				record(prosody, "gone", 5);
				prosody:stop();
				wrong:date_files(prosody.data, os.time() - 60 * day);
				wrong:set();
				-- Whose configuration is written now.
				prosody:start();
				assert.equal("done", prune(prosody));
				assert.equal(0, stored(prosody, "gone"));
				assert.equal(0, stored(prosody, "audit-clock"));
			end);

			it("is trusted if it continues, over restarts and after a small step", function ()
				start();
				seed(prosody, "events", "gone", 40);
				for _, offset in ipairs({ "+0", "+300s", "-300s" }) do
					wrong:set(offset);
					assert.equal("done", prune(prosody));
					prosody:restart();
					assert.equal("done", prune(prosody));
				end
				assert.equal(0, stored(prosody, "gone"));
				assert.equal(0, stored(prosody, "audit-clock"));
			end);
		end);
	end
end);
