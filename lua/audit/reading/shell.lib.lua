-- The section "audit" of Prosody's shell: audit:show(), audit:stats(), audit:prune(), audit:link().

local core = require "audit_core";

local time = require "util.time";

local asking = library "web/asking";
local readings = library "reading/readings";

local audit_log = module:shared("/*/audit/log").log;
local hosts = prosody.hosts;

-- How many entries the shell shows without --limit. They are read inside the server.
local LIMIT = 100;

-- Flags that make sense only in a process of its own.
local not_here = {};
for _, flag in ipairs(core.flags()) do
	not_here[flag.name] = flag.needs_process or nil;
end

-- arguments_of(target, ...) -> the arguments of the command. Flags are given as { since = "2d", type = { "a", "b" }, global = false }
-- or as "--since=2d", …
local function arguments_of(target, ...)
	local list = { target };
	for i = 1, select("#", ...) do
		local given = select(i, ...);
		if type(given) == "string" then
			table.insert(list, given);
		elseif type(given) == "table" then
			for name, value in pairs(given) do
				if type(name) == "string" then
					local flag = name:gsub("_", "-");
					for _, one in ipairs(type(value) == "table" and value or { value }) do
						table.insert(list, one == true and "--"..flag or one == false and "--no-"..flag or "--"..flag.."="..tostring(one));
					end
				end
			end
		end
	end
	return list;
end

local function unknown_host(host)
	local names = {};
	for name in pairs(hosts) do
		if name ~= "*" then table.insert(names, name); end
	end
	local meant = core.nearest(tostring(host), names);
	return nil, "Unknown host: "..tostring(host)..(meant and "; did you mean "..meant.."?" or "");
end

local function read(self, totals, ...)
	local list = arguments_of(...);
	if totals then table.insert(list, "--stats"); end
	for _, argument in ipairs(list) do
		local name = tostring(argument):match("^%-%-([^=]+)");
		name = name and name:gsub("_", "-");
		if name and (not_here[name] or not_here[name:gsub("^no%-", "")]) then
			return nil, "--"..name.." is for prosodyctl mod_audit";
		end
	end
	local command, problem = core.command(list, time.now());
	if not command then
		return nil, problem;
	elseif command.action ~= "show" then
		return nil, "This shows entries; help audit names the other commands";
	end
	local asked = command.asked;
	if not hosts[asked.host] then
		return unknown_host(asked.host);
	end
	if not totals and not asked.limit then
		asked = asked:limited(LIMIT);
	end
	local ok, result = readings.read(readings.pause, function (pause)
		return audit_log.read(asked, function (text)
			self.session.print((text:gsub("\n$", "")));
		end, { width = tonumber(self.session.width); pause = pause });
	end);
	if not ok then
		return nil, "The audit log can't be read: "..tostring(result);
	end
	readings.record(asked.host, {
		through = "shell"; filter = asked.asked; entries = result.shown; actor = { kind = "admin-shell" };
		exported = asked.format ~= "table"; format = asked.format;
	});
	if result.problem then
		return nil, "The audit log can't be read: "..result.problem;
	elseif result.damaged > 0 then
		return nil, ("%d damaged entries are not shown: %s"):format(result.damaged, result.places);
	end
	local hidden = readings.hidden(result.hidden);
	return true, ("%d entries"):format(result.shown)..(hidden and "; "..hidden or "")
		..(result.shown == asked.limit and result.last and "; older ones: --after="..result.last or "");
end

local commands = {};

function commands:show(...)
	return read(self, false, ...);
end

function commands:stats(...)
	return read(self, true, ...);
end

-- The host that a command for a whole host names | nil, what is wrong
local function host_of(flag, target, more, refusal)
	if more > 0 then
		return nil, refusal;
	end
	local command, wrong = core.command({ flag; "--"; tostring(target) }, time.now());
	if not command then
		return nil, wrong;
	elseif not hosts[command.host] then
		return unknown_host(command.host);
	end
	return command.host;
end

function commands:prune(target, ...) --luacheck: ignore 212/self
	local host, wrong = host_of("--prune", target, select("#", ...), "This takes only a host: the options say what expires");
	if not host then
		return nil, wrong;
	end
	local results, problem = readings.prune(host, { actor = { kind = "admin-shell" } });
	if not results then
		return nil, problem;
	end
	return true, readings.describe(host, results);
end

function commands:verify(target, ...)
	local host, wrong = host_of("--verify", target, select("#", ...), "This takes only a host; prosodyctl mod_audit --verify takes --anchor");
	if not host then
		return nil, wrong;
	end
	local result, problem = module:shared("/*/audit/log").verifying.run(host);
	if not result then
		return nil, problem;
	end
	for i = 2, #result.lines do
		self.session.print(result.lines[i]);
	end
	return result.intact, result.lines[1];
end

function commands:link(target, ...) --luacheck: ignore 212/self
	if select("#", ...) > 0 then
		return nil, "This takes only an administrator's account";
	end
	local command, wrong = core.command({ "--link", "--", tostring(target) }, time.now());
	if not command then
		return nil, wrong;
	end
	local url, problem = asking.ask(asking.arguments(command));
	return url and true, url or problem;
end

local help = {
	show = "Show entries of the audit log of a host or an account, newest first";
	stats = "Show totals of the log: by type, account, network and country, and over time";
	prune = "Remove entries that have expired";
	verify = "Check whether anybody has changed the log of a host";
	link = "Make a link that signs an administrator in to the log in a browser, once";
};

-- What a command does, and the flags that it takes, in words.
local function describe(name)
	if name == "prune" or name == "verify" or name == "link" then
		return help[name];
	end
	return help[name].."\n\n    Flags:\n"..core.shell_help(name == "stats", "      ");
end

if module.may then
	for name in pairs(help) do
		module:add_item("shell-command", {
			section = "audit";
			section_desc = "Read the audit log";
			name = name;
			-- The shell's own list of flags has no words about them, so it gets none. It passes them on as they were typed.
			desc = describe(name);
			args = { { name = (name == "prune" or name == "verify") and "host" or "target"; type = "string" } };
			handler = commands[name];
		});
	end
else
	-- COMPAT 0.12 has no items for shell commands, and its help can't be extended.
	local env = module:shared("/*/admin_shell/env");
	function commands:help()
		for _, name in ipairs { "show", "stats", "prune", "verify", "link" } do
			local is_of_host = name == "prune" or name == "verify";
			self.session.print(("audit:%s(\"%s\"%s) - %s"):format(name, is_of_host and "example.com" or "user@example.com",
				(is_of_host or name == "link") and "" or ", \"--since=2d\", …", describe(name)));
			self.session.print("");
		end
		return true;
	end
	env.audit = commands;
end
