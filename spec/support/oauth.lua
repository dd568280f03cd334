-- A program that asks an account for a token, by mod_http_oauth2: registers itself, is granted a scope by the user, and exchanges the code.
--
--   local program = oauth.register(port, host, "Portal");
--   local granted = program:ask("romeo", "secret", { "xmpp" });    --> { access_token =, refresh_token =, … }

local json = require "dkjson";
local url = require "socket.url";
local web = require "support.web";

local oauth = {};

local methods = {};
local mt = { __index = methods };

-- The example of RFC 7636, appendix B.
local VERIFIER, CHALLENGE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

local function form(fields)
	local parts = {};
	for name, value in pairs(fields) do
		for _, one in ipairs(type(value) == "table" and value or { value }) do
			parts[#parts+1] = url.escape(name).."="..url.escape(one);
		end
	end
	return table.concat(parts, "&");
end

local function post(self, path, body, content_type)
	return web.request(self.port, "POST", path, { host = self.host; body = body; timeout = 30;
		headers = { ["Content-Type"] = content_type or "application/x-www-form-urlencoded" } });
end

function oauth.register(port, host, name)
	local self = setmetatable({ port = port; host = host }, mt);
	self.registered = json.decode(post(self, "/oauth2/register", json.encode {
		client_name = name; client_uri = "https://app.test/"; redirect_uris = { "https://app.test/redirect" };
		grant_types = { "authorization_code", "refresh_token" };
	}, "application/json").body);
	assert(self.registered.client_id, json.encode(self.registered));
	return self;
end

-- token(fields) -> what the server answers to a request for a token
function methods:token(fields)
	fields.client_id, fields.client_secret = self.registered.client_id, self.registered.client_secret;
	return json.decode(post(self, "/oauth2/token", form(fields)).body);
end

-- ask(username, password, scopes) -> { access_token =, refresh_token =, … }
function methods:ask(username, password, scopes)
	local authorize = "/oauth2/authorize?"..form {
		response_type = "code"; client_id = self.registered.client_id; scope = table.concat(scopes, " ");
		code_challenge = CHALLENGE; code_challenge_method = "S256";
	};
	local page = post(self, authorize, form { username = username; password = password }).body;
	local user_token = page:match('name="user_token"[^>]*value="([^"]+)"') or page:match('value="([^"]+)"[^>]*name="user_token"');
	assert(user_token, page);
	local answer = post(self, authorize, form { user_token = user_token; consent = "granted"; scope = scopes });
	local code = url.unescape(assert(answer.headers.location, answer.body):match("[?&]code=([^&]+)"));
	local granted = self:token { grant_type = "authorization_code"; code = code; code_verifier = VERIFIER };
	assert(granted.access_token, json.encode(granted));
	return granted;
end

-- revoke(token)
function methods:revoke(token)
	local answer = post(self, "/oauth2/revoke", form { token = token });
	assert(answer.status == 200, answer.status);
end

return oauth;
