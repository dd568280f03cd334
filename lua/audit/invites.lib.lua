-- Describes invites. An entry never has a token that can be used, but its hash, which links the entries about one invite.
--
-- local invites = library "invites" (audit);

local sha256 = require "util.hashes".sha256;

local concat, pairs, sort, type = table.concat, pairs, table.sort, type;

-- The names in a list or a set, sorted.
local function names(value)
	local found = {};
	for key, item in pairs(type(value) == "table" and value or {}) do
		found[#found+1] = type(key) == "string" and key or type(item) == "string" and item or nil;
	end
	sort(found);
	return found[1] and concat(found, " ") or nil;
end

return function (audit)
	local invites = {};

	-- describe(invite) -> <invite/>. The invite is as mod_invites has it.
	function invites.describe(invite)
		local more = type(invite.additional_data) == "table" and invite.additional_data or {};
		return audit.detail("invite", {
			["token-sha256"] = type(invite.token) == "string" and sha256(invite.token, true) or nil;
			type = invite.type;
			jid = invite.jid;
			inviter = invite.inviter and audit:jid(invite.inviter);
			["resets-password-of"] = more.allow_reset and audit:jid(more.allow_reset);
			roles = names(more.roles), groups = names(more.groups);
			reusable = invite.reusable and "true" or nil;
			registers = invite.allow_registration and "true" or nil;
			expires = audit.datetime(invite.expires);
		});
	end

	return invites;
end
