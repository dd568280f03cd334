-- Parts of the log that are made when they are first used: src/lua/log/later.lua.

local process = require "support.process";

local later = assert(loadfile(process.root.."/src/lua/log/later.lua"))(nil, {});

describe("a part that is made later", function ()
	it("is made by the first call, once", function ()
		local made = 0;
		local part = later(function ()
			made = made + 1;
			return { add = function (a, b) return a + b, "and more"; end; count = function () return made; end };
		end, "add count");
		assert.equal(0, made);
		assert.same({ 3, "and more" }, { part.add(1, 2) });
		assert.equal(1, part.count());
	end);

	it("passes errors on, and is made again after one", function ()
		local attempts = 0;
		local part = later(function ()
			attempts = attempts + 1;
			if attempts == 1 then error("not yet", 0); end
			return { get = function () return attempts; end };
		end, "get");
		assert.has_error(part.get, "not yet");
		assert.equal(2, part.get());
	end);
end);
