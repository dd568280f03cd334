-- Details of an event, as stanzas.

local core = require "audit_core";

local format_datetime = require "util.datetime".datetime;
local sha256 = require "util.hashes".sha256;

local floor = math.floor;
local pcall, type = pcall, type;

local details = {
	-- detail(name, attributes, text, children) -> a stanza in our namespace. Text and values become valid XML of bounded length,
	-- values become strings, and nil is left out.
	detail = core.detail;
};

-- datetime(seconds) -> the time as in XEP-0082 | nil, if it is no time. (util.datetime would use the current time for nil.)
function details.datetime(seconds)
	if type(seconds) ~= "number" then return nil; end
	if seconds ~= seconds or seconds < 0 or seconds > 253402300799 then return nil; end -- to the end of the year 9999
	return format_datetime(floor(seconds));
end

local function tls_info(conn)
	if conn.ssl_info then
		return conn:ssl_info();
	end
	return conn:socket():info(); -- COMPAT 0.12
end

-- tls(session) -> <tls version= cipher=/> of its connection | nil without TLS: BOSH, a proxy that does TLS, admin sockets
function details.tls(session)
	local conn = session and session.secure and session.conn;
	if not conn then return nil; end
	local ok, info = pcall(tls_info, conn); -- a socket without TLS has no info()
	if not ok or type(info) ~= "table" then return nil; end
	return details.detail("tls", { version = info.protocol; cipher = info.cipher });
end

-- session_copy(session) -> a table with what an entry has of a session. Prosody clears a session when it is closed.
function details.session_copy(session)
	return { id = session.id, type = session.type, ip = session.ip, client_id = session.client_id, full_jid = session.full_jid };
end

-- invite_of(event) -> the invite that somebody uses to register or to reset a password, as mod_invites has it | nil
function details.invite_of(event)
	local invite = event.validated_invite or type(event.session) == "table" and event.session.validated_invite;
	return type(invite) == "table" and invite or nil;
end

-- invite_used(event) -> <invite-used/> | nil, if a registration was without an invite. The token of an invite that can be used
-- again is a secret: the entry has its hash.
function details.invite_used(event)
	local invite = details.invite_of(event);
	local token = invite and invite.token;
	if type(token) ~= "string" then return nil; end
	if invite.reusable then
		return details.detail("invite-used", { ["token-sha256"] = sha256(token, true) });
	end
	return details.detail("invite-used", { token = token });
end

return details;
