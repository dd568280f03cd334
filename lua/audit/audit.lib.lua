-- What the audit modules have in common: hooks that can't hurt the server, details of an event, and options.
--
-- After module:depends("audit"): local audit = module:require("audit/audit");

local core = require "audit_core";

local acting = module:require("audit/acting");
local datetime = require "util.datetime".datetime;
local jid_join = require "util.jid".join;
local sha256 = require "util.hashes".sha256;

local floor, huge = math.floor, math.huge;
local pcall, tostring, type, xpcall = pcall, tostring, type, xpcall;
local traceback = debug.traceback;

local audit = {
	-- detail(name, attributes, text, children): a stanza in our namespace. Text and values are made fit for XML and
	-- bounded, values become strings, nil is left out.
	detail = core.detail;
};

-- Hooks --

local function with_traceback(err)
	return traceback(tostring(err), 2);
end

-- A handler for Prosody's events that runs f and never raises: whoever fired the event may be in the middle of a login.
-- It returns nothing, as any value would keep the event from the handlers after it. A fault is logged once, as an event
-- that anyone can cause must not fill the log.
function audit.guard(name, f)
	local reported = false;
	return function (event)
		local ok, err = xpcall(f, with_traceback, event);
		if not ok and not reported then
			reported = true;
			module:log("error", "Fault while handling %s (logged once): %s", name, err);
		end
	end
end

-- describe(event) returns user, event_type, extra for module:audit(), or nothing where there is nothing to record.
local function recorder(event_name, describe)
	return audit.guard(event_name, function (event)
		local user, event_type, extra = describe(event);
		if event_type then
			module:audit(user, event_type, extra);
		end
	end);
end

function audit.hook(event_name, describe, priority)
	module:hook(event_name, recorder(event_name, describe), priority);
end

-- For events that anybody may cause as often as they like. identify(event) returns username, event_type, session, condition
-- at little cost (the account is one of our host, or nil), or no event_type where there is nothing to record.
-- describe(event, session, condition) returns extra for module:audit(); it is called only where flood control does not count
-- the event instead.
function audit.hook_often(event_name, identify, describe, priority)
	module:hook(event_name, audit.guard(event_name, function (event)
		local username, event_type, session, condition = identify(event);
		if event_type and module:audit_admits(username, event_type, session, condition) then
			module:audit(audit.jid(username), event_type, describe(event, session, condition), true);
		end
	end), priority);
end

-- An event that Prosody fires for all hosts at once; only those of our host are described.
function audit.hook_global(event_name, describe, priority)
	local record = recorder(event_name, describe);
	module:hook_global(event_name, function (event)
		if event and event.host == module.host then
			record(event);
		end
	end, priority);
end

-- Lets note, a guarded handler, see each call of a session's close() as { session, reason, remote_reason } before it is
-- done. Prosody announces less of why a stream ended than close() is given.
function audit.watch_close(session, note)
	local close = session.close;
	function session.close(self, reason, remote_reason, ...)
		note { session = session; reason = reason; remote_reason = remote_reason };
		return close(self, reason, remote_reason, ...);
	end
end

-- Details --

-- The bare JID of a local account, nil where there is no name.
function audit.jid(username, host)
	if type(username) ~= "string" or username == "" then return nil; end
	return jid_join(username, host or module.host);
end

-- XEP-0082, nil for what is no time. Without the check, util.datetime makes nil the time now.
function audit.datetime(seconds)
	if type(seconds) ~= "number" then return nil; end
	if seconds ~= seconds or seconds < 0 or seconds > 253402300799 then return nil; end -- to the end of the year 9999
	return datetime(floor(seconds));
end

local function tls_info(conn)
	if conn.ssl_info then
		return conn:ssl_info();
	end
	return conn:socket():info(); -- COMPAT 0.12
end

-- <tls version= cipher=/> of a session's connection, nil where it has none: BOSH, a proxy that does TLS, admin sockets.
function audit.tls(session)
	local conn = session and session.secure and session.conn;
	if not conn then return nil; end
	local ok, info = pcall(tls_info, conn); -- a socket without TLS has no info()
	if not ok or type(info) ~= "table" then return nil; end
	return audit.detail("tls", { version = info.protocol; cipher = info.cipher });
end

-- <invite-used/> where a registration was by invite. One that is good for more registrations is a secret.
function audit.invite_used(event)
	local invite = event.validated_invite or event.session and event.session.validated_invite;
	local token = type(invite) == "table" and invite.token;
	if type(token) ~= "string" then return nil; end
	if invite.reusable then
		return audit.detail("invite-used", { ["token-sha256"] = sha256(token, true) });
	end
	return audit.detail("invite-used", { token = token });
end

-- Who did it --

-- acting(host | nil) -> an actor for module:audit() on this host, where something that an administrator does leads here: a
-- command in the shell (with the id of its entry), or an ad-hoc command. nil: who acts can't be known from that. It is
-- known while an event is handled, and not any more in a timer that the handler sets.
function audit.acting(host)
	local actor = acting.now();
	if not actor then return nil; end
	return {
		kind = actor.kind;
		jid = actor.jid;
		session = actor.session;
		administers = actor.administers;
		caused_by = actor.entries and actor.entries[host or module.host];
	};
end

-- run_as(actor, f, ...) -> what f(...) gives, with acting() telling meanwhile that the actor does it.
audit.run_as = acting.run;

-- The name of a role, as it may be recorded. COMPAT 0.12: any text is a role there, a password that was typed twice too.
function audit.role_name(name)
	if module.may then return name; end
	return core.field_value("role", tostring(name));
end

-- Options --

local function option(name, default, allowed, parse)
	local value = module:get_option(name);
	if value == nil then return default; end
	local parsed = parse(value);
	if parsed == nil then
		module:log("error", "Option %s = %q is not allowed, it takes %s; its default is used (%s)",
			name, value, allowed, default == nil and "none" or tostring(default));
		return default;
	end
	return parsed;
end

function audit.option_boolean(name, default)
	return option(name, default, "true or false", function (value)
		if value == true or value == "true" or value == 1 then
			return true;
		elseif value == false or value == "false" or value == 0 then
			return false;
		end
	end);
end

-- Seconds, of a period as Prosody has them: 90, "10min", "2 weeks". Not "never": it says nothing about how long.
function audit.option_period(name, default, min)
	local allowed = ("at least %d seconds, as a number or like \"10 minutes\""):format(min);
	return option(name, default, allowed, function (value)
		local seconds = core.period(value);
		if seconds and seconds >= min and seconds < huge then
			return seconds;
		end
	end);
end

return audit;
