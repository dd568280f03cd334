-- Records what administrators do: commands in the shell, ad-hoc commands, reloads of the configuration, modules and hosts that are
-- loaded and unloaded, new certificates, and changes of the log's own options.
--
-- Events of the whole server are recorded on each host that has this module.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local acting = library "acting";
local new_audit = library "audit";
local configs = library "configuration";
local watch_adhoc = library "adhoc_watch";
local sent = library "sent";

local core = require "audit_core";
local getconfig = require "core.configmanager".getconfig;
local st = require "util.stanza";

local next, pairs, pcall, setmetatable, tostring = next, pairs, pcall, setmetatable, tostring;

local prosody = prosody;
local hosts = prosody.hosts;
local audit = new_audit(module);
local try = library "faults".trier(module);

local function is_ours(host)
	local session = hosts[host];
	return session and session.modules and session.modules.audit_admin ~= nil;
end

-- Modules that are loaded while the server or a host starts are not recorded: the configuration names them.
local running = prosody.state == "running";
local changing = {}; -- hosts that are being activated or deactivated

-- record(host, event_type, custom, source | nil). The actor is the one who acts now.
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

-- The admin socket does not tell who uses it. The console of mod_admin_telnet has an address.
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
	-- With the hosts and commands that exist, a JID or a command can be told from a password.
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

-- A command can ask for more input, such as a password. The answer comes later, as another event.
-- session -> { actors = { [id of a request] = actor } }, the table that sent.watch() has
local requests = setmetatable({}, { __mode = "k" });

local function remember_request(actors, stanza)
	local id = st.is_stanza(stanza) and stanza.name == "repl-request-input" and stanza.attr.id;
	if id then
		actors[id] = acting.now();
	end
end

local function look_for_request(of_session, stanza)
	try("a request of the shell", remember_request, of_session.actors, stanza);
end

local function watch_requests(session)
	if not requests[session] then
		requests[session] = { actors = {} };
		sent.watch(session, look_for_request, requests[session]);
	end
end

module:wrap_event("admin/repl-input", function (handlers, name, event)
	-- Recorded before the command runs: it may end the server.
	local actor = try("a command of the shell", record_command, event);
	if not actor then
		return handlers(name, event);
	end
	try("a request of the shell", watch_requests, event.origin);
	return acting.run(actor, handlers, name, event);
end);

module:wrap_event("admin/repl-requested-input", function (handlers, name, event)
	local of_session, id = requests[event.origin], event.stanza.attr.id;
	local actor = of_session and id and of_session.actors[id];
	if not actor then
		return handlers(name, event);
	end
	of_session.actors[id] = nil;
	return acting.run(actor, handlers, name, event);
end);

local stop_following = acting.follow_promises();

-- The configuration --

local config_before;

audit:watch("reloading-config", function ()
	-- Prosody makes a new table when it reads the file again.
	config_before = getconfig();
end);

local function certificate_changed(host)
	local before, now = configs.certificate_of(host);
	if now and before ~= now.sha256 then
		record(host, "certificates-reloaded", { audit.detail("certificate", now) });
	end
end

-- After the modules that use the options, such as mod_audit and mod_tls.
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

-- Prosody 0.12 fires these events also for modules that do not exist, with the text that was typed. A name is recorded if the module
-- was loaded once, or if it looks like the name of a module.
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

-- Modules of the whole server.
hook_modules(module, record_everywhere);

local function host_changed(host, event_type)
	changing[host] = nil;
	if running then
		record_everywhere(event_type, { audit.detail("host", { name = host }) });
	end
end

audit:watch("host-activated", function (host) changing[host] = true; end, 1000);
audit:watch("host-activated", function (host) host_changed(host, "host-activated"); end, -1000);
-- Before the host is gone, so that the event can be recorded on it.
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

	-- A module gets no event before it is unloaded, and none of its own unloading.
	function host_module.unload()
		if module.loaded ~= false and not host_module.reloading and not changing[host] then
			try("its own end", record, host, "module-unloaded", { audit.detail("module", { name = module.name }) });
		end
	end
end

-- The same for mod_audit: nothing can be recorded after it is unloaded.
audit:watch("audit-stopping", function ()
	record_everywhere("module-unloaded", { audit.detail("module", { name = "audit" }) });
end);

function module.unload()
	if running and not module.reloading then
		try("its own end", record_everywhere, "module-unloaded", { audit.detail("module", { name = module.name }) });
	end
	stop_following();
	for _, of_session in pairs(requests) do
		sent.stop(of_session);
	end
end
