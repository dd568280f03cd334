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
local events = require "util.events".new();
local modulemanager = require "core.modulemanager";
local jid_join = require "util.jid".join;

local ipairs, setmetatable, tostring, type = ipairs, setmetatable, tostring, type;

local methods = setmetatable({}, { __index = library "details" });
local audit_mt = { __index = methods };

-- Hooks --

-- Some events are fired once for the whole server, and name their host. Each of them has one handler of ours, which calls the
-- handlers of that host. With a handler for each host, a server with thousands of hosts would call thousands for each event.
local is_hooked = {};

local function hook_for_host(host_module, event_name, handler, priority)
	local key = ("%s\0%g\0"):format(event_name, priority or 0);
	host_module:hook_object_event(events, key..host_module.host, handler);
	if not is_hooked[key] then
		is_hooked[key] = true;
		module:hook(event_name, function (event)
			if type(event) == "table" and type(event.host) == "string" then
				events.fire_event(key..event.host, event);
			end
		end, priority);
	end
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

-- describe(event) -> user, event_type, extra, as module:audit() takes them | nothing, if there is nothing to record
local function recorder(self, event_name, describe)
	return self:guard(event_name, function (event)
		local user, event_type, extra = describe(event);
		if event_type then
			self.module:audit(user, event_type, extra);
		end
	end);
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
	self.module:hook(event_name, self:guard(event_name, function (event)
		local username, event_type, session, condition = identify(event);
		if event_type and self.module:audit_admits(username, event_type, session, condition) then
			self.module:audit(self:jid(username), event_type, describe(event, session, condition), true);
		end
	end), priority);
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

-- Makes a module on a host depend on others. It is reloaded and unloaded with them.
local function depend(host_module, names)
	local is_needed = {};
	for _, name in ipairs(names) do
		is_needed[name] = true;
		host_module:depends(name);
	end
	-- Prosody does this only for the module of the whole server: modules on hosts share its list of dependencies.
	local function follow(event_name, act)
		host_module:hook(event_name, function (event)
			if is_needed[event.module] then
				act(host_module.host, host_module.name);
			end
		end);
	end
	if names[1] then
		follow("module-reloaded", modulemanager.reload);
		follow("module-unloaded", modulemanager.unload);
	end
end

-- new_audit(host_module, ...) -> the functions above for a module on its host, which depends on the modules named
return function (host_module, ...)
	depend(host_module, { ... });
	return setmetatable({ module = host_module }, audit_mt);
end
