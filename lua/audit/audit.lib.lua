-- What the audit modules share: hooks that can't break an event of Prosody, actors, and options.
--
-- Each of our modules is loaded once for the whole server, and Prosody calls its add_host() for each host:
--
--   module:set_global();
--   local library = module:depends("audit").library;
--   local new_audit = library "audit";
--
--   function module.add_host(host_module)
--       local audit = new_audit(host_module, "audit"); -- and other modules that it depends on
--       audit:hook("some-event", describe); -- audit.detail and others are in details.lib.lua
--   end

local core = require "audit_core";

local acting = library "acting";
local faults = library "faults";
local call = faults.call;
local modulemanager = require "core.modulemanager";
local jid_join = require "util.jid".join;

local ipairs, next, pairs, rawget, setmetatable, tostring, type = ipairs, next, pairs, rawget, setmetatable, tostring, type;

-- Whether a module was unloaded. A module on a host inherits from the one of the whole server, which may be another one by now.
local function is_gone(host_module)
	return rawget(host_module, "loaded") == false;
end

local methods = setmetatable({}, { __index = library "details" });
local audit_mt = { __index = methods };

-- Hooks --

-- Some events are fired once for the whole server, and name their host. Each of them has one handler of ours, which calls the
-- handlers of that host. With a handler for each host, a server with thousands of hosts would call thousands for each event.
--
-- By event and priority, then by host: { module on the host, handler, the next one … }. The handlers of a module that was unloaded are
-- found when an event is fired, and removed then.
local of_hosts = {};

local function call_loaded(list, event)
	for i = #list - 1, 1, -2 do
		if is_gone(list[i]) then
			table.remove(list, i + 1);
			table.remove(list, i);
		else
			list[i + 1](event);
		end
	end
end

