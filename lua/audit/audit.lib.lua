-- What the audit modules have in common: hooks that can't hurt the server, who did it, and options.
--
-- Each of our modules, and what it uses, is loaded once for the whole server; Prosody then calls its add_host() for each host:
--
--   module:set_global();
--   local library = module:depends("audit").library;
--   local new_audit = library "audit";
--
--   function module.add_host(host_module)
--       local audit = new_audit(host_module, "audit"); -- and what else it depends on
--       audit:hook("some-event", describe); -- audit.detail and so on are those of details.lib.lua
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

-- Each event that Prosody fires for all hosts at once has one handler of ours, which calls those of the event's own host. With one
-- for each host, a server with thousands of hosts would call thousands.
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

-- Lets note, a guarded handler, see each call of a session's close() as { session, reason, remote_reason } before it is
-- done. Prosody announces less of why a stream ended than close() is given.
function methods.watch_close(session, note)
	local close = session.close;
	function session.close(self, reason, remote_reason, ...)
		note { session = session; reason = reason; remote_reason = remote_reason };
		return close(self, reason, remote_reason, ...);
	end
end

-- Who did it --

-- run_as(actor, f, ...) -> what f(...) gives, with acting() telling meanwhile that the actor does it.
methods.run_as = acting.run;

-- The name of a role, as it may be recorded. COMPAT 0.12: any text is a role there, a password that was typed twice too.
function methods.role_name(name)
	if module.may then return name; end
	return core.field_value("role", tostring(name));
end

-- On one host --

-- guard(name, f) -> a handler for Prosody's events that calls f and never raises. A fault is logged once.
function methods:guard(name, f)
	return faults.guard(self.module, name, f);
end

-- describe(event) returns user, event_type, extra for self.module:audit(), or nothing where there is nothing to record.
local function recorder(self, event_name, describe)
	return self:guard(event_name, function (event)
		local user, event_type, extra = describe(event);
		if event_type then
			self.module:audit(user, event_type, extra);
		end
	end);
end

-- For a handler that describes nothing. It can't keep the event from others.
function methods:watch(event_name, handler, priority)
	self.module:hook(event_name, self:guard(event_name, handler), priority);
end

function methods:hook(event_name, describe, priority)
	self.module:hook(event_name, recorder(self, event_name, describe), priority);
end

-- For events that anybody may cause as often as they like. identify(event) returns username, event_type, session, condition
-- at little cost (the account is one of our host, or nil), or no event_type where there is nothing to record.
-- describe(event, session, condition) returns extra for self.module:audit(); it is called only where flood control does not count
-- the event instead.
function methods:hook_often(event_name, identify, describe, priority)
	self.module:hook(event_name, self:guard(event_name, function (event)
		local username, event_type, session, condition = identify(event);
		if event_type and self.module:audit_admits(username, event_type, session, condition) then
			self.module:audit(self:jid(username), event_type, describe(event, session, condition), true);
		end
	end), priority);
end

-- An event that Prosody fires for all hosts at once; only those of our host are described.
function methods:hook_global(event_name, describe, priority)
	hook_for_host(self.module, event_name, recorder(self, event_name, describe), priority);
end

-- The same for a handler that describes nothing.
function methods:watch_global(event_name, handler, priority)
	hook_for_host(self.module, event_name, self:guard(event_name, handler), priority);
end

-- The bare JID of a local account, nil where there is no name.
function methods:jid(username, host)
	if type(username) ~= "string" or username == "" then return nil; end
	return jid_join(username, host or self.module.host);
end

-- acting(host | nil) -> an actor for module:audit() on this host, where something that an administrator does leads here: a
-- command in the shell (with the id of its entry), or an ad-hoc command. nil: who acts can't be known from that. It is
-- known while an event is handled, and not any more in a timer that the handler sets.
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

-- What a module depends on, on one host. It is reloaded and unloaded with that.
local function depend(host_module, names)
	local is_needed = {};
	for _, name in ipairs(names) do
		is_needed[name] = true;
		host_module:depends(name);
	end
	-- Prosody watches these events for the module of the whole server alone. That of a host has all of its fields, the list of what it
	-- depends on too.
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

-- new_audit(module, ...): all of the above for a module on its host, where it depends on the modules named.
return function (host_module, ...)
	depend(host_module, { ... });
	return setmetatable({ module = host_module }, audit_mt);
end
