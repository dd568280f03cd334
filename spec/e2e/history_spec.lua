-- What users see of their own account. They must not see entries about a former account of the same name.

local client = require "support.client";
local process = require "support.process";
local server = require "support.server";

local host, other_host = server.default_host, "other.test";
local NODE = "xmpp:prosody.im/audit#history";
local romeo, juliet = "romeo@"..host, "juliet@"..host;

local base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "register", "admin_socket", "admin_shell", "harness" };

-- What only a former owner may know.
local former = "198.51.100.77";

local function record_former(prosody, jid, count)
	prosody:eval([[
		local host, jid, former, count = ...;
		for i = 1, count do
			module:context(host):audit(jid, "authentication-success", { session = { ip = former, client_id = "former-"..i } });
		end
		flush_audit_log();
	]], host, jid, former, count or 3);
end

local function history(prosody, jid, password, options)
	return client.command(prosody, jid, password, NODE, options);
end

local function shows_former(result)
	assert.is_truthy(result.form, result.condition or result.xml);
	return result.form.xml:find(former, 1, true) ~= nil or result.form.xml:find("former-", 1, true) ~= nil;
end

server.each_series(describe, pending, function (series)
	local prosody;

	after_each(server.stop_all);

	local function start(modules, more)
		local options = { series = series; modules = modules; base_modules = base_modules; hosts = { host, other_host } };
		for name, value in pairs(more or {}) do options[name] = value; end
		prosody = server.start(options);
		return prosody;
	end

	for name, modules in pairs {
		["with all modules"] = { "audit", "audit_auth", "audit_user_accounts" };
		["where nothing records registrations"] = { "audit", "audit_auth" };
		["where only owners' acts are recorded"] = { "audit", "audit_auth", "audit_register" };
	} do
		it("the history of an account begins when it was registered, "..name, function ()
			start(modules);
			assert.is_true(client.register(prosody, romeo, "first").ok);
			record_former(prosody, romeo);
			assert.is_true(shows_former(history(prosody, romeo, "first")));
			-- By its owner.
			assert.is_true(client.delete_account(prosody, romeo, "first").ok);
			assert.is_true(client.register(prosody, romeo, "second").ok);
			local result = history(prosody, romeo, "second");
			assert.is_false(shows_former(result));
			assert.is_truthy(result.form.xml:find("authentication-success", 1, true), result.form.xml);
			-- By an administrator.
			record_former(prosody, romeo);
			assert.is_true(shows_former(history(prosody, romeo, "second")));
			prosody:eval([[assert(require "core.usermanager".delete_user("romeo", ...))]], host);
			prosody:adduser(romeo, "third");
			assert.is_false(shows_former(history(prosody, romeo, "third")));
			-- Others have their own.
			prosody:adduser(juliet, "secret");
			assert.is_false(shows_former(history(prosody, juliet, "secret")));
		end);
	end

	it("the history of an account begins when prosodyctl made it", function ()
		start { "audit", "audit_auth", "audit_user_accounts" };
		assert.is_true(client.register(prosody, romeo, "first").ok);
		record_former(prosody, romeo);
		process.wait_until(function () return false; end, 7);
		prosody:stop();
		assert.equal(0, (prosody:ctl("unregister", "romeo", host)));
		assert.equal(0, (prosody:ctl("register", "romeo", host, "second")));
		prosody:start();
		local result = history(prosody, romeo, "second");
		assert.is_false(shows_former(result));
		assert.is_truthy(result.form.xml:find("authentication-success", 1, true), result.form.xml);
	end);

	it("a password that was changed hides nothing", function ()
		start { "audit", "audit_auth", "audit_user_accounts" };
		assert.is_true(client.register(prosody, romeo, "first").ok);
		record_former(prosody, romeo);
		process.wait_until(function () return false; end, 7);
		assert.is_true(client.change_password(prosody, romeo, "first", "second").ok);
		assert.is_true(shows_former(history(prosody, romeo, "second")));
	end);

	it("the history of an account does not go back further than entries about registrations are kept", function ()
		start({ "audit", "audit_auth", "audit_user_accounts" }, { config = [[
			audit_log_classes = { accounts = { types = { "user-*" }, expires_after = "1h" } }
		]] });
		prosody:adduser(romeo, "first");
		prosody:eval([[
			local host, jid, former = ...;
			local st = require "util.stanza";
			local at = os.time() - 2 * 3600;
			module:context(host):open_store("audit", "archive"):append("@events."..os.date("!%Y-%m-%d", at), nil,
				st.stanza("audit-event", { source = "mod_audit_auth", type = "authentication-success", user = jid })
					:tag("session", { xmlns = "xmpp:prosody.im/audit" }):text_tag("remote-ip", former):reset(), at, jid);
		]], host, romeo, former);
		assert.is_false(shows_former(history(prosody, romeo, "first")));
	end);

	it("a page of one account is no page of another", function ()
		-- Without flood control, which would count that many logins within a second.
		start({ "audit", "audit_auth", "audit_user_accounts" }, { config = { audit_log_flood = false } });
		assert.is_true(client.register(prosody, romeo, "first").ok);
		prosody:adduser(juliet, "secret");
		record_former(prosody, romeo, 120);
		local own = assert(client.open(prosody, romeo, "first"));
		local first = own:command(NODE);
		assert.equal("executing", first.status);
		assert.is_true(shows_former(first));
		-- Other users who have learned the id of the command's session.
		for _, jid in ipairs { juliet, "spy@"..other_host } do
			if jid ~= juliet then prosody:adduser(jid, "secret"); end
			local spy = assert(client.open(prosody, jid, "secret"));
			first = own:command(NODE);
			local result = spy:command(NODE, { start = "next"; command_session = first.command_session; to = host });
			spy:close();
			assert.is_nil(result.form);
		end
		-- Its own it is, though the account was registered in the second in which it was read.
		first = own:command(NODE);
		local second = own:command(NODE, { start = "next"; command_session = first.command_session });
		assert.is_true(shows_former(second));
		own:close();
		-- Nor of the next owner of the name.
		own = assert(client.open(prosody, romeo, "first"));
		first = own:command(NODE);
		assert.is_true(shows_former(first));
		own:close();
		assert.is_true(client.delete_account(prosody, romeo, "first").ok);
		assert.is_true(client.register(prosody, romeo, "second").ok);
		own = assert(client.open(prosody, romeo, "second"));
		local result = own:command(NODE, { start = "next"; command_session = first.command_session });
		assert.is_nil(result.form);
		assert.is_truthy(result.notes and result.notes[1].text:find("belongs to somebody else now", 1, true), result.xml);
		own:close();
	end);

	it("is for accounts of the host only", function ()
		start { "audit", "audit_auth" };
		prosody:adduser("spy@"..other_host, "secret");
		local spy = assert(client.open(prosody, "spy@"..other_host, "secret"));
		local result = spy:command(NODE, { to = host });
		assert.same({ false, "forbidden" }, { result.ok, result.condition });
		local offered = spy:iq("<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>", { to = host });
		assert.is_nil(offered.xml:find("#history", 1, true));
		spy:close();
	end);
end);
