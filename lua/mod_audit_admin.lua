-- Records what administrators do to the server: commands in its shell and ad-hoc commands, configurations that are read
-- again, modules and hosts that come and go, other certificates, and how the log itself is set.
--
-- What concerns the whole server is recorded on each host that this module is enabled on.

module:set_global();

local library = module:depends("audit").library;
local acting = library "acting";
local new_audit = library "audit";
local configs = library "configuration";
local watch_adhoc = library "adhoc_watch";
local watch_sent = library "sent";

local core = require "audit_core";
local getconfig = require "core.configmanager".getconfig;
local st = require "util.stanza";

local next, pairs, pcall, setmetatable, tostring, type = next, pairs, pcall, setmetatable, tostring, type;

local prosody = prosody;
local hosts = prosody.hosts;
local audit = new_audit(module);
local try = library "faults".trier(module);

local function is_ours(host)
	local session = hosts[host];
	return session and session.modules and session.modules.audit_admin ~= nil;
end

-- What is loaded while the server or a host starts is what the configuration says.
local running = prosody.state == "running";
local changing = {}; -- hosts that come or go

-- record(host, event_type, custom, source): who did it is whoever acts now.
local function record(host, event_type, custom, source)
	local event = { actor = audit:acting(host) or { kind = running and "unknown" or "server" }, custom = custom };
	if not source then
		module:context(host):audit(nil, event_type, event);
	else
		module:fire_event("audit", { host = host, source = source, type = event_type, extra = event });
	end
end

local function record_everywhere(event_type, custom)
	for host in pairs(hosts) do
		if is_ours(host) then
			record(host, event_type, custom);
		end
	end
end

-- The shell --

local shell_env = module:shared("/*/admin_shell/env");

-- Prosody does not ask who is at the other end of the socket. The console of mod_admin_telnet has an address.
local function describe_session(origin)
	local session = { id = origin.id, type = origin.type };
	if origin.conn then
		local ok, ip = pcall(origin.conn.ip, origin.conn);
		session.ip = ok and ip or nil;
	end
	return session;
end

local function record_command(event)
	local session = describe_session(event.origin);
	local actor = { kind = "admin-shell", session = session, entries = {} };
	-- Which hosts and commands there are tells a JID or a command from a password.
	local line = core.shell_line(tostring(event.stanza:get_text() or ""), hosts, shell_env);
	for host in pairs(hosts) do
		if is_ours(host) then
			actor.entries[host] = module:context(host):audit(nil, "shell-command", {
				session = session, actor = { kind = actor.kind, session = session }, custom = { audit.detail("command", nil, line) };
			});
		end
	end
	return actor;
end

-- What a command asks for, such as a password, comes later and by an event of its own.
-- session -> { stop = what ends the watching, [id of a request] = who asked }
local requests = setmetatable({}, { __mode = "k" });

local function remember_request(of_session, sent)
	local id = st.is_stanza(sent) and sent.name == "repl-request-input" and sent.attr.id;
	if id then
		of_session[id] = acting.now();
	end
end

local function watch_requests(session)
	if not requests[session] then
		local of_session = {};
		requests[session] = of_session;
		of_session.stop = watch_sent(session, function (sent)
			try("a request of the shell", remember_request, of_session, sent);
		end);
	end
end

module:wrap_event("admin/repl-input", function (handlers, name, event)
	-- Recorded before it runs: it may end the server.
	local actor = try("a command of the shell", record_command, event);
	if not actor then
		return handlers(name, event);
	end
	try("a request of the shell", watch_requests, event.origin);
	return acting.run(actor, handlers, name, event);
end);

module:wrap_event("admin/repl-requested-input", function (handlers, name, event)
	local of_session, id = requests[event.origin], event.stanza.attr.id;
	local actor = of_session and id and of_session[id];
	if type(actor) ~= "table" then
		return handlers(name, event);
	end
	of_session[id] = nil;
	return acting.run(actor, handlers, name, event);
end);

local stop_following = acting.follow_promises();

-- The configuration --

local config_before;

audit:watch("reloading-config", function ()
	-- Reading the file again makes a new table of it.
	config_before = getconfig();
end);

local function certificate_changed(host)
	local before, now = configs.certificate_of(host);
	if now and before ~= now.sha256 then
		record(host, "certificates-reloaded", { audit.detail("certificate", now) });
	end
end

-- After the modules that use what has changed, mod_audit and mod_tls among them.
audit:watch("config-reloaded", function ()
	local before, now = config_before, getconfig();
	config_before = nil;
	for host in pairs(hosts) do
		if is_ours(host) then
			local changes = before and configs.changes(before, now, host) or {};
			record(host, "config-reloaded", { configs.describe(changes) });
			local of_log = before and configs.effective_changes(before, now, host, "^audit_") or {};
			if next(of_log) then
				record(host, "audit-options-changed", { configs.describe(of_log) }, "mod_audit");
			end
			certificate_changed(host);
		end
	end
end, -1000);

-- Modules and hosts --

audit:watch("server-started", function () running = true; end);
audit:watch("server-stopping", function () running = false; end);
module:add_timer(0, function () running = running or not prosody.shutdown_code and not prosody.shutdown_reason; end);

-- Prosody 0.12 announces modules that there never were, by the text that was typed. A name is recorded if such a module was seen,
-- or if it looks like one.
local seen = {};
local function module_name(name)
	for _, session in pairs(hosts) do
		if session.modules and session.modules[name] then
			seen[name] = true;
		end
	end
	return seen[name] and name or core.field_value("module", tostring(name));
end

local function hook_modules(context, to_record)
	for _, name in pairs({ "module-loaded", "module-unloaded", "module-reloaded" }) do
		context:hook(name, audit:guard(name, function (event)
			if running and not changing[event.host] then
				to_record(name, { audit.detail("module", { name = module_name(event.module) }) }, event.host);
			end
		end));
	end
end

-- Modules that are loaded once for the whole server.
hook_modules(module, record_everywhere);

local function host_changed(host, event_type)
	changing[host] = nil;
	if running then
		record_everywhere(event_type, { audit.detail("host", { name = host }) });
	end
end

audit:watch("host-activated", function (host) changing[host] = true; end, 1000);
audit:watch("host-activated", function (host) host_changed(host, "host-activated"); end, -1000);
-- While it is still there to be recorded on.
audit:watch("host-deactivating", function (event)
	host_changed(event.host, "host-deactivated");
	changing[event.host] = true;
end, 1000);
audit:watch("host-deactivated", function (host) changing[host] = nil; end, -1000);

function module.add_host(host_module)
	local host = host_module.host;
	new_audit(host_module, "audit");
	hook_modules(host_module, function (event_type, custom)
		record(host, event_type, custom);
	end);
	watch_adhoc(host_module, try);
	configs.certificate_of(host);
	record(host, "audit-started", nil, "mod_audit");

	-- There is no event before a module goes, and none for it afterwards.
	function host_module.unload()
		if module.loaded ~= false and not host_module.reloading and not changing[host] then
			try("its own end", record, host, "module-unloaded", { audit.detail("module", { name = module.name }) });
		end
	end
end

-- So does mod_audit, and then nothing is recorded any more.
audit:watch("audit-stopping", function ()
	record_everywhere("module-unloaded", { audit.detail("module", { name = "audit" }) });
end);

function module.unload()
	if running and not module.reloading then
		try("its own end", record_everywhere, "module-unloaded", { audit.detail("module", { name = module.name }) });
	end
	stop_following();
	for _, of_session in pairs(requests) do
		of_session.stop();
	end
end
