-- What prosodyctl asks about sinks: lua/audit/sinks/asking.lib.lua.

local module_api = require "support.module_api";

describe("a question about sinks", function ()
	local asking, link, real, asked, answer;

	before_each(function ()
		local host = module_api.host();
		link = host:library "reading/socket";
		real, asked = link.ask, {};
		function link.ask(request, patience)
			table.insert(asked, { request.action, request.host or "", request.sink or "", patience or 0 });
			return answer(request);
		end
		asking = host:library "sinks/asking";
	end);
	after_each(function () link.ask = real; end);

	it("is asked for each host, and fails if one of them does", function ()
		answer = function (request)
			if request.host == "b.test" then return nil, "this server knows no sinks"; end
			return "siem: nothing waits";
		end;
		assert.equal(0, asking.list { "a.test" });
		assert.equal(1, asking.list { "b.test", "a.test" });
		assert.same({ { "sinks", "a.test", "", 0 }, { "sinks", "b.test", "", 0 }, { "sinks", "a.test", "", 0 } }, asked);
	end);

	it("waits longer for a test", function ()
		answer = function () return nil, "the server did not answer"; end;
		assert.equal(1, asking.test("siem"));
		assert.same({ { "sink-test", "", "siem", 100 } }, asked);
	end);
end);
