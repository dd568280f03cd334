-- What an operator asks the server: lua/audit/web/asking.lib.lua.

local core = require "audit_core";
local web_host = require "support.web_host";

describe("what an operator asks of the log in a browser", function ()
	local host, asking;

	before_each(function ()
		host = web_host.new();
		asking = host.api:library "audit/web/asking";
	end);
	after_each(function () host:finish(); end);

	local function ask(...)
		return asking.ask(asking.arguments(assert(core.command({ ... }, 0))));
	end

	it("is a link for an administrator", function ()
		assert.is_truthy(ask("--link", "nurse@"..host.name):find("/audit/sign-in?link=", 1, true));
		local url, problem = ask("--link", "romeo@"..host.name);
		assert.is_nil(url);
		assert.is_truthy(problem:find("is not an administrator", 1, true));
	end);

	it("is a token, the list of them, and the end of one", function ()
		assert.equal("There are no tokens.", ask("--tokens", host.name));
		assert.is_truthy(ask("--token=a", "--types=b,c-*", "--expires=2d", host.name):find("^audit_"));
		assert.is_truthy(ask("--tokens", host.name):find("^a: b,c%-%*, made .*, until "));
		assert.equal("The token a has ended.", ask("--revoke=a", host.name));
		assert.is_nil((ask("--revoke=a", host.name)));
	end);

	it("is refused where the module is not loaded", function ()
		local text, problem = ask("--tokens", "elsewhere.test");
		assert.same({ nil, "mod_audit_http is not loaded on elsewhere.test" }, { text, problem });
	end);
end);
