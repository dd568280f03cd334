-- Which request is answered by what: lua/audit/web/site.lib.lua.

local web_host = require "support.web_host";

describe("the site of a host", function ()
	local host;

	before_each(function () host = web_host.new(); end);
	after_each(function () host:finish(); end);

	it("has the files of the page, for everybody", function ()
		for name, kind in pairs { ["style.css"] = "text/css", ["script.js"] = "text/javascript", ["icon.svg"] = "image/svg" } do
			local answer = host:request("GET", "/audit/"..name);
			assert.equal(200, answer.status or 200);
			assert.is_truthy(answer.headers.content_type:find(kind, 1, true), name);
		end
	end);

	it("has nothing else for those who are not signed in", function ()
		for _, path in ipairs { "", "account", "network", "download", "live" } do
			assert.equal(403, host:request("GET", "/audit/"..path).status, path);
		end
		assert.equal(404, host:request("GET", "/audit/other").status);
		assert.equal(404, host:request("POST", "/audit/other").status);
	end);

	it("shows a user no page of administrators", function ()
		local cookie = host:sign_in("romeo", true);
		for _, path in ipairs { "account", "network", "download", "live" } do
			assert.equal(404, host:request("GET", "/audit/"..path, { cookie = cookie }).status, path);
		end
	end);
end);
