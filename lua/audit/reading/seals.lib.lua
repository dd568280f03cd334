-- prosodyctl mod_audit --new-seal, and the seal keys for --verify.

local core = require "audit_core";

local human = require "util.human.io";

local link = library "reading/socket";
local new_sealing = library "sealing";
local offline = library "reading/offline";

-- How long the server may take to seal all logs, in seconds.
local TAKES = 60;

local seals = {};

-- keys() -> list of seal keys | nil, what is wrong. They are asked for on a terminal, otherwise read from standard input. A key is never
-- an argument: others could see it.
function seals.keys()
	local text;
	if core.is_terminal("stdin") then
		io.stderr:write("Seal key: ");
		text = human.getpass() or "";
		io.stderr:write("\n");
	else
		text = io.stdin:read("*a") or "";
	end
	local keys = {};
	for key in text:gmatch("%S+") do
		local ok, problem = core.seal_key(key);
		if not ok then
			return nil, problem;
		end
		table.insert(keys, key);
	end
	if not keys[1] then
		return nil, "no seal key was given";
	end
	return keys;
end

-- What this process does while the server is stopped.
local function of_own(hosts, environment)
	local log, finish = offline.open(hosts, environment);
	local set = {};
	for _, host in ipairs(hosts) do set[host] = true; end
	return new_sealing(log, set, environment.seal_path).replace, finish;
end

-- The prompt, and what is to be done with the key.
local REPLACE = "There is a seal key already. What was sealed so far can be verified only with it, so keep it. Replace it? [y/N] ";
local KEEP = "This is the seal key of all hosts. It is not stored, so copy it to another machine now; prosodyctl mod_audit --verify "
	.."--seal-key asks for it.\n";

-- make(command, context) -> exit status: makes a seal key, and prints it alone on its line
--   context = {
--     fail      function(message, …) -> 1: writes a line to standard error
--     hosts     list of all hosts
--     activate  function(host): makes it known to this process
--     state_of  function(host) -> "reachable" | "running" | "stopped": the server
--     environment   as the log has it
--   }
function seals.make(command, context)
	local fail, path = context.fail, context.environment.seal_path;
	for _, host in ipairs(context.hosts) do context.activate(host); end
	local state = context.state_of(context.hosts[1] or "");
	if state == "running" then
		return fail("The server is running, and only it may change its log: enable admin_socket and ask again, or stop the server first");
	end
	local replace = false;
	local file = io.open(path);
	if file then
		file:close();
		if not command.yes then
			if not core.is_terminal("stdin") then
				fail("Nothing was changed: there is a seal key already, and standard input is no terminal that could be asked. Use --yes to replace it");
				return 2;
			end
			io.stderr:write(REPLACE);
			local answer = io.stdin:read("*l");
			if not answer or not answer:lower():match("^%s*y") then
				return fail("Nothing was changed");
			end
		end
		replace = true;
	end
	local key, problem = core.new_seal(path..".new");
	if not key then
		return fail("The seal key can't be written: %s", problem);
	end
	local by, by_source = core.reader();
	local ok, finish;
	if state == "reachable" then
		ok, problem = link.ask({ action = "new-seal"; replace = replace and "true" or nil; by = by; by_source = by_source }, TAKES);
	else
		local replace_key;
		replace_key, finish = of_own(context.hosts, context.environment);
		ok, problem = replace_key({ replace = replace; by = by; by_source = by_source; actor = { kind = "admin-shell" } });
		finish();
	end
	if not ok then
		os.remove(path..".new");
		return fail("The seal key can't be used: %s", problem);
	end
	if core.is_terminal("stdout") then
		io.stderr:write(KEEP);
	end
	print(key);
	return 0;
end

return seals;
