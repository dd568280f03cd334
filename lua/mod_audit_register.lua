-- Records the beginning and the end of accounts: user-registered, user-deregistered, user-deregistered-pending, user-enabled,
-- user-disabled and registration-refused. By their owners (in-band or on the web, with or without an invite) or by administrators.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";
local new_accounts = library "accounts";
local new_answers = library "answers";
local new_invites = library "invites";

local nodeprep = require "util.encodings".stringprep.nodeprep;
local usermanager = require "core.usermanager";

local ipairs, os_time, pcall, setmetatable, type = ipairs, os.time, pcall, setmetatable, type;

function module.add_host(module)
	local audit = new_audit(module, "audit");
	local accounts = new_accounts(audit);
	local answers = new_answers(audit);
	local invites = new_invites(audit);

	local function roles_of(registration)
		local roles = {};
		for i, name in ipairs(registration and registration.roles or {}) do
			roles[i] = audit.detail("role", { name = audit.role_name(name) });
		end
		return roles;
	end

	-- Refused registrations --

	-- Sessions whose outcome is known from the server's answer.
	local asking = setmetatable({}, { __mode = "k" });

	local function refuse(event, username, condition, text)
		local session = accounts.session(event);
		if not module:audit_admits(username, "registration-refused", session, condition) then return; end
		local custom = { audit.detail("registration", { condition = condition }, text) };
		custom[#custom+1] = audit.tls(session);
		local invite = audit.invite_of(event);
		custom[#custom+1] = invite and invites.describe(invite);
		module:audit(audit:jid(username), "registration-refused", {
			session = session; custom = custom; actor = accounts.applicant(event);
		}, true);
	end

	local function watch_answer(session, stanza, username)
		asking[session] = true;
		answers.watch_iq(session, stanza, function (answer, kind)
			asking[session] = nil;
			if kind == "error" then
				accounts.finish("registering", username);
				refuse({ session = session }, username, answers.condition(answer:get_child("error")));
			end
		end);
	end

	local function name_asked_for(query)
		local name = query:get_child_text("username");
		local form = query:get_child("x", "jabber:x:data");
		for field in (form or query):childtags("field") do
			if field.attr.var == "username" then
				name = field:get_child_text("value");
			end
		end
		return name and nodeprep(name);
	end

	audit:watch("stanza/iq/jabber:iq:register:query", function (event)
		local session, stanza = event.origin, event.stanza;
		local query = stanza.tags[1];
		if session.type == "c2s_unauthed" and stanza.attr.type == "set" and not query:get_child("remove") then
			watch_answer(session, stanza, name_asked_for(query));
		end
	end, 1000);

	-- XEP-0379: an invite that is not valid.
	audit:watch("stanza/iq/urn:xmpp:pars:0:preauth", function (event)
		if event.origin.type == "c2s_unauthed" and event.stanza.attr.type == "set" then
			watch_answer(event.origin, event.stanza);
		end
	end, 1000);

	-- Registrations --

	local function record_registration(username, registration)
		module:audit(audit:jid(username), "user-registered", { custom = roles_of(registration), actor = registration.actor });
	end

	-- The last handler.
	audit:watch("user-registering", function (event)
		local username, session = event.username, event.session;
		if not event.allowed then
			if not (session and asking[session]) then
				local err = type(event.error) == "table" and event.error or {};
				refuse(event, username, err.condition or event.error_condition or "not-allowed", err.text or event.reason);
			end
			return;
		elseif not username then
			return;
		end
		local registration = accounts.begin("registering", username, { roles = {} });
		if not (session and asking[session]) then
			-- A registration on the web ends before the next turn of the loop. No event tells if it failed.
			module:add_timer(0, function ()
				accounts.finish("registering", username, registration);
			end);
		end
	end, -1000);

	-- After mod_invites_register, which sets the roles of an invite.
	audit:hook("user-registered", function (event)
		local session, jid = accounts.session(event), audit:jid(event.username, event.host);
		local custom = roles_of(accounts.current("registering", event.username));
		custom[#custom+1] = audit.invite_used(event);
		custom[#custom+1] = audit.tls(session);
		return jid, "user-registered", { session = session; custom = custom; actor = accounts.applicant(event, jid) };
	end, -10);

	local function registered(event)
		accounts.finish("registering", event.username);
	end
	audit:watch("user-registered", registered, -1000);
	audit:watch("user-password-reset", registered, -1000);

	-- core.usermanager of Prosody 13 gives a new account a role and a password, and enables it. All of that is one registration. When
	-- it gets its first role, the account has never had a password.
	local function is_new(username)
		if not usermanager.get_account_info then return false; end -- COMPAT 0.12
		local ok, account = pcall(usermanager.get_account_info, username, module.host);
		return ok and type(account) == "table" and account.enabled == false and type(account.created) == "number"
			and account.created == account.password_updated and os_time() - account.created <= 2;
	end

	audit:watch_global("user-role-changed", function (event)
		local username = event.username;
		local registration = accounts.current("registering", username);
		if not registration and is_new(username) then
			-- An administrator has made the account. There is no event for that.
			registration = accounts.begin("registering", username, { roles = {}, actor = accounts.administrator() });
			module:add_timer(0, function ()
				if accounts.current("registering", username) == registration then
					accounts.finish("registering", username);
					record_registration(username, registration);
				end
			end);
		end
		if registration then
			registration.roles[#registration.roles+1] = type(event.role) == "table" and event.role.name or nil;
		end
	end, 100);

	-- Deregistration --

	-- The session is closed with the account, and cleared. So it is read when the request comes in.
	local function remember_session(event)
		local session, stanza = event.origin, event.stanza;
		local query = stanza.tags[1];
		if session.username and stanza.attr.type == "set" and query and query:get_child("remove") then
			local removal = accounts.begin("removing", session.username, { session = audit.session_copy(session) });
			answers.watch_iq(session, stanza, function (_, kind)
				if kind == "error" then
					accounts.finish("removing", session.username, removal);
				end
			end);
		end
	end
	audit:watch("iq/self/jabber:iq:register:query", remember_session, 1000);
	audit:watch("iq/host/jabber:iq:register:query", remember_session, 1000);

	local function owner_of(removal)
		return removal and { kind = "user", session = removal.session };
	end

	audit:hook("user-deregistered", function (event)
		local removal = accounts.current("removing", event.username);
		return audit:jid(event.username, event.host), "user-deregistered", {
			session = removal and removal.session or event.session;
			-- A pending removal happens later, without a session.
			actor = owner_of(removal) or event.session and { kind = "user", session = event.session } or { kind = "server" };
		};
	end);

	audit:hook("user-deregistered-pending", function (event)
		local removal = accounts.current("removing", event.username);
		local pending_until = audit.datetime(type(event.status) == "table" and event.status.pending_until or nil);
		return audit:jid(event.username, event.host), "user-deregistered-pending", {
			session = event.session;
			custom = { pending_until and audit.detail("pending", { ["until"] = pending_until }) };
			actor = owner_of(removal) or { kind = "user", session = event.session };
		};
	end);

	local function removed(event)
		accounts.finish("removing", event.username);
	end
	audit:watch("user-deregistered", removed, -1000);
	audit:watch("user-deregistered-pending", removed, -1000);

	-- Enabled and disabled: core.usermanager of Prosody 13 fires these for the whole server --

	audit:hook_global("user-enabled", function (event)
		local username = event.username;
		local registration = accounts.current("registering", username);
		if not registration then
			return audit:jid(username, event.host), "user-enabled", { actor = accounts.administrator() };
		elseif registration.actor then
			accounts.finish("registering", username);
			record_registration(username, registration);
		end
	end);

	audit:hook_global("user-disabled", function (event)
		local meta, custom = event.meta, nil;
		if type(meta) == "table" then
			local comment = meta.comment ~= nil and audit.detail("comment", nil, meta.comment);
			custom = { audit.detail("disabled", { reason = meta.reason; when = audit.datetime(meta.when) }, nil, { comment or nil }) };
		end
		return audit:jid(event.username, event.host), "user-disabled", {
			custom = custom;
			actor = owner_of(accounts.current("removing", event.username)) or accounts.administrator();
		};
	end);
end