local function hook_for_host(host_module, event_name, handler, priority)
	local key = ("%s\0%g"):format(event_name, priority or 0);
	local by_host = of_hosts[key];
	if not by_host then
		by_host = {};
		of_hosts[key] = by_host;
		module:hook(event_name, function (event)
			local list = type(event) == "table" and by_host[event.host];
			if list then call_loaded(list, event); end
		end, priority);
	end
	local list = by_host[host_module.host] or {};
	by_host[host_module.host] = list;
	list[#list + 1], list[#list + 2] = host_module, handler;
end

-- watch_close(session, note): calls note({ session =, reason =, remote_reason = }), a guarded handler, before each close() of the
-- session. Prosody's events tell less about the reason than close() is told.
function methods.watch_close(session, note)
	local close = session.close;
	function session.close(self, reason, remote_reason, ...)
		note { session = session; reason = reason; remote_reason = remote_reason };
		return close(self, reason, remote_reason, ...);
	end
end

-- Who did it --

-- run_as(actor, f, ...) -> what f(...) returns. While f runs, acting() returns this actor.
methods.run_as = acting.run;

-- role_name(name) -> the name of a role, as it may be recorded. COMPAT 0.12: accepts any text as a role, even a password.
function methods.role_name(name)
	if module.may then return name; end
	return core.field_value("role", tostring(name));
end

-- On one host --

-- guard(name, f) -> a handler for Prosody's events that calls f and never raises. A fault is logged once.
function methods:guard(name, f)
	return faults.guard(self.module, name, f);
end

-- A server has dozens of handlers for each host, so each of them is a single small function.

-- describe(event) -> user, event_type, extra, as module:audit() takes them | nothing, if there is nothing to record
local function record(self, describe, event)
	local user, event_type, extra = describe(event);
	if event_type then
		self.module:audit(user, event_type, extra);
	end
end

local function recorder(self, event_name, describe)
	return function (event)
		call(self.module, event_name, record, self, describe, event);
	end
end

local function record_often(self, identify, describe, event)
	local username, event_type, session, condition = identify(event);
	if event_type and self.module:audit_admits(username, event_type, session, condition) then
		self.module:audit(self:jid(username), event_type, describe(event, session, condition), true);
	end
end

-- watch(event_name, handler, priority): hooks a guarded handler, which records what it wants to
function methods:watch(event_name, handler, priority)
	self.module:hook(event_name, self:guard(event_name, handler), priority);
end

-- hook(event_name, describe, priority): records what describe(event) returns
function methods:hook(event_name, describe, priority)
	self.module:hook(event_name, recorder(self, event_name, describe), priority);
end

-- hook_often(event_name, identify, describe, priority): for events that anybody can cause, as often as they like.
--   identify(event) -> username, event_type, session, condition, at little cost. The username is that of an account of our host, or
--     nil. No event_type means that there is nothing to record.
--   describe(event, session, condition) -> extra, as module:audit() takes it. It is not called if flood control only counts the event.
function methods:hook_often(event_name, identify, describe, priority)
	self.module:hook(event_name, function (event)
		call(self.module, event_name, record_often, self, identify, describe, event);
	end, priority);
end

-- hook_global(event_name, describe, priority): as hook(), for an event of the whole server. It is described if it names our host.
function methods:hook_global(event_name, describe, priority)
	hook_for_host(self.module, event_name, recorder(self, event_name, describe), priority);
end

-- watch_global(event_name, handler, priority): as watch(), for such an event
function methods:watch_global(event_name, handler, priority)
	hook_for_host(self.module, event_name, self:guard(event_name, handler), priority);
end

-- jid(username, host | nil) -> the bare JID of an account | nil, without a name
function methods:jid(username, host)
	if type(username) ~= "string" or username == "" then return nil; end
	return jid_join(username, host or self.module.host);
end

-- acting(host | nil) -> an actor for module:audit() on this host, if an administrator has caused the event by a command in the
-- shell or an ad-hoc command | nil. It is known while an event is handled, but not in a timer that the handler starts.
function methods:acting(host)
	local actor = acting.now();
	if not actor then return nil; end
	return {
		kind = actor.kind;
		jid = actor.jid;
		session = actor.session;
		administers = actor.administers;
		caused_by = actor.entries and actor.entries[host or self.module.host];
	};
end

-- Options --

-- audit:option(name) -> the value of an option that only a module reads. A value that is not allowed is reported, and the
-- default is used.
function methods:option(name)
	local value, refused = core.option(name, self.module:get_option(name));
	if refused then
		self.module:log("error", "%s", refused);
	end
	return value;
end

-- By a host's events: { [module on the host] = { [name of a module that it depends on] = true } }
local dependants = setmetatable({}, { __mode = "k" });

-- Calls act(host, name) for the modules on a host that depend on the one that the event names -> whether any module depends on others.
local function for_dependants(of_host, event, act)
	local found = {};
	for host_module, is_needed in pairs(of_host) do
		if is_gone(host_module) then
			of_host[host_module] = nil;
		elseif is_needed[event.module] then
			found[#found + 1] = host_module;
		end
	end
	for _, host_module in ipairs(found) do
		if not is_gone(host_module) then act(host_module.host, host_module.name); end
	end
	return next(of_host) ~= nil;
end

-- The handlers of these events are not those of a module: they would go with it, and others depend on them.
local function watch_dependants(events)
	local of_host, handlers = {}, {};
	dependants[events] = of_host;
	for event_name, act in pairs { ["module-reloaded"] = modulemanager.reload; ["module-unloaded"] = modulemanager.unload } do
		handlers[event_name] = function (event)
			if for_dependants(of_host, event, act) or dependants[events] ~= of_host then return; end
			dependants[events] = nil;
			for name, handler in pairs(handlers) do events.remove_handler(name, handler); end
		end;
		events.add_handler(event_name, handlers[event_name]);
	end
	return of_host;
end

-- Makes a module on a host depend on others. It is reloaded and unloaded with them. Prosody does this only for the module of the whole
-- server: modules on hosts share its list of dependencies.
local function depend(host_module, names)
	local is_needed = {};
	for _, name in ipairs(names) do
		is_needed[name] = true;
		host_module:depends(name);
	end
	local events = (prosody.hosts[host_module.host] or prosody).events;
	if names[1] then
		(dependants[events] or watch_dependants(events))[host_module] = is_needed;
	end
end

-- new_audit(host_module, ...) -> the functions above for a module on its host, which depends on the modules named
return function (host_module, ...)
	depend(host_module, { ... });
	return setmetatable({ module = host_module }, audit_mt);
end
