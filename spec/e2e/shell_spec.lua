-- The log in Prosody's shell: as commands with help on 13, as functions on 0.12.

local server = require "support.server";

local host = server.default_host;

local function count(text, pattern)
	return (select(2, text:gsub(pattern, "")));
end

server.each_series(describe, pending, function (series)
	describe("the shell", function ()
		local prosody;

		lazy_setup(function ()
			prosody = server.start {
				series = series; modules = { "audit" }; storage = "sqlite"; config = "audit_log_expires_after = 3600\ncron_initial_delay = 3600";
			};
			prosody:eval([[
				local context = module:context(...);
				for i = 1, 150 do context:audit("juliet@"..(...), "thing-"..i % 2, { session = { ip = "203.0.113."..i } }); end
				flush_audit_log();
				local store = context:open_store("audit", "archive");
				store:append("@events.2020-01-01", nil, require "util.stanza".stanza("audit-event", { type = "expired" }), 1577880000, "@");
			]], host);
		end);

		lazy_teardown(function ()
			if prosody then prosody:stop(); end
		end);

		-- As a person types it: on 13 also as arguments.
		local function ask(command, target, ...)
			if series == "0.12" then
				local list = {};
				for i, argument in ipairs({ target, ... }) do list[i] = ("%q"):format(argument); end
				return prosody:shell(("audit:%s(%s)"):format(command, table.concat(list, ", ")));
			end
			return prosody:ctl("shell", "audit", command, target, ...);
		end

		it("shows matching entries, newest first, and where the next page begins", function ()
			local status, out, err = ask("show", "juliet@"..host, "--type=thing-1", "--limit=10");
			assert.equal(0, status, err);
			assert.equal(10, count(out, "thing%-1"), out);
			assert.equal(1, count(out, "TIME"));
			assert.is_truthy(out:find("203.0.113.149.*203.0.113.147"), out);
			local after = out:match("%-%-after=(%S+)");
			out = select(2, ask("show", "juliet@"..host, "--type=thing-1", "--limit=10", "--after="..after));
			assert.is_truthy(out:find("203.0.113.129.*203.0.113.127"), out);
			assert.is_nil(out:find("203.0.113.131", 1, true));
			out = select(2, ask("show", host, "--format=json", "--limit=1", "--ip=203.0.113.4"));
			assert.is_truthy(out:find('"ip":"203.0.113.4"', 1, true), out);
		end);

		it("has a default limit", function ()
			local _, out = ask("show", host, "--type=thing-*");
			assert.equal(100, count(out, "thing%-"), out);
		end);

		it("shows totals", function ()
			local status, out = ask("stats", host, "--type=thing-*");
			assert.equal(0, status);
			assert.is_truthy(out:find("thing-0", 1, true) and out:find("150", 1, true), out);
		end);

		it("prunes", function ()
			local status, out = ask("prune", host);
			assert.equal(0, status);
			assert.is_truthy(out:find("of class events that have expired, from 2020-01-01", 1, true), out);
		end);

		it("refuses wrong arguments", function ()
			for _, case in ipairs({
				{ { "show", host, "--since=soon" }, "--since is \"soon\"" };
				{ { "show", "nowhere.test" }, "Unknown host: nowhere.test" };
				{ { "prune", "nowhere.test" }, "Unknown host: nowhere.test" };
			}) do
				local _, out, err = ask(table.unpack(case[1]));
				assert.is_truthy((out..err):find(case[2], 1, true), out..err);
			end
			local _, out, err = ask("show", host, "--output=x");
			assert.is_truthy((out..err):find("output", 1, true), out..err);
		end);

		it("has help", function ()
			local _, out = prosody:shell(series == "0.12" and "audit:help()" or "help audit");
			for _, name in ipairs({ "show", "stats", "prune" }) do assert.is_truthy(out:find("audit[: ]"..name), out); end
		end);

		it("leaves an entry for each reading", function ()
			local _, out = ask("show", host, "--type=audit-queried", "--text=thing-1", "--actor=admin-shell", "--limit=50", "--format=json");
			assert.equal(2, count(out, "\"audit%-queried\""), out);
			assert.equal(2, count(out, "\"query.through\":\"shell\""), out);
		end);

		it("lets others go first", function ()
			prosody:eval([[
				local context, log = module:context(...), module:shared("/*/audit/log").log;
				for i = 1, 6000 do context:audit("romeo@"..(...), "bulk"); end
				flush_audit_log();
			]], host);
			-- The longest that the loop is held by a reading of all, measured by a timer that wants to run always. In CPU time: the
			-- machine may have others to care for.
			local longest, entries = prosody:eval([[
				local host = ...;
				local time, async = require "util.time", require "util.async";
				local core, log = require "audit_core", module:shared("/*/audit/log").log;
				local longest, last, running = 0, os.clock(), true;
				module:add_timer(0, function ()
					local now = os.clock();
					longest, last = math.max(longest, now - last), now;
					return running and 0 or nil;
				end);
				local wait, done = async.waiter();
				local result;
				async.runner(function ()
					local function pause()
						local go_on, ready = async.waiter();
						module:add_timer(0, ready);
						go_on();
					end
					pause();
					longest = 0;
					local asked = core.command({ host, "--user=romeo" }, time.now()).asked;
					result = log.read(asked, function () end, { pause = pause });
					pause();
					running = false;
					done();
				end):run(true);
				wait();
				return longest, result.shown;
			]], host);
			assert.equal(6000, entries);
			-- 20 ms, and half as much again for a processor that is shared.
			assert.is_true(longest < 0.03, longest);
		end);
	end);
end);
