-- Records sessions: resource-bound when a login is complete, and session-ended with the duration and the reason.
--
-- library "sessions" (audit);

local now = require "util.time".now;

local setmetatable, tostring, type = setmetatable, tostring, type;

-- When a resource was bound, by session. After a reload the beginning of the stream is used instead.
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
			-- COMPAT BOSH sessions have no conntime.
			custom = { audit.detail("resource", { name = session.resource, ["seconds-since-connect"] = seconds_since(session.conntime) }) };
		};
	end);

	-- After this event the session has no address any more.
	audit:hook("resource-unbind", function (event)
		local session, reason = event.session, event.error;
		return audit:jid(session.username), "session-ended", {
			session = session;
			custom = { audit.detail("ended", {
				resource = session.resource;
				seconds = seconds_since(bound[session] or session.conntime);
				-- false: the client has closed its stream; nil: the connection was closed.
				reason = reason and tostring(reason) or reason == false and "closed by the client" or "connection closed";
			}) };
		};
	end);
end
