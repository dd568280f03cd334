-- A host with mod_audit_http in this process, and requests to it without sockets, as net.http.server makes them.
--
--   local host = web_host.new();
--   local cookie = host:sign_in("nurse");
--   local answer = host:request("GET", "/audit/?type=x", { cookie = cookie });   --> { status =, headers =, body = }

local config = require "core.configmanager";
local module_api = require "support.module_api";

config.set("*", "http_ports", {});
config.set("*", "https_ports", {});

local web_host = {};

local methods = {};
local mt = { __index = methods };

-- Accounts: name -> role. On 0.12 an administrator is one of the option "admins".
local function set_accounts(host)
	local usermanager = require "core.usermanager";
	local accounts = host.accounts;
	host.restore = {};
	local function replace(name, f)
		host.restore[name] = usermanager[name] or false;
		usermanager[name] = f;
	end
	replace("user_exists", function (username) return accounts[username] ~= nil; end);
	replace("is_admin", function (account) return accounts[account:match("^[^@]*")] == "admin" and not host.forbidden; end);
	if module_api.prosody.hosts[host.api.name].authz and usermanager.get_user_role then
		replace("get_user_role", function (username) return accounts[username] and { name = accounts[username] }; end);
		replace("user_is_enabled", function (username) return not host.disabled[username]; end);
		replace("user_can_assume_role", function (username, _, role) return accounts[username] == role; end);
		replace("get_role_by_name", function (role) return { name = role }; end);
		replace("get_account_info", function () return {}; end);
	end
end

-- new(options) -> a host with the accounts nurse, an administrator, and romeo
function web_host.new(options)
	local host = setmetatable({ accounts = { nurse = "admin", romeo = "user" }, disabled = {} }, mt);
	host.api = module_api.host(options);
	host.name = host.api.name;
	set_accounts(host);
	host.module = host.api:load("audit_http").module;
	-- The permission is that of a role of Prosody 13, which is not here.
	if host.module.may then
		function host.module.may(_, _, who)
			-- An account, or the session of a token with the role that this has.
			local role = type(who) == "table" and who.session.role.name or type(who) == "string" and host.accounts[who:match("^[^@]*")];
			return role == "admin" and not host.forbidden;
		end
	end
	function host.module.http_url()
		return "https://"..host.name..":5281/audit";
	end
	module_api.complaints();
	return host;
end

-- Puts back what new() has replaced.
function methods:finish()
	local usermanager = require "core.usermanager";
	for name, f in pairs(self.restore) do usermanager[name] = f or nil; end
end

-- What mod_audit_http tells the other modules of ours.
function methods:shared()
	return module_api.log().web[self.name]();
end

local function head_of(response)
	local lines = {};
	for name, value in pairs(response.headers) do lines[#lines+1] = name..": "..value; end
	return table.concat(lines, "\n");
end

-- begin(method, address, options) -> response: what was sent so far. options = { cookie =, headers =, body =, ip =, insecure = true,
-- wrote = function(number of bytes), called when something is sent piece by piece }
function methods:begin(method, address, options)
	options = options or {};
	local path, query = address:match("^([^?]*)%??(.*)$");
	local headers = { host = self.name, cookie = options.cookie };
	for name, value in pairs(options.headers or {}) do headers[name] = value; end
	local request = {
		method = method; path = path; url = { path = path; query = query ~= "" and query or nil }; headers = headers; body = options.body or "";
		httpversion = "1.1"; ip = options.ip or "203.0.113.9"; secure = not options.insecure or nil;
	};
	local response = { request = request; headers = {}; status_code = 200; sent = ""; persistent = true; conn = { writebuffer = nil } };
	function response.conn.write(_, text)
		response.sent = response.sent..text;
		if options.wrote then options.wrote(#text); end
	end
	function response.conn.close() response.is_closed = true; end
	function response.write_headers() response.head = head_of(response); end
	function response.done() response.is_done = true; end
	request.conn = response.conn;
	require "util.async".runner(function ()
		local result = require "net.http.server"._events.fire_event(method.." "..self.name..path, { request = request; response = response });
		response.result = result;
		if type(result) == "table" then
			response.status_code, response.sent, response.is_done = result.status_code, result.body, true;
			for name, value in pairs(result.headers) do response.headers[name] = value; end
		end
	end):run(true);
	return response;
end

-- request(…) -> { status =, headers =, body = }, when it is answered
function methods:request(method, address, options)
	local response = self:begin(method, address, options);
	for _ = 1, 50 do
		if response.is_done then break; end
		module_api.pass(0.02); -- some readings pause for longer than a turn
	end
	return { status = response.status_code; headers = response.headers; body = response.sent; response = response };
end

-- link(username, is_own) -> the secret of a link | nil, what is wrong
function methods:link(username, is_own)
	local url, problem = self:shared().access.link(username, is_own or false);
	return url and url:match("link=(.*)$"), problem;
end

-- sign_in(username, is_own) -> the cookie
function methods:sign_in(username, is_own)
	local answer = self:request("POST", "/audit/sign-in", { body = "link="..assert(self:link(username, is_own)) });
	assert(answer.status == 303, answer.body);
	return answer.headers.set_cookie:match("^[^;]+");
end

return web_host;
