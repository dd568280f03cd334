-- prosodyctl mod_audit --erase: lua/audit/reading/erasure.lib.lua. Real servers are asked in the end-to-end spec (erasure).

local module_api = require "support.module_api";

describe("prosodyctl mod_audit --erase", function ()
	local host, erasure, said;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		erasure = host:library "audit/reading/erasure";
		said = {};
	end);

	local context = { hosts = {} };
	local function erase(command, state)
		context.state_of = function () return state; end;
		context.fail = function (text, ...) table.insert(said, text:format(...)); return 1; end;
		return erasure.erase(command, context);
	end

	it("does nothing without a terminal that could be asked", function ()
		assert.equal(2, erase({ person = "romeo@example.com" }, "stopped"));
		assert.is_truthy(said[1]:find("Nothing was erased", 1, true));
	end);

	it("leaves a running server alone that can't be asked", function ()
		assert.equal(1, erase({ person = "romeo@example.com"; yes = true }, "running"));
		assert.is_truthy(said[1]:find("only it may change its log", 1, true));
	end);
end);
