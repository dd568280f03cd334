-- The audit log. Loads the native core, and provides module:audit() for other modules and prosodyctl mod_audit for operators.

module:set_global();

local async = require "util.async";
local config = require "core.configmanager";
local datamanager = require "util.datamanager";
local moduleapi = require "core.moduleapi";
local st = require "util.stanza";
local time = require "util.time";

local hosts = prosody.hosts;

-- library(name) -> what lua/audit/NAME.lib.lua returns. Each of them is loaded once for all of our modules on all hosts. Those with
-- functions for one host return a function that takes the host's module.
local libraries = {};
function library(name)
	if libraries[name] == nil then
		libraries[name] = module:require("audit/"..name);
	end
	return libraries[name];
end

local core, missing = library "library" ();
if not core then
	-- Everything else is loaded as usual, and does nothing: one line is enough, however many hosts and modules there are.
	missing = "The audit log can't be used: "..missing;
	function module.command()
		io.stderr:write(missing, "\n");
		return 1;
	end
	if prosody.process_type ~= "prosodyctl" then
		module:log("error", "%s", missing);
		module:set_status("error", missing);
	end
	-- Other modules may call it in the middle of a login.
	local function audit() return nil, "not-available"; end
	moduleapi.audit = audit;
	function module.unload()
		if rawget(moduleapi, "audit") == audit then moduleapi.audit = nil; end
	end
	library = false; -- not nil: Prosody warns about names that do not exist
	return;
end
local timers = library "timers";

local function log_line(level, message)
	module:log(level, "%s", message);
end

local function open_store(host)
	if not hosts[host] then
		return nil, "there is no such host";
	end
	return module:context(host):open_store("audit", "archive");
end

local function get_option(host, name)
	local value = config.get(host, name);
	if name == "audit_log_location_database" and type(value) == "string" and prosody.paths.config then
		return config.resolve_relative_path(prosody.paths.config, value);
	end
	return value;
end

-- The journal of a host is in its folder of Prosody's data. Only the server writes to it; prosodyctl may run at the same time.
local in_server = prosody.process_type ~= "prosodyctl";

-- The path of a file of the log in the host's folder. The folder is created if the file will be written.
local function file_of(host, extension, is_written)
	if hosts[host] and host ~= "*" then
		local path = datamanager.getpath(nil, host, "audit", extension, is_written);
		if is_written then
			-- If prosodyctl, run by root, has created the folder, it must belong to the server's user.
			core.give_from_root((path:gsub("/[^/]*$", "")));
		end
		return path;
	end
end

local function journal_path(host)
	return file_of(host, "journal", in_server);
end

-- Storage drivers may wait, and need an async context.
local function schedule(delay, run)
	timers.add(module, delay, function ()
		async.runner(run):run(true);
	end);
end

-- The server may be writing to an SQLite file that prosodyctl wants to read.
local function wait_for_lock(attempt, message)
	if attempt > 50 or not (message:find("locked", 1, true) or message:find("commit failed", 1, true)) then
		return false;
	end
	require "socket".sleep(0.1);
	return true;
end

-- The last heartbeat, as mod_audit_status stores it. A driver that has to wait can't be asked here.
local function heartbeat(host)
	local ok, state = pcall(function ()
		return hosts[host] and module:context(host):open_store("audit_status", "keyval"):get(nil);
	end);
	return ok and type(state) == "table" and tonumber(state.heartbeat) or nil;
end

-- When other programs last wrote something, except while the machine was starting. Asked only once: it is the same for all hosts,
-- and we will write ourselves soon.
local elsewhere;
local function written_elsewhere(now, uptime)
	elsewhere = elsewhere or { core.written_elsewhere(now, uptime,
		{ "/var/log", "/var/lib", "/var/cache", "/var/tmp", "/etc", prosody.paths.data },
		{ prosody.config_file, prosody.paths.config }) };
	return elsewhere[1];
end

local existing = library "existing";
local former = library "former";

local statistics = module:shared("statistics");
local watched = module:shared("watched"); -- hosts with a live view in a browser
-- Survives a reload, as long as a hand-over waits for its driver.
local slices = module:shared("slices");

