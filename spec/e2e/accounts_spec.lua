-- The beginning and end of accounts, on real servers.

local client = require "support.client";
local dump = require "support.dump";
local http = require "socket.http";
local json = require "dkjson";
local ltn12 = require "ltn12";
local raw = require "support.raw_client";
local server = require "support.server";

server.each_series(describe, pending, function (series)
	-- Alone, as old and as new configurations have it, and both together.
	for _, modules in ipairs { { "audit_register" }, { "audit_user_accounts" }, { "audit_register", "audit_user_accounts" } } do
		describe("with mod_"..table.concat(modules, " and mod_"), function ()
			local prosody;

			setup(function ()
				prosody = server.start { series = series, modules = { "audit", table.unpack(modules) } };
			end);

			teardown(function ()
				prosody:stop();
			end);

			it("a registration in-band and its end are one event each", function ()
				assert.is_true(client.register(prosody, "romeo@example.test", "secret").ok);
				assert.is_true(client.delete_account(prosody, "romeo@example.test", "secret").ok);
				local entries = dump.entries(prosody);
				assert.equal("user-registered user-deregistered", dump.types(entries));
				for _, entry in ipairs(entries) do
					assert.equal("romeo@example.test", entry.user);
					assert.equal("romeo@example.test", entry.with);
					assert.equal("mod_audit_register", entry.source);
					-- Also on 0.12, which closes the session before the event.
					assert.equal("127.0.0.1", entry:child("session"):child("remote-ip").text);
				end
				assert.equal("c2s_unauthed", entries[1]:child("session").attr.type);
				assert.equal("c2s", entries[2]:child("session").attr.type);
				assert.matches("^TLSv1%.[23]$", entries[1]:child("tls").attr.version);
				assert.is_nil(json.encode(entries):find("secret", 1, true));
			end);

			if series ~= "0.12" then
				it("accounts disabled and enabled by the shell are one event each", function ()
					prosody:adduser("juliet@example.test", "secret");
					local before = #dump.entries(prosody);
					assert.equal(0, (prosody:shell("user:disable('juliet@example.test')")));
					assert.equal(0, (prosody:shell("user:enable('juliet@example.test')")));
					local entries = dump.entries(prosody);
					assert.equal(before + 2, #entries);
					assert.equal("user-disabled", entries[before + 1].type);
					assert.equal("user-enabled", entries[before + 2].type);
					assert.equal("juliet@example.test", entries[before + 1].user);
					-- Without mod_audit_admin, the user of the shell is unknown.
					assert.equal('<actor kind="unknown"/>', entries[before + 1]:line("actor"));
				end);
			else
				it("the shell can't disable accounts, and nothing is recorded", function ()
					local before = #dump.entries(prosody);
					prosody:shell("user:disable('juliet@example.test')");
					assert.equal(before, #dump.entries(prosody));
				end);
			end
		end);
	end

	describe("mod_audit_register", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series, hosts = { "example.test", "other.test" };
				modules = { "audit", "audit_register", "audit_auth", "invites", "invites_register", "register_web" };
				community = { "register_web" };
				config = { registration_delete_grace_period = series ~= "0.12" and "7 days" or nil, registration_invite_only = false };
			};
		end);

		teardown(function ()
			prosody:stop();
		end);

		local function last(event_type)
			local entries = dump.of_type(prosody, "example.test", event_type);
			return entries[#entries];
		end

		local function register_by_invite(username, token)
			local stream = assert(raw.connect(prosody));
			stream:send(("<iq type='set' id='1' to='example.test'><preauth xmlns='urn:xmpp:pars:0' token='%s'/></iq>"):format(token));
			local answer = assert(stream:receive_until("<iq[^>]*/>", "</iq>"));
			assert.matches("type='result'", answer);
			stream:send(([[<iq type='set' id='2' to='example.test'><query xmlns='jabber:iq:register'>]]
				..[[<username>%s</username><password>secret</password></query></iq>]]):format(username));
			answer = assert(stream:receive_until("<iq[^>]*/>", "</iq>"));
			assert.matches("type='result'", answer);
			stream:close();
		end

		local function new_invite(f, ...)
			return prosody:eval([[
				local f = ...;
				local invites = require "core.modulemanager".get_module("example.test", "invites");
				return invites[f](select(2, ...)).token;
			]], f, ...);
		end

		it("records the invite that was used up", function ()
			local token = new_invite("create_account");
			register_by_invite("benvolio", token);
			local entry = last("user-registered");
			assert.equal("benvolio@example.test", entry.user);
			assert.equal(("<invite-used token=%q/>"):format(token), entry:line("invite-used"));
			assert.is_nil(prosody:eval([[
				return (require "core.modulemanager".get_module("example.test", "invites").get(...));
			]], token));
		end);

		it("records no invite that stays good, only its hash", function ()
			local token = new_invite("create_group", { "friends" }, json.null, 3600);
			register_by_invite("mercutio", token);
			local entry = last("user-registered");
			assert.equal("mercutio@example.test", entry.user);
			assert.equal(prosody:eval("return require 'util.hashes'.sha256(..., true)", token), entry:child("invite-used").attr["token-sha256"]);
			assert.is_nil(json.encode(dump.entries(prosody)):find(token, 1, true));
		end);

		it("records registrations on the web with their address", function ()
			local url = ("http://127.0.0.1:%d/register_web"):format(prosody.http_port);
			local page = {};
			http.request { url = url, headers = { host = "example.test" }, sink = ltn12.sink.table(page) };
			page = table.concat(page);
			local x, op, y = page:match("What is (%d) ([+-]) (%d)");
			local challenge = page:match('name="captcha_challenge" type="hidden" value="(%x+)"');
			assert.is_truthy(x and challenge, page);
			local body = ("username=paris&password=secret&confirm_password=secret&captcha_reply=%d&captcha_challenge=%s"):format(
				op == "+" and x + y or x - y, challenge);
			local _, status = http.request {
				method = "POST", url = url, source = ltn12.source.string(body);
				headers = { host = "example.test", ["content-type"] = "application/x-www-form-urlencoded", ["content-length"] = tostring(#body) };
			};
			assert.equal(200, status);
			local entry = last("user-registered");
			assert.equal("paris@example.test", entry.user);
			assert.equal("<session><remote-ip>127.0.0.1</remote-ip></session>", entry:line("session"));
		end);

		it("records nothing of one host on another", function ()
			assert.is_true(client.register(prosody, "tybalt@other.test", "secret").ok);
			assert.equal("user-registered", dump.types(dump.entries(prosody, "other.test")));
			for _, entry in ipairs(dump.entries(prosody)) do
				assert.is_nil((entry.user or ""):find("@other.test", 1, true));
			end
		end);

		if series == "0.12" then
			pending("Prosody 0.12 has no deregistration that waits");
			return;
		end

		it("records a deregistration that waits, and the account that it disables", function ()
			assert.is_true(client.register(prosody, "rosaline@example.test", "secret").ok);
			assert.is_true(client.delete_account(prosody, "rosaline@example.test", "secret").ok);
			local pending_entry, disabled = last("user-deregistered-pending"), last("user-disabled");
			assert.equal("rosaline@example.test", pending_entry.user);
			assert.equal("127.0.0.1", pending_entry:child("session"):child("remote-ip").text);
			assert.matches("^%d%d%d%d%-%d%d%-%d%dT", pending_entry:child("pending").attr["until"]);
			assert.equal("rosaline@example.test", disabled.user);
			assert.equal("ibr", disabled:child("disabled").attr.reason);
			assert.matches("^%d%d%d%d%-%d%d%-%d%dT", disabled:child("disabled").attr.when);
			assert.equal("Deletion requested by user", disabled:child("disabled"):child("comment").text);

			assert.is_false(client.login(prosody, "rosaline@example.test", "secret").ok);
			local failure = last("authentication-failure");
			assert.equal("rosaline@example.test", failure.user);
			assert.equal("account-disabled", failure:child("authentication").attr.condition);
		end);
	end);
end);
