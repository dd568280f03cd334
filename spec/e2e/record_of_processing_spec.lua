-- prosodyctl mod_audit --privacy HOST: which personal data the log of a host keeps, made from the configuration of that host.

local server = require "support.server";

local host = server.default_host;
local second = "second.example";

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(server.stop_all);

	-- The record of a host, and its last line.
	local function record_of(of_host)
		local status, out, err = prosody:ctl("mod_audit", "--privacy", of_host);
		assert.same({ 0, "" }, { status, err });
		assert.is_truthy(out:find("^# Personal data in the audit log of "..of_host:gsub("%p", "%%%0").."\n\n| Class | "), out);
		return out, out:match("([^\n]+)\n$");
	end

	local function start(config)
		prosody = server.start { series = series; hosts = { host, second }; modules = { "audit", "audit_auth" }; config = config };
	end

	it("names the classes of the host, and says that nothing is unusual", function ()
		start {};
		local out, last = record_of(host);
		assert.equal("Nothing here is unusual.", last);
		assert.is_truthy(out:find("\n| failures | account, address, country, client, session", 1, true), out);
		assert.is_truthy(out:find("\n| events | ", 1, true) and out:find("| 28 days | whole |", 1, true), out);
	end);

	it("says in a sentence what is unusual: whole addresses for more than 30 days, and entries that never expire", function ()
		start { audit_log_expires_after = "90d"; audit_log_classes = { mine = { types = { "token-*" }; expires_after = "never"; ips = "prefix" } } };
		local out = record_of(host);
		assert.is_truthy(out:find("\nUnusual: whole addresses of the class events are kept for 90 days, which is more than 30 days "
			.."(audit_log_ips_expire_after).\n", 1, true), out);
		assert.is_truthy(out:find("\nUnusual: entries of the class mine never expire (audit_log_expires_after or audit_log_classes).\n", 1, true), out);
		assert.is_nil(out:find("Nothing here is unusual", 1, true));
	end);

	it("does not find addresses unusual that expire in time, and knows those that never do", function ()
		start { audit_log_expires_after = "90d"; audit_log_ips_expire_after = "30d"; audit_log_on_user_deleted = "14d" };
		local out, last = record_of(second);
		assert.equal("Nothing here is unusual.", last);
		assert.is_truthy(out:find("whole; after 30 days networks (/24, /48)", 1, true), out);
		assert.is_truthy(out:find("its data are erased after 14 days.", 1, true), out);
		prosody:stop();
		prosody:start { config = { audit_log_expires_after = "90d"; audit_log_ips_expire_after = "never" } };
		out = record_of(second);
		assert.is_truthy(out:find("whole addresses of the class events are kept for 90 days", 1, true), out);
		-- Also while the server is stopped.
		prosody:stop();
		assert.equal(out, (record_of(second)));
	end);

	it("is of one host, which there is", function ()
		start {};
		for name, text in pairs { ["nobody.example"] = "nobody.example"; ["romeo@"..host] = "is for a whole host" } do
			local status, out, err = prosody:ctl("mod_audit", "--privacy", name);
			assert.is_true(status ~= 0, out);
			assert.equal("", out);
			assert.is_truthy(err:find(text, 1, true), err);
			assert.equal(1, select(2, err:gsub("\n", "")), err);
		end
		local status, _, err = prosody:ctl("mod_audit", "--privacy");
		assert.equal(2, status);
		assert.is_truthy(err:find("Name the host: --privacy example.com", 1, true), err);
	end);
end);