local environment = {
	stanza_mt = st.stanza_mt or getmetatable(st.stanza("audit-event"));
	open_store = open_store;
	open_with = former.open, has_native = former.has_native;
	get_option = get_option;
	log = log_line;
	now = time.now;
	monotonic = time.monotonic;
	schedule = in_server and schedule or nil;
	slices = slices;
	journal_path = in_server and journal_path or nil;
	readable_path = journal_path;
	journals_lock = prosody.paths.data.."/audit.lock";
	erased_path = function (host) return file_of(host, "erased"); end;
	seal_path = prosody.paths.data.."/audit.seal";
	retry = not in_server and wait_for_lock or nil;
	pause = in_server and async.sleep or nil;
	lock_path = function (host) return file_of(host, "prune.lock", true); end;
	uptime = core.uptime;
	clock_path = function (host) return file_of(host, "clock", in_server); end;
	clock_files = function (host)
		local clock = file_of(host, "clock");
		return clock and { clock:match("^(.*)/") or ".", (clock:gsub("%.clock$", "")) } or {};
	end;
	heartbeat = heartbeat;
	written_elsewhere = written_elsewhere;
	key_path = function (host) return file_of(host, "key", true); end;
	list_path = function (host, user) return datamanager.getpath(user, host, "audit", "list"); end;
	pruned = function (host, results, problem)
		if not results then
			module:log("error", "Expired audit events of %s can't be removed: %s", host, problem);
			return;
		end
		for _, line in ipairs(library "reading/readings".pruned(results)) do
			module:log("info", "Audit events of %s: %s", host, line);
		end
	end;
	exists = existing.exists;
	recorded = function (host, event_type)
		local of_host = statistics[host];
		if of_host then of_host.recorded(event_type); end
		if watched[host] then watched[host].has_news = true; end
	end;
	handed_over = function (host, entries, seconds)
		local of_host = statistics[host];
		if of_host then of_host.handed_over(entries, seconds); end
	end;
};
local audit_log = core.new(environment);
-- For tests and tools inside the server.
module:shared("log").log = audit_log;
module:shared("log").existing = existing;
module:shared("log").environment = environment; -- for prosodyctl, while the server is stopped
local metrics = library "metrics" (audit_log, statistics);
local sealing; -- in the server

-- module:audit(user, event_type, extra) -> the entry's id | nil, condition
--
-- `admitted` is for our own hooks: module:audit_admits() was asked before (see hook_often in audit.lib.lua).
local function audit(self, user, event_type, extra, admitted)
	if self.host == "*" then
		error("cannot log audit events for global", 2);
	end
	return audit_log.audit(self.host, user, "mod_"..self.name, event_type, extra, admitted);
end

-- audit_admits(...) -> whether an event of an account of the host is to be recorded. If not, flood control has counted it.
local function audit_admits(self, username, event_type, session, condition)
	return audit_log.admits(self.host, username, "mod_"..self.name, event_type, session, condition);
end

moduleapi.audit, moduleapi.audit_admits = audit, audit_admits;

-- For how long hosts begin to hand over what waits when the server or this module ends, in seconds.
local LAST = 0.25;

-- Hands over what waits, for at most this many seconds on each host. With many hosts, the rest stays in their journals for the next start.
local function hand_over_last(seconds)
	local deadline = time.monotonic() + LAST;
	for _, host in ipairs(audit_log.awake()) do
		audit_log.sum_up(host);
		if time.monotonic() < deadline or not audit_log.is_safe(host) then
			audit_log.flush(host, seconds);
		end
	end
end

function module.unload()
	if not module.reloading then
		module:fire_event("audit-stopping"); -- the last moment to record something
	end
	if rawget(moduleapi, "audit") == audit then
		moduleapi.audit, moduleapi.audit_admits = nil, nil;
	end
	module:shared("log").new_reading = nil;
	audit_log.stop();
	if sealing then sealing.close(); end
	hand_over_last(0.05);
	-- Entries that still wait in the files of journals are handed over after the next start.
	audit_log.close();
end

-- Records an event of Prosody's event system in the same way, for code that does not depend on this module. The event is one table, like
-- Prosody's own events.
local function on_audit(event)
	if type(event) ~= "table" then
		module:log("warn", "The event \"audit\" was fired without a table; nothing is recorded");
		return;
	end
	local ok, err = pcall(audit_log.audit, event.host, event.user, event.source, event.type, event.extra);
	if not ok then
		module:log("warn", "An event \"audit\" can't be recorded: %s", err);
	end
end

module:hook("audit", on_audit);

timers.add(module, 10, function ()
	audit_log.look_at_clock();
	return 10;
end);

