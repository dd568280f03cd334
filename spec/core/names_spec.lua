-- Names of accounts and hosts in commands, prepared as Prosody does: src/lua/read/names.lua.

local core = require "audit_core";

describe("a name in a command", function ()
	local function command(...)
		return core.command({ ... }, 1795521600);
	end

	for typed, expected in pairs {
		["example.com"] = { "example.com", "" };
		["EXAMPLE.com"] = { "example.com", "" };
		["example.com."] = { "example.com", "" };
		["Romeo@Example.COM"] = { "example.com", "--user=romeo" };
		["ROMEO@example.com/Phone"] = { "example.com", "--user=romeo" };
		["JÜRGEN@BÜCHER.example"] = { "bücher.example", "--user=jürgen" };
		["romeo@xn--bcher-kva.example"] = { "bücher.example", "--user=romeo" };
	} do
		it(("is found as it is typed: %s"):format(typed), function ()
			local found = assert(command(typed));
			assert.same(expected, { found.host, found.asked.asked or "" });
		end);
	end

	for _, typed in ipairs { "\255@example.com", "ro meo@example.com" } do
		it("that can't be one is refused: "..("%q"):format(typed), function ()
			local found, problem = command(typed);
			assert.is_nil(found);
			assert.is_string(problem);
		end);
	end

	it("of a host is kept in its form for the DNS if it is configured that way", function ()
		local before = rawget(_G, "prosody");
		rawset(_G, "prosody", { hosts = { ["xn--bcher-kva.example"] = {} } });
		local found = command("xn--bcher-kva.example");
		rawset(_G, "prosody", before);
		assert.equal("xn--bcher-kva.example", found.host);
	end);
end);
