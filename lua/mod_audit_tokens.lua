-- Records grants of mod_tokenauth (token-grant-created, token-grant-revoked, token-revoked) and invites (invite-created, invite-used).
-- An entry never has a token that can be used. Prosody 0.12 fires no events for grants.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";
local new_accounts = library "accounts";
local new_invites = library "invites";
local details = library "details";

local jid_bare, jid_node = require "util.jid".bare, require "util.jid".node;
local get_module = require "core.modulemanager".get_module;

local ipairs, pcall, setmetatable, type = ipairs, pcall, setmetatable, type;

-- Grants: the events of mod_tokenauth do not tell who acts --

local function table_or_empty(value)
	return type(value) == "table" and value or {};
end

-- The client is described as mod_http_oauth2 has it. Its hash identifies a registered client; several can have the same name.
local function describe_grant(id, grant)
	local data = table_or_empty(table_or_empty(grant).data);
	local client = table_or_empty(data.oauth2_client);
	return details.detail("grant", {
		id = id;
		client = client.hash;
		name = client.name;
		version = client.version;
		uri = client.uri;
		scopes = data.oauth2_scopes;
		expires = details.datetime(table_or_empty(grant).expires);
	});
end

function module.add_host(module)
	local audit = new_audit(module, "audit");
	local accounts = new_accounts(audit);
	local invites = new_invites(audit);

	audit:hook("token-grant-created", function (event)
		return audit:jid(event.username, event.host), "token-grant-created", {
			custom = { describe_grant(event.id, event.grant) };
			actor = accounts.administrator();
		};
	end);

	audit:hook("token-grant-revoked", function (event)
		return audit:jid(event.username, event.host), "token-grant-revoked", {
			custom = { describe_grant(event.id) };
			actor = accounts.administrator();
		};
	end);

	audit:hook("token-revoked", function (event)
		local info = table_or_empty(event.info);
		return audit:jid(event.username, event.host), "token-revoked", {
			custom = {
				describe_grant(event.grant_id, event.grant);
				audit.detail("token", { purpose = info.purpose; role = info.role; expires = audit.datetime(info.expires) });
			};
			actor = accounts.administrator();
		};
	end);

	-- Invites --

	-- The account that an invite is for: it gets a contact, its password is reset, or it can be registered.
	local function subject_of(invite)
		local more = table_or_empty(invite.additional_data);
		return more.allow_reset and audit:jid(more.allow_reset) or jid_node(invite.jid) and invite.jid or nil;
	end

	audit:hook("invite-created", function (invite)
		local source = table_or_empty(invite.additional_data).source; -- the user of mod_invites_adhoc
		return subject_of(invite), "invite-created", {
			custom = { invites.describe(invite) };
			actor = audit:acting() or source and { kind = "adhoc", jid = source } or accounts.administrator();
		};
	end);

	for _, event_name in ipairs { "user-registered", "user-password-reset" } do
		audit:hook(event_name, function (event)
			local invite, jid = audit.invite_of(event), audit:jid(event.username);
			if not invite then return; end
			return jid, "invite-used", {
				session = accounts.session(event);
				custom = { invites.describe(invite) };
				actor = accounts.applicant(event, event_name == "user-registered" and jid or nil);
			};
		end);
	end

	-- XEP-0379: a contact with an invite asks for a subscription. mod_invites_register handles that at 1 and removes the invite. There
	-- is no event for that.
	local asked = setmetatable({}, { __mode = "k" });

	local function find_invite(token, username)
		local invites_module = get_module(module.host, "invites");
		if not invites_module then return nil; end
		local ok, invite = pcall(invites_module.get, token, username); -- COMPAT 0.12: raises for invites that do not register
		return ok and invite or nil;
	end

	local function preauth_of(event)
		local stanza = event.stanza;
		local preauth = stanza.attr.type == "subscribe" and stanza:get_child("preauth", "urn:xmpp:pars:0");
		return preauth and preauth.attr.token, jid_node(stanza.attr.to);
	end

	module:hook("presence/bare", audit:guard("an invite to become a contact", function (event)
		local token, username = preauth_of(event);
		if token then
			asked[event.stanza] = find_invite(token, username);
		end
	end), 1.5);

	audit:hook("presence/bare", function (event)
		local invite = asked[event.stanza];
		if not invite then return; end
		asked[event.stanza] = nil;
		local token, username = preauth_of(event);
		if find_invite(token, username) then return; end
		local contact, session = jid_bare(event.stanza.attr.from), event.origin;
		invite.jid = audit:jid(username);
		return invite.jid, "invite-used", {
			session = session;
			custom = { invites.describe(invite), audit.detail("contact", { jid = contact }) };
			actor = { kind = "user", jid = session.full_jid or contact, session = session };
		};
	end, 0.5);
end
