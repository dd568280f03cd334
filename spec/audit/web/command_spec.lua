-- prosodyctl asks the server for links and tokens: lua/audit/web/command.lib.lua. spec/e2e/web_spec.lua runs it.

local core = require "audit_core";
local module_api = require "support.module_api";

describe("prosodyctl that asks for a link or a token", function ()
	local host = module_api.host();
	local ask, link = host:library "audit/web/command", host:library "audit/reading/socket";
	local real_ask, real_print, real_io = link.ask, print, io;
	local asked, printed, complained;

	before_each(function ()
		printed, complained = "", "";
		_G.print = function (text) printed = printed..text.."\n"; end;
		_G.io = setmetatable({ stderr = { write = function (_, ...) complained = complained..table.concat({ ... }); end } }, { __index = real_io });
	end);

	after_each(function ()
		link.ask, _G.print, _G.io = real_ask, real_print, real_io;
	end);

	local function run(answer, problem, ...)
		function link.ask(attributes)
			asked = attributes;
			return answer, problem;
		end
		return ask(assert(core.command({ ... }, 0)));
	end

	it("prints what the server answers", function ()
		assert.equal(0, run("https://x/", nil, "--link", "nurse@"..host.name));
		assert.same({ "https://x/\n", "" }, { printed, complained });
		assert.same({ "web", "link", "nurse", host.name }, { asked.action, asked.what, asked.user, asked.host });
		run("audit_x", nil, "--token=a", "--types=b,c-*", "--expires=2d", host.name);
		assert.same({ "token", "a", "b,c-*", "172800" }, { asked.what, asked.name, asked.types, asked.seconds });
	end);

	it("says in one line what is wrong", function ()
		assert.equal(1, run(nil, "the server did not answer: there is no admin socket", "--tokens", host.name));
		assert.same({ "", "The server does not run, or can't be reached: there is no admin socket\n" }, { printed, complained });
		assert.equal(1, run(nil, "there is no token \"a\"", "--revoke=a", host.name));
		assert.is_truthy(complained:find("there is no token \"a\"\n", 1, true));
	end);
end);
