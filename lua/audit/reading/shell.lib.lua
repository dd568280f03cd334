-- The section "audit" of Prosody's shell: audit:show(), audit:stats(), audit:prune().

local core = require "audit_core";

local time = require "util.time";

local readings = library "reading/readings";

local audit_log = module:shared("/*/audit/log").log;
local hosts = prosody.hosts;

-- How many entries the shell shows without --limit. They are read inside the server.
local LIMIT = 100;

-- Flags that make sense only in a process of its own.
local not_here = { output = true; report = true; follow = true; colour = true };

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
		if name and not_here[name:gsub("^no[-_]", "")] then
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

function commands:prune(target, ...) --luacheck: ignore 212/self
	if select("#", ...) > 0 then
		return nil, "This takes only a host: the options say what expires";
	end
	local command, wrong = core.command({ "--prune"; "--"; tostring(target) }, time.now());
	if not command then
		return nil, wrong;
	end
	local host = command.host;
	if not hosts[host] then
		return unknown_host(host);
	end
	local results, problem = readings.prune(host, { actor = { kind = "admin-shell" } });
	if not results then
		return nil, problem;
	end
	return true, readings.describe(host, results);
end

local help = {
	show = "Show entries of the audit log of a host or an account, newest first";
	stats = "Show totals of the log: by type, account, network and country, and over time";
	prune = "Remove entries that have expired";
};

-- The shell of Prosody 13 reads flags itself, and needs a list of them.
local function flags_of_shell()
	local spec = { value_params = {}; array_params = {}; kv_params = {} };
	for _, flag in ipairs(core.flags()) do
		local name = flag.name:gsub("%-", "_");
		if flag.group == "action" or not_here[flag.name] then --luacheck: ignore 542
			-- The shell refuses flags that it does not know.
		elseif not flag.value then
			spec.kv_params[name] = true;
		elseif flag.list then
			spec.array_params[name] = true;
		else
			spec.value_params[name] = true;
		end
	end
	return spec;
end

local function describe_flags()
	local lines = {};
	for _, flag in ipairs(core.flags()) do
		if flag.group ~= "action" and not not_here[flag.name] then
			table.insert(lines, ("  --%s%s%s  %s"):format(flag.negatable and "[no-]" or "", flag.name, flag.value and " "..flag.value or "", flag.meaning));
		end
	end
	return table.concat(lines, "\n");
end

if module.may then
	for name, description in pairs(help) do
		local reads = name ~= "prune";
		module:add_item("shell-command", {
			section = "audit";
			section_desc = "Read the audit log";
			name = name;
			desc = description;
			help = reads and description..".\n\n"..describe_flags() or nil;
			args = { { name = reads and "target" or "host"; type = "string" } };
			flags = reads and flags_of_shell() or nil;
			handler = commands[name];
		});
	end
else
	-- COMPAT 0.12 has no items for shell commands, and its help can't be extended.
	local env = module:shared("/*/admin_shell/env");
	function commands:help()
		for _, name in ipairs { "show", "stats", "prune" } do
			self.session.print(("audit:%s(\"%s\"%s) - %s"):format(name, name == "prune" and "example.com" or "user@example.com",
				name == "prune" and "" or ", \"--since=2d\", …", help[name]));
		end
		self.session.print(describe_flags());
		return true;
	end
	env.audit = commands;
end
