-- Rooms of mod_muc with real clients, on real servers.

local client = require "support.client";
local dump = require "support.dump";
local json = require "dkjson";
local server = require "support.server";

local muc, rooms = "http://jabber.org/protocol/muc", "rooms.test";

server.each_series(describe, pending, function (series)
	describe("mod_audit_muc", function ()
		local prosody, romeo, juliet, mercutio;

		setup(function ()
			prosody = server.start {
				series = series; hosts = { "example.test" };
				components = {
					[rooms] = {
						module = "muc", modules_enabled = { "audit_muc", "audit_admin" }, allow_unaffiliated_register = true;
						admins = { "prince@example.test" };
					};
				};
			};
			prosody:adduser("prince@example.test", "secret");
			local sessions = {};
			for i, name in ipairs { "romeo", "juliet", "mercutio" } do
				prosody:adduser(name.."@example.test", "secret");
				sessions[i] = assert(client.open(prosody, name.."@example.test", "secret", { resource = "orchard" }));
			end
			romeo, juliet, mercutio = table.unpack(sessions);
		end);

		teardown(function ()
			for _, session in ipairs { romeo, juliet, mercutio } do
				session:close();
			end
			prosody:stop();
		end);

		local seen = 0;

		-- The entries about rooms since the last call, when there are as many as expected.
		local function recorded(count)
			local entries, new = dump.entries(prosody, rooms), {};
			for i = seen + 1, #entries do
				if entries[i].source == "mod_audit_muc" then table.insert(new, entries[i]); end
			end
			seen = #entries;
			if #new ~= count then
				error(("%d entries instead of %d: %s"):format(#new, count, json.encode(new)), 2);
			end
			return table.unpack(new);
		end

		local function by(session)
			return ('<actor jid="%s" kind="user"><remote-ip>127.0.0.1</remote-ip></actor>'):format(session.jid);
		end

		-- What a session has sent was handled when this is answered.
		local function settle(session)
			assert.is_true(session:iq("<ping xmlns='urn:xmpp:ping'/>").ok);
		end

		local function presence(session, room, content, attributes)
			session:send(("<presence to='%s@%s/%s'%s>%s</presence>"):format(room, rooms,
				session.jid:match("^[^@]+"), attributes or "", content or "<x xmlns='"..muc.."'/>"));
			settle(session);
		end

		local function ask(session, room, part, xml)
			return session:iq(("<query xmlns='%s#%s'>%s</query>"):format(muc, part, xml), { to = room.."@"..rooms, type = "set" });
		end

		local function form(fields, kind)
			local parts = {};
			for name, value in pairs(fields) do
				parts[#parts+1] = ("<field var='%s'><value>%s</value></field>"):format(name, value);
			end
			return ("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>%s#%s</value></field>%s</x>"):format(
				muc, kind or "roomconfig", table.concat(parts));
		end

		local function configure(session, room, fields)
			local named = {};
			for name, value in pairs(fields) do
				named["muc#roomconfig_"..name] = value;
			end
			assert.is_true(ask(session, room, "owner", form(named)).ok);
		end

		it("records that a room was made, and by whom", function ()
			presence(romeo, "balcony");
			-- As it is, which opens it.
			assert.is_true(ask(romeo, "balcony", "owner", "<x xmlns='jabber:x:data' type='submit'/>").ok);
			local entry = recorded(1);
			assert.equal("room-created", entry.type);
			assert.equal("romeo@example.test", entry.user);
			assert.equal("c2s", entry:child("session").attr.type);
			assert.equal("<remote-ip>127.0.0.1</remote-ip>", entry:child("session"):line("remote-ip"));
			assert.equal(by(romeo), entry:line("actor"));
			assert.equal('<room jid="balcony@rooms.test"/>', entry:line("room"));
		end);

		it("records nothing when somebody joins, talks and leaves", function ()
			presence(juliet, "balcony");
			juliet:send("<message to='balcony@rooms.test' type='groupchat'><body>Hello</body></message>");
			presence(juliet, "balcony", "<show>away</show>");
			presence(juliet, "balcony", nil, " type='unavailable'");
			presence(juliet, "balcony");
			presence(mercutio, "balcony");
			recorded(0);
		end);

		it("records the names of settings that were changed, and no value", function ()
			configure(romeo, "balcony", {
				roomname = "The secret name", roomsecret = "the secret word", moderatedroom = "1";
				persistentroom = "0", whois = "anyone", publicroom = "0";
			});
			local entry = recorded(1);
			assert.equal("room-configured", entry.type);
			assert.is_nil(entry.user);
			assert.equal(by(romeo), entry:line("actor"));
			assert.equal('<room jid="balcony@rooms.test"/>', entry:line("room"));
			local configuration = entry:line("configuration");
			for _, name in ipairs { "roomname", "roomsecret", "moderatedroom", "whois" } do
				assert.truthy(configuration:find('<field name="muc#roomconfig_'..name..'"/>', 1, true), name);
			end
			assert.is_nil(configuration:find("persistentroom", 1, true));
			assert.is_nil(json.encode(dump.entries(prosody, rooms)):find("secret ", 1, true));

			-- The same request again changes nothing.
			configure(romeo, "balcony", { roomname = "The secret name", roomsecret = "the secret word", whois = "anyone" });
			recorded(0);
			configure(romeo, "balcony", { roomsecret = "" });
			assert.equal('<configuration><field name="muc#roomconfig_roomsecret"/></configuration>', recorded(1):line("configuration"));
			-- A user who is no owner can't change anything.
			assert.equal("forbidden", ask(juliet, "balcony", "owner", form { ["muc#roomconfig_roomname"] = "Mine" }).condition);
			recorded(0);
		end);

		it("keeps apart two forms that come at once", function ()
			local text = "<iq type='set' to='balcony@rooms.test' id='%s'><query xmlns='"..muc.."#owner'>%s</query></iq>";
			romeo:send(text:format("a", form { ["muc#roomconfig_roomname"] = "One" })
				..text:format("b", form { ["muc#roomconfig_roomdesc"] = "Two" }));
			settle(romeo);
			local one, two = recorded(2);
			assert.equal('<configuration><field name="muc#roomconfig_roomname"/></configuration>', one:line("configuration"));
			assert.equal('<configuration><field name="muc#roomconfig_roomdesc"/></configuration>', two:line("configuration"));
		end);

		it("records affiliations, with the actor and the reason", function ()
			local item = "<item affiliation='%s' jid='%s'><reason>%s</reason></item>";
			assert.is_true(ask(romeo, "balcony", "admin", item:format("admin", "juliet@example.test", "Soul &amp; light")).ok);
			local entry = recorded(1);
			assert.equal("room-affiliation-changed", entry.type);
			assert.equal("juliet@example.test", entry.user);
			assert.equal(by(romeo), entry:line("actor"));
			assert.equal('<room jid="balcony@rooms.test"/>', entry:line("room"));
			assert.equal('<affiliation from="none" jid="juliet@example.test" to="admin">Soul & light</affiliation>', entry:line("affiliation"));
			assert.is_nil(entry:child("session"));

			-- The same request again; and one that is not allowed.
			assert.is_true(ask(romeo, "balcony", "admin", item:format("admin", "juliet@example.test", "Again")).ok);
			assert.is_false(ask(juliet, "balcony", "admin", item:format("none", "romeo@example.test", "Away")).ok);
			recorded(0);

			-- An account elsewhere, and a whole server.
			assert.is_true(ask(juliet, "balcony", "admin", item:format("outcast", "tybalt@remote.test", "Fights")).ok);
			assert.is_true(ask(romeo, "balcony", "admin", "<item affiliation='outcast' jid='capulet.test'/>").ok);
			local tybalt, capulet = recorded(2);
			assert.equal("tybalt@remote.test", tybalt.user);
			assert.equal(by(juliet), tybalt:line("actor"));
			assert.is_nil(capulet.user);
			assert.equal('<affiliation from="none" jid="capulet.test" to="outcast"/>', capulet:line("affiliation"));

			assert.is_true(ask(romeo, "balcony", "admin", "<item affiliation='none' jid='juliet@example.test'/>").ok);
			assert.equal('<affiliation from="admin" jid="juliet@example.test" to="none"/>', recorded(1):line("affiliation"));
		end);

		it("records a registration with a room, with the user as the actor", function ()
			local result = mercutio:iq("<query xmlns='jabber:iq:register'>"..form({ ["muc#register_roomnick"] = "mercutio" }, "register").."</query>",
				{ to = "balcony@"..rooms, type = "set" });
			assert.is_true(result.ok, json.encode(result));
			local entry = recorded(1);
			assert.equal("mercutio@example.test", entry.user);
			assert.equal(by(mercutio), entry:line("actor"));
			assert.equal('<affiliation from="none" jid="mercutio@example.test" to="member"/>', entry:line("affiliation"));
		end);

		it("records an invitation to a room for members, with the inviter as the actor", function ()
			configure(romeo, "balcony", { membersonly = "1" });
			-- Occupants who are no members are removed, as a consequence.
			assert.equal('<configuration><field name="muc#roomconfig_membersonly"/></configuration>', recorded(1):line("configuration"));
			romeo:send("<message to='balcony@rooms.test'><x xmlns='"..muc.."#user'><invite to='juliet@example.test'/></x></message>");
			settle(romeo);
			local entry = recorded(1);
			assert.equal("juliet@example.test", entry.user);
			assert.equal(by(romeo), entry:line("actor"));
			assert.equal("member", entry:child("affiliation").attr.to);
			presence(juliet, "balcony");
			recorded(0);
		end);

		it("records roles that are given and taken away", function ()
			local item = "<item role='%s' nick='%s'><reason>%s</reason></item>";
			local steps = {
				{ romeo, "visitor", "juliet", "Hush", "participant" };
				{ romeo, "participant", "juliet", "Speak", "visitor" };
				{ romeo, "moderator", "juliet", "Watch", "participant" };
				{ juliet, "visitor", "mercutio", "Queen Mab", "participant" };
				{ juliet, "none", "mercutio", "Out", "visitor" };
			};
			for _, step in ipairs(steps) do
				local actor, role, nick, reason, before = table.unpack(step);
				local result = ask(actor, "balcony", "admin", item:format(role, nick, reason));
				assert.is_true(result.ok, json.encode({ step, result }));
				local entry = recorded(1);
				assert.equal("room-role-changed", entry.type);
				assert.equal(nick.."@example.test", entry.user);
				assert.equal(by(actor), entry:line("actor"));
				assert.equal('<room jid="balcony@rooms.test"/>', entry:line("room"));
				assert.equal(('<role from="%s" nick="%s" to="%s">%s</role>'):format(before, nick, role, reason), entry:line("role"));
			end
			-- The same request again; and one that is not allowed, before others.
			assert.is_true(ask(romeo, "balcony", "admin", item:format("moderator", "juliet", "Again")).ok);
			assert.is_false(ask(juliet, "balcony", "admin", item:format("none", "romeo", "Out")).ok);
			presence(juliet, "balcony", nil, " type='unavailable'");
			recorded(0);
		end);

		it("records voice that was asked for and given", function ()
			presence(juliet, "balcony");
			assert.is_true(ask(romeo, "balcony", "admin", "<item role='visitor' nick='juliet'/>").ok);
			recorded(1);
			romeo:send("<message to='balcony@rooms.test'>"..form({
				["muc#role"] = "participant", ["muc#jid"] = juliet.jid, ["muc#roomnick"] = "juliet", ["muc#request_allow"] = "1";
			}, "request").."</message>");
			settle(romeo);
			local entry = recorded(1);
			assert.equal('<role from="visitor" nick="juliet" to="participant">Voice granted</role>', entry:line("role"));
			assert.equal(by(romeo), entry:line("actor"));
		end);

		it("records the removal of an occupant whose nickname is given to another", function ()
			presence(mercutio, "balcony");
			assert.is_true(ask(romeo, "balcony", "admin", "<item affiliation='member' jid='paris@example.test' nick='mercutio'/>").ok);
			local kicked, affiliation = recorded(2);
			assert.equal("mercutio@example.test", kicked.user);
			assert.equal('<role nick="mercutio" to="none">This nickname is reserved</role>', kicked:line("role"));
			assert.equal(by(romeo), kicked:line("actor"));
			assert.equal("paris@example.test", affiliation.user);
		end);

		it("records a ban as one event", function ()
			assert.is_true(ask(romeo, "balcony", "admin", "<item affiliation='outcast' jid='juliet@example.test'/>").ok);
			local entry = recorded(1);
			assert.equal('<affiliation from="member" jid="juliet@example.test" to="outcast"/>', entry:line("affiliation"));
		end);

		it("records that a room was destroyed, and by whom", function ()
			assert.is_true(ask(romeo, "balcony", "owner", "<destroy jid='tomb@rooms.test'><reason>The end</reason><password>poison</password></destroy>").ok);
			local entry = recorded(1);
			assert.equal("room-destroyed", entry.type);
			assert.is_nil(entry.user);
			assert.equal(by(romeo), entry:line("actor"));
			assert.equal('<room alternate="tomb@rooms.test" jid="balcony@rooms.test">The end</room>', entry:line("room"));
			assert.is_nil(json.encode(dump.entries(prosody, rooms)):find("poison", 1, true));
		end);

		it("records that the server destroys a room when the last one goes", function ()
			presence(juliet, "garden");
			presence(juliet, "garden", nil, " type='unavailable'");
			local created, destroyed = recorded(2);
			assert.equal("juliet@example.test", created.user);
			assert.equal("room-destroyed", destroyed.type);
			assert.equal('<actor kind="server"/>', destroyed:line("actor"));
			assert.equal('<room jid="garden@rooms.test"/>', destroyed:line("room"));
		end);

		it("records what administrators do by ad-hoc commands", function ()
			local function command(node, fields)
				return client.command(prosody, "prince@example.test", "secret", "http://prosody.im/protocol/muc#"..node,
					{ to = rooms, forms = { fields } });
			end
			presence(mercutio, "street");
			recorded(1);
			assert.equal("completed", command("set-affiliation", {
				room = "street@rooms.test", jid = "tybalt@remote.test", affiliation = "outcast", reason = "Exiled";
			}).status);
			local entry = recorded(1);
			assert.equal("tybalt@remote.test", entry.user);
			assert.equal('<affiliation from="none" jid="tybalt@remote.test" to="outcast">Exiled</affiliation>', entry:line("affiliation"));
			assert.truthy(entry:line("actor"):match('^<actor jid="prince@example.test/[^"]+" kind="adhoc"><remote%-ip>127.0.0.1</remote%-ip></actor>$'));

			assert.equal("completed", command("destroy", { rooms = "street@rooms.test" }).status);
			entry = recorded(1);
			assert.equal("room-destroyed", entry.type);
			assert.equal("adhoc", entry:child("actor").attr.kind);
		end);

		it("records what administrators do in the shell, with the command that they gave", function ()
			assert.equal(0, (prosody:shell('muc:create("hall@rooms.test")')));
			assert.equal(0, (prosody:shell('>prosody.hosts["rooms.test"].modules.muc.get_room_from_jid("hall@rooms.test")'
				..':set_affiliation(true, "juliet@example.test", "owner")')));
			local created, affiliation = recorded(2);
			assert.equal("room-created", created.type);
			assert.is_nil(created.user);
			assert.equal("juliet@example.test", affiliation.user);
			for i, entry in ipairs { created, affiliation } do
				assert.equal("admin-shell", entry:child("actor").attr.kind);
				assert.equal(dump.of_type(prosody, rooms, "shell-command")[i].id, entry:child("actor").attr["caused-by"]);
			end
		end);

		it("has an unknown actor for a room that was made without a request", function ()
			prosody:eval("require 'core.modulemanager'.get_module('rooms.test', 'muc').create_room('cellar@rooms.test')");
			local entry = recorded(1);
			assert.equal("room-created", entry.type);
			assert.is_nil(entry.user);
			assert.equal('<actor kind="unknown"/>', entry:line("actor"));
		end);

		it("changes nothing in rooms if it fails", function ()
			prosody:break_audit("injected fault");
			presence(mercutio, "square");
			configure(mercutio, "square", { roomname = "Verona", moderatedroom = "1" });
			presence(juliet, "square");
			assert.is_true(ask(mercutio, "square", "admin", "<item role='participant' nick='juliet'/>").ok);
			assert.is_true(ask(mercutio, "square", "admin", "<item affiliation='member' jid='juliet@example.test'/>").ok);
			settle(mercutio);
			assert.same({ "Verona", "participant", "member" }, { prosody:eval([[
				local room = require "core.modulemanager".get_module("rooms.test", "muc").get_room_from_jid("square@rooms.test");
				return room:get_name(), room:get_role("square@rooms.test/juliet"), room:get_affiliation("juliet@example.test");
			]]) });
			assert.is_true(ask(mercutio, "square", "owner", "<destroy/>").ok);
			prosody:mend_audit();
			recorded(0);
			assert.equal(5, select(2, prosody:log():gsub("injected fault", "")));
			assert.is_nil(prosody:log():find("Traceback[", 1, true));
		end);
	end);
end);
