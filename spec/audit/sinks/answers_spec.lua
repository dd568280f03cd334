-- What prosodyctl is told of sinks: lua/audit/sinks/answers.lib.lua.

local module_api = require "support.module_api";

describe("what prosodyctl is told of sinks", function ()
	local host, sinks, shared, answer;

	before_each(function ()
		host = module_api.host();
		local new = host:library "sinks/answers";
		sinks = { siem = {
			readers = { [host.name] = {} };
			settings = { shown = "tls://siem.test:6514" };
			native = {
				state = function ()
					return { delivered = 5, refused = 1, errors = 2, behind = 3, oldest = require "util.time".now() - 9, problem = "closed" };
				end;
				test = function (_, of) return of == host.name and "a test" or nil; end;
				answer = function (_, status) return status == 200 and "accepted" or "later"; end;
			};
		} };
		new(sinks, { [host.name] = true }, function (_, on)
			return { send = function (text) assert(text == "a test"); answer(on); end; close = function () end };
		end);
		shared = host:load("audit").module:shared("/*/audit_sinks/sinks");
	end);

	it("has a line for each sink of a host", function ()
		assert.equal(host.name..": siem, tls://siem.test:6514: 5 delivered, 1 refused, 2 failures; 3 wait, or may be sent again, "
			.."and the oldest is late by 9 seconds; trouble: closed", shared.describe(host.name));
		sinks.siem = nil;
		assert.equal(host.name..": no sink", shared.describe(host.name));
		assert.equal("nowhere.test: no sink, as mod_audit_sinks is not loaded there", shared.describe("nowhere.test"));
	end);

	it("says what came of a test", function ()
		local function test(...)
			local found;
			local arguments = { ... };
			require "util.async".runner(function () found = { shared.test(table.unpack(arguments)) }; end):run(true);
			module_api.pass(0);
			return found[1] or found[2];
		end
		answer = function (on) on.answered(200); end;
		assert.is_truthy(test("siem"):find("^The test entry was accepted with status 200 after %d+ ms$"));
		answer = function (on) on.sent(); end;
		assert.is_truthy(test("siem", host.name):find("handed to tls://siem.test:6514", 1, true));
		answer = function (on) on.answered(503); end;
		assert.equal("the sink siem (tls://siem.test:6514): the receiver answered with status 503", test("siem"));
		answer = function (on) on.broken("connection refused"); end;
		assert.equal("the sink siem (tls://siem.test:6514): connection refused", test("siem"));
		assert.equal("there is no sink file in use; there are: siem", test("file"));
		assert.equal("the sink siem sends nothing of other.test", test("siem", "other.test"));
	end);
end);
