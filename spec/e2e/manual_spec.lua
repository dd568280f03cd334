-- The manual page, and the completions in real shells.

local process = require "support.process";

local folder = process.new_folder("manual");
local configuration = folder.."/prosody.cfg.lua";

local function has(program)
	return process.capture({ "sh", "-c", "command -v "..program }) == 0;
end

if process.capture({ "make", "-s", "-C", process.root, "manual" }, { timeout = 600 }) ~= 0 then
	pending("the manual page and completions: cargo is not here");
	return;
end
process.run(("cp %s/manual/* %s/ && mkdir %s/conf.d"):format(process.quote(process.target), process.quote(folder), process.quote(folder)));
process.write(configuration, [[
VirtualHost "capulet.example"
-- VirtualHost "commented.example"
Include "conf.d/*.cfg.lua"
]]);
process.write(folder.."/conf.d/rooms.cfg.lua", "Component 'rooms.capulet.example' \"muc\"\nVirtualHost(\"$(touch injected).example\")\n");

describe("the manual page", function ()
	for _, command in ipairs({ "man --warnings -l", "man --warnings -E UTF-8 -l" }) do
		it("has no warnings: "..command, function ()
			if process.capture({ "sh", "-c", "command -v man" }) ~= 0 then
				return pending("man is not installed");
			end
			local status, out, err = process.capture({ "env", "-C", folder, "sh", "-c", command.." ./prosody-audit.1" }, {
				env = { MANWIDTH = "80"; LC_ALL = "C.UTF-8"; MANROFFSEQ = ""; };
			});
			assert.same({ 0, "" }, { status, err });
			assert.is_truthy(out:find("prosody-audit - the security audit log", 1, true), out);
			assert.is_truthy(out:find("\n       --[no-]show-user\n", 1, true), out);
			assert.is_truthy(out:find("\n       --type TYPE,...\n", 1, true), out);
		end);
	end
end);

-- The words that a shell offers for the last word of a line.
local offers = {};

local function typed_into(shell)
	return function (line)
		local status, out, err = process.capture({ "env", "-C", folder, "python3", process.root.."/spec/support/complete.py", shell, folder, line }, {
			env = { PROSODY_CONFIG = configuration }; timeout = 60;
		});
		assert.same({ 0, "" }, { status, err });
		local words, typed = {}, select(2, line:gsub("%s+%S+", ""));
		if not line:find("%s$") then typed = typed - 1; end
		for word in out:gmatch("[^\n]+") do
			typed = typed - 1;
			if typed < 0 then table.insert(words, word); end
		end
		return words;
	end
end
offers.bash = typed_into("bash");
offers.zsh = typed_into("zsh");

function offers.fish(line)
	local script = "source prosodyctl.fish; complete -C "..process.quote(line);
	local status, out, err = process.capture({ "env", "-C", folder, "fish", "--no-config", "-c", script }, {
		env = { PROSODY_CONFIG = configuration; HOME = folder }; timeout = 60;
	});
	assert.same({ 0, "" }, { status, err });
	local words = {};
	for word in out:gmatch("([^\t\n]+)[^\n]*\n") do
		table.insert(words, word);
	end
	return words;
end

local user_deleted = { "user-deleted", "user-deregistered", "user-deregistered-pending" };
local behind_comma = {};
for i, word in ipairs(user_deleted) do
	behind_comma[i] = "new-client,"..word;
end

for _, shell in ipairs({ "bash", "zsh", "fish" }) do
	describe("the completion for "..shell, function ()
		if not has(shell) then
			pending("it is not installed");
			return;
		end

		for _, case in ipairs({
			{ "prosodyctl mod_a", { "mod_audit" } };
			{ "prosodyctl mod_audit --fo", { "--follow", "--format" } };
			{ "prosodyctl mod_audit --no-show-u", { "--no-show-user" } };
			{ "prosodyctl mod_audit --format ", { "cef", "csv", "ecs", "json", "ocsf"; "otlp"; "syslog", "table", "xml" } };
			{ "prosodyctl mod_audit --format=cs", { "--format=csv" } };
			{ "prosodyctl mod_audit --type user-de", user_deleted };
			{ "prosodyctl mod_audit --type new-client,user-de", behind_comma };
			{ "prosodyctl mod_audit --columns tim", { "time" } };
			{ "prosodyctl mod_audit --report prosody.cfg", { "prosody.cfg.lua" } };
			{ "prosodyctl mod_audit --limit ", {} };
			{ "prosodyctl mod_audit ", { "capulet.example", "rooms.capulet.example" } };
			{ "prosodyctl mod_audit --limit 5 cap", { "capulet.example" } };
			{ "prosodyctl mod_audit romeo@cap", { "romeo@capulet.example" } };
			{ "prosodyctl mod_audit romeo@r", { "romeo@rooms.capulet.example" } };
		}) do
			it(case[1], function ()
				local words = offers[shell](case[1]);
				table.sort(words);
				assert.same(case[2], words);
			end);
		end
	end);
end

it("nothing in a configuration reaches a shell as code", function ()
	assert.is_nil(process.read(folder.."/injected"));
end);
