-- Records logins: authentication-success, authentication-failure, new-client (with mod_client_management), and on request
-- the sessions that come of them: resource-bound, session-ended.
--
-- Each shape of event is understood: SASL {session, condition, text}, SASL2 {session, message, error, error_text},
-- mod_http_oauth2 {session} and mod_client_certs {session, condition} without a SASL handler. A failure before the
-- client gave a name is an event of the host. What Prosody fires no event for is found by audit_attempts.lib.lua.

module:depends("audit");
local audit = module:require("audit");

local base64 = require "util.encodings".base64;
local nodeprep = require "util.encodings".stringprep.nodeprep;
local jid_node = require "util.jid".node;
local monotonic = require "util.time".monotonic;
local new_cache = require "util.cache".new;

local setmetatable, tostring, type = setmetatable, tostring, type;

local passwords_only = audit.option_boolean("audit_auth_passwords_only", true);
local cache_size = audit.option_integer("audit_auth_cache_size", 128, 1, 1000000);
local repeat_timeouts = {
	["authentication-failure"] = audit.option_period("audit_auth_repeat_failure_timeout", nil, 0);
	["authentication-success"] = audit.option_period("audit_auth_repeat_success_timeout", nil, 0);
};

-- What was recorded last, and when. Forgetting the oldest only means that it is recorded again.
local recorded = new_cache(cache_size);

-- True where the same user has had the same outcome from the same address within the time set for it.
local function is_repeat(event_type, user, session)
	local timeout = repeat_timeouts[event_type];
	if not timeout then return false; end
	-- With the length in front no name can look like another one with an address, and no name is like a missing one.
	local key = event_type..(user and #user..":"..user or "")..";"..tostring(session.ip);
	local now, last = monotonic(), recorded:get(key);
	if last and now - last < timeout then
		return true;
	end
	recorded:set(key, now);
	return false;
end

local function get_sasl_handler(session)
	local handler = session.sasl_handler;
	return type(handler) == "table" and handler or {};
end

local attempted_mechanism;

local function get_extra(session, handler, condition, text)
	local mechanism = handler.selected or attempted_mechanism(session); -- mod_client_certs selects none
	local custom = { audit.detail("authentication", { mechanism = mechanism; condition = condition }, text) };
	custom[#custom+1] = audit.tls(session);
	return { session = session; custom = custom };
end

-- The names given in FAST attempts, by session. A FAST handler keeps the name only when the token was right, so that
-- without this a failure could not tell whose token had expired.
local fast_usernames = setmetatable({}, { __mode = "k" });

-- mod_sasl2_fast picks its handler at 100, mod_sasl2 processes the attempt at 0.
module:hook("stanza/urn:xmpp:sasl:2:authenticate", audit.guard("SASL2 authenticate", function (event)
	local session, stanza = event.origin, event.stanza;
	local username;
	if get_sasl_handler(session).fast then
		local initial = stanza:get_child_text("initial-response");
		local message = initial and base64.decode(initial);
		username = nodeprep(message and message:match("^([^%z]+)%z") or "");
	end
	fast_usernames[session] = username;
end), 50);

audit.hook("authentication-failure", function (event)
	local session = event.session or {};
	local handler = get_sasl_handler(session);
	local user = audit.jid(handler.username or fast_usernames[session] or session.username);
	if is_repeat("authentication-failure", user, session) then return; end
	local err = type(event.error) == "table" and event.error or {};
	local condition = event.condition or event.message or err.condition;
	local text = event.text or event.error_text or err.text;
	return user, "authentication-failure", get_extra(session, handler, condition, text);
end);

audit.hook("authentication-success", function (event)
	local session = event.session or {};
	local handler = get_sasl_handler(session);
	if passwords_only and handler.fast then return; end
	-- The session's name went through nodeprep, whatever the mechanism did.
	local user = audit.jid(session.username or handler.username);
	if is_repeat("authentication-success", user, session) then return; end
	return user, "authentication-success", get_extra(session, handler);
end);

attempted_mechanism = module:require("audit_attempts")(audit, function (event_type, session, login)
	if login.fast and passwords_only then return; end
	local user = audit.jid(login.username or fast_usernames[session]);
	if is_repeat(event_type, user, session) then return; end
	module:audit(user, event_type, get_extra(session, { selected = login.mechanism }, login.condition, login.text));
end);

if audit.option_boolean("audit_auth_sessions", false) then
	module:require("audit_sessions")(audit);
end

audit.hook("client_management/new-client", function (event)
	local session, client = event.session or {}, event.client or {};
	local agent = client.user_agent;
	local children = {};
	if type(agent) == "table" then
		children[1] = audit.detail("user-agent", {
			software = agent.software;
			["software-id"] = agent.software_id;
			version = agent.software_version;
			device = agent.device;
			uri = agent.uri;
		});
	end
	local info = audit.detail("client-info", { id = client.id; ["first-seen"] = audit.datetime(client.first_seen) }, nil, children);
	return audit.jid(session.username or jid_node(client.full_jid)), "new-client", { session = session; custom = { info } };
end);
