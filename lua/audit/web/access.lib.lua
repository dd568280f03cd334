-- Who may look at the log of a host in a browser: accounts and their roles as they are now, links, sessions. src/web/gate.rs decides how
-- long links and sessions last.

local core = require "audit_core";

local hashes = require "util.hashes";
local jid = require "util.jid";
local monotonic = require "util.time".monotonic;
local usermanager = require "core.usermanager";

local answers = library "web/answers";

-- How long a browser keeps the cookie, in seconds. The session may end before.
local KEPT = 12 * 3600;

-- What ends the links and sessions of an account.
local ENDS = { "user-deleted", "user-disabled", "user-password-changed", "user-role-changed", "user-roles-changed" };

-- new_access(audit) -> access to the log of a host
return function (audit)
	local module = audit.module;
	local host = module.host;
	local gate = core.web.gate();
	local access = {};

	-- Browsers send a cookie with this prefix only where it was set: on this host name, over TLS. Two hosts may share a name on the web.
	local cookie = "__Host-audit-"..hashes.sha256(host, true):sub(1, 8);

	if module.default_permission then -- COMPAT 0.12: asks who is an administrator
		module:default_permission("prosody:admin", ":log");
	end

	-- role(username) -> the role of an account that exists and is enabled | nil
	local function role(username)
		local accounts = prosody.hosts[host].users;
		if not username or not usermanager.user_exists(username, host) then
			return nil;
		elseif accounts and accounts.name == "anonymous" then
			-- Nobody has an account there, but those who are connected "exist".
			return nil;
		elseif usermanager.user_is_enabled and not usermanager.user_is_enabled(username, host) then
			return nil;
		elseif usermanager.get_user_role then
			local its_role = usermanager.get_user_role(username, host);
			return its_role and its_role.name or nil;
		end
		-- COMPAT 0.12
		return usermanager.is_admin(jid.join(username, host), host) and "admin" or "user";
	end

	-- Whether an account, which exists and is enabled, may read the log of the host.
	local function may_read(username)
		local account = jid.join(username, host);
		if module.may then
			return module:may(":log", account, true);
		end
		return usermanager.is_admin(account, host);
	end

	-- is_account(username) -> whether there is such an account, and it is enabled
	function access.is_account(username)
		return role(username) ~= nil;
	end

	-- allows(role) -> whether a role of Prosody 13, which a token gives, may read the log of the host
	function access.allows(its_role)
		return module:may(":log", { session = { type = "c2s"; host = host; role = its_role } }, true);
	end

	-- Whether a holder is still what it was when it was let in.
	local function is_unchanged(account, is_own, its_role)
		local username = jid.node(account);
		return role(username) == its_role and (is_own or may_read(username));
	end

	-- link(username, is_own) -> the address that signs an account in, once | nil, what is wrong
	function access.link(username, is_own)
		local account = jid.join(username, host);
		local its_role = role(username);
		if not its_role then
			return nil, ("there is no account %s, or it is disabled"):format(account);
		elseif not is_own and not may_read(username) then
			return nil, ("%s is not an administrator of %s"):format(account, host);
		end
		local url = module:http_url("audit", "/audit");
		if not url or url:find("disabled.invalid", 1, true) then
			return nil, "Prosody has no port for HTTP";
		end
		local link = gate:invite(account, is_own, its_role, monotonic());
		if not link then
			return nil, "there are too many links now";
		end
		return (url:gsub("/$", "")).."/sign-in?link="..link;
	end

	-- guest(link) -> account, whether it sees its own account only | nil
	function access.guest(link)
		local account, is_own, its_role = gate:guest(link, monotonic());
		if account and is_unchanged(account, is_own, its_role) then
			return account, is_own;
		end
	end

	-- admit(link) -> headers that sign in, account, whether it sees its own account only | nil
	function access.admit(link)
		if not access.guest(link) then return nil; end
		local session, account, is_own = gate:admit(link, monotonic());
		if not session then return nil; end
		return {
			set_cookie = ("%s=%s; Path=/; Max-Age=%d; Secure; HttpOnly; SameSite=Strict"):format(cookie, session, KEPT);
		}, account, is_own;
	end

	-- enter(request) -> { account, username, is_own, csrf, session } | nil, if nobody is signed in
	function access.enter(request)
		local session = answers.cookie(request, cookie);
		if not session then return nil; end
		local account, is_own, its_role, csrf = gate:enter(session, monotonic());
		if not account then
			return nil;
		elseif not is_unchanged(account, is_own, its_role) then
			gate:dismiss(account);
			return nil;
		end
		return { account = account; username = jid.node(account); is_own = is_own; csrf = csrf; session = session; role = its_role };
	end

	-- is_here(reader) -> whether a reader would be let in again. This does not make its session longer.
	function access.is_here(reader)
		return gate:is_open(reader.session, monotonic()) and is_unchanged(reader.account, reader.is_own, reader.role);
	end

	-- leave(reader, csrf) -> headers that sign out | nil, if the form is not of this session
	function access.leave(reader, csrf)
		if not gate:is_own_form(reader.session, csrf) then return nil; end
		gate:leave(reader.session);
		return { set_cookie = cookie.."=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict" };
	end

	for _, event_name in ipairs(ENDS) do
		audit:watch_global(event_name, function (event)
			if type(event.username) == "string" then
				gate:dismiss(jid.join(event.username, host));
			end
		end);
	end

	return access;
end
