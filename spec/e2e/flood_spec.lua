-- Floods of failed logins on real servers. Some are fired as events in the server, others come over real connections: each spec says
-- which.

local flood = require "support.flood";
local http = require "socket.http";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

server.each_series(describe, pending, function (series)
	for _, storage in ipairs { "internal", "sqlite" } do
		describe("a flood on "..storage, function ()
			local prosody;

			setup(function ()
				prosody = server.start {
					series = series; storage = { audit = storage == "sqlite" and "sql" or "internal" }; log_level = "info";
					modules = { "audit", "audit_auth", "audit_register", "http_openmetrics", "test_flood" };
					config = {
						audit_log_flood = { window = "2s" }; sql = { driver = "SQLite3"; database = "audit.sqlite" };
						authentication = "internal_plain"; allow_unencrypted_plain_auth = true; c2s_require_encryption = false;
						statistics = "internal"; statistics_interval = "manual"; openmetrics_allow_ips = { "127.0.0.1" };
					};
				};
				flood.register(prosody, "romeo");
			end);

			teardown(function () prosody:stop(); end);

			local sent = 0;

			-- The heartbeat is looked at before, as reading the log holds the loop. How late it is on a quiet machine make bench-flood
			-- measures; here it may be as late as a busy one and Prosody 0.12's timers make it, but not as late as the modules did of
			-- which a flood stopped the server for seconds.
			local function check()
				flood.calm(prosody);
				local report = flood.report(prosody);
				assert.is_true(report.worst <= 0.5, ("a heartbeat was %.1f ms late"):format(report.worst * 1000));
				local log = flood.log(prosody);
				assert.equal(sent, log.single + log.counted);
				assert.is_true(log.busiest <= 1000, log.busiest);
				assert.equal(1, log.others["user-registered"]);
				return log;
			end

			it("of 100,000 failures from one address, fired as events, is a few entries", function ()
				flood.listen(prosody);
				flood.start(prosody, 100000, 1);
				sent = sent + 100000;
				assert.is_true(flood.logins(prosody, "romeo") >= 1);
				local took = flood.report(prosody).took;
				local log = check();
				-- Five and a summary for each window.
				assert.is_true(log.single + log.summaries <= 6 * (took / 2 + 2), log.single + log.summaries);
			end);

			it("of 100,000 failures from 50,000 addresses and names, fired as events, is a few hundred", function ()
				flood.listen(prosody);
				flood.start(prosody, 100000, 50000);
				sent = sent + 100000;
				assert.is_true(flood.logins(prosody, "romeo") >= 1);
				local log = check();
				assert.is_true(log.accounts > 1000, log.accounts);
			end);

			it("over real connections, from hundreds of addresses, is counted like it", function ()
				flood.listen(prosody);
				local refused = flood.connect(prosody, 300, 7);
				assert.equal(2100, refused);
				sent = sent + refused;
				check();
			end);

			it("is seen in the metrics and in the status", function ()
				flood.start(prosody, 2000, 1);
				sent = sent + 2000;
				flood.wait(prosody);
				prosody:eval("prosody.events.fire_event('stats-update')");
				local _, status = prosody:eval("return prosody.hosts[...].modules.audit.module:get_status()", prosody.host);
				assert.matches("^%d+ events wait, %d+ suppressed in the last minute$", status);
				local body = http.request(("http://127.0.0.1:%d/metrics"):format(prosody.http_port));
				local suppressed = body:match('prosody_mod_audit__suppressed_total{[^}]*type="authentication%-failure"[^}]*} (%S+)');
				flood.calm(prosody);
				local log = flood.log(prosody);
				assert.equal(log.counted, tonumber(suppressed));
			end);

			it("that a crash interrupts is stored at the next start, marked as \"at least\"", function ()
				flood.start(prosody, 5000, 1);
				flood.wait(prosody);
				sent = sent + 5000;
				-- Written down once a second.
				socket.sleep(1.3);
				prosody:kill();
				prosody:start();
				flood.calm(prosody);
				local log = flood.log(prosody);
				assert.equal(sent, log.single + log.counted);
				assert.equal(1, log.at_least);
				local status, out = prosody:ctl({ env = { COLUMNS = "240" } }, "mod_audit", prosody.host);
				assert.equal(0, status);
				assert.matches("repeated at least %d+ times, ", out);
				-- It is not duplicated if the server is killed again before the store has it.
				prosody:kill();
				prosody:start();
				socket.sleep(1);
				log = flood.log(prosody);
				assert.same({ sent, 1 }, { log.single + log.counted, log.at_least });
			end);

			if storage ~= "internal" then return; end

			it("that is under way when the server stops is closed with it", function ()
				flood.start(prosody, 3000, 1);
				flood.wait(prosody);
				sent = sent + 3000;
				prosody:stop();
				prosody:start();
				local log = flood.log(prosody);
				assert.same({ sent, 1 }, { log.single + log.counted, log.at_least });
			end);

			it("goes on through a reload of options and modules", function ()
				flood.start(prosody, 3000, 1);
				flood.wait(prosody);
				prosody:reload();
				flood.start(prosody, 3000, 1);
				flood.wait(prosody);
				prosody:eval("require 'core.modulemanager'.reload(..., 'audit_auth')", prosody.host);
				flood.start(prosody, 3000, 1);
				flood.wait(prosody);
				sent = sent + 9000;
				flood.calm(prosody);
				local log = flood.log(prosody);
				assert.same({ sent, 1 }, { log.single + log.counted, log.at_least });
				assert.is_true(log.busiest <= 1000, log.busiest);
				assert.is_nil(prosody:log():find("traceback", 1, true));
				assert.is_truthy(process.wait_until(function ()
					return not process.read(prosody.data.."/"..prosody.host:gsub("%.", "%%2e").."/audit.flood");
				end, 5));
			end);
		end);
	end
end);
