-- Comparing values by their contents: lua/audit/equal.lib.lua.

local module_api = require "support.module_api";

describe("two values", function ()
	local equal;

	setup(function () equal = module_api.host():library "audit/equal"; end);

	local function nested(depth, value)
		local t = { value };
		for _ = 1, depth do t = { t }; end
		return t;
	end

	for what, row in pairs {
		["of the same content"] = { { "x", y = { 1 } }, { "x", y = { 1 } }, true };
		["that differ inside"] = { { "x", y = { 1 } }, { "x", y = { 2 } }, false };
		["if the first has more"] = { { 1, 2 }, { 1 }, false };
		["if the second has more"] = { { 1 }, { 1, 2 }, false };
		["of different types"] = { { 1 }, "1", false };
		["that are functions"] = { { function () end }, { print }, true };
		["that are false and nil"] = { { a = false }, {}, false };
		["that are nested"] = { nested(10, 1), nested(10, 1), true };
		["that are nested and differ"] = { nested(10, 1), nested(10, 2), false };
		["that are nested too deep"] = { nested(30, 1), nested(30, 1), false };
		["that only seem to have the same, by a metatable"] = { { a = 1 }, setmetatable({}, { __index = { a = 1 } }), false };
	} do
		it(what.." are "..(row[3] and "the same" or "different"), function ()
			assert.equal(row[3], equal(row[1], row[2]));
		end);
	end

	it("that contain themselves are compared to an end", function ()
		local a, b = {}, {};
		a.self, b.self = a, b;
		assert.is_false(equal(a, b));
	end);
end);
