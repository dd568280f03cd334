-- The command prosodyctl mod_audit.

local core = require "audit_core";

local loggingmanager = require "core.loggingmanager";
local prosodyctl = require "util.prosodyctl";
local socket = require "socket";
local storagemanager = require "core.storagemanager";
local time = require "util.time";

local activate = library "reading/activation";
local asking = library "web/asking";
local link = library "reading/socket";
local leftovers = library "reading/leftovers";
local new_key = library "reading/keys";
local new_progress = library "reading/progress";
local readings = library "reading/readings";
local verification = library "reading/verification";

local audit_log = module:shared("/*/audit/log").log;
local hosts = prosody.hosts;

-- How often --follow reads again, in seconds.
local LOOK_AGAIN = 1;

-- How long the server may take to prune a host; seconds.
local PRUNING_TAKES = 600;

local function fail(message, ...)
	io.stderr:write((message:format(...)), "\n");
	return 1;
end

-- Hosts that are not configured. The server does not use their logs, unless the host was activated by hand.
local unconfigured = {};

local function activate_unconfigured(host)
	local found = leftovers.find();
	local ok, problem = leftovers.activate(host);
	if not ok then
		return fail("%s", problem);
	end
	activate(host);
	unconfigured[host] = true;
	for _, name in ipairs(found) do
		if name == host then return; end
	end
	-- A log in a database has no files that could be found.
	local _, driver_name = storagemanager.get_driver(host, "audit");
	if driver_name ~= "internal" then return; end
	return fail("There is no log of %q%s", host, #found > 0 and "; logs of hosts that are not configured: "..table.concat(found, ", ") or "");
end

local function all_hosts()
	local names = {};
	for name in pairs(hosts) do
		if name ~= "*" then
			table.insert(names, name);
		end
	end
	table.sort(names);
	return names;
end

local function unknown_host(host)
	local names = all_hosts();
	for _, name in ipairs(leftovers.find()) do
		if name == host then
			return fail("%q is not configured any more; --host-data reads what is left of its log", host);
		end
	end
	local meant = core.nearest(host, names);
	if meant then
		return fail("Unknown host %q; did you mean %s?", host, meant);
	end
	return fail("Unknown host %q; the configuration has %s", host, #names > 0 and table.concat(names, ", ") or "none");
end

-- Standard output is for entries. Our own lines of Prosody's log go to standard error, and the others are dropped: if a driver logs
-- that a file is locked, we report the result ourselves.
local function keep_log_from_stdout()
	loggingmanager.register_sink_type("console", function ()
		return function (name, level, message, ...)
			if (level == "warn" or level == "error") and name:find("audit", 1, true) then
				io.stderr:write(message:format(...), "\n");
			end
		end
	end);
	loggingmanager.reload_logging();
end

-- state_of_server(host) -> "reachable" | "running", but it can't be reached | "stopped"
local function state_of_server(host)
	if unconfigured[host] then
		return audit_log.is_owned(host) and "running" or "stopped";
	end
	local conn = link.open();
	if conn then
		conn:close();
		return "reachable";
	end
	local known, running = prosodyctl.isrunning();
	if not known then
		running = audit_log.is_owned(host);
	end
	return running and "running" or "stopped";
end

-- Records the reading in the log. Only the server writes to its store; if it is stopped, we do.
local function record(asked, shown, file)
	local by, by_source = core.reader();
	local reading = {
		through = "prosodyctl"; filter = asked.asked; entries = shown; exported = file ~= nil or asked.format ~= "table";
		format = asked.format; file = file and file.path; by = by; by_source = by_source;
	};
	local state = state_of_server(asked.host);
	if state == "reachable" then
		reading.action, reading.host, reading.exported = "record", asked.host, reading.exported and "true" or nil;
		reading.entries = ("%d"):format(shown);
		local ok, problem, was_sent = link.ask(reading);
		if not ok then
			io.stderr:write("This reading ", was_sent and "may not be" or "is not", " in the log: ", problem, "\n");
		end
	elseif state == "stopped" then
		reading.actor = { kind = "admin-shell" };
		local id, problem = readings.record(asked.host, reading);
		if not id then
			io.stderr:write("This reading is not in the log: ", tostring(problem), "\n");
		end
	end
end

-- The number of the error that says that nobody reads a pipe any more.
local EPIPE = 32;

-- Writes without a buffer, so that a failure is known at once: true | nil, message. Without a message nobody reads any more, as in
-- `… | head`. That is no failure.
local function to_stdout(text)
	local ok, problem, number = io.stdout:write(text);
	if ok then
		ok, problem, number = io.stdout:flush();
	end
	if not ok then
		return nil, number ~= EPIPE and "Standard output can't be written: "..tostring(problem) or nil;
	end
	return true;
end

-- Reports the result of a reading -> exit status
local function conclude(asked, result, problem)
	if problem then
		return fail("%s", problem);
	elseif result.problem then
		return fail("The audit log of %s can't be read: %s%s", asked.host, result.problem,
			result.shown > 0 and "; what is shown is incomplete" or "");
	elseif result.damaged > 0 then
		return fail("%d %s damaged and %s not shown%s", result.damaged, result.damaged == 1 and "entry is" or "entries are",
			result.damaged == 1 and "is" or "are", result.places ~= "" and (": "..result.places) or "");
	elseif result.shown == 0 then
		io.stderr:write("No audit events found.\n");
	end
	-- On standard error, so that every line of standard output is of an entry.
	local hidden = readings.hidden(result.hidden);
	if hidden then
		io.stderr:write(hidden, "\n");
	end
	local moving = audit_log.moving(asked.host);
	if moving then
		io.stderr:write(("Entries are being moved from the storage driver %s to %s: %d were moved, %d %s left\n"):format(moving.from, moving.to,
			moving.moved, moving.left, moving.left == 1 and "partition is" or "partitions are"));
	end
	return 0;
end

-- What the server knows of the log itself, for a report.
local function health(host)
	local text = state_of_server(host) == "reachable" and link.ask { action = "health"; host = host };
	local list = {};
	for standing, line in (text or ""):gmatch("(%l+) ([^\n]+)") do
		list[#list + 1] = { standing = standing; text = line };
	end
	if not list[1] then
		list[1] = { standing = "note"; text = "The server did not answer when this was made: what waits, and its last verification, are not known" };
	end
	return list;
end

local function show(asked)
	local file, problem;
	if asked.has_output then
		file, problem = core.new_file(asked);
		if not file then
			return fail("%s", problem);
		end
	end
	local write = file and function (text) return file:write(text); end or to_stdout;
	local on_terminal = not file and core.is_terminal("stdout");
	local progress = (file or not on_terminal) and new_progress() or nil;
	local function out(text)
		local ok;
		ok, problem = write(text);
		return ok and true or false;
	end
	local report = asked.format == "report" and core.writing(asked, nil, false) or nil;
	local result = audit_log.read(asked, out, {
		writing = report;
		width = not file and core.terminal_width() or nil;
		coloured = on_terminal and (os.getenv("NO_COLOR") or "") == "" and os.getenv("TERM") ~= "dumb";
		each_page = progress and progress.each;
	});
	if progress then progress.done(); end
	if report and not problem and not result.problem then
		report:know(health(asked.host));
		result.stopped = not out(report:ending());
	end
	local size;
	if file then
		if problem or result.problem then
			file:discard();
		else
			size, problem = file:finish();
		end
	end
	-- If the reader of a pipe has gone, there is nobody to report to.
	local is_gone = result.stopped and not problem and not result.problem;
	local status = is_gone and 0 or conclude(asked, result, problem);
	if size then
		io.stderr:write(("Wrote %s: %d %s, %s\n"):format(file.path, result.shown, result.shown == 1 and "entry" or "entries", size));
	end
	-- What went to standard output may have been read, even if not all of it could be written.
	if size or not file and (result.shown > 0 or not problem and not result.problem) then
		record(asked, result.shown, file);
	end
	return status;
end

local function follow(asked)
	local coloured = core.is_terminal("stdout") and (os.getenv("NO_COLOR") or "") == "";
	local writing = core.writing(asked, core.terminal_width(), coloured);
	local problem;
	local is_gone = false;
	local function out(text)
		local ok;
		ok, problem = to_stdout(text);
		is_gone = not ok;
		return not is_gone;
	end
	local following, result = audit_log.follower(asked);
	if asked.limit and not result.problem then
		result = audit_log.read(asked, out, { backwards = true; writing = writing; saw = following });
	end
	record(asked, asked.limit and result.shown or 0);
	-- A pipe that is closed is noticed also if there is nothing new to write.
	while not is_gone and not result.problem and not core.is_pipe_closed() do
		result = audit_log.read(asked, out, { writing = writing; following = following });
		if not is_gone then
			socket.sleep(LOOK_AGAIN);
		end
	end
	if problem or result.problem then
		return conclude(asked, result, problem);
	end
	return 0;
end

local function prune(names, trust_clock)
	local status = 0;
	local state = state_of_server(names[1] or "");
	if state == "running" then
		return fail("The server is running, and only it may prune its log: enable admin_socket and ask again, or stop the server first");
	end
	for _, host in ipairs(names) do
		local text, problem;
		if state == "reachable" then
			text, problem = link.ask({ action = "prune"; host = host; trust_clock = trust_clock and "true" or nil }, PRUNING_TAKES);
		else
			local results;
			results, problem = audit_log.prune(host, { trust_clock = trust_clock; actor = { kind = "admin-shell" } });
			text = results and readings.describe(host, results);
		end
		if text then
			print(text);
		else
			status = fail("The audit log of %s can't be pruned: %s", host, tostring(problem));
		end
	end
	return status;
end

local function new_keys(names)
	local status = 0;
	for _, host in ipairs(names) do
		local line, problem = new_key(host);
		if line then
			print(line);
		else
			status = fail("The key of %s can't be replaced: %s", host, problem);
		end
	end
	return status;
end

local function alerts(host)
	if host and not hosts[host] then
		return unknown_host(host);
	end
	local rules, refused = audit_log.alerts.rules(host or "*");
	print(rules);
	for _, line in ipairs(refused) do
		io.stderr:write(line, "\n");
	end
	return 0;
end

local function export_evidence(command)
	return verification.export(command.host, command.output, {
		fail = fail, to_stdout = to_stdout;
		record = function (entries, file)
			record({ host = command.host, asked = "--export-evidence", format = "evidence" }, entries, file);
		end;
	});
end

return function (arg)
	local command, problem = core.command(arg, time.now());
	if not command then
		fail("%s", problem);
		return 2;
	end
	if command.action == "help" then
		print(core.help());
		return 0;
	elseif command.action == "events" then
		if command.host and not hosts[command.host] then
			return unknown_host(command.host);
		end
		print(audit_log.events(command.host or "*"));
		return 0;
	elseif command.action == "alerts" then
		return alerts(command.host);
	end
	if asking.knows[command.action] then
		return hosts[command.host] and command.host ~= "*" and library "web/command" (command) or unknown_host(command.host);
	end
	if command.action == "verify-file" then
		return verification.verify_file(command, fail);
	end
	-- However the process ends, nothing is left over: a new file has no name yet, and the system releases locks.
	core.exit_on_interrupt();
	keep_log_from_stdout();
	if command.host_data then
		local failed = activate_unconfigured(command.host);
		if failed then return failed; end
	end
	if command.action == "erase" then
		return library "reading/erasure".erase(command, { fail = fail, hosts = all_hosts(), activate = activate, state_of = state_of_server });
	end
	if command.action == "new-seal" then
		return library "reading/seals".make(command, { fail = fail, hosts = all_hosts(), activate = activate, state_of = state_of_server;
			environment = module:shared("/*/audit/log").environment });
	end
	local names = command.host and { command.host } or all_hosts();
	for _, host in ipairs(names) do
		if not unconfigured[host] and not activate(host) then
			return unknown_host(host);
		end
	end
	if command.action == "prune" then
		return prune(names, command.trust_clock);
	elseif command.action == "verify" then
		return verification.verify(names, command, fail);
	elseif command.action == "anchors" then
		return verification.anchors(names, fail);
	elseif command.action == "export-evidence" then
		return export_evidence(command);
	elseif command.action == "sinks" then
		return library "sinks/asking".list(names);
	elseif command.action == "sink-test" then
		return library "sinks/asking".test(command.sink, command.host);
	elseif command.action == "privacy" then
		io.stdout:write(audit_log.privacy(command.host));
		return 0;
	elseif command.action == "new-key" then
		return new_keys(names);
	elseif command.asked.follow then
		return follow(command.asked);
	end
	return show(command.asked);
end
