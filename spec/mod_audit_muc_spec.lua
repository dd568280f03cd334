local module_api = require "support.module_api";
local st = require "util.stanza";

local xmlns_audit = "xmpp:prosody.im/audit";
local muc = "http://jabber.org/protocol/muc";

describe("mod_audit_muc", function ()
	local host, room;
	local romeo, remote = "romeo@example.test/orchard", "benvolio@remote.test/street";

	before_each(function ()
		host = module_api.host();
		host:load("audit_muc");
		module_api.prosody.full_sessions[romeo] = { id = "c2s1", type = "c2s", ip = "203.0.113.80", full_jid = romeo };
		room = { jid = "balcony@"..host.name };
		module_api.complaints();
	end);

	local by_romeo = '<actor jid="romeo@example.test/orchard" kind="user"><remote-ip>203.0.113.80</remote-ip></actor>';
	local by_remote = '<actor jid="benvolio@remote.test/street" kind="user"/>';
	local by_nobody_known = '<actor kind="unknown"/>';

	local function room_line(more)
		return ('<room%s jid="%s"/>'):format(more or "", room.jid);
	end

	local function assert_entry(event_type, user, lines)
		assert.same({}, module_api.complaints());
		assert.equal(1, #host:entries());
		local entry = host:entries()[1];
		assert.equal("mod_audit_muc", entry.attr.source);
		assert.equal(event_type, entry.attr.type);
		assert.equal(user, entry.attr.user);
		assert.same(lines, module_api.lines(entry));
		for _, child in ipairs(entry.tags) do
			assert.equal(xmlns_audit, child.attr.xmlns);
		end
	end

	-- Handles a request as a room does -> what its handler returns
	local function request(event, from, handler)
		local stanza = st.iq({ type = "set", id = "1", from = from, to = room.jid });
		host:hook(event, handler);
		local result = host:fire(event, { stanza = stanza, origin = {} });
		module_api.prosody.hosts[host.name].events.remove_handler(event, handler);
		return result;
	end
	local owner, admin = "iq-set/bare/"..muc.."#owner:query", "iq-set/bare/"..muc.."#admin:query";

	local function presence(from)
		return st.presence({ from = from, to = room.jid.."/nick" });
	end

	it("records a room that a local user makes, with the ownership that comes with it", function ()
		host:fire("muc-room-pre-create", { room = room, stanza = presence(romeo) });
		host:fire("muc-set-affiliation", {
			room = room, jid = "romeo@example.test", affiliation = "owner", previous_affiliation = "none";
		});
		host:fire("muc-room-created", { room = room, creator = {}, stanza = presence(romeo), origin = {} });
		assert_entry("room-created", "romeo@example.test", {
			'<session id="c2s1" type="c2s"><remote-ip>203.0.113.80</remote-ip></session>', by_romeo, room_line();
		});
	end);

	it("records later changes of the creator's ownership", function ()
		host:fire("muc-room-pre-create", { room = room, stanza = presence(romeo) });
		host:fire("muc-room-created", { room = room, creator = {}, stanza = presence(romeo), origin = {} });
		host:fire("muc-set-affiliation", { room = room, jid = "romeo@example.test", affiliation = "owner", previous_affiliation = "admin" });
		assert.equal(2, #host:entries());
		assert.equal('<affiliation from="admin" jid="romeo@example.test" to="owner"/>', module_api.lines(host:entries()[2])[3]);
	end);

	it("records a room that the last occupant has left as destroyed by the server", function ()
		host:fire("muc-room-destroyed", { room = room });
		assert_entry("room-destroyed", nil, { '<actor kind="server"/>', room_line() });
	end);

	it("records a room that a user elsewhere makes", function ()
		host:fire("muc-room-created", { room = room, creator = {}, stanza = presence(remote), origin = { type = "s2sin", ip = "198.51.100.1" } });
		assert_entry("room-created", "benvolio@remote.test", { by_remote, room_line() });
	end);

	it("records other affiliations of a new room", function ()
		host:fire("muc-room-pre-create", { room = room, stanza = presence(romeo) });
		host:fire("muc-set-affiliation", { room = room, jid = "juliet@example.test", affiliation = "owner", previous_affiliation = "none" });
		assert_entry("room-affiliation-changed", "juliet@example.test", {
			by_nobody_known, room_line(), '<affiliation from="none" jid="juliet@example.test" to="owner"/>';
		});
	end);

	it("records what an administrator does", function ()
		local acting = host:library "audit/acting";
		local actor = { kind = "adhoc", jid = "admin@example.test/desk", entries = { [host.name] = "the-entry" } };
		acting.run(actor, function ()
			room.destroying = true;
			host:fire("muc-room-destroyed", { room = room });
		end);
		assert_entry("room-destroyed", nil, { '<actor caused-by="the-entry" jid="admin@example.test/desk" kind="adhoc"/>', room_line() });
	end);

	it("records who destroys a room, the reason and the alternate room, but no password", function ()
		assert.equal("handled", request(owner, romeo, function ()
			room.destroying = "The end";
			host:fire("muc-room-destroyed", { room = room, reason = "The end", newjid = "tomb@rooms.test", password = "poison" });
			return "handled";
		end));
		assert_entry("room-destroyed", nil, { by_romeo, ('<room alternate="tomb@rooms.test" jid="%s">The end</room>'):format(room.jid) });
	end);

	it("forgets the sender when the request was handled", function ()
		request(owner, romeo, function () return true; end);
		room.destroying = true;
		host:fire("muc-room-destroyed", { room = room });
		assert_entry("room-destroyed", nil, { by_nobody_known, room_line() });
	end);

	it("passes on an error of a room, and forgets the sender", function ()
		assert.has_error(function () request(owner, romeo, function () error("a fault of the room's", 0); end); end, "a fault of the room's");
		room.destroying = true;
		host:fire("muc-room-destroyed", { room = room });
		assert_entry("room-destroyed", nil, { by_nobody_known, room_line() });
	end);

	describe("the configuration", function ()
		local settings;
		before_each(function ()
			settings = { name = "Verona", secret = "old secret", kind = { { value = "a", default = true }, { value = "b" } }, admins = { "x" } };
			function room.get_form_layout()
				return {
					title = "Configuration";
					{ name = "FORM_TYPE", type = "hidden", value = "roomconfig" };
					{ type = "fixed", value = "A heading" };
					{ name = "name", value = settings.name };
					{ name = "secret", value = settings.secret };
					{ name = "kind", type = "list-single", options = settings.kind };
					{ name = "admins", type = "jid-multi", value = settings.admins };
				};
			end
		end);

		local function configure(change)
			return request(owner, romeo, function ()
				host:fire("muc-config-submitted", { room = room, actor = romeo, fields = { secret = "new secret" } });
				change();
				return true;
			end);
		end

		it("records the names of what changed", function ()
			assert.is_true(configure(function ()
				settings.secret = "new secret";
				settings.kind = { { value = "a" }, { value = "b", default = true } };
				settings.admins = { "x", "y" };
			end));
			assert_entry("room-configured", nil, {
				by_romeo, room_line(), '<configuration><field name="admins"/><field name="kind"/><field name="secret"/></configuration>';
			});
		end);

		it("records nothing if nothing has changed", function ()
			configure(function ()
				settings = { name = "Verona", secret = "old secret", kind = { { value = "a", default = true }, { value = "b" } }, admins = { "x" } };
			end);
			assert.same({}, host:entries());
		end);

		it("records once what a form changed, and nothing that changes without one", function ()
			configure(function () settings.name = "Mantua"; end);
			settings.secret = "changed by a module";
			request(owner, romeo, function () return true; end);
			assert_entry("room-configured", nil, { by_romeo, room_line(), '<configuration><field name="name"/></configuration>' });
		end);

		it("breaks nothing if a form can't be made", function ()
			function room.get_form_layout() error("no form"); end
			assert.is_true(configure(function () end));
			assert.same({}, host:entries());
			assert.equal(1, #module_api.complaints("no form"));
		end);
	end);

	describe("an affiliation", function ()
		local function change(fields)
			local event = { room = room, jid = "juliet@example.test", previous_affiliation = "none", affiliation = "member" };
			for name, value in pairs(fields) do event[name] = value; end
			assert.is_nil(host:fire("muc-set-affiliation", event));
		end

		it("is recorded with actor and reason", function ()
			change { actor = remote, reason = "Why & why" };
			assert_entry("room-affiliation-changed", "juliet@example.test", {
				by_remote, room_line(), '<affiliation from="none" jid="juliet@example.test" to="member">Why & why</affiliation>';
			});
		end);

		it("of a whole server concerns no account", function ()
			change { actor = romeo, jid = "remote.test", affiliation = "outcast" };
			assert_entry("room-affiliation-changed", nil, {
				by_romeo, room_line(), '<affiliation from="none" jid="remote.test" to="outcast"/>';
			});
		end);

		it("that does not change is not recorded", function ()
			change { previous_affiliation = "member" };
			assert.same({}, host:entries());
		end);

		it("by registration or invitation has the sender of the request as its actor", function ()
			request("iq/bare/jabber:iq:register:query", romeo, function () change { jid = "romeo@example.test" }; return true; end);
			host:hook("muc-invite", function () change {}; end);
			assert.is_nil(host:fire("muc-invite", { room = room, stanza = st.message(), incoming = st.message({ from = remote }) }));
			local entries = host:entries();
			assert.equal(2, #entries);
			assert.equal(by_romeo, module_api.lines(entries[1])[1]);
			assert.equal(by_remote, module_api.lines(entries[2])[1]);
		end);
	end);

	describe("a role", function ()
		local occupant, x;
		before_each(function ()
			occupant = { nick = room.jid.."/Juliet", bare_jid = "juliet@example.test", role = "participant" };
			x = st.stanza("x", { xmlns = muc.."#user" });
		end);

		local function ask_for(role, actor)
			assert.is_nil(host:fire("muc-pre-set-role", { room = room, actor = actor, occupant = occupant, role = role }));
		end
		local function broadcast(fields)
			local event = { room = room, occupant = occupant, x = x };
			for name, value in pairs(fields or {}) do event[name] = value; end
			assert.is_nil(host:fire("muc-broadcast-presence", event));
		end

		it("that is taken is recorded", function ()
			ask_for("visitor", romeo);
			occupant.role = "visitor";
			broadcast { actor = romeo, reason = "Hush" };
			assert_entry("room-role-changed", "juliet@example.test", {
				by_romeo, room_line(), '<role from="participant" nick="Juliet" to="visitor">Hush</role>';
			});
			broadcast { actor = romeo };
			assert.equal(1, #host:entries());
		end);

		it("that ends with a kick is recorded", function ()
			ask_for(nil, romeo);
			occupant.role = nil;
			x:tag("status", { code = "307" }):up();
			broadcast { actor = romeo };
			assert_entry("room-role-changed", "juliet@example.test", { by_romeo, room_line(), '<role from="participant" nick="Juliet" to="none"/>' });
		end);

		it("that ends with a kick by the room is recorded", function ()
			occupant.role = nil;
			x:tag("status", { code = "307" }):up();
			request(admin, romeo, function () broadcast { reason = "Reserved" }; return true; end);
			assert_entry("room-role-changed", "juliet@example.test", { by_romeo, room_line(), '<role nick="Juliet" to="none">Reserved</role>' });
		end);

		local silent = {
			["that comes with joining"] = function () broadcast(); end;
			["that ends with leaving"] = function () occupant.role = nil; broadcast(); end;
			["that ends with a lost connection"] = function () occupant.role = nil; x:tag("status", { code = "333" }):up(); broadcast(); end;
			["that may not be given"] = function ()
				ask_for("moderator", romeo);
				occupant = { nick = occupant.nick, bare_jid = occupant.bare_jid, role = "moderator" };
				broadcast { actor = romeo };
			end;
			["that stays what it is"] = function () ask_for("participant", romeo); broadcast { actor = romeo }; end;
			["that comes with an affiliation"] = function () occupant.role = "moderator"; broadcast { actor = romeo }; end;
		};
		for name, act in pairs(silent) do
			it(name.." is no event", function ()
				act();
				assert.same({}, module_api.complaints());
				assert.same({}, host:entries());
			end);
		end
	end);

	it("never breaks a room: its own fault is logged once for each event", function ()
		local trap = setmetatable({}, { __index = function () error("trapped"); end });
		for _ = 1, 3 do
			assert.has_no.errors(function ()
				for _, event in ipairs {
					"muc-room-pre-create", "muc-room-created", "muc-room-destroyed", "muc-config-submitted", "muc-set-affiliation";
					"muc-pre-set-role", "muc-broadcast-presence";
				} do
					assert.is_nil(host:fire(event, trap));
				end
				for _, event in ipairs { owner, admin, "iq/bare/jabber:iq:register:query", "muc-invite" } do
					assert.is_nil(host:fire(event, trap));
				end
			end);
		end
		assert.equal(7, #module_api.complaints("trapped"));
		assert.same({}, host:entries());
	end);

	it("records once after being reloaded, and nothing after being unloaded", function ()
		host:reload("audit_muc");
		local function destroy()
			request(owner, romeo, function () room.destroying = true; host:fire("muc-room-destroyed", { room = room }); end);
		end
		destroy();
		assert_entry("room-destroyed", nil, { by_romeo, room_line() });
		host:unload("audit_muc");
		destroy();
		assert.equal(1, #host:entries());
	end);
end);
