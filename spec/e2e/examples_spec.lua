-- The examples for authors of modules (examples/), on real servers.

local client = require "support.client";
local dump = require "support.dump";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local romeo, juliet = "romeo@"..host, "juliet@"..host;

server.each_series(describe, pending, function (series)
	describe("mod_vcard_audit", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series; modules = { "audit", "vcard", "vcard_audit" };
				plugin_paths = { process.root.."/lua", process.root.."/examples" };
			};
			prosody:adduser(romeo, "secret");
			prosody:adduser(juliet, "secret");
		end);

		teardown(function () prosody:stop(); end);

		local function set_vcard(options)
			options = options or { to = "" };
			options.type = "set";
			return client.iq(prosody, romeo, "secret", "<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><NICKNAME/></vCard>", options);
		end

		it("records that a vCard was changed, by whom and from where, but no personal data", function ()
			assert.is_true(set_vcard().ok);
			local entry = dump.of_type(prosody, host, "vcard-changed")[1];
			assert.same({ romeo, "mod_vcard_audit" }, { entry.user, entry.source });
			assert.equal('<vcard><field name="FN"/><field name="NICKNAME"/></vcard>', entry:line("vcard"));
			assert.matches('^<actor jid="romeo@example.test/%S+" kind="user"><remote%-ip>127.0.0.1</remote%-ip></actor>$', entry:line("actor"));
			assert.equal("127.0.0.1", entry:child("session"):child("remote-ip").text);
			assert.is_nil(entry:line():find("Montague", 1, true));
		end);

		it("leaves the request to mod_vcard", function ()
			local answer = client.iq(prosody, romeo, "secret", "<vCard xmlns='vcard-temp'/>", { type = "get", to = "" });
			assert.is_truthy(answer.xml:find("Romeo Montague", 1, true), answer.xml);
		end);

		it("is counted for somebody who tries to change the vCards of others again and again", function ()
			for _ = 1, 8 do
				assert.equal("forbidden", set_vcard({ to = juliet }).condition);
			end
			local refused = dump.of_type(prosody, host, "vcard-refused");
			assert.equal(5, #refused);
			assert.equal(('<vcard of="%s"/>'):format(juliet), refused[1]:line("vcard"));
		end);

		it("is in the log that prosodyctl shows", function ()
			local status, out = prosody:ctl("mod_audit", host);
			assert.equal(0, status);
			assert.is_truthy(out:find("vcard-changed", 1, true), out);
			assert.is_nil(prosody:log():match("[^\n]*vCard can't be recorded[^\n]*"));
		end);
	end);

	describe("mod_login_report", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series; modules = { "audit", "audit_auth", "login_report" };
				plugin_paths = { process.root.."/lua", process.root.."/examples" }; config = { login_report_failures = 3 };
			};
			prosody:adduser(romeo, "secret");
			prosody:adduser(juliet, "secret");
		end);

		teardown(function () prosody:stop(); end);

		-- Runs its task of each hour.
		local function report()
			prosody:eval([[
				for _, task in ipairs(module:context(...):get_host_items("task")) do
					if task.name:find("failed logins", 1, true) then task:run(os.time()); end
				end
			]], host);
		end

		it("logs the accounts with many failed logins", function ()
			for _ = 1, 3 do assert.is_false(client.login(prosody, romeo, "wrong").ok); end
			assert.is_false(client.login(prosody, juliet, "wrong").ok);
			assert.is_true(client.login(prosody, juliet, "secret").ok);
			report();
			assert.is_truthy(prosody:wait_log("3 failed logins of "..romeo.." in the last hour"));
			assert.is_nil(prosody:log():match("failed logins of "..juliet));
		end);
	end);
end);
