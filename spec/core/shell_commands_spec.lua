-- Each command that a series of Prosody has in its shell is in the table of commands, as its source says. A command that is not
-- in the table would be recorded without any of its arguments.

local core = require "audit_core";
local process = require "support.process";
local releases = require "support.releases";

-- name -> where it is defined
local function commands_of(series)
	local found = {};
	local root = releases.folder.."/"..series.."/usr/lib/prosody/modules";
	local _, files = process.capture { "find", root, "-name", "*.lua" };
	for path in files:gmatch("[^\n]+") do
		local source = process.read(path);
		for section, name in source:gmatch("\nfunction def_env%.([%w_]+):([%w_]+)%(") do
			found[section..":"..name] = path;
		end
		for item in source:gmatch('add_item%("shell%-command",(.-)handler%s*=') do
			local section, name = item:match('section%s*=%s*"([%w_]+)"'), item:match('%sname%s*=%s*"([%w_]+)"');
			found[assert(section, path)..":"..assert(name, path)] = path;
		end
	end
	return found;
end

describe("the commands of the shell", function ()
	local known = {};
	for _, name in ipairs(core.shell_commands()) do known[name] = true; end

	for _, series in ipairs(releases.here()) do
		it("are known: those of Prosody "..releases.title(series), function ()
			local count = 0;
			for name, path in pairs(commands_of(series)) do
				assert.is_true(known[name], name.." of "..path);
				count = count + 1;
			end
			assert.is_true(count > (series == "0.12" and 45 or 85), count.." commands");
		end);
	end
end);
