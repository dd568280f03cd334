-- What the library exports, and what of it is loaded at once: src/lua/log/exports.lua.

local core = require "audit_core";

-- The functions that a value leads to, by the chunk of the library that they are from.
local function reached(value)
	local found, seen, stack = {}, {}, { value };
	while #stack > 0 do
		local next_value = table.remove(stack);
		local kind = type(next_value);
		if (kind == "table" or kind == "function") and not seen[next_value] then
			seen[next_value] = true;
			if kind == "table" then
				for key, item in next, next_value do
					stack[#stack + 1], stack[#stack + 2] = key, item;
				end
			else
				local chunk = debug.getinfo(next_value, "S").source:match("^=audit_core/(.*)%.lua$");
				if chunk then found[chunk] = true; end
				for i = 1, 255 do
					local name, item = debug.getupvalue(next_value, i);
					if not name then break; end
					stack[#stack + 1] = item;
				end
			end
		end
	end
	return found;
end

describe("the exports of the library", function ()
	it("make elements with the metatable of Prosody's stanzas", function ()
		local element = core.detail("mark", { name = "seen" }, "text");
		assert.equal("mark", element.name);
		assert.equal("seen", element.attr.name);
	end);

	-- The garbage collector looks at everything that is loaded again and again: at every login this takes time.
	it("do not load what only some servers need", function ()
		local log = core.new { get_option = function () end; log = function () end; now = os.time; open_store = function () end };
		local loaded = reached(log);
		assert.is_true(loaded["log/record"]);
		for _, chunk in ipairs { "transfer/transfer", "transfer/rounds", "person/erase", "read/read", "read/verify", "store/embedded" } do
			assert.is_nil(loaded[chunk], chunk);
		end
	end);
end);
