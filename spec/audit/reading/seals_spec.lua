-- prosodyctl mod_audit --new-seal, and the keys of --verify --seal-key: lua/audit/reading/seals.lib.lua. Real servers are in the
-- end-to-end spec (seals).

local core = require "audit_core";
local module_api = require "support.module_api";
local process = require "support.process";

describe("the seal key", function ()
	local host, seals, shared, said, printed, path;
	local real_print, real_stdin = print, io.stdin;

	before_each(function ()
		host = module_api.host();
		shared = host:load("audit").module:shared("/*/audit/log");
		path = shared.environment.seal_path;
		os.remove(path);
		seals = host:library "audit/reading/seals";
		said, printed = {}, {};
		_G.print = function (text) table.insert(printed, text); end; -- luacheck: ignore 122
	end);

	after_each(function ()
		_G.print, io.stdin = real_print, real_stdin; -- luacheck: ignore 122
		os.remove(path);
		os.remove(path..".new");
	end);

	local function make(command, state)
		return seals.make(command, { hosts = {}; activate = function () end; environment = shared.environment;
			state_of = function () return state; end;
			fail = function (text, ...) table.insert(said, text:format(...)); return 1; end;
		});
	end

	local function read(text)
		local file = process.new_folder("seals").."/keys";
		process.write(file, text);
		io.stdin = assert(io.open(file)); -- luacheck: ignore 122
		return seals.keys();
	end

	it("is printed once, alone on its line", function ()
		assert.equal(0, make({}, "stopped"), said[1]);
		assert.equal(1, #printed);
		assert.is_true((core.seal_key(printed[1])));
	end);

	it("is not replaced without a question, or while the server can't be asked", function ()
		assert.equal(0, make({}, "stopped"));
		assert.equal(2, make({}, "stopped"));
		assert.is_truthy(said[1]:find("Nothing was changed: there is a seal key already", 1, true));
		assert.equal(1, make({}, "running"));
		assert.is_truthy(said[2]:find("only it may change its log", 1, true));
		assert.equal(1, #printed);
		assert.equal(0, make({ yes = true }, "stopped"));
		assert.is_not.equal(printed[1], printed[2]);
	end);

	it("is read from standard input, one a line", function ()
		local one, two = assert(core.new_seal(path..".new")), assert(core.new_seal(path..".new"));
		assert.same({ one, two }, read(one.."\n"..two.."\n"));
		for text, problem in pairs {
			[""] = "no seal key was given";
			secret = "that is no seal key: one begins with \"audit-seal-\" and has 59 characters";
			[one:sub(1, -2)] = "that is no seal key";
			[one:gsub("....$", "AAAA")] = "it was mistyped, or is not complete";
		} do
			local keys, wrong = read(text);
			assert.is_nil(keys);
			assert.is_truthy(wrong:find(problem, 1, true), wrong);
		end
	end);
end);
