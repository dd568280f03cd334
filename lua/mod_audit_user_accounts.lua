-- Records everything that happens to accounts: user-password-changed, user-password-reset, user-role-changed and user-deleted, and the
-- events of mod_audit_register, which it loads. Each event is recorded once, also if both modules are enabled.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";
local new_accounts = library "accounts";

local usermanager = require "core.usermanager";

local ipairs, pairs, sort, tostring, type = ipairs, pairs, table.sort, tostring, type;

function module.add_host(module)
	local audit = new_audit(module, "audit", "audit_register");
	local accounts = new_accounts(audit);

	-- core.usermanager fires these for the whole server. Events that are a part of a registration are not recorded.
	local function hook_change(event_name, describe)
		audit:hook_global(event_name, function (event)
			if not accounts.current("registering", event.username) then
				return describe(event);
			end
		end);
	end

	hook_change("user-password-changed", function (event)
		-- The resource is that of a client of the account which changed it.
		local user = event.resource and prosody.hosts[module.host].sessions[event.username];
		local session = user and user.sessions[event.resource];
		return audit:jid(event.username), "user-password-changed", {
			session = session;
			actor = session and { kind = "user", session = session } or accounts.administrator();
		};
	end);

	-- By an invite that an administrator has made for that. Later versions than 0.12.3 and 13.0.1 also fire user-password-changed,
	-- which is a part of it.
	audit:hook("user-password-reset", function (event)
		local session, jid = accounts.session(event), audit:jid(event.username);
		local custom = { audit.invite_used(event) };
		custom[#custom+1] = audit.tls(session);
		return jid, "user-password-reset", { session = session; custom = custom; actor = accounts.applicant(event) };
	end);

	local function role_changed(event, roles)
		return audit:jid(event.username), "user-role-changed", { custom = roles; actor = accounts.administrator() };
	end

	hook_change("user-role-changed", function (event)
		return role_changed(event, { audit.detail("role", { name = type(event.role) == "table" and event.role.name or nil }) });
	end);

	for change, event_name in pairs { added = "user-role-added", removed = "user-role-removed" } do
		hook_change(event_name, function (event)
			return role_changed(event, { audit.detail("role", { name = event.role_name, change = change }) });
		end);
	end

	-- COMPAT 0.12: the event does not have the roles of the account.
	hook_change("user-roles-changed", function (event)
		local names, roles = {}, {};
		for name, given in pairs(usermanager.get_roles(audit:jid(event.username), module.host) or {}) do
			if given then names[#names+1] = tostring(name); end
		end
		sort(names);
		for i, name in ipairs(names) do
			roles[i] = audit.detail("role", { name = audit.role_name(name) });
		end
		return role_changed(event, roles);
	end);

	-- If the owner removes the account, now or after a pending removal, user-deregistered follows.
	local deleting = {};

	local function record_deletion(username)
		local actor = deleting[username];
		deleting[username] = nil;
		if actor then
			module:audit(audit:jid(username), "user-deleted", { actor = actor });
		end
	end
	local record_later = audit:guard("user-deleted", function (username) record_deletion(username); end);

	hook_change("user-deleted", function (event)
		local username = event.username;
		if accounts.current("removing", username) then return; end
		local actor = audit:acting();
		if actor then
			return audit:jid(username), "user-deleted", { actor = actor };
		end
		deleting[username] = accounts.administrator();
		module:add_timer(0, function () record_later(username); end);
	end);

	audit:watch("user-deregistered", function (event)
		deleting[event.username] = nil;
	end);
end
