-- Tokens that an account has given to a program: those of mod_tokenauth, as mod_http_oauth2 makes them. They stay where they are: each
-- request asks mod_tokenauth again, so that what was revoked, or has expired, is refused at once.

local core_modules = require "core.modulemanager";
local jid = require "util.jid";

-- The longest token that is looked up. Those of mod_tokenauth have the length of the account's address and a hundred bytes.
local LONGEST = 8192;

-- new_grants(host, access) -> the tokens of a host's accounts
return function (host, access)
	local grants = {};

	-- name(info) -> how the log names a program: its grant, which mod_audit_tokens records too, and what it calls itself
	local function name(info)
		local data = type(info.grant.data) == "table" and info.grant.data or {};
		local client = type(data.oauth2_client) == "table" and data.oauth2_client.name;
		return client and ("grant %s of %s"):format(info.id, tostring(client)) or ("grant %s"):format(info.id);
	end

	-- find(secret) -> { account =, by = name for the log } | nil, "unknown" | "forbidden" | "not-offered" | "error", what is wrong.
	-- For an async context.
	function grants.find(secret)
		local tokenauth = core_modules.get_module(host, "tokenauth");
		if not tokenauth or not tokenauth.get_token_session then -- COMPAT 0.12: its tokens have no role
			return nil, "not-offered";
		elseif #secret > LONGEST or not secret:find("^secret%-token:[%w+/]+=*$") then
			-- It would log a warning for each.
			return nil, "unknown";
		end
		local ok, session, problem = pcall(tokenauth.get_token_session, secret);
		local info;
		if ok and session then
			ok, info, problem = pcall(tokenauth.get_token_info, secret);
		end
		if not ok then
			return nil, "error", tostring(session and info or session);
		elseif problem == "internal-error" then
			return nil, "error", "mod_tokenauth can't read its store";
		elseif not session or not info then
			return nil, "unknown";
		end
		-- The token itself says whose it is, and nothing has prepared that.
		local username = jid.node(info.jid);
		if username ~= session.username or not access.is_account(username) then
			return nil, "unknown";
		end
		local account = jid.join(username, host);
		if not access.allows(session.role) then
			return nil, "forbidden", account;
		end
		return { account = account; by = name(info) };
	end

	return grants;
end
