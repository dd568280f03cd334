-- Names in mixed case are one account: they are stored as Prosody prepares them, and found in any spelling.

local client = require "support.client";
local dump = require "support.dump";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	describe("names in mixed case", function ()
		local prosody;

		setup(function ()
			prosody = server.start { series = series; modules = { "audit", "audit_auth", "audit_user_accounts" }; config = { audit_log_flood = false } };
			assert.is_true(client.register(prosody, "Romeo@Example.Test", "secret").ok);
			for _, name in ipairs({ "romeo", "Romeo", "ROMEO" }) do
				assert.is_true((raw.login(prosody, name, "secret")));
				assert.is_false((raw.login(prosody, name, "wrong", { host = "EXAMPLE.Test" })));
			end
		end);

		teardown(function () prosody:stop(); end);

		it("are stored as one account", function ()
			local entries = dump.entries(prosody);
			assert.equal(7, #entries);
			for _, entry in ipairs(entries) do
				assert.same({ "romeo@"..host, "romeo@"..host }, { entry.user, entry.with:find("@", 1, true) and entry.with or entry.with.."@"..host });
			end
		end);

		it("are found however they are typed", function ()
			for _, user in ipairs({ "romeo", "ROMEO", "Romeo@example.test", "romeo@EXAMPLE.TEST", "rOM*" }) do
				for _, typed_host in ipairs({ host, "Example.TEST" }) do
					local status, out, err = prosody:ctl("mod_audit", typed_host, "--user="..user, "--type=authentication-*");
					assert.equal(0, status, err);
					assert.equal(6, select(2, out:gsub("\n[^\n]*authentication%-", "")), user.." on "..typed_host..": "..out);
				end
			end
		end);
	end);
end);
