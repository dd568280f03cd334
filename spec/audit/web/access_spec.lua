-- Who may look at the log in a browser: lua/audit/web/access.lib.lua.

local module_api = require "support.module_api";
local web_host = require "support.web_host";

describe("access to the log in a browser", function ()
	local host;

	before_each(function () host = web_host.new(); end);
	after_each(function () host:finish(); end);

	local function status(cookie)
		return host:request("GET", "/audit/", { cookie = cookie }).status;
	end

	it("is by a link for ten minutes, once", function ()
		local link = host:link("nurse");
		module_api.pass(601);
		assert.equal(410, host:request("GET", "/audit/sign-in?link="..link).status);
		assert.equal(403, host:request("POST", "/audit/sign-in", { body = "link="..link }).status);
		link = host:link("nurse");
		assert.equal(303, host:request("POST", "/audit/sign-in", { body = "link="..link }).status);
		assert.equal(403, host:request("POST", "/audit/sign-in", { body = "link="..link }).status);
	end);

	it("ends after an hour without a request", function ()
		local cookie = host:sign_in("nurse");
		module_api.pass(3500);
		assert.equal(200, status(cookie));
		module_api.pass(3601);
		assert.equal(403, status(cookie));
	end);

	it("is for accounts that exist, are enabled and may read the log", function ()
		for _, name in ipairs { "romeo", "nobody" } do
			assert.is_nil((host:link(name)), name);
		end
		assert.is_truthy(host:link("romeo", true));
		assert.is_nil((host:link("nobody", true)));
	end);

	it("ends with the role, the account or the password", function ()
		local changes = {
			function () host.accounts.nurse = "user"; end;
			function () host.accounts.nurse = nil; end;
			function () module_api.fire_global("user-password-changed", { username = "nurse", host = host.name }); end;
			function () module_api.fire_global("user-deleted", { username = "nurse", host = host.name }); end;
		};
		for i, change in ipairs(changes) do
			host.accounts.nurse = "admin";
			local cookie, link = host:sign_in("nurse"), host:link("nurse");
			assert.equal(200, status(cookie), i);
			change();
			assert.equal(403, status(cookie), i);
			assert.equal(403, host:request("POST", "/audit/sign-in", { body = "link="..link }).status, i);
			host.accounts.nurse = "admin";
			assert.equal(403, status(cookie), i);
		end
	end);

	it("is not begun with a link that was made before the account lost its role", function ()
		local link = host:link("nurse");
		host.accounts.nurse = "user";
		assert.equal(410, host:request("GET", "/audit/sign-in?link="..link).status);
		local answer = host:request("POST", "/audit/sign-in", { body = "link="..link });
		assert.same({ 403, nil }, { answer.status, answer.headers.set_cookie });
	end);

	it("ends when the role of the account may not read the log any more", function ()
		local cookie = host:sign_in("nurse");
		host.forbidden = true;
		assert.equal(403, status(cookie));
		assert.is_nil((host:link("nurse")));
	end);

	it("is not ended by what happens to the account of that name on another host", function ()
		local cookie = host:sign_in("nurse");
		module_api.fire_global("user-password-changed", { username = "nurse", host = "elsewhere.test" });
		assert.equal(200, status(cookie));
	end);

	it("is not for hosts without accounts, where everybody who is connected exists", function ()
		local its = module_api.prosody.hosts[host.name];
		local users = its.users;
		its.users = { name = "anonymous" };
		for _, is_own in ipairs { true, false } do
			assert.is_nil((host:link("romeo", is_own)));
			assert.is_nil((host:link("nurse", is_own)));
		end
		its.users = users;
		assert.is_truthy((host:link("romeo", true)));
	end);

	it("does not mistake one cookie for another", function ()
		local cookie = host:sign_in("nurse");
		assert.equal(200, status("a=b; "..cookie.."; c=d"));
		for _, other in ipairs { "x"..cookie, cookie.."x", cookie:gsub("^__Host", "host"), "" } do
			assert.equal(403, status(other), other);
		end
	end);
end);
