-- Sinks that are files: lua/audit/sinks/file.lib.lua.

local lfs = require "lfs";
local module_api = require "support.module_api";
local process = require "support.process";

describe("a sink that is a file", function ()
	local new, of_module, path, told, on;

	before_each(function ()
		local host = module_api.host();
		new, of_module = host:library "sinks/file", host:load("audit").module;
		path = process.new_folder("sink").."/audit.jsonl";
		told = {};
		on = {
			sent = function (count) table.insert(told, "sent "..tostring(count)); end;
			failed = function (problem) table.insert(told, problem); end;
		};
	end);

	it("gets a line for each entry, and only the owner and the group can read it", function ()
		local transport = new(of_module, { path = path }, on);
		transport.send { "one", "two" };
		assert.equal("one\ntwo\n", process.read(path));
		assert.equal("r-----", lfs.attributes(path, "permissions"):sub(4));
		assert.same({ "sent nil" }, told);
	end);

	it("is made again after it was renamed and reopened", function ()
		local transport = new(of_module, { path = path }, on);
		transport.send { "one" };
		os.rename(path, path..".1");
		transport.send { "two" };
		transport.reopen();
		transport.send { "three" };
		assert.same({ "one\ntwo\n", "three\n" }, { process.read(path..".1"), process.read(path) });
	end);

	it("is refused if it can't be made, and tried again if it is gone later", function ()
		assert.same({ nil, "No such file or directory (os error 2)" }, { new(of_module, { path = "/nonexistent/x" }, on) });
		local transport = new(of_module, { path = path }, on);
		os.remove(path);
		process.run("ln -s /dev/null "..process.quote(path));
		transport.reopen();
		transport.send { "one" };
		assert.is_truthy(told[1]:find(path, 1, true));
	end);
end);
