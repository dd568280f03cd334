-- Verifying the logs of all hosts once a day: lua/audit/verifying.lib.lua.

local async = require "util.async";
local module_api = require "support.module_api";

describe("the daily verification", function ()
	local host, shared;

	local function run(name)
		local result, problem;
		async.runner(function () result, problem = shared.verifying.run(name); end):run(true);
		module_api.pass(1);
		return result, problem;
	end

	local function begin(options)
		host = module_api.host(options);
		shared = host:load("audit").module:shared("/*/audit/log");
		host:load("audit").module:audit("romeo@"..host.name, "test-event");
		module_api.complaints();
	end

	it("is done an hour after the start, and then once a day", function ()
		begin();
		module_api.pass(3000);
		assert.is_nil(shared.verifying.of(host.name));
		module_api.pass(1500);
		local first = shared.verifying.of(host.name);
		assert.same({ true, 0 }, { first.intact, first.faults });
		module_api.pass(3600);
		assert.equal(first, shared.verifying.of(host.name));
		module_api.pass(86400);
		assert.is_not.equal(first, shared.verifying.of(host.name));
		assert.same({}, module_api.complaints("The audit log"));
	end);

	it("is not done if the option says so", function ()
		begin { audit_log_verify = false };
		module_api.pass(2 * 86400);
		assert.is_nil(shared.verifying.of(host.name));
	end);

	it("says once what was changed", function ()
		begin();
		host.appended[1].value.attr.type = "other-event";
		for _ = 1, 2 do
			local result = assert(run(host.name));
			assert.is_false(result.intact);
		end
		local complaints = module_api.complaints("The audit log was changed");
		assert.is_true(#complaints >= 2, #complaints.." lines");
		local tampered = 0;
		for _, entry in ipairs(host:entries()) do
			if entry.attr.type == "audit-tampered" then tampered = tampered + 1; end
		end
		assert.equal(1, tampered);
	end);

	it("says why it can't be done", function ()
		begin();
		local result, problem = run("other.test");
		assert.is_nil(result);
		assert.is_string(problem);
		assert.equal(1, #module_api.complaints("can't be verified"));
	end);
end);
