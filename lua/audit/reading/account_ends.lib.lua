-- Records when accounts begin and end, if no other module does. The history of an account depends on these entries: a name can be
-- registered again, and the next owner must not see what was before.

local modulemanager = require "core.modulemanager";

local new_accounts = library "accounts";

local type = type;

return function (audit)
	local module = audit.module;
	local host = module.host;
	local accounts = new_accounts(audit);

	local function record(event_type, event, session)
		if not (modulemanager.is_loaded(host, "audit_register") or modulemanager.is_loaded(host, "audit_user_accounts")) then
			return audit:jid(event.username), event_type, { session = session };
		end
	end

	-- Accounts that were just deleted. mod_audit_register may still record that their owners did it.
	local ending = {};

	local record_end = audit:guard("user-deleted", function (username)
		if ending[username] then
			ending[username] = nil;
			module:audit(audit:jid(username), "user-deleted", {});
		end
	end);

	audit:hook_global("user-deleted", function (event)
		local username = event.username;
		if modulemanager.is_loaded(host, "audit_user_accounts") or accounts.current("removing", username) then
			return;
		elseif not modulemanager.is_loaded(host, "audit_register") then
			return audit:jid(username), "user-deleted", {};
		end
		ending[username] = true;
		module:add_timer(0, function () record_end(username); end);
	end);

	audit:watch("user-deregistered", function (event)
		ending[event.username] = nil;
	end);

	audit:hook("user-registered", function (event)
		return record("user-registered", event, type(event.session) == "table" and event.session or nil);
	end);
end
