-- A user or a server that causes events again and again, on real servers: it fills only a part of a class with a limit, and entries
-- about others stay. An attack on one account is visible among many other names.

local client = require "support.client";
local dump = require "support.dump";
local flood = require "support.flood";
local json = require "dkjson";
local process = require "support.process";
local raw_client = require "support.raw_client";
local server = require "support.server";

local LIMIT = 50;
local classes = { everything = { types = { "*" }; limit = LIMIT } };

server.each_series(describe, pending, function (series)
	local function start(options)
		options.series = series;
		options.config.audit_log_classes, options.config.audit_log_flood = classes, { window = "2s" };
		return server.start(options);
	end

	-- What an administrator did before, and is there afterwards.
	local function mark(prosody, host)
		prosody:eval([[module:context(...):audit("tybalt@example.test", "user-deleted", { actor = { kind = "admin-shell" } });]], host);
	end

	-- The entries of a host when flood control has stored its counts. The marked one is still there, and there are few.
	local function check(prosody, host, event_type, happened)
		assert.is_truthy(flood.calm(prosody, 60, host));
		local entries, single, counted, summaries = dump.entries(prosody, host), 0, 0, {};
		for _, entry in ipairs(entries) do
			if entry.type == event_type then
				local repeated = entry:child("repeated");
				if repeated then
					counted = counted + tonumber(repeated.attr.count);
					table.insert(summaries, entry);
				else
					single = single + 1;
				end
			end
		end
		assert.equal(happened, single + counted);
		assert.equal("user-deleted", entries[1].type);
		assert.is_true(single + #summaries < LIMIT / 2, ("%d and %d"):format(single, #summaries));
		return summaries;
	end

	describe("a class with a limit", function ()
		local prosody;

		after_each(function () prosody:stop(); end);

		it("keeps what others did if a user changes a password 330 times", function ()
			prosody = start {
				modules = { "register", "audit_user_accounts" };
				config = { authentication = "internal_plain"; allow_registration = true };
			};
			mark(prosody, prosody.host);
			for _, name in ipairs { "romeo", "juliet" } do
				prosody:adduser(name.."@"..prosody.host, "secret");
			end
			local before = #dump.of_type(prosody, prosody.host, "user-password-changed");
			local romeo = assert(client.open(prosody, "romeo@"..prosody.host, "secret", { resource = "phone" }));
			for i = 1, 330 do
				assert.is_true(romeo:change_password("secret"..i).ok);
			end
			local juliet = assert(client.open(prosody, "juliet@"..prosody.host, "secret", { resource = "phone" }));
			assert.is_true(juliet:change_password("other").ok);
			juliet:close();
			romeo:close();
			local summaries = check(prosody, prosody.host, "user-password-changed", before + 331);
			local entry = summaries[1];
			assert.equal("romeo@"..prosody.host, entry.user);
			assert.equal('<actor jid="romeo@'..prosody.host..'" kind="user"/>', entry:line("actor"));
			assert.equal('<session><remote-ip>127.0.0.1</remote-ip></session>', entry:line("session"));
			local own = 0;
			for _, changed in ipairs(dump.of_type(prosody, prosody.host, "user-password-changed")) do
				if changed.user == "juliet@"..prosody.host and not changed:child("repeated") and changed:child("session") then own = own + 1; end
			end
			assert.equal(1, own, "what another one does is not counted with it");
			local _, out = prosody:ctl({ env = { COLUMNS = "240" } }, "mod_audit", prosody.host);
			assert.matches("repeated %d+ times, [^\n]+ by romeo@"..prosody.host:gsub("%p", "%%%0"), out);
		end);

		it("keeps what others did if a user tries forbidden commands again and again", function ()
			prosody = start { modules = { "adhoc", "audit", "audit_admin" }; config = { authentication = "internal_plain" } };
			mark(prosody, prosody.host);
			prosody:adduser("romeo@"..prosody.host, "secret");
			local romeo = assert(client.open(prosody, "romeo@"..prosody.host, "secret", { resource = "phone" }));
			for _ = 1, 150 do
				assert.equal("forbidden", romeo:command("xmpp:prosody.im/audit#log").condition);
			end
			romeo:close();
			assert.is_truthy(flood.calm(prosody, 60));
			local entries, single, counted = dump.entries(prosody), 0, 0;
			for _, entry in ipairs(entries) do
				if entry.type == "adhoc-refused" then
					local repeated = entry:child("repeated");
					single, counted = single + (repeated and 0 or 1), counted + (repeated and tonumber(repeated.attr.count) or 0);
				end
			end
			assert.equal(150, single + counted);
			assert.is_true(#entries < LIMIT + 20, #entries);
			local marked = dump.of_type(prosody, prosody.host, "user-deleted");
			assert.equal(1, #marked);
		end);

		it("keeps what others did if a user sets 300 affiliations with long reasons", function ()
			local rooms = "rooms.test";
			prosody = start {
				components = { [rooms] = { module = "muc", modules_enabled = { "audit_muc" } } };
				config = { authentication = "internal_plain" };
			};
			mark(prosody, rooms);
			prosody:adduser("romeo@"..prosody.host, "secret");
			local romeo = assert(client.open(prosody, "romeo@"..prosody.host, "secret", { resource = "phone" }));
			romeo:send("<presence to='balcony@rooms.test/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
			assert.is_true(romeo:iq("<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>",
				{ to = "balcony@rooms.test", type = "set" }).ok);
			for i = 1, 300 do
				assert.is_true(romeo:iq(("<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast' jid='guest%d@remote.test'>"
					.."<reason>%s</reason></item></query>"):format(i, ("long "):rep(800)), { to = "balcony@rooms.test", type = "set" }).ok);
			end
			romeo:close();
			local entry = check(prosody, rooms, "room-affiliation-changed", 300)[1];
			assert.is_nil(entry.user);
			assert.equal('<actor jid="romeo@'..prosody.host..'" kind="user"/>', entry:line("actor"));
			assert.matches("<names>[%w+/]+</names>", entry:line("repeated"));
			-- Each banned user is found: by name, or as one who may be in a count.
			for _, number in ipairs { 1, 2, 150, 300 } do
				local status, out = prosody:ctl("mod_audit", "--format=json", "--host="..rooms, "--user=guest"..number.."@remote.test");
				if status ~= 0 then
					status, out = prosody:ctl("mod_audit", "--format=json", "--user=guest"..number.."@remote.test", rooms);
				end
				assert.equal(0, status);
				assert.matches('"type":"room%-affiliation%-changed"', out);
			end
		end);
	end);

	describe("a class with a limit, and another server", function ()
		local prosody, peer;

		teardown(function ()
			for _, one in ipairs { prosody or false, peer or false } do
				if one then one:stop(); end
			end
		end);

		it("keeps what others did if a server connects again and again", function ()
			local modules = { "dialback", "test_routes", "audit", "audit_s2s" };
			prosody = start { modules = modules, hosts = { "a.test" }, config = {} };
			peer = server.start { series = series, modules = { "dialback", "test_routes" }, hosts = { "b.test" } };
			prosody:routes { ["b.test"] = peer.s2s_port };
			peer:routes { ["a.test"] = prosody.s2s_port };
			mark(prosody, "a.test");
			local function send(from, to)
				peer:eval([[
					local from, to = ...;
					module:context(from):send(require "util.stanza".message({ from = from, to = to, type = "chat" }):tag("body"):text("Hello"));
				]], from, to);
			end
			local close = [[
				for _, host in pairs(prosody.hosts) do
					for _, session in pairs(host.s2sout or {}) do session:close(); end
				end
				for session in pairs(prosody.incoming_s2s) do session:close(); end
			]];
			local is_connected = [[
				local session = prosody.hosts["b.test"].s2sout["a.test"];
				return session ~= nil and session.type == "s2sout";
			]];
			local is_gone = [[ return prosody.hosts["b.test"].s2sout["a.test"] == nil; ]];
			for _ = 1, 110 do
				send("b.test", "a.test");
				assert.is_truthy(process.wait_until(function () return peer:eval(is_connected); end, 20, 0.02));
				peer:eval(close);
				assert.is_truthy(process.wait_until(function () return peer:eval(is_gone); end, 20, 0.02));
			end
			assert.is_truthy(flood.calm(prosody, 60, "a.test"));
			local entries, single, counted, summary = dump.entries(prosody, "a.test"), 0, 0, nil;
			for _, entry in ipairs(entries) do
				local repeated = entry.type == "s2s-established" and entry:child("repeated");
				if repeated then
					counted, summary = counted + tonumber(repeated.attr.count), entry;
				elseif entry.type == "s2s-established" then
					single = single + 1;
				end
			end
			assert.is_true(single + counted >= 110, ("%d and %d"):format(single, counted));
			assert.is_true(#entries < LIMIT, #entries);
			assert.equal("user-deleted", entries[1].type);
			assert.equal('<s2s remote="b.test"/>', summary:line("s2s"));
		end);
	end);

	describe("an attack on one account in noise", function ()
		local prosody, host;

		setup(function ()
			prosody = server.start {
				series = series; modules = { "audit", "audit_auth" };
				config = {
					authentication = "internal_plain"; allow_unencrypted_plain_auth = true; c2s_require_encryption = false;
					audit_log_flood = { window = "20s" };
				};
			};
			host = prosody.host;
			prosody:adduser("prince@"..host, "secret");
		end);

		teardown(function () prosody:stop(); end);

		-- `count` wrong passwords, over connections from one network.
		local function guess(names)
			local stream;
			for i, name in ipairs(names) do
				if i % 20 == 1 then
					if stream then stream:close(); end
					stream = assert(raw_client.connect(prosody, { tls = false, address = "127.0.7."..(1 + i % 200) }));
				end
				local ok, condition = stream:plain(name, "wrong");
				assert(ok == false, condition);
			end
			stream:close();
		end

		local function search(user)
			local status, out, err = prosody:ctl("mod_audit", "--format=json", user.."@"..host);
			assert.equal(0, status, err);
			local found = {};
			for line in out:gmatch("[^\n]+") do
				local entry = assert(json.decode(line));
				table.insert(found, entry);
			end
			return found;
		end

		it("is named in the entry, and found by the account's name", function ()
			local names = {};
			for i = 1, 4000 do
				table.insert(names, "noise"..i);
				if i % 200 == 0 then table.insert(names, "prince"); end
			end
			for _ = 1, 300 do table.insert(names, "nobody"); end
			guess(names);
			assert.is_truthy(flood.calm(prosody, 60));

			local log = flood.log(prosody);
			assert.equal(#names, log.single + log.counted);
			local often = {};
			for _, entry in ipairs(dump.of_type(prosody, host, "authentication-failure")) do
				local repeated = entry:child("repeated");
				if repeated and entry.user then
					often[entry.user] = (often[entry.user] or 0) + tonumber(repeated.attr.count);
				end
				for _, child in ipairs(repeated and repeated.children or {}) do
					if child.name == "often" and child.attr.user then
						often[child.attr.user] = (often[child.attr.user] or 0) + tonumber(child.attr.count);
					end
				end
			end
			assert.is_true((often["nobody@"..host] or 0) > 200, tostring(often["nobody@"..host]));
			assert.is_true(#search("prince") >= 1);
			-- Each of the others is found in an entry, or may be in a count.
			for _, number in ipairs { 3, 700, 2000, 3999 } do
				assert.is_true(#search("noise"..number) >= 1, number);
			end
			local may_include = 0;
			for _, entry in ipairs(search("noise3999")) do
				may_include = may_include + (entry["repeated.match"] == "may-include" and 1 or 0);
			end
			assert.is_true(may_include >= 1);
			local status, out = prosody:ctl({ env = { COLUMNS = "400" } }, "mod_audit", "noise3999@"..host);
			assert.equal(0, status);
			assert.matches("may include noise3999@"..host:gsub("%p", "%%%0"), out);
		end);

		it("is noticed for an existing account, even if its name is rare among the others", function ()
			prosody:adduser("juliet@"..host, "secret");
			-- Fired as events, as no client is as fast.
			prosody:eval([[
				local host = ...;
				local events = prosody.hosts[host].events;
				local function fail(name)
					events.fire_event("authentication-failure", {
						session = { id = "c2s1", type = "c2s_unauthed", ip = "203.0.113.7", sasl_handler = { username = name, selected = "PLAIN" } };
						condition = "not-authorized";
					});
				end
				for i = 1, 10000 do
					fail("more"..i);
					-- Once in 400: seldomer than any of the 64 most frequent names need be.
					if i % 400 == 0 then fail("juliet"); end
				end
			]], host);
			assert.is_truthy(flood.calm(prosody, 60));
			local juliet;
			for _, entry in ipairs(dump.of_type(prosody, host, "authentication-failure")) do
				local repeated = entry:child("repeated");
				for _, child in ipairs(repeated and repeated.children or {}) do
					if child.name == "often" and child.attr.user == "juliet@"..host then juliet = child; end
				end
			end
			assert.equal("true", juliet and juliet.attr.exists);
			assert.is_true(tonumber(juliet.attr.count) >= 15, juliet.attr.count);
			local named = 0;
			for _, entry in ipairs(search("juliet")) do
				named = named + (entry["repeated.match"] == "named" and 1 or 0);
			end
			assert.is_true(named >= 1);
			local status, out = prosody:ctl({ env = { COLUMNS = "400" } }, "mod_audit", "juliet@"..host);
			assert.equal(0, status);
			assert.matches("juliet@"..host:gsub("%p", "%%%0").." at least %d+ times; repeated %d+ times", out);
		end);
	end);
end);
