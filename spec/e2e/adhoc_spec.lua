-- The log as ad-hoc commands, for a real client: administrators see the log, users their own account.

local client = require "support.client";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local NODE = "xmpp:prosody.im/audit#";
local admin, romeo, juliet = "nurse@"..host, "romeo@"..host, "juliet@"..host;

-- The items of a result, each { field = value }.
local function items(result)
	local list = {};
	for item in result.form.xml:gmatch("<[^<>]-item>(.-)</[^<>]-item>") do
		local entry = {};
		for var, value in item:gmatch('var="([^"]+)"><[^<>]-value>([^<]*)<') do entry[var] = value; end
		table.insert(list, entry);
	end
	return list;
end

server.each_series(describe, pending, function (series)
	describe("ad-hoc commands", function ()
		local prosody, nurse;

		lazy_setup(function ()
			prosody = server.start {
				series = series; modules = { "audit", "audit_auth" }; base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "harness" };
				config = { admins = { admin } };
			};
			for _, jid in ipairs({ admin, romeo, juliet }) do prosody:adduser(jid, "secret"); end
			prosody:eval([[
				local host = ...;
				local core = require "audit_core";
				local context = module:context(host);
				for i = 1, 60 do
					context:audit("juliet@"..host, "thing-happened", { session = { ip = "203.0.113."..i, client_id = "phone" } });
				end
				context:audit("romeo@"..host, "user-password-changed", {
					session = { ip = "198.51.100.7" };
					actor = { kind = "adhoc", jid = "nurse@"..host.."/desk", session = { ip = "198.51.100.7" } };
				});
				context:audit("romeo@"..host, "user-role-changed", { session = { ip = "203.0.113.9" }, actor = { kind = "user", jid = "romeo@"..host.."/x" } });
				context:audit("romeo@"..host, "secret-thing");
				context:audit(nil, "hostile", { custom = { core.detail("note", nil, "<b>&\226\128\174]>") } });
			]], host);
			nurse = assert(client.open(prosody, admin, "secret"));
		end);

		lazy_teardown(function ()
			if nurse then nurse:close(); end
			if prosody then prosody:stop(); end
		end);

		it("are offered to the users that they are for", function ()
			local function offered(jid)
				local result = client.iq(prosody, jid, "secret",
					"<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>");
				return { log = result.xml:find("#log", 1, true) ~= nil; summary = result.xml:find("#summary", 1, true) ~= nil;
					history = result.xml:find("#history", 1, true) ~= nil };
			end
			assert.same({ log = true; summary = true; history = true }, offered(admin));
			assert.same({ log = false; summary = false; history = true }, offered(romeo));
			for _, node in ipairs({ "log", "summary" }) do
				local result = client.command(prosody, romeo, "secret", NODE..node);
				assert.same({ false, "forbidden" }, { result.ok, result.condition }, node);
			end
		end);

		it("read the log for one user at a time", function ()
			prosody:eval([[
				local host, romeo = ...;
				local async = require "util.async";
				local st = require "util.stanza";
				local log = module:shared("/*/audit/log").log;
				local cells = log.cells;
				log.cells = function (...)
					log.cells = cells;
					async.sleep(3);
					error("a fault");
				end;
				async.runner(function (stanza)
					module:context(host):send(stanza);
				end):run(st.iq({ from = romeo.."/elsewhere", to = host, type = "set", id = "x" })
					:tag("command", { xmlns = "http://jabber.org/protocol/commands", node = "xmpp:prosody.im/audit#history", action = "execute" }));
			]], host, romeo);
			local function is_put_off()
				local result = client.command(prosody, juliet, "secret", NODE.."history");
				return result.notes[1].text:find("Try again in a moment", 1, true) ~= nil;
			end
			assert.is_true(is_put_off());
			assert.is_truthy(process.wait_until(function () return not is_put_off(); end, 10, 0.2));
			assert.is_truthy(prosody:log():find("The activity of an account can't be read: .-a fault"));
		end);

		it("read the log for the next user when a driver never answers", function ()
			prosody:eval([[
				local async = require "util.async";
				local log = module:shared("/*/audit/log").log;
				local cells = log.cells;
				log.cells = function ()
					log.cells = cells;
					async.waiter()();
				end;
			]]);
			local result = client.command(prosody, juliet, "secret", NODE.."history");
			assert.is_truthy(result.notes[1].text:find("The log can't be read now", 1, true), result.notes[1].text);
			result = client.command(prosody, romeo, "secret", NODE.."history");
			assert.is_true(#items(result) > 0);
			local _, lines = prosody:log():gsub("can't be read: the storage driver has not answered for 10 seconds", "");
			assert.equal(1, lines);
		end);

		it("show the log to an administrator, page after page", function ()
			local form = nurse:command(NODE.."log");
			assert.same({ "executing", "form" }, { form.status, form.form.type });
			for _, flag in ipairs({ "since", "type", "user", "ip", "global", "text" }) do
				assert.is_truthy(form.form.xml:find('var="'..flag..'"', 1, true), flag);
			end
			local first = nurse:command(NODE.."log", { forms = { { type = "thing-*"; user = "juliet"; limit = "25" } }; action = "next" });
			assert.equal("executing", first.status);
			local seen = {};
			local function see(result, expected)
				local list = items(result);
				assert.equal(expected, #list, result.form.xml);
				for _, entry in ipairs(list) do
					assert.same({ "thing-happened", juliet, "phone" }, { entry.event, entry.user, entry.client });
					table.insert(seen, entry.ip);
				end
			end
			see(first, 25);
			assert.equal("203.0.113.60", seen[1]);
			-- What arrives meanwhile changes no page behind.
			prosody:eval("module:context(...):audit('juliet@'..(...), 'thing-happened', { session = { client_id = 'phone' } })", host);
			local second = nurse:command(NODE.."log", { start = "next"; command_session = first.command_session });
			see(second, 25);
			local third = nurse:command(NODE.."log", { command_session = first.command_session });
			see(third, 10);
			for i = 1, 60 do assert.equal("203.0.113."..61 - i, seen[i]); end
			local back = nurse:command(NODE.."log", { start = "prev"; command_session = first.command_session });
			assert.equal(items(second)[1].ip, items(back)[1].ip);
			assert.equal("completed", nurse:command(NODE.."log", { start = "complete"; command_session = first.command_session }).status);
			-- Each page is an entry: who, through what, what.
			local read = nurse:command(NODE.."log", { forms = { { type = "audit-queried"; actor = admin } }; action = "next" });
			local entries = items(read);
			assert.equal(4, #entries);
			assert.is_truthy(entries[1].note:find("through=adhoc", 1, true) and entries[1].note:find("--user=juliet", 1, true), entries[1].note);
			assert.equal(1, (entries[1].actor:find(admin, 1, true)));
		end);

		it("report what is wrong with a filter, and ask again", function ()
			local result = nurse:command(NODE.."log", { forms = { { since = "soon" } }; action = "next" });
			assert.same({ "executing", "form" }, { result.status, result.form.type });
			assert.is_truthy(result.notes[1].text:find("--since is \"soon\"", 1, true), result.notes[1].text);
			result = nurse:command(NODE.."log", { start = "cancel"; command_session = result.command_session });
			assert.equal("canceled", result.status);
		end);

		it("show hostile text as text", function ()
			local result = nurse:command(NODE.."log", { forms = { { type = "hostile" } }; action = "next" });
			assert.equal("completed", result.status);
			assert.is_truthy(items(result)[1].note:find("&lt;b&gt;&amp;", 1, true), result.form.xml);
		end);

		it("sum the log up", function ()
			local result = nurse:command(NODE.."summary", { forms = { { since = "1d" } } });
			assert.equal("completed", result.status);
			assert.is_truthy(result.form.xml:find("thing-happened", 1, true), result.form.xml);
		end);

		it("tell users of their own account, and of no other", function ()
			client.login(prosody, romeo, "wrong");
			client.login(prosody, juliet, "wrong");
			local result = client.command(prosody, romeo, "secret", NODE.."history");
			assert.equal("completed", result.status);
			local by_event = {};
			for _, entry in ipairs(items(result)) do by_event[entry.event] = entry; end
			assert.is_nil(by_event["secret-thing"]);
			assert.is_nil(by_event["thing-happened"]);
			assert.equal("127.0.0.1", by_event["authentication-failure"].ip);
			assert.equal("127.0.0.1", by_event["authentication-success"].ip);
			assert.same({ "203.0.113.9", "you" }, { by_event["user-role-changed"].ip, by_event["user-role-changed"].actor });
			-- Users see who did it, but not from where.
			assert.same({ actor = "an administrator"; event = "user-password-changed"; time = by_event["user-password-changed"].time },
				by_event["user-password-changed"]);
			assert.is_nil(result.form.xml:find("198.51.100.7", 1, true) or result.form.xml:find(juliet, 1, true) or result.form.xml:find(admin, 1, true));
		end);

		it("are not available to users if the option says so", function ()
			prosody:reload { config = { admins = { admin }; audit_user_history = false } };
			prosody:eval("require 'core.modulemanager'.reload(..., 'audit')", host);
			local again = assert(client.open(prosody, romeo, "secret"));
			local result = again:command(NODE.."history");
			again:close();
			assert.same({ false, "service-unavailable" }, { result.ok, result.condition });
		end);
	end);

	describe("ad-hoc commands across hosts", function ()
		local prosody;
		local other_admin, other_user = "abbot@other.test", "juliet@other.test";

		lazy_setup(function ()
			prosody = server.start {
				series = series; modules = { "audit", "audit_auth" }; base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "harness" };
				hosts = { host, "other.test" }; host_config = { [host] = { admins = { admin } }; ["other.test"] = { admins = { other_admin } } };
			};
			for _, jid in ipairs({ admin, romeo, juliet, other_admin, other_user }) do prosody:adduser(jid, "secret"); end
			prosody:eval([[
				for _, host in ipairs { "example.test", "other.test" } do
					module:context(host):audit("juliet@"..host, "user-password-changed", { session = { ip = "203.0.113."..#host } });
					module:context(host):audit("romeo@"..host, "user-password-changed", { session = { ip = "203.0.113.1"..#host } });
				end
			]]);
		end);

		lazy_teardown(function ()
			if prosody then prosody:stop(); end
		end);

		local filled = { forms = { { type = "*" } }; action = "next" };

		local function run(jid, node, to, options)
			local request = { to = to };
			for name, value in pairs(options or {}) do request[name] = value; end
			return client.command(prosody, jid, "secret", NODE..node, request);
		end

		it("are an administrator's on the hosts that are his, and nobody else's", function ()
			for _, case in ipairs({ { admin, host, true }, { admin, "other.test", false }, { other_admin, host, false },
					{ other_admin, "other.test", true }, { romeo, host, false }, { romeo, "other.test", false }, { other_user, host, false } }) do
				for _, node in ipairs({ "log", "summary" }) do
					local result = run(case[1], node, case[2]);
					assert.equal(case[3], result.ok, case[1].." "..node.." on "..case[2]);
					if not case[3] then assert.equal("forbidden", result.condition); end
				end
			end
		end);

		it("tell nobody of another host's account of the same name", function ()
			assert.is_truthy(run(juliet, "history", host).form.xml:find("203.0.113.12", 1, true));
			for _, jid in ipairs({ other_user, other_admin }) do
				local result = run(jid, "history", host);
				assert.same({ false, "forbidden" }, { result.ok, result.condition }, jid);
			end
			-- As another account of the host, in the name of its resource.
			assert.is_nil(run(romeo, "history", host).form.xml:find("203.0.113.12", 1, true));
		end);

		it("can't be continued by another user who knows the session", function ()
			local nurse = assert(client.open(prosody, admin, "secret"));
			local first = nurse:command(NODE.."log", filled);
			assert.is_true(first.ok);
			local form = nurse:command(NODE.."log");
			for _, session in ipairs({ first.command_session, form.command_session }) do
				for _, action in ipairs({ "next", "prev", "complete", "execute" }) do
					local result = run(romeo, "log", host, { start = action; command_session = session; forms = { { type = "*" } } });
					assert.is_false(result.ok, action);
					assert.equal("forbidden", result.condition, action);
				end
			end
			nurse:close();
		end);

		it("are refused to a former administrator, even in the middle of the log", function ()
			prosody:set_role("romeo@"..host, "prosody:admin");
			local first = run(romeo, "log", host);
			assert.equal("executing", first.status);
			prosody:set_role("romeo@"..host, "prosody:registered");
			for _, action in ipairs({ "next", "execute" }) do
				local result = run(romeo, "log", host, { start = action; command_session = first.command_session; forms = { { type = "*" } } });
				assert.same({ false, "forbidden" }, { result.ok, result.condition }, action);
			end
		end);
	end);
end);
