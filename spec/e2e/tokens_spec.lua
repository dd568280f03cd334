-- Grants and tokens of mod_tokenauth, on real servers.

local client = require "support.client";
local dump = require "support.dump";
local json = require "dkjson";
local oauth = require "support.oauth";
local server = require "support.server";

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

		it("records which client was granted what", function ()
			local program = oauth.register(prosody.http_port, "example.test", "Spec");
			local granted = program:ask("romeo", "secret", { "xmpp" });

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
			assert.is_nil(text:find(program.registered.client_secret, 1, true));
		end);
	end);
end);
