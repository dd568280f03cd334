-- Records the life of accounts: user-registered, user-deregistered, user-deregistered-pending, user-enabled and
-- user-disabled, of registrations in-band or on the web, by invite or not, and by administrators.

module:depends("audit");
local audit = module:require("audit");

local setmetatable, type = setmetatable, type;

-- Web registrations have no session, just the address.
local function get_session(event)
	return event.session or event.ip and { ip = event.ip } or nil;
end

-- In-band registration --

-- Names that are being registered. Prosody 13 enables each new account, which is a part of user-registered.
local registering = {};

-- The last to see an attempt. What comes of it comes before the next turn of the server's loop; no event tells that a
-- store has failed, and the name must not stay here then, to hide an enabled account later on.
module:hook("user-registering", audit.guard("user-registering", function (event)
	local username = event.username;
	if not event.allowed or not username then return; end
	registering[username] = true;
	module:add_timer(0, function ()
		registering[username] = nil;
	end);
end), -1000);

audit.hook("user-registered", function (event)
	local session = get_session(event);
	local custom = { audit.invite_used(event) };
	custom[#custom+1] = audit.tls(session);
	return audit.jid(event.username, event.host), "user-registered", { session = session; custom = custom };
end);

-- Deregistration --

-- COMPAT 0.12: the session of user-deregistered has been closed with the account and knows its address no more, so it is
-- read when the request comes in. From 13 on the event has a copy, which is none of the sessions here.
local requests = setmetatable({}, { __mode = "k" });

local remember_session = audit.guard("account removal", function (event)
	local session, query = event.origin, event.stanza.tags[1];
	if event.stanza.attr.type == "set" and query and query:get_child("remove") then
		requests[session] = { id = session.id; type = session.type; ip = session.ip; client_id = session.client_id };
	end
end);
module:hook("iq/self/jabber:iq:register:query", remember_session, 1000);
module:hook("iq/host/jabber:iq:register:query", remember_session, 1000);

audit.hook("user-deregistered", function (event)
	-- No session where the time of a pending removal has come.
	local session = event.session and requests[event.session] or event.session;
	return audit.jid(event.username, event.host), "user-deregistered", { session = session };
end);

audit.hook("user-deregistered-pending", function (event)
	local pending_until = audit.datetime(type(event.status) == "table" and event.status.pending_until or nil);
	return audit.jid(event.username, event.host), "user-deregistered-pending", {
		session = event.session;
		custom = { pending_until and audit.detail("pending", { ["until"] = pending_until }) };
	};
end);

-- Administration: core.usermanager of Prosody 13 fires these globally --

audit.hook_global("user-enabled", function (event)
	if registering[event.username] then return; end
	return audit.jid(event.username, event.host), "user-enabled";
end);

audit.hook_global("user-disabled", function (event)
	local meta, custom = event.meta, nil;
	if type(meta) == "table" then
		local comment = meta.comment ~= nil and audit.detail("comment", nil, meta.comment);
		custom = { audit.detail("disabled", { reason = meta.reason; when = audit.datetime(meta.when) }, nil, { comment or nil }) };
	end
	return audit.jid(event.username, event.host), "user-disabled", { custom = custom };
end);
