-- "My account activity" in a browser: lua/audit/web/own.lib.lua.

local module_api = require "support.module_api";
local web_host = require "support.web_host";

describe("the activity of an account in a browser", function ()
	local host, cookie;

	local function begin(options)
		host = web_host.new(options);
		cookie = host:sign_in("romeo", true);
	end
	after_each(function () host:finish(); end);

	local function get(address)
		return host:request("GET", "/audit/"..address, { cookie = cookie }).body;
	end

	local function audit(name, event_type, extra)
		host.module:audit(name.."@"..host.name, event_type, extra);
	end

	it("is that of the reader, whatever the address asks for", function ()
		begin();
		audit("romeo", "authentication-failure", { session = { ip = "203.0.113.80" } });
		audit("juliet", "authentication-failure", { session = { ip = "203.0.113.81" } });
		for _, address in ipairs { "", "?user=juliet", "?all=yes&type=*" } do
			local page = get(address);
			assert.is_truthy(page:find("203.0.113.80", 1, true), page);
			assert.is_nil(page:find("203.0.113.81", 1, true), address);
		end
	end);

	it("begins with the account, and does not tell who administers it", function ()
		begin();
		audit("romeo", "authentication-failure", { session = { ip = "203.0.113.80" } });
		module_api.pass(10);
		host.api:fire("user-registered", { username = "romeo", host = host.name });
		audit("romeo", "user-password-changed", { actor = { kind = "adhoc", jid = "nurse@"..host.name.."/x" }; session = { ip = "203.0.113.82" } });
		local page = get("");
		assert.is_truthy(page:find("user-password-changed", 1, true) and page:find("an administrator", 1, true), page);
		assert.is_nil(page:find("203.0.113.8", 1, true) or page:find("nurse", 1, true));
	end);

	it("has pages", function ()
		begin();
		for _ = 1, 60 do audit("romeo", "user-enabled", { actor = { kind = "admin-shell" } }); end
		local page = get("");
		local place = page:match('rel="next" href="%./([^"]+)"');
		local _, first = page:gsub("<td><bdi>user%-enabled", "");
		local _, second = get(place):gsub("<td><bdi>user%-enabled", "");
		assert.same({ 50, 10 }, { first, second });
	end);

	it("is not offered if the option says so", function ()
		host = web_host.new { audit_user_history = false };
		assert.has_error(function () host.api:adhoc("xmpp:prosody.im/audit#my-browser", { from = "romeo@"..host.name.."/x" }); end);
	end);
end);
