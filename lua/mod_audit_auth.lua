-- Records logins: authentication-success, authentication-failure and new-client (with mod_client_management). With the option
-- audit_auth_sessions also sessions: resource-bound and session-ended.
--
-- Events come in several forms: SASL {session, condition, text}, SASL2 {session, message, error, error_text}, mod_http_oauth2
-- {session}, and mod_client_certs {session, condition} without a SASL handler. A failure before the client gave a name is an event of
-- the host. Logins for which Prosody fires no event are found by audit/attempts.lib.lua.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";
local watch_attempts = library "attempts";
local record_sessions = library "sessions";

local base64 = require "util.encodings".base64;
local nodeprep = require "util.encodings".stringprep.nodeprep;
local jid_node = require "util.jid".node;

local setmetatable, type = setmetatable, type;

local no_session, no_handler = {}, {};

local function get_sasl_handler(session)
	local handler = session.sasl_handler;
	return type(handler) == "table" and handler or no_handler;
end

-- The names given in FAST attempts, by session. A FAST handler keeps the name only if the token was right: without this table, a
-- failure could not tell whose token had expired.
local fast_usernames = setmetatable({}, { __mode = "k" });

function module.add_host(module)
	local audit = new_audit(module, "audit");

	local passwords_only = audit:option("audit_auth_passwords_only");

	local attempted_mechanism;

	local function get_extra(session, handler, condition, text)
		local mechanism = handler.selected or attempted_mechanism(session); -- mod_client_certs selects none
		local custom = { audit.detail("authentication", { mechanism = mechanism; condition = condition }, text) };
		custom[#custom+1] = audit.tls(session);
		return { session = session; custom = custom };
	end

	-- mod_sasl2_fast picks its handler at 100, mod_sasl2 processes the attempt at 0.
	module:hook("stanza/urn:xmpp:sasl:2:authenticate", audit:guard("SASL2 authenticate", function (event)
		local session, stanza = event.origin, event.stanza;
		local username;
		if get_sasl_handler(session).fast then
			local initial = stanza:get_child_text("initial-response");
			local message = initial and base64.decode(initial);
			username = nodeprep(message and message:match("^([^%z]+)%z") or "");
		end
		fast_usernames[session] = username;
	end), 50);

	audit:hook_often("authentication-failure", function (event)
		local session = event.session or no_session;
		local username = get_sasl_handler(session).username or fast_usernames[session] or session.username;
		local condition = event.condition or event.message;
		if condition == nil and type(event.error) == "table" then
			condition = event.error.condition;
		end
		return username, "authentication-failure", session, condition;
	end, function (event, session, condition)
		local err = type(event.error) == "table" and event.error or nil;
		return get_extra(session, get_sasl_handler(session), condition, event.text or event.error_text or err and err.text);
	end);

	audit:hook_often("authentication-success", function (event)
		local session = event.session or no_session;
		local handler = get_sasl_handler(session);
		if passwords_only and handler.fast then return; end
		-- The session's name is always prepared by nodeprep.
		return session.username or handler.username, "authentication-success", session;
	end, function (_, session)
		return get_extra(session, get_sasl_handler(session));
	end);

	attempted_mechanism = watch_attempts(audit, function (event_type, session, login)
		if login.fast and passwords_only then return; end
		local username = login.username or fast_usernames[session];
		if module:audit_admits(username, event_type, session, login.condition) then
			local extra = get_extra(session, { selected = login.mechanism }, login.condition, login.text);
			module:audit(audit:jid(username), event_type, extra, true);
		end
	end);

	if audit:option("audit_auth_sessions") then
		record_sessions(audit);
	end

	audit:hook("client_management/new-client", function (event)
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
		return audit:jid(session.username or jid_node(client.full_jid)), "new-client", { session = session; custom = { info } };
	end);
end
