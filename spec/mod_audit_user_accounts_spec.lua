local module_api = require "support.module_api";

describe("mod_audit_user_accounts", function ()
	local host;

	before_each(function ()
		host = module_api.host();
		host:load("audit_user_accounts");
		module_api.complaints();
	end);

	local function change(event_name, more)
		local event = { username = "romeo", host = host.name };
		for name, value in pairs(more or {}) do event[name] = value; end
		assert.is_nil(module_api.fire_global(event_name, event));
	end

	local function fire(event_name, more)
		local event = { username = "romeo", host = host.name };
		for name, value in pairs(more or {}) do event[name] = value; end
		assert.is_nil(host:fire(event_name, event));
	end

	-- "type: children, children"
	local function recorded()
		local found = {};
		for i, entry in ipairs(host:entries()) do
			assert.equal("romeo@"..host.name, entry.attr.user);
			found[i] = entry.attr.type..": "..table.concat(module_api.lines(entry), " ");
		end
		host.appended = {};
		assert.same({}, module_api.complaints());
		return found;
	end

	local session = { id = "c2s1", type = "c2s", ip = "203.0.113.80", username = "romeo", resource = "phone", full_jid = "romeo@here.test/phone" };

	it("records a password's change with the client that did it", function ()
		module_api.prosody.hosts[host.name].sessions.romeo = { sessions = { phone = session } };
		change("user-password-changed", { resource = "phone" });
		change("user-password-changed", { resource = "gone" });
		change("user-password-changed");
		assert.same({
			'user-password-changed: <session id="c2s1" type="c2s"><remote-ip>203.0.113.80</remote-ip></session>'
				..' <actor jid="romeo@here.test/phone" kind="user"><remote-ip>203.0.113.80</remote-ip></actor>';
			'user-password-changed: <actor kind="unknown"/>';
			'user-password-changed: <actor kind="unknown"/>';
		}, recorded());
	end);

	it("records resets, with the invite", function ()
		fire("user-registering", { allowed = true, session = session });
		change("user-password-changed"); -- from 13.0.7 on
		fire("user-password-reset", { password = "secret", validated_invite = { token = "uTVbfRRSHEAUVPXk" }, ip = "2001:db8::7" });
		assert.same({
			'user-password-reset: <session><remote-ip>2001:db8::7</remote-ip></session>'
				..' <actor kind="http"><remote-ip>2001:db8::7</remote-ip></actor> <invite-used token="uTVbfRRSHEAUVPXk"/>';
		}, recorded());
		change("user-password-changed");
		assert.same({ 'user-password-changed: <actor kind="unknown"/>' }, recorded());
	end);

	it("records roles, those of 13 as they are given", function ()
		change("user-role-changed", { role = { name = "prosody:admin" } });
		change("user-role-changed", { role = true });
		change("user-role-added", { role_name = "editor", role = { name = "editor" } });
		change("user-role-removed", { role_name = "editor" });
		assert.same({
			'user-role-changed: <actor kind="unknown"/> <role name="prosody:admin"/>';
			'user-role-changed: <actor kind="unknown"/> <role/>';
			'user-role-changed: <actor kind="unknown"/> <role change="added" name="editor"/>';
			'user-role-changed: <actor kind="unknown"/> <role change="removed" name="editor"/>';
		}, recorded());
	end);

	it("records the deletion of an account unless its owner has removed it", function ()
		change("user-deleted");
		assert.same({}, recorded());
		module_api.pass(0);
		assert.same({ 'user-deleted: <actor kind="unknown"/>' }, recorded());
	end);

	describe("an account that its owner removes", function ()
		local st = require "util.stanza";
		local owner, iq;

		before_each(function ()
			owner = { id = "c2s1", type = "c2s", ip = "203.0.113.80", username = "romeo", send = function () end };
			iq = st.iq({ type = "set", id = "1" }):query("jabber:iq:register"):tag("remove"):reset();
			host:fire("iq/self/jabber:iq:register:query", { origin = owner, stanza = iq });
		end);

		local function delete()
			change("user-deleted");
			module_api.pass(0);
		end

		it("is not recorded as deleted", function ()
			delete();
			assert.same({}, recorded());
		end);

		it("is recorded as deleted later, if the request was refused", function ()
			owner.send(st.error_reply(iq, "cancel", "service-unavailable"));
			delete();
			assert.same({ 'user-deleted: <actor kind="unknown"/>' }, recorded());
		end);

		it("is recorded as deleted later, if the request was never answered", function ()
			module_api.pass(61);
			delete();
			assert.same({ 'user-deleted: <actor kind="unknown"/>' }, recorded());
		end);
	end);

	it("records no deletion if the server removes an account after a pending removal", function ()
		change("user-deleted");
		fire("user-deregistered");
		module_api.pass(0);
		assert.same({ 'user-deregistered: <actor kind="server"/>' }, recorded());
	end);

	if prosody_series ~= "0.12" then
		describe("an account that an administrator makes", function ()
			local account;

			before_each(function ()
				account = { created = os.time(), password_updated = os.time(), enabled = false };
				module_api.prosody.hosts[host.name].users = { get_account_info = function () return account; end };
			end);

			it("is one event", function ()
				change("user-role-changed", { role = { name = "prosody:member" } });
				change("user-password-changed");
				assert.same({}, recorded());
				change("user-enabled");
				assert.same({ 'user-registered: <actor kind="unknown"/> <role name="prosody:member"/>' }, recorded());
				module_api.pass(0);
				change("user-enabled");
				assert.same({ 'user-enabled: <actor kind="unknown"/>' }, recorded());
			end);

			it("is one event without a password too", function ()
				change("user-role-changed", { role = { name = "prosody:member" } });
				module_api.pass(0);
				assert.same({ 'user-registered: <actor kind="unknown"/> <role name="prosody:member"/>' }, recorded());
			end);

			it("is not confused with an existing account", function ()
				for _, other in ipairs {
					{ created = os.time() - 60, password_updated = os.time() - 60, enabled = false };
					{ created = os.time(), password_updated = os.time() + 1, enabled = false };
					{ created = os.time(), password_updated = os.time(), enabled = true }, {}, true;
				} do
					account = other;
					change("user-role-changed", { role = { name = "prosody:member" } });
					assert.same({ 'user-role-changed: <actor kind="unknown"/> <role name="prosody:member"/>' }, recorded());
				end
			end);
		end);
	end

	it("records nothing of another host", function ()
		for _, name in ipairs { "user-password-changed", "user-role-changed", "user-roles-changed", "user-role-added", "user-deleted" } do
			module_api.fire_global(name, { username = "romeo", host = "elsewhere.test" });
		end
		module_api.pass(0);
		assert.same({}, recorded());
	end);

	it("records the administrator", function ()
		local acting = host:library "audit/acting";
		acting.run({ kind = "adhoc", jid = "admin@here.test/desk", entries = { [host.name] = "42" } }, function ()
			change("user-password-changed");
			change("user-role-changed", { role = { name = "prosody:admin" } });
			change("user-enabled");
			change("user-disabled");
			change("user-deleted");
		end);
		local actor = '<actor caused-by="42" jid="admin@here.test/desk" kind="adhoc"/>';
		assert.same({
			"user-password-changed: "..actor, "user-role-changed: "..actor..' <role name="prosody:admin"/>';
			"user-enabled: "..actor, "user-disabled: "..actor, "user-deleted: "..actor;
		}, recorded());
		module_api.pass(0);
		assert.same({}, recorded());
	end);

	it("takes events of any shape", function ()
		for _, event in ipairs {
			{}, { username = 5 }, { username = "romeo", resource = 7, role = 1, role_name = {} }, { username = "", role = {} };
		} do
			for _, name in ipairs {
				"user-password-changed", "user-role-changed", "user-role-added", "user-role-removed", "user-roles-changed", "user-deleted";
			} do
				event.host = host.name;
				assert.has_no.errors(function () module_api.fire_global(name, event); end);
			end
			assert.has_no.errors(function () host:fire("user-password-reset", event); module_api.pass(0); end);
		end
		for _, line in ipairs(module_api.complaints()) do
			assert.truthy(line:find("logged once", 1, true), line);
		end
	end);
end);