-- The hosts on which something may have happened since the last check.
local function hosts_with_news()
	local found = {};
	for _, host in ipairs(audit_log.awake()) do
		found[host] = true;
	end
	for host in pairs(statistics) do
		if metrics.has_news(host) then found[host] = true; end
	end
	return found;
end

module:hook("stats-update", function ()
	for host in pairs(hosts_with_news()) do
		metrics.update(host);
	end
end);

-- Options are read again at once, so that wrong values are reported when they were changed, not at the next event.
local audited_hosts = {};
module:hook("config-reloaded", function ()
	audit_log.forget();
	for host in pairs(audited_hosts) do
		audit_log.configure(host);
	end
end);

-- Each host is checked every 10 seconds. For a host without news this costs almost nothing.
local news = {};
timers.each(module, 10, function ()
	local list = {};
	news = hosts_with_news();
	for host in pairs(audited_hosts) do
		list[#list + 1] = host;
	end
	return list;
end, function (host)
	if not audited_hosts[host] then return; end
	audit_log.look_at_key(host);
	if news[host] then
		audit_log.look(host);
		metrics.update(host);
	end
end);

module:hook("host-deactivated", function (host)
	audited_hosts[host] = nil;
	audit_log.close(host);
	audit_log.forget(host);
end);

-- The embedded driver reads a whole partition before it appends the first entry. So the first slice of the hand-over runs before
-- the first turn of the loop, while nobody is connected. A driver that waits continues by itself later.
module:hook("server-started", function ()
	for _, host in ipairs(audit_log.awake()) do
		coroutine.resume(coroutine.create(audit_log.flush), host, 0);
	end
end, -1000);

-- After the modules that record the stop of the server.
module:hook("server-stopped", function ()
	if sealing then sealing.seal(); end
	hand_over_last(2);
	for _, host in ipairs(audit_log.awake()) do
		audit_log.finish(host);
	end
end, -1000);

function module.add_host(host_module)
	local host = host_module.host;
	audited_hosts[host] = true;
	audit_log.open(host);
	metrics.watch(host_module);

	host_module:hook("audit", function (event)
		if type(event) == "table" and event.host == nil then
			event.host = host;
		end
		return on_audit(event);
	end);

	if in_server then
		library "reading/adhoc" (host_module);
	end

	-- A store can't be used any longer than the driver that opened it.
	local function forget_store(event)
		if event.module:find("^storage_") then
			audit_log.forget(host);
		end
	end
	host_module:hook("module-unloaded", forget_store);
	host_module:hook("module-reloaded", forget_store);

	-- All of the server's other tasks wait for a task, so it only starts the prune. One that a stop or crash has interrupted is
	-- continued now.
	host_module:daily("Remove expired audit events", function ()
		audit_log.prune_soon(host, 0);
	end);
	audit_log.prune_soon(host, 0);
end

-- Readers --

-- log(host) -> the log of a host, for other modules to read | nil, "item-not-found". docs/module-api.md describes it.
-- What reads the log is loaded when it is first read: Prosody's garbage collector looks at everything that is loaded again and again.
local log_of;
function log(host)
	log_of = log_of or library "reading/query" (audited_hosts);
	return log_of(host);
end
if module:shared("log").is_read then
	log_of = library "reading/query" (audited_hosts); -- for those who have kept a log over a reload
end

if in_server then
	sealing = library "sealing" (audit_log, audited_hosts, environment.seal_path, environment.pause);
	library "reading/shell";
	local erasing = library "erasing" (audited_hosts);
	library "verifying" (audit_log, metrics, audited_hosts, erasing.again);
	sealing.start();

	module:hook("server-started", function ()
		library "exposure".warn(audited_hosts);
		former.warn(audit_log, audited_hosts);
		-- The log of a host that is not configured any more is not pruned.
		local found = library "reading/leftovers".find();
		if #found > 0 then
			module:log("warn", "There are logs of hosts that are not configured: %s. They are not pruned. To prune one: "
				.."prosodyctl mod_audit --host-data --prune HOST", table.concat(found, ", "));
		end
	end);

	-- Requests of prosodyctl. Other modules have theirs in the shared table.
	library "reading/socket".serve(setmetatable(library "reading/requests" (audited_hosts, sealing, erasing), { __index = module:shared("actions") }));
end

function module.command(arg)
	return library "reading/command" (arg);
end
