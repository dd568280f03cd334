-- prosodyctl mod_audit --erase.

local core = require "audit_core";

local json = require "util.json";

local erasures = library "erasures";
local leftovers = library "reading/leftovers";
local link = library "reading/socket";
local offline = library "reading/offline";

-- How long the server may take to erase a person's data; seconds.
local TAKES = 3600;

local function say(lines)
	for _, line in ipairs(lines) do
		print(line);
	end
end

-- What the running server does.
local function of_server(command, reader)
	local function ask(preview)
		local text, problem = link.ask({
			action = "erase"; person = command.person; before = command.before and ("%d"):format(command.before) or nil;
			acted = command.acted and "true" or nil; reason = command.reason; by = reader.name, by_source = reader.source;
			preview = preview and "true" or nil;
		}, TAKES);
		if not text then
			return nil, problem;
		end
		return json.decode(text), "the server's answer makes no sense";
	end
	return { preview = function () return ask(true); end; erase = function () return ask(false); end };
end

-- What this process does while the server is stopped.
local function of_own(command, reader, hosts)
	local log, finish = offline.open(hosts, module:shared("/*/audit/log").environment);
	local request = {
		person = command.person; before = command.before; acted = command.acted; reason = erasures.masked(command.reason, command.person);
		by = reader.name, by_source = reader.source;
	};
	return {
		preview = function () return erasures.preview(request, hosts, log.erase); end;
		erase = function ()
			local ok, problem = erasures.new(request);
			if not ok then
				return nil, problem;
			end
			return erasures.erase(request, hosts, log.erase, function (host, of_request, result)
				log.erased(host, erasures.recorded(of_request), result, { kind = "admin-shell" });
			end);
		end;
		finish = finish;
	};
end

-- Shows what would be erased, asks, and erases -> exit status
local function ask_and_erase(command, way, fail)
	local results, problem = way.preview();
	if not results then
		return fail("The data of %s can't be erased: %s", command.person, problem);
	end
	say(erasures.describe(results, true));
	if results.count == 0 then
		fail("No entry has to be changed: none of them tells of %s any more, or may be changed", command.person);
		return (results.held > 0 or #results.problems > 0) and 1 or 0;
	elseif not command.yes then
		io.stderr:write(("Erase the data of %s from %d %s for ever? [y/N] "):format(command.person, results.count,
			results.count == 1 and "entry" or "entries"));
		local answer = io.stdin:read("*l");
		if not answer or not answer:lower():match("^%s*y") then
			return fail("Nothing was erased");
		end
	end
	results, problem = way.erase();
	if not results then
		return fail("The data of %s may be erased only in part: %s. The server goes on with it; look for the type audit-erased in the log", command.person,
			problem);
	end
	say(erasures.describe(results, false));
	local others = leftovers.find();
	if others[1] then
		print("Not reached: logs of hosts that are not configured any more: "..table.concat(others, ", "));
	end
	return (results.held > 0 or results.damaged > 0 or #results.problems > 0) and 1 or 0;
end

-- erase(command, context) -> exit status
--   command = what core.command() returns
--   context = {
--     fail      function(message, …) -> 1: writes a line to standard error
--     hosts     list of all hosts
--     activate  function(host): makes it known to this process
--     state_of  function(host) -> "reachable" | "running" | "stopped": the server
--   }
local function erase(command, context)
	local fail = context.fail;
	local on_terminal = core.is_terminal("stdin");
	if not command.yes and not on_terminal then
		fail("Nothing was erased: standard input is no terminal that could be asked. Use --yes if you are sure");
		return 2;
	end
	for _, host in ipairs(context.hosts) do context.activate(host); end
	local state = context.state_of(context.hosts[1] or "");
	if state == "running" then
		return fail("The server is running, and only it may change its log: enable admin_socket and ask again, or stop the server first");
	end
	local name, source = core.reader();
	local reader = { name = name; source = source };
	if state == "reachable" then
		return ask_and_erase(command, of_server(command, reader), fail);
	end
	local way = of_own(command, reader, context.hosts);
	local status = ask_and_erase(command, way, fail);
	way.finish();
	return status;
end

return { erase = erase };
