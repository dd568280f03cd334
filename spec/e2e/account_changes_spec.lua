-- What happens to accounts on real servers, and who did it.

local client = require "support.client";
local dump = require "support.dump";
local http = require "socket.http";
local json = require "dkjson";
local ltn12 = require "ltn12";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local xmlns_admin = "http://jabber.org/protocol/admin#";

-- The entries of a server since the last call.
local function reader(prosody)
	local seen = {};
	return function (host)
		host = host or prosody.host;
		local entries = dump.entries(prosody, host);
		local new = table.move(entries, (seen[host] or 0) + 1, #entries, 1, {});
		seen[host] = #entries;
		return new;
	end
end

local function register(stream, username, password, id)
	stream:send(([[<iq type='set' id='%s'><query xmlns='jabber:iq:register'>%s%s</query></iq>]]):format(id or "r",
		username and "<username>"..username.."</username>" or "", password and "<password>"..password.."</password>" or ""));
	return assert(stream:receive_until("<iq[^>]*/>", "</iq>"));
end

local function preauth(stream, token)
	stream:send(("<iq type='set' id='p' to='%s'><preauth xmlns='urn:xmpp:pars:0' token='%s'/></iq>"):format(stream.host, token));
	return assert(stream:receive_until("<iq[^>]*/>", "</iq>"));
end

server.each_series(describe, pending, function (series)
	describe("changes of accounts", function ()
		local prosody, recorded;

		setup(function ()
			prosody = server.start {
				series = series;
				modules = { "audit", "audit_register", "audit_user_accounts", "admin_adhoc", "invites", "invites_register", "audit_admin" };
				config = { admins = { "admin@example.test" }, registration_invite_only = false };
			};
			for _, name in ipairs { "admin", "romeo", "juliet" } do
				prosody:adduser(name.."@example.test", "secret");
			end
			recorded = reader(prosody);
			recorded();
		end);

		teardown(function () prosody:stop(); end);

		-- The entries of mod_audit_register and mod_audit_user_accounts since the last call, and those of others by id.
		local function changes()
			local found, others = {}, {};
			for _, entry in ipairs(recorded()) do
				if entry.source == "mod_audit_admin" then
					others[entry.id] = entry;
				else
					table.insert(found, entry);
				end
			end
			return found, others;
		end

		local function one(event_type, user)
			local entries, others = changes();
			assert.equal(event_type, dump.types(entries));
			assert.equal(user, entries[1].user);
			return entries[1], others;
		end

		-- By a line in the shell: the entry names the one of the line.
		local function by_shell(line, event_type, user)
			local status, out, err = prosody:shell(line);
			assert.equal(0, status, out..err);
			local entry, others = one(event_type, user);
			local actor = entry:child("actor").attr;
			assert.equal("admin-shell", actor.kind);
			assert.is_truthy(others[actor["caused-by"]], "no entry "..tostring(actor["caused-by"]));
			assert.equal("shell-command", others[actor["caused-by"]].type);
			return entry;
		end

		local function by_command(node, fields, event_type, user)
			local session = assert(client.open(prosody, "admin@example.test", "secret", { resource = "desk" }));
			local answer = session:command(node, { forms = { fields } });
			session:close();
			assert.is_true(answer.ok, json.encode(answer));
			local entry = one(event_type, user);
			assert.equal('<actor jid="admin@example.test/desk" kind="adhoc"><remote-ip>127.0.0.1</remote-ip></actor>',
				(entry:line("actor"):gsub(' caused%-by="[^"]+"', "")));
			return entry;
		end

		it("a password changed by its owner names the client and its address", function ()
			local session = assert(client.open(prosody, "romeo@example.test", "secret", { resource = "phone" }));
			assert.is_true(session:change_password("chan9ed").ok);
			session:close();
			local entry = one("user-password-changed", "romeo@example.test");
			assert.equal("mod_audit_user_accounts", entry.source);
			assert.equal('<actor jid="romeo@example.test/phone" kind="user"><remote-ip>127.0.0.1</remote-ip></actor>', entry:line("actor"));
			assert.equal("c2s", entry:child("session").attr.type);
		end);

		it("a password changed by an administrator names him", function ()
			by_shell("user:password('romeo@example.test', 'secret')", "user-password-changed", "romeo@example.test");
			by_command(xmlns_admin.."change-user-password", { accountjid = "romeo@example.test", password = "secret2" },
				"user-password-changed", "romeo@example.test");
		end);

		if series == "0.12" then
			it("roles are read back", function ()
				local entry = by_shell("user:setroles('juliet@example.test', 'example.test', { 'prosody:admin', 'editor' })",
					"user-role-changed", "juliet@example.test");
				-- 0.12 accepts any text as a role: it may have been typed by mistake.
				assert.same({ "***", "prosody:admin" }, { entry.children[2].attr.name, entry.children[3].attr.name });
			end);

			pending("Prosody 0.12 can not disable accounts, and does not say that an administrator has made one");
		else
			it("roles given and taken", function ()
				local entry = by_shell("user:set_role('juliet@example.test', 'example.test', 'prosody:admin')",
					"user-role-changed", "juliet@example.test");
				assert.equal('<role name="prosody:admin"/>', entry:line("role"));
				entry = by_shell("user:addrole('juliet@example.test', 'example.test', 'prosody:guest')", "user-role-changed", "juliet@example.test");
				assert.equal('<role change="added" name="prosody:guest"/>', entry:line("role"));
				entry = by_shell("user:delrole('juliet@example.test', 'example.test', 'prosody:guest')", "user-role-changed", "juliet@example.test");
				assert.equal('<role change="removed" name="prosody:guest"/>', entry:line("role"));
			end);

			it("accounts disabled and enabled", function ()
				by_shell("user:disable('juliet@example.test')", "user-disabled", "juliet@example.test");
				by_shell("user:enable('juliet@example.test')", "user-enabled", "juliet@example.test");
				by_command(xmlns_admin.."disable-user", { accountjids = { "juliet@example.test" } }, "user-disabled", "juliet@example.test");
				by_command(xmlns_admin.."reenable-user", { accountjids = { "juliet@example.test" } }, "user-enabled", "juliet@example.test");
			end);

			it("an account made by an administrator is one event, with its role", function ()
				local entry = by_shell("user:create('tybalt@example.test', 'secret', 'prosody:member')", "user-registered", "tybalt@example.test");
				assert.equal('<role name="prosody:member"/>', entry:line("role"));
				-- What happens to it later is a change again.
				by_shell("user:password('tybalt@example.test', 'secret3')", "user-password-changed", "tybalt@example.test");
			end);
		end

		it("accounts removed by an administrator", function ()
			prosody:adduser("paris@example.test", "secret");
			by_shell("user:delete('paris@example.test')", "user-deleted", "paris@example.test");
			prosody:adduser("paris@example.test", "secret");
			by_command(xmlns_admin.."delete-user", { accountjids = { "paris@example.test" } }, "user-deleted", "paris@example.test");
		end);

		it("accounts removed by prosodyctl, if it asks the server", function ()
			prosody:adduser("sampson@example.test", "secret");
			local status, out, err = prosody:ctl("deluser", "sampson@example.test");
			assert.equal(0, status, out..err);
			if series == "0.12" then
				-- prosodyctl has changed the store itself, without the server.
				assert.same({}, (changes()));
				return;
			end
			assert.equal("admin-shell", one("user-deleted", "sampson@example.test"):child("actor").attr.kind);
		end);

		it("a registration and a removal by their owner are one event each", function ()
			assert.is_true(client.register(prosody, "benvolio@example.test", "secret").ok);
			local entry = one("user-registered", "benvolio@example.test");
			assert.equal('<actor jid="benvolio@example.test" kind="user"><remote-ip>127.0.0.1</remote-ip></actor>', entry:line("actor"));
			assert.equal(series ~= "0.12" and '<role name="prosody:registered"/>' or nil, entry:line("role"));
			assert.is_true(client.delete_account(prosody, "benvolio@example.test", "secret").ok);
			entry = one("user-deregistered", "benvolio@example.test");
			assert.matches('^<actor jid="benvolio@example.test/[^"]+" kind="user"><remote%-ip>127.0.0.1</remote%-ip></actor>$', entry:line("actor"));
		end);

		it("a password reset by invite is one event", function ()
			prosody:adduser("rosaline@example.test", "forgotten");
			local token = prosody:eval([[
				return require "core.modulemanager".get_module("example.test", "invites").create_account_reset("rosaline").token;
			]]);
			local stream = assert(raw.connect(prosody));
			assert.matches("type='result'", preauth(stream, token));
			assert.matches("type='result'", register(stream, "rosaline", "remembered"));
			stream:close();
			local entry = one("user-password-reset", "rosaline@example.test");
			assert.equal("mod_audit_user_accounts", entry.source);
			assert.equal(("<invite-used token=%q/>"):format(token), entry:line("invite-used"));
			assert.equal('<actor kind="user"><remote-ip>127.0.0.1</remote-ip></actor>', entry:line("actor"));
			assert.is_truthy(entry:child("tls"));
			assert.is_true(client.login(prosody, "rosaline@example.test", "remembered").ok);
		end);

		it("no password", function ()
			local text = json.encode(dump.entries(prosody));
			for _, secret in ipairs { "secret", "chan9ed", "remembered", "forgotten" } do
				assert.is_nil(text:find(secret, 1, true));
			end
		end);

		it("a fault in the log breaks none of them", function ()
			prosody:break_audit("broken on purpose");
			assert.is_true(client.register(prosody, "balthasar@example.test", "secret").ok);
			assert.equal("conflict", client.register(prosody, "balthasar@example.test", "secret").condition);
			assert.is_true(client.change_password(prosody, "balthasar@example.test", "secret", "chan9ed").ok);
			assert.equal(0, (prosody:shell("user:password('balthasar@example.test', 'secret')")));
			assert.is_true(client.delete_account(prosody, "balthasar@example.test", "secret").ok);
			assert.is_false(client.login(prosody, "balthasar@example.test", "secret").ok);
			assert.equal(0, (prosody:shell("user:delete('juliet@example.test')")));
			prosody:mend_audit();
			assert.is_truthy(prosody:log():find("Fault while handling[^\n]*broken on purpose"));
			assert.same({}, (changes()));
		end);
	end);

	describe("registrations that are refused", function ()
		local prosody, recorded;

		setup(function ()
			prosody = server.start {
				series = series, hosts = { "example.test", "invited.test", "throttled.test", "blocked.test", "closed.test" };
				modules = { "audit", "audit_register", "invites", "register_web" }, community = { "register_web" };
				host_config = {
					["invited.test"] = { modules_enabled = { "invites_register" } };
					["throttled.test"] = { registration_throttle_max = 1, registration_throttle_period = 3600, registration_allowlist = { "192.0.2.1" } };
					["blocked.test"] = { registration_blocklist = { "127.0.0.1" } };
					["closed.test"] = { allow_registration = false };
				};
			};
			prosody:adduser("romeo@example.test", "secret");
			recorded = reader(prosody);
			recorded();
		end);

		teardown(function () prosody:stop(); end);

		local function refused(host, username, password, detail, user)
			local stream = assert(raw.connect(prosody, { host = host }));
			assert.matches("type='error'", register(stream, username, password));
			stream:close();
			local new = recorded(host);
			assert.equal("registration-refused", dump.types(new));
			local entry = new[1];
			assert.equal("mod_audit_register", entry.source);
			assert.equal(detail, entry:line("registration"));
			assert.equal(user, entry.user);
			assert.equal("127.0.0.1", entry:child("session"):child("remote-ip").text);
			assert.equal('<actor kind="user"><remote-ip>127.0.0.1</remote-ip></actor>', entry:line("actor"));
			assert.is_truthy(entry:child("tls"));
		end

		it("as there is such an account", function ()
			refused("example.test", "Romeo", "secret", '<registration condition="conflict">The requested username already exists.</registration>',
				"romeo@example.test");
		end);

		it("as the form is not filled in", function ()
			refused("example.test", "juliet", nil, '<registration condition="not-acceptable">Password: Required value missing</registration>',
				"juliet@example.test");
			refused("example.test", "ju liet", "secret",
				'<registration condition="not-acceptable">The requested username is invalid.</registration>');
		end);

		it("as they need an invite, and have none or a bad one", function ()
			refused("invited.test", "juliet", "secret",
				'<registration condition="not-acceptable">Registration on this server is through invitation only</registration>', "juliet@invited.test");
			local stream = assert(raw.connect(prosody, { host = "invited.test" }));
			assert.matches("<forbidden", preauth(stream, "guess"));
			stream:close();
			local new = recorded("invited.test");
			assert.equal("registration-refused", dump.types(new));
			assert.equal('<registration condition="forbidden">The invite token is invalid or expired</registration>', new[1]:line("registration"));
			assert.is_nil(json.encode(new):find("guess", 1, true));
		end);

		it("as the address has registered too many, or is blocked", function ()
			local stream = assert(raw.connect(prosody, { host = "throttled.test" }));
			assert.matches("type='result'", register(stream, "juliet", "secret"));
			stream:close();
			assert.equal("user-registered", dump.types(recorded("throttled.test")));
			refused("throttled.test", "nurse", "secret",
				'<registration condition="policy-violation">Too many registrations from this IP address recently</registration>', "nurse@throttled.test");
			refused("blocked.test", "juliet", "secret", '<registration condition="forbidden">Your IP address is blocklisted</registration>',
				"juliet@blocked.test");
		end);

		it("as nobody may", function ()
			refused("closed.test", "juliet", "secret", '<registration condition="service-unavailable"/>', "juliet@closed.test");
		end);

		it("but not the question for the form", function ()
			local stream = assert(raw.connect(prosody));
			stream:send("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>");
			assert.matches("<instructions", assert(stream:receive_until("</iq>")));
			stream:close();
			assert.same({}, recorded());
		end);

		it("on the web, if there is an event for it", function ()
			local page, address = {}, ("http://127.0.0.1:%d/register_web"):format(prosody.http_port);
			http.request { url = address, headers = { host = "blocked.test" }, sink = ltn12.sink.table(page) };
			page = table.concat(page);
			local x, op, y = page:match("What is (%d) ([+-]) (%d)");
			local body = ("username=paris&password=secret&confirm_password=secret&captcha_reply=%d&captcha_challenge=%s"):format(
				op == "+" and x + y or x - y, page:match('name="captcha_challenge" type="hidden" value="(%x+)"'));
			http.request {
				method = "POST", url = address, source = ltn12.source.string(body);
				headers = { host = "blocked.test", ["content-type"] = "application/x-www-form-urlencoded", ["content-length"] = tostring(#body) };
			};
			local new = recorded("blocked.test");
			assert.equal("registration-refused", dump.types(new));
			assert.equal("paris@blocked.test", new[1].user);
			assert.equal('<registration condition="forbidden">Your IP address is blocklisted</registration>', new[1]:line("registration"));
			assert.equal('<actor kind="http"><remote-ip>127.0.0.1</remote-ip></actor>', new[1]:line("actor"));
		end);
	end);

	if series == "0.12" then
		pending("Prosody 0.12 has no deregistration that waits");
		return;
	end

	it("an account is removed by the server after a pending removal", function ()
		local prosody = server.start {
			series = series, modules = { "audit", "audit_user_accounts" }, config = { registration_delete_grace_period = 1 };
		};
		assert.is_true(client.register(prosody, "romeo@example.test", "secret").ok);
		assert.is_true(client.delete_account(prosody, "romeo@example.test", "secret").ok);
		process.wait_until(function () return false; end, 1.2);
		-- As mod_cron runs it once a day.
		prosody:eval([[require "core.modulemanager".get_module("example.test", "user_account_management").cleanup_soft_deleted_accounts()]]);
		prosody:eval("return 0");
		local entries = dump.entries(prosody);
		prosody:stop();
		assert.equal("user-registered user-disabled user-deregistered-pending user-deregistered", dump.types(entries));
		for i = 2, 3 do
			assert.matches('^<actor jid="romeo@example.test/[^"]+" kind="user"><remote%-ip>127.0.0.1</remote%-ip></actor>$', entries[i]:line("actor"));
		end
		assert.equal('<actor kind="server"/>', entries[4]:line("actor"));
	end);
end);
