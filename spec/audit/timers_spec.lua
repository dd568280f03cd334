-- What modules do later, on all hosts: lua/audit/timers.lib.lua.

local module_api = require "support.module_api";

describe("a timer", function ()
	local host, module, timers;

	before_each(function ()
		host = module_api.host();
		timers = host:library "audit/timers";
		module = host:load("audit").module;
		module_api.complaints();
	end);

	it("calls its function when it is due, and once", function ()
		local calls = 0;
		timers.add(module, 5, function () calls = calls + 1; end);
		module_api.pass(3);
		assert.equal(0, calls);
		module_api.pass(3);
		assert.equal(1, calls);
		module_api.pass(60);
		assert.equal(1, calls);
	end);

	it("calls it again after as many seconds as it returns", function ()
		local calls = 0;
		timers.add(module, 1, function ()
			calls = calls + 1;
			return calls < 4 and 10 or nil;
		end);
		module_api.pass(100);
		assert.equal(4, calls);
	end);

	it("that is due earlier comes first, whichever was added first", function ()
		local order = {};
		for _, delay in ipairs { 30, 10, 20 } do
			timers.add(module, delay, function () table.insert(order, delay); end);
		end
		module_api.pass(40);
		assert.same({ 10, 20, 30 }, order);
	end);

	it("added by another timer waits for the next turn of the loop", function ()
		local order = {};
		-- Both are due when the turn begins, however long it takes to add them.
		timers.add(module, 0, function ()
			timers.add(module, 0, function () table.insert(order, "added"); end);
			table.insert(order, "first");
		end);
		timers.add(module, 0, function () table.insert(order, "second"); end);
		module_api.pass(5);
		assert.same({ "first", "second", "added" }, order);
	end);

	it("that raises is named, and stops no other", function ()
		local calls = 0;
		timers.add(module, 1, function () error("broken"); end);
		timers.add(module, 1, function () calls = calls + 1; end);
		module_api.pass(3);
		assert.equal(1, calls);
		assert.equal(1, #module_api.complaints("Fault in a timer: "));
	end);

	it("of a module that was unloaded calls nothing", function ()
		local other, calls = host:load("audit_reports").module, 0;
		timers.add(other, 5, function () calls = calls + 1; end);
		host:unload("audit_reports");
		module_api.pass(10);
		assert.equal(0, calls);
	end);

	it("for a list visits each item once in its period, with the items as they are then", function ()
		local visits, list = {}, { "a", "b", "c" };
		timers.each(module, 10, function () return list; end, function (item) visits[item] = (visits[item] or 0) + 1; end);
		module_api.pass(21);
		list = { "b", "d" };
		module_api.pass(40);
		-- The first period only waits, and a round that has begun is finished.
		assert.is_true(visits.a >= 1 and visits.a <= 3 and visits.a == visits.c, visits.a);
		assert.is_true(visits.b >= 4 and visits.b <= 6, visits.b);
		assert.is_true(visits.d >= 2 and visits.d <= 4, visits.d);
	end);

	it("for a list goes on with the other items after a fault, which is logged once", function ()
		local visits = 0;
		timers.each(module, 5, function () return { "bad", "good" }; end, function (item)
			if item == "bad" then error("broken"); end
			visits = visits + 1;
		end);
		module_api.pass(60);
		assert.is_true(visits >= 8, visits);
		assert.equal(1, #module_api.complaints("Fault while handling a timer (logged once)"));
	end);
end);
