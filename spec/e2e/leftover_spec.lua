-- The log of a host that was taken out of the configuration.

local process = require "support.process";
local server = require "support.server";

local host, old, older = server.default_host, "old.test", "b\u{fc}cher.test";

server.each_series(describe, pending, function (series)
	for _, storage in ipairs { "internal", "sqlite" } do
		describe("the log of a host that is no more, in "..storage, function ()
			local prosody;

			setup(function ()
				prosody = server.start {
					series = series; modules = { "audit" }; storage = storage; hosts = { host, old, older };
					config = "audit_log_expires_after = \"7d\"";
				};
				prosody:eval([[
					local old, older = ...;
					local st = require "util.stanza";
					module:context(old):audit("romeo@"..old, "kept-entry");
					module:context(older):audit("romeo@"..older, "kept-entry");
					flush_audit_log();
					local at = os.time() - 6 * 86400;
					module:context(old):open_store("audit", "archive"):append("@events."..os.date("!%Y-%m-%d", at), nil,
						st.stanza("audit-event", { source = "mod_x"; type = "old-entry"; user = "juliet@"..old }), at, "juliet@"..old);
				]], old, older);
				prosody:stop();
				prosody:start { hosts = { host } };
			end);

			teardown(function ()
				if prosody then prosody:stop(); end
			end);

			it("is named once when the server starts", function ()
				assert.is_truthy(prosody:wait_log("logs of hosts that are not configured: ", 60));
				local _, times = prosody:log():gsub("logs of hosts that are not configured: ", "");
				assert.equal(1, times);
				local names = prosody:log():match("not configured: ([^\n]-)%. ");
				assert.is_truthy(names == older..", "..old or names == old..", "..older, names);
			end);

			it("is read on request, with the server running and stopped", function ()
				local function check()
					local status, out, err = prosody:ctl("mod_audit", old);
					assert.same({ 1, "" }, { status, out });
					assert.is_truthy(err:find("--host-data reads what is left of its log", 1, true), err);
					status, out, err = prosody:ctl("mod_audit", "--host-data", "romeo@"..old:upper());
					assert.equal(0, status, err);
					assert.is_truthy(out:find("kept-entry", 1, true), out);
					assert.is_nil(out:find("old-entry", 1, true));
					status, out, err = prosody:ctl("mod_audit", "--host-data", "xn--bcher-kva.test", "--format=json");
					assert.equal(0, status, err);
					assert.is_truthy(out:find("kept-entry", 1, true), out);
				end
				check();
				-- The reading is recorded in it.
				local _, out = prosody:ctl("mod_audit", "--host-data", "--type=audit-queried", old);
				assert.is_truthy(out:find("through=prosodyctl", 1, true), out);
				prosody:stop();
				check();
				prosody:start();
			end);

			it("is pruned on request", function ()
				prosody:reload { config = "audit_log_expires_after = \"2d\"" };
				local status, out, err = prosody:ctl("mod_audit", "--host-data", "--prune", old);
				assert.equal(0, status, err);
				assert.is_truthy(out:find("removed 1 entries of class events", 1, true), out);
				status, out = prosody:ctl("mod_audit", "--host-data", "--prune", old);
				assert.same({ 0, old..": nothing has expired\n" }, { status, out });
				_, out = prosody:ctl("mod_audit", "--host-data", old);
				assert.is_truthy(out:find("kept-entry", 1, true), out);
			end);

			it("is refused for a host that is configured, or that never was", function ()
				local status, out, err = prosody:ctl("mod_audit", "--host-data", host);
				assert.same({ 1, "", host.." is configured: name it without --host-data\n" }, { status, out, err });
				status, out, err = prosody:ctl("mod_audit", "--host-data", "never.test");
				if storage == "internal" then
					assert.same({ 1, "" }, { status, out });
					assert.is_truthy(err:find('There is no log of "never.test"; logs of hosts that are not configured: ', 1, true), err);
					assert.is_nil(require "lfs".attributes(prosody.data.."/never%2etest"));
				else
					assert.same({ 0, "No audit events found.\n" }, { status, err });
				end
			end);

			it("makes no folder and no line if there is none", function ()
				process.run("rm -rf "..process.quote(prosody.data).."/old%2etest "..process.quote(prosody.data).."/b%*");
				local before = #prosody:log();
				prosody:stop();
				prosody:start();
				assert.is_nil(prosody:log():sub(before):find("not configured", 1, true));
			end);
		end);
	end
end);
