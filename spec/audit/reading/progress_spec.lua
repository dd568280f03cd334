-- Reporting the progress of a long reading: lua/audit/reading/progress.lib.lua.

local module_api = require "support.module_api";

describe("the progress of a reading", function ()
	local progress, written;
	local real_stderr = io.stderr;

	before_each(function ()
		local host = module_api.host();
		host:load("audit");
		progress = host:library "audit/reading/progress" ();
		written = {};
		io.stderr = { write = function (_, ...) table.insert(written, table.concat({ ... })); end; flush = function () end }; -- luacheck: ignore 122
	end);

	after_each(function ()
		io.stderr = real_stderr; -- luacheck: ignore 122
	end);

	it("is a line a second", function ()
		progress.each(10);
		assert.same({}, written);
		module_api.pass(2);
		progress.each(20);
		progress.each(30);
		assert.equal(1, #written);
		assert.is_truthy(written[1]:find("^20 entries"), written[1]);
	end);

	it("is nothing for a short one", function ()
		progress.each(10);
		progress.done();
		assert.same({}, written);
	end);
end);
