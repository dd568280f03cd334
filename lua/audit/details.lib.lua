-- Details of an event, as stanzas.

local core = require "audit_core";

local format_datetime = require "util.datetime".datetime;
local sha256 = require "util.hashes".sha256;

local floor = math.floor;
local pcall, type = pcall, type;

local details = {
	-- detail(name, attributes, text, children): a stanza in our namespace. Text and values are made fit for XML and
	-- bounded, values become strings, nil is left out.
	detail = core.detail;
};

-- XEP-0082, nil for what is no time. Without the check, util.datetime makes nil the time now.
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

-- <tls version= cipher=/> of a session's connection, nil where it has none: BOSH, a proxy that does TLS, admin sockets.
function details.tls(session)
	local conn = session and session.secure and session.conn;
	if not conn then return nil; end
	local ok, info = pcall(tls_info, conn); -- a socket without TLS has no info()
	if not ok or type(info) ~= "table" then return nil; end
	return details.detail("tls", { version = info.protocol; cipher = info.cipher });
end

-- <invite-used/> where a registration was by invite. One that is good for more registrations is a secret.
function details.invite_used(event)
	local invite = event.validated_invite or event.session and event.session.validated_invite;
	local token = type(invite) == "table" and invite.token;
	if type(token) ~= "string" then return nil; end
	if invite.reusable then
		return details.detail("invite-used", { ["token-sha256"] = sha256(token, true) });
	end
	return details.detail("invite-used", { token = token });
end

return details;
