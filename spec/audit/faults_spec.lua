-- Code that must not raise: lua/audit/faults.lib.lua.

local module_api = require "support.module_api";

describe("code that must not raise", function ()
	local module, faults;

	before_each(function ()
		local host = module_api.host();
		faults = host:library "audit/faults";
		module = host:load("audit").module;
		module_api.complaints();
	end);

	it("is called with its arguments, and the first value is returned", function ()
		local try = faults.trier(module);
		assert.same({ "b" }, { try("this", function (a, b) return b, a; end, "a", "b") });
	end);

	it("that raises returns nothing, and is logged once for each name, with a traceback", function ()
		local try = faults.trier(module);
		for _, name in ipairs { "this", "this", "that" } do
			assert.same({}, { try(name, error, "broken") });
		end
		local lines = module_api.complaints("Fault while handling");
		assert.equal(2, #lines);
		assert.is_truthy(lines[1]:find("^Fault while handling this %(logged once%): .*broken.*stack traceback"), lines[1]);
	end);

	it("may raise anything", function ()
		local try = faults.trier(module);
		try("nil", error);
		try("a table", error, setmetatable({}, { __tostring = function () return "odd"; end }));
		assert.equal(2, #module_api.complaints("Fault while handling"));
	end);

	it("returns nothing as a handler of events, which have other handlers too", function ()
		local seen = {};
		local handler = faults.guard(module, "an event", function (event)
			table.insert(seen, event);
			if event == "bad" then error("broken"); end
			return true;
		end);
		assert.same({}, { handler("good") });
		for _ = 1, 3 do assert.same({}, { handler("bad") }); end
		assert.same({ "good", "bad", "bad", "bad" }, seen);
		assert.equal(1, #module_api.complaints("Fault while handling an event (logged once)"));
	end);
end);
