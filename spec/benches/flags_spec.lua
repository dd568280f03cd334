-- What the benchmarks make of their command lines.

local process = require "support.process";

local function parse(...)
	local code = [[
		local flags = dofile("benches/flags.lua");
		local options = flags.parse { rounds = 5, stores = function () return { "a", "b" } end, series = {}, auth = "plain", memory = false };
		print(options.rounds + 0, table.concat(options.stores, " "), #options.series, options.auth, options.memory);
	]];
	local script = process.new_folder("flags").."/script.lua";
	process.write(script, code);
	local status, out, err = process.capture({ "lua5.4", script, ... });
	return status, (out:gsub("\n$", ""):gsub("\t", "|")), err ~= "" and err or nil;
end

describe("the flags of a benchmark", function ()
	it("have defaults", function ()
		assert.same({ 0, "5|a b|0|plain|false" }, { parse() });
	end);

	it("are numbers, lists, texts and switches", function ()
		assert.same({ 0, "7|c|2|hashed|true" }, { parse("--rounds=7", "--stores=c", "--series=0.12,13.0", "--auth=hashed", "--memory") });
	end);

	for _, wrong in ipairs { "--round=7", "--rounds", "--rounds=many", "--memory=yes", "--stores", "rounds=7" } do
		it("are refused: "..wrong, function ()
			local status, _, err = parse(wrong);
			assert.equal(2, status);
			assert.is_truthy(err:find(wrong, 1, true), err);
		end);
	end
end);
