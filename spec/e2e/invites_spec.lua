-- Invites, on real servers.

local client = require "support.client";
local dump = require "support.dump";
local json = require "dkjson";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

server.each_series(describe, pending, function (series)
	describe("mod_audit_tokens", function ()
		local prosody;
		local seen = 0;
		local good_tokens = {};

		setup(function ()
			prosody = server.start {
				series = series;
				modules = { "audit", "audit_tokens", "audit_admin", "invites", "invites_register", "invites_adhoc", "presence", "roster", "admin_adhoc" };
				config = { admins = { "admin@example.test" }, allow_user_invites = true };
			};
			for _, name in ipairs { "admin", "romeo", "juliet" } do
				prosody:adduser(name.."@example.test", "secret");
			end
		end);

		teardown(function () prosody:stop(); end);

		local function recorded()
			local entries = dump.of_type(prosody, nil, "invite-created", "invite-used");
			local new = table.move(entries, seen + 1, #entries, 1, {});
			seen = #entries;
			return new;
		end

		local function one(event_type, user)
			local new = recorded();
			assert.equal(event_type, dump.types(new));
			assert.equal("mod_audit_tokens", new[1].source);
			assert.equal(user, new[1].user);
			return new[1], new[1]:child("invite").attr;
		end

		local function token_of(uri)
			local token = uri:match("preauth=([%w_%-]+)");
			assert.is_truthy(token, uri);
			table.insert(good_tokens, token);
			return token, prosody:eval("return require 'util.hashes'.sha256(..., true)", token);
		end

		local function register(token, username)
			local stream = assert(raw.connect(prosody));
			stream:send(("<iq type='set' id='1' to='example.test'><preauth xmlns='urn:xmpp:pars:0' token='%s'/></iq>"):format(token));
			assert.matches("type='result'", assert(stream:receive_until("<iq[^>]*/>", "</iq>")));
			stream:send(([[<iq type='set' id='2' to='example.test'><query xmlns='jabber:iq:register'>]]
				..[[<username>%s</username><password>secret</password></query></iq>]]):format(username));
			assert.matches("type='result'", assert(stream:receive_until("<iq[^>]*/>", "</iq>")));
			stream:close();
		end

		it("records an invite from the shell, and its use", function ()
			local status, out = prosody:shell("invite:create_account('nurse@example.test')");
			assert.equal(0, status, out);
			local token, hash = token_of(out);
			local entry, invite = one("invite-created", "nurse@example.test");
			assert.equal(hash, invite["token-sha256"]);
			assert.equal("register", invite.type);
			assert.equal("nurse@example.test", invite.jid);
			assert.equal("true", invite.registers);
			assert.matches("^%d%d%d%d%-%d%d%-%d%dT", invite.expires);
			assert.equal("admin-shell", entry:child("actor").attr.kind);
			local cause = dump.of_type(prosody, nil, "shell-command")[1];
			assert.equal(cause.id, entry:child("actor").attr["caused-by"]);

			register(token, "nurse");
			entry, invite = one("invite-used", "nurse@example.test");
			assert.equal(hash, invite["token-sha256"]);
			assert.equal('<actor jid="nurse@example.test" kind="user"><remote-ip>127.0.0.1</remote-ip></actor>', entry:line("actor"));
			assert.equal("c2s_unauthed", entry:child("session").attr.type);
		end);

		it("records an invite by ad-hoc command with the user who asked for it", function ()
			local session = assert(client.open(prosody, "admin@example.test", "secret", { resource = "desk" }));
			local answer = session:command("urn:xmpp:invite#create-account", {});
			assert.is_true(answer.ok, json.encode(answer));
			local _, hash = token_of(json.encode(answer));
			local entry, invite = one("invite-created");
			assert.equal(hash, invite["token-sha256"]);
			assert.equal("adhoc", entry:child("actor").attr.kind);
			assert.equal("admin@example.test/desk", entry:child("actor").attr.jid);
			session:close();

			session = assert(client.open(prosody, "romeo@example.test", "secret", { resource = "phone" }));
			answer = session:command("urn:xmpp:invite#invite", {});
			assert.is_true(answer.ok, json.encode(answer));
			session:close();
			local token;
			token, hash = token_of(json.encode(answer));
			entry, invite = one("invite-created", "romeo@example.test");
			assert.equal("roster", invite.type);
			assert.equal("romeo@example.test/phone", entry:child("actor").attr.jid);

			-- It is used by becoming a contact.
			local juliet = assert(client.open(prosody, "juliet@example.test", "secret", { resource = "phone" }));
			juliet:send(("<presence type='subscribe' to='romeo@example.test'><preauth xmlns='urn:xmpp:pars:0' token='%s'/></presence>"):format("guess"));
			juliet:send(("<presence type='subscribe' to='romeo@example.test'><preauth xmlns='urn:xmpp:pars:0' token='%s'/></presence>"):format(token));
			process.wait_until(function () return #dump.of_type(prosody, nil, "invite-used") >= 2; end, 5);
			juliet:close();
			entry, invite = one("invite-used", "romeo@example.test");
			assert.equal(hash, invite["token-sha256"]);
			assert.equal('<contact jid="juliet@example.test"/>', entry:line("contact"));
			assert.equal('<actor jid="juliet@example.test/phone" kind="user"><remote-ip>127.0.0.1</remote-ip></actor>', entry:line("actor"));
		end);

		it("records an invite to reset a password, and its use", function ()
			local uri;
			if series == "0.12" then
				-- COMPAT 0.12: the shell makes none.
				uri = prosody:eval("return require 'core.modulemanager'.get_module('example.test', 'invites').create_account_reset('romeo').uri");
			else
				local status, out = prosody:shell("invite:create_reset('romeo@example.test')");
				assert.equal(0, status, out);
				uri = out;
			end
			local token, hash = token_of(uri);
			local _, invite = one("invite-created", "romeo@example.test");
			assert.equal("romeo@example.test", invite["resets-password-of"]);
			register(token, "romeo");
			local entry;
			entry, invite = one("invite-used", "romeo@example.test");
			assert.equal(hash, invite["token-sha256"]);
			assert.equal('<actor kind="user"><remote-ip>127.0.0.1</remote-ip></actor>', entry:line("actor"));
		end);

		it("records an invite for many, and each use of it", function ()
			local uri = prosody:eval([[
				return require "core.modulemanager".get_module("example.test", "invites").create_group({ "friends" }, nil, 3600).uri;
			]]);
			local token, hash = token_of(uri);
			local _, invite = one("invite-created");
			assert.equal("true", invite.reusable);
			assert.equal("friends", invite.groups);
			for _, name in ipairs { "mercutio", "tybalt" } do
				register(token, name);
				_, invite = one("invite-used", name.."@example.test");
				assert.equal(hash, invite["token-sha256"]);
			end
		end);

		it("never stores a token", function ()
			local text = json.encode(dump.entries(prosody));
			assert.is_true(#good_tokens >= 5);
			for _, token in ipairs(good_tokens) do
				assert.is_nil(text:find(token, 1, true));
			end
		end);
	end);
end);
