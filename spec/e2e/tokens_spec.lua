-- Grants and tokens of mod_tokenauth, on real servers.

local client = require "support.client";
local dump = require "support.dump";
local http = require "socket.http";
local json = require "dkjson";
local ltn12 = require "ltn12";
local server = require "support.server";
local url = require "socket.url";

local function form(fields)
	local parts = {};
	for name, value in pairs(fields) do
		parts[#parts+1] = url.escape(name).."="..url.escape(value);
	end
	return table.concat(parts, "&");
end

server.each_series(describe, pending, function (series)
	describe("mod_audit_tokens", function ()
		local prosody;

		setup(function ()
			prosody = server.start { series = series, modules = { "audit", "audit_tokens", "tokenauth" } };
			prosody:adduser("romeo@example.test", "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		-- Runs code with mod_tokenauth's functions as tokens.
		local function with_tokens(code, ...)
			return prosody:eval("local tokens = require 'core.modulemanager'.get_module('example.test', 'tokenauth'); "..code, ...);
		end

		if series == "0.12" then
			it("loads on a server without events for tokens, and records nothing", function ()
				assert.is_true(prosody:eval("return (require 'core.modulemanager'.is_loaded('example.test', 'audit_tokens') and true)"));
				local token = with_tokens("return (tokens.create_jid_token('romeo@example.test', 'romeo@example.test', 'prosody:user', 3600))");
				assert.is_string(token);
				assert.is_true(client.login(prosody, "romeo@example.test", "secret").ok);
				assert.equal("", dump.types(dump.of_type(prosody, nil, "token-grant-created", "token-grant-revoked", "token-revoked")));
			end);
			return;
		end

		it("records the beginning and end of a grant with its id and client, and no token", function ()
			local id, token = with_tokens([[
				local grant = tokens.create_grant("romeo@example.test", "romeo@example.test", 3600, {
					oauth2_scopes = "openid xmpp";
					oauth2_client = { name = "Gajim", uri = "https://gajim.org", id = "b3e0e4f0", version = "1.8.4", hash = "kGs8gk3N" };
				});
				return grant.id, (tokens.create_token("romeo@example.test", grant, "prosody:registered", 600, "oauth2-refresh"));
			]]);
			assert.is_true(with_tokens("return tokens.revoke_token(...)", token));
			assert.is_true(with_tokens("return tokens.revoke_grant('romeo', ...)", id));

			local entries = dump.entries(prosody);
			assert.equal("token-grant-created token-revoked token-grant-revoked", dump.types(entries));
			for _, entry in ipairs(entries) do
				assert.equal("romeo@example.test", entry.user);
				assert.equal("mod_audit_tokens", entry.source);
				assert.equal(id, entry:child("grant").attr.id);
				assert.equal('<actor kind="unknown"/>', entry:line("actor"));
			end
			for i = 1, 2 do
				local grant = entries[i]:child("grant");
				assert.equal("kGs8gk3N", grant.attr.client);
				assert.equal("Gajim", grant.attr.name);
				assert.equal("openid xmpp", grant.attr.scopes);
			end
			assert.equal("oauth2-refresh", entries[2]:child("token").attr.purpose);
			local text = json.encode(entries);
			assert.is_nil(text:find(token, 1, true));
			assert.is_nil(text:find("sha256:", 1, true));
			assert.is_nil(text:find("secret", 1, true));
		end);
	end);

	if series == "0.12" then
		pending("mod_http_oauth2: not among the community modules for Prosody "..series);
		return;
	end

	describe("mod_audit_tokens with mod_http_oauth2", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series, modules = { "audit", "audit_tokens", "http_oauth2" }, community = { "http_oauth2" };
				config = { oauth2_registration_key = "for tests" };
			};
			prosody:adduser("romeo@example.test", "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		local function post(path, body, content_type)
			local answer = {};
			local _, status, headers = http.request {
				method = "POST"; url = ("http://127.0.0.1:%d%s"):format(prosody.http_port, path);
				headers = {
					host = "example.test"; ["content-length"] = tostring(#body);
					["content-type"] = content_type or "application/x-www-form-urlencoded";
				};
				source = ltn12.source.string(body); sink = ltn12.sink.table(answer); redirect = false;
			};
			return table.concat(answer), status, headers;
		end

		it("records which client was granted what", function ()
			local registered = json.decode((post("/oauth2/register", json.encode {
				client_name = "Spec"; client_uri = "https://app.test/"; redirect_uris = { "https://app.test/redirect" };
				grant_types = { "authorization_code", "refresh_token" };
			}, "application/json")));
			-- The example of RFC 7636, appendix B.
			local verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
			local authorize = "/oauth2/authorize?"..form {
				response_type = "code", client_id = registered.client_id, scope = "xmpp";
				code_challenge = challenge, code_challenge_method = "S256";
			};
			local page = post(authorize, form { username = "romeo", password = "secret" });
			local user_token = page:match('name="user_token"[^>]*value="([^"]+)"') or page:match('value="([^"]+)"[^>]*name="user_token"');
			assert.is_truthy(user_token, page);
			local _, _, headers = post(authorize, form { user_token = user_token, consent = "granted", scope = "xmpp" });
			local code = url.unescape(headers.location:match("[?&]code=([^&]+)"));
			local granted = json.decode((post("/oauth2/token", form {
				grant_type = "authorization_code", code = code, client_id = registered.client_id, client_secret = registered.client_secret;
				code_verifier = verifier;
			})));
			assert.is_string(granted.access_token, json.encode(granted));

			local entries = dump.entries(prosody);
			assert.equal("token-grant-created", dump.types(entries));
			assert.equal("romeo@example.test", entries[1].user);
			local grant = entries[1]:child("grant");
			assert.is_truthy(grant.attr.id);
			assert.is_truthy(grant.attr.client);
			assert.equal("Spec", grant.attr.name);
			assert.equal("xmpp", grant.attr.scopes);
			local text = json.encode(entries);
			assert.is_nil(text:find(granted.access_token, 1, true));
			assert.is_nil(text:find(registered.client_secret, 1, true));
		end);
	end);
end);
