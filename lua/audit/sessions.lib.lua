-- Records what becomes of a login: resource-bound completes it, session-ended says how long it was and why it is over.
--
-- library "sessions" (audit);

local now = require "util.time".now;

local setmetatable, tostring, type = setmetatable, tostring, type;

-- When a resource was bound, by session. Forgotten when we are reloaded; then the stream's beginning will do.
local bound = setmetatable({}, { __mode = "k" });

local function seconds_since(time)
	return type(time) == "number" and ("%.3f"):format(now() - time) or nil;
end

return function (audit)
	audit:hook("resource-bind", function (event)
		local session = event.session;
		bound[session] = now();
		return audit:jid(session.username), "resource-bound", {
			session = session;
			-- COMPAT BOSH sessions do not know when they began.
			custom = { audit.detail("resource", { name = session.resource, ["seconds-since-connect"] = seconds_since(session.conntime) }) };
		};
	end);

	-- At the last moment when the session still knows its address.
	audit:hook("resource-unbind", function (event)
		local session, reason = event.session, event.error;
		return audit:jid(session.username), "session-ended", {
			session = session;
			custom = { audit.detail("ended", {
				resource = session.resource;
				seconds = seconds_since(bound[session] or session.conntime);
				-- Prosody says false where the client has closed its stream, and nothing where it has just gone.
				reason = reason and tostring(reason) or reason == false and "closed by the client" or "connection closed";
			}) };
		};
	end);
end
