local module_api = require "support.module_api";
local st = require "util.stanza";
local sha256 = require "util.hashes".sha256;

local xmlns_audit = "xmpp:prosody.im/audit";

local function c2s(fields)
	local session = { id = "c2s1", type = "c2s_unauthed", ip = "203.0.113.80" };
	for name, value in pairs(fields or {}) do
		session[name] = value;
	end
	return session;
end

local unauthed = '<session id="c2s1" type="c2s_unauthed"><remote-ip>203.0.113.80</remote-ip></session>';
local web = "<session><remote-ip>2001:db8::7</remote-ip></session>";

local user_actor = '<actor jid="romeo@HOST" kind="user"><remote-ip>203.0.113.80</remote-ip></actor>';
local web_actor = '<actor kind="http"><remote-ip>2001:db8::7</remote-ip></actor>';

-- As in mod_invites; the second can be used for more than one registration.
local invite = { type = "register", token = "uTVbfRRSHEAUVPXk", uri = "xmpp:example.test?register;preauth=uTVbfRRSHEAUVPXk" };
local group_invite = { type = "register", token = "G5tKR2zXVpB0qfOa", reusable = true };

-- event, payload = as the module in `by` fires it; global: on prosody.events; actor, children = what must be stored
local shapes = {
	{
		name = "a registration in-band"; by = "mod_register_ibr";
		event = "user-registered"; payload = { username = "romeo", source = "mod_register", session = c2s() };
		actor = user_actor;
		children = { unauthed };
	};
	{
		name = "a registration in-band over TLS"; by = "mod_register_ibr";
		event = "user-registered";
		payload = {
			username = "romeo", source = "mod_register";
			session = c2s { secure = true, conn = { ssl_info = function () return { protocol = "TLSv1.3", cipher = "TLS_AES_128_GCM_SHA256" }; end } };
		};
		actor = user_actor;
		children = { unauthed, '<tls cipher="TLS_AES_128_GCM_SHA256" version="TLSv1.3"/>' };
	};
	{
		name = "a registration in-band by invite"; by = "mod_register_ibr";
		event = "user-registered"; payload = { username = "romeo", source = "mod_register", session = c2s { validated_invite = invite } };
		actor = user_actor;
		children = { unauthed, '<invite-used token="uTVbfRRSHEAUVPXk"/>' };
	};
	{
		name = "a registration in-band by an invite that stays good"; by = "mod_register_ibr";
		event = "user-registered"; payload = { username = "romeo", source = "mod_register", session = c2s { validated_invite = group_invite } };
		actor = user_actor;
		children = { unauthed, ('<invite-used token-sha256="%s"/>'):format(sha256("G5tKR2zXVpB0qfOa", true)) };
	};
	{
		name = "a registration on the web"; by = "mod_register_web";
		event = "user-registered"; payload = { username = "romeo", source = "register_web", ip = "2001:db8::7" };
		actor = web_actor;
		children = { web };
	};
	{
		name = "a registration on the web by invite"; by = "mod_invites_register_web";
		event = "user-registered";
		payload = { username = "romeo", source = "mod_invites_register_web", validated_invite = invite, ip = "2001:db8::7" };
		actor = web_actor;
		children = { web, '<invite-used token="uTVbfRRSHEAUVPXk"/>' };
	};
	{
		name = "a registration on the web by an invite that stays good"; by = "mod_invites_register_web";
		event = "user-registered";
		payload = { username = "romeo", source = "mod_invites_register_web", validated_invite = group_invite, ip = "2001:db8::7" };
		actor = web_actor;
		children = { web, ('<invite-used token-sha256="%s"/>'):format(sha256("G5tKR2zXVpB0qfOa", true)) };
	};
	{
		name = "a registration by letter"; by = "mod_register_json";
		event = "user-registered"; payload = { username = "romeo", source = "mod_register_json", session = { ip = "2001:db8::7" } };
		actor = web_actor;
		children = { web };
	};
	{
		name = "a registration by nobody known"; by = "another module";
		event = "user-registered"; payload = { username = "romeo" };
		actor = '<actor kind="unknown"/>';
		children = {};
	};
	{
		name = "a deregistration"; by = "mod_user_account_management of Prosody 13";
		event = "user-deregistered";
		payload = {
			username = "romeo", source = "mod_register";
			session = setmetatable({ id = "c2s1", ip = "203.0.113.80", type = "c2s", client_id = "d4565fa7" }, { __index = { destroyed = true } });
		};
		actor = '<actor kind="user"><remote-ip>203.0.113.80</remote-ip></actor>';
		children = { '<session id="c2s1" type="c2s"><remote-ip>203.0.113.80</remote-ip><client>d4565fa7</client></session>' };
	};
	{
		name = "a deregistration whose time has come"; by = "mod_user_account_management of Prosody 13";
		event = "user-deregistered"; payload = { username = "romeo", source = "mod_register" };
		actor = '<actor kind="server"/>';
		children = {};
	};
	{
		name = "a pending deregistration"; by = "mod_user_account_management of Prosody 13";
		event = "user-deregistered-pending";
		payload = {
			username = "romeo", source = "mod_register", session = c2s { type = "c2s" };
			status = { deleted_at = 1700000000, pending_until = 1700604800, client_id = "d4565fa7" };
		};
		actor = '<actor kind="user"><remote-ip>203.0.113.80</remote-ip></actor>';
		children = {
			'<session id="c2s1" type="c2s"><remote-ip>203.0.113.80</remote-ip></session>';
			'<pending until="2023-11-21T22:13:20Z"/>';
		};
	};
	{
		name = "an account enabled"; by = "core.usermanager of Prosody 13"; global = true;
		event = "user-enabled"; payload = { username = "romeo" };
		actor = '<actor kind="unknown"/>';
		children = {};
	};
	{
		name = "an account disabled by the shell"; by = "core.usermanager of Prosody 13"; global = true;
		event = "user-disabled"; payload = { username = "romeo" };
		actor = '<actor kind="unknown"/>';
		children = {};
	};
	{
		name = "an account disabled for a reason"; by = "core.usermanager of Prosody 13"; global = true;
		event = "user-disabled"; payload = { username = "romeo", meta = { reason = "ibr", comment = "Deletion requested by user", when = 1700000000 } };
		actor = '<actor kind="unknown"/>';
		children = { '<disabled reason="ibr" when="2023-11-14T22:13:20Z"><comment>Deletion requested by user</comment></disabled>' };
	};
	{
		name = "an account disabled at no time"; by = "core.usermanager of Prosody 13"; global = true;
		event = "user-disabled"; payload = { username = "romeo", meta = { reason = "spam" } };
		actor = '<actor kind="unknown"/>';
		children = { '<disabled reason="spam"/>' };
	};
};

for _, modules in ipairs {
	{ "audit_register" }; { "audit_user_accounts" };
	{ "audit_register", "audit_user_accounts" }; { "audit_user_accounts", "audit_register" };
} do
	describe("with mod_"..table.concat(modules, " and mod_").." enabled", function ()
		for _, shape in ipairs(shapes) do
			it(("%s is recorded once (%s)"):format(shape.name, shape.by), function ()
				local host = module_api.host { audit_user_history = false }; -- With it mod_audit records when accounts begin and end.
				host:load(table.unpack(modules));
				module_api.complaints();
				shape.payload.host = host.name;
				if shape.global then
					assert.is_nil(module_api.fire_global(shape.event, shape.payload));
				else
					assert.is_nil(host:fire(shape.event, shape.payload));
				end
				assert.same({}, module_api.complaints());
				local entry = host:entries()[1];
				assert.is_truthy(entry);
				assert.is_nil(host:entries()[2]);
				assert.equal("mod_audit_register", entry.attr.source);
				assert.equal(shape.event, entry.attr.type);
				assert.equal("romeo@"..host.name, entry.attr.user);
				assert.equal("romeo@"..host.name, host.appended[1].with);
				local expected = { table.unpack(shape.children) };
				local at = (expected[1] or ""):find("^<session") and 2 or 1;
				table.insert(expected, at, (shape.actor:gsub("HOST", host.name)));
				assert.same(expected, module_api.lines(entry));
				for _, child in ipairs(entry.tags) do
					assert.equal(xmlns_audit, child.attr.xmlns);
				end
			end);
		end
	end);
end

describe("mod_audit_register", function ()
	local host, other;
	local function load()
		host, other = module_api.host { audit_user_history = false }, module_api.host { audit_user_history = false };
		host:load("audit_register");
		other:load("audit_register");
		module_api.complaints();
	end

	local function types()
		return host:types();
	end

	it("records a global event only on its host", function ()
		load();
		module_api.fire_global("user-disabled", { username = "romeo", host = host.name });
		module_api.fire_global("user-enabled", { username = "romeo", host = host.name });
		module_api.fire_global("user-enabled", { username = "romeo", host = "elsewhere.test" });
		assert.equal("user-disabled user-enabled", types());
		assert.equal(0, #other:entries());
	end);

	it("records once after being reloaded", function ()
		load();
		host:load("audit_user_accounts");
		host:reload("audit_register");
		host:reload("audit_user_accounts");
		module_api.fire_global("user-enabled", { username = "romeo", host = host.name });
		host:fire("user-registered", { username = "romeo", host = host.name });
		assert.equal("user-enabled user-registered", types());
		host:unload("audit_register");
		module_api.fire_global("user-enabled", { username = "romeo", host = host.name });
		host:fire("user-registered", { username = "romeo", host = host.name });
		assert.equal("user-enabled user-registered", types());
	end);

	it("lets handlers after it have the event", function ()
		load();
		local seen = 0;
		local events = { "user-registering", "user-registered", "user-deregistered", "user-deregistered-pending", "iq/self/jabber:iq:register:query" };
		for _, event in ipairs(events) do
			host:hook(event, function () seen = seen + 1; end, -10000);
			host:fire(event, {
				username = "romeo", allowed = true, origin = {};
				stanza = st.iq({ type = "set", id = "1" }):query("jabber:iq:register"):tag("remove");
			});
		end
		assert.equal(#events, seen);
	end);

	-- core.usermanager.create_user_with_role, then mod_register_ibr
	local function register(allowed, created)
		local user = {
			username = "romeo", password = "secret", host = host.name, additional = {};
			ip = "203.0.113.80", session = c2s(), allowed = allowed;
		};
		host:fire("user-registering", user);
		if not user.allowed then return; end
		module_api.fire_global("user-role-changed", { username = "romeo", host = host.name, role = { name = "prosody:registered" } });
		module_api.fire_global("user-password-changed", { username = "romeo", host = host.name });
		if created then
			module_api.fire_global("user-enabled", { username = "romeo", host = host.name });
			host:fire("user-registered", { username = "romeo", host = host.name, source = "mod_register", session = user.session });
		end
	end

	local function enable()
		module_api.fire_global("user-enabled", { username = "romeo", host = host.name });
	end

	describe("the registration of an account that Prosody 13 enables", function ()
		it("is one event", function ()
			load();
			register(true, true);
			assert.equal("user-registered", types());
			for _, entry in ipairs(host.appended) do
				assert.is_nil(tostring(entry.value):find("secret", 1, true));
			end
		end);

		it("hides no later event", function ()
			load();
			register(true, true);
			module_api.pass(0);
			enable();
			assert.equal("user-registered user-enabled", types());
		end);

		it("hides no event when it was refused", function ()
			load();
			host:hook("user-registering", function (event) event.allowed = false; end);
			register(true, true);
			enable();
			assert.equal("registration-refused user-enabled", types());
		end);

		it("hides no later event when it failed", function ()
			load();
			register(true, false);
			module_api.pass(0);
			enable();
			assert.equal("user-enabled", types());
		end);

		it("hides no event of another account", function ()
			load();
			host:fire("user-registering", { username = "juliet", host = host.name, allowed = true });
			enable();
			assert.equal("user-enabled", types());
		end);

		it("hides no event of another host", function ()
			load();
			other:fire("user-registering", { username = "romeo", host = other.name, allowed = true });
			enable();
			assert.equal("user-enabled", types());
		end);
	end);

	describe("a registration on the web that a module refuses", function ()
		local function refuse(fields)
			local event = { username = "romeo", host = host.name, ip = "2001:db8::7", allowed = false };
			for name, value in pairs(fields) do event[name] = value; end
			host:fire("user-registering", event);
		end

		for name, case in pairs {
			["with an error"] = {
				{ error = { type = "wait", condition = "policy-violation", text = "Too many" } };
				'<registration condition="policy-violation">Too many</registration>';
			};
			["with a reason"] = { { reason = "Invitation only" }, '<registration condition="not-allowed">Invitation only</registration>' };
			["with nothing"] = { {}, '<registration condition="not-allowed"/>' };
			["by an invite, which stays good"] = {
				{ validated_invite = { type = "register", token = "uTVbfRRSHEAUVPXk" } }, '<registration condition="not-allowed"/>';
				('<invite token-sha256=%q type="register"/>'):format(sha256("uTVbfRRSHEAUVPXk", true));
			};
		} do
			it(name.." is recorded with that", function ()
				load();
				refuse(case[1]);
				assert.same({}, module_api.complaints());
				assert.equal("registration-refused", types());
				assert.equal("romeo@"..host.name, host:entries()[1].attr.user);
				assert.same({ web, web_actor, case[2], case[3] }, module_api.lines(host:entries()[1]));
			end);
		end

		it("is counted when there are many", function ()
			load();
			for _ = 1, 20 do refuse {}; end
			assert.is_true(#host:entries() < 10, types());
		end);
	end);

	-- mod_user_account_management of 0.12: the session is closed and emptied before the event.
	describe("deregistration on 0.12", function ()
		local function remove(session, event)
			host:fire(event or "iq/self/jabber:iq:register:query", {
				origin = session;
				stanza = st.iq({ type = "set", id = "1" }):query("jabber:iq:register"):tag("remove");
			});
		end

		local function retire(session)
			for name in pairs(session) do
				if name ~= "id" then session[name] = nil; end
			end
			setmetatable(session, { __index = { type = "c2s_destroyed", destroyed = true } });
		end

		for _, event in ipairs { "iq/self/jabber:iq:register:query", "iq/host/jabber:iq:register:query" } do
			it("has the address of the request: "..event, function ()
				load();
				local session = c2s { type = "c2s", client_id = "d4565fa7", username = "romeo", full_jid = "romeo@here.test/phone" };
				remove(session, event);
				retire(session);
				host:fire("user-deregistered", { username = "romeo", host = host.name, source = "mod_register", session = session });
				assert.same({
					'<session id="c2s1" type="c2s"><remote-ip>203.0.113.80</remote-ip><client>d4565fa7</client></session>';
					'<actor jid="romeo@here.test/phone" kind="user"><remote-ip>203.0.113.80</remote-ip></actor>';
				}, module_api.lines(host:entries()[1]));
			end);
		end

		it("has no address that it does not know", function ()
			load();
			local session = c2s { type = "c2s", username = "romeo" };
			remove(c2s { ip = "192.0.2.1", username = "juliet" });
			retire(session);
			host:fire("user-deregistered", { username = "romeo", host = host.name, source = "mod_register", session = session });
			assert.same({ '<session id="c2s1" type="c2s_destroyed"/>', '<actor kind="user"/>' }, module_api.lines(host:entries()[1]));
		end);

		it("ignores other requests", function ()
			load();
			for _, stanza in ipairs {
				st.iq({ type = "get", id = "1" }):query("jabber:iq:register");
				st.iq({ type = "set", id = "1" }):query("jabber:iq:register"):text_tag("username", "romeo"):text_tag("password", "secret");
				st.iq({ type = "set", id = "1" });
			} do
				host:fire("iq/self/jabber:iq:register:query", { origin = c2s { type = "c2s" }, stanza = stanza:reset() });
			end
			assert.same({}, module_api.complaints());
			assert.equal("", types());
		end);

		it("does not keep a session alive", function ()
			load();
			local kept = setmetatable({}, { __mode = "k" });
			do
				local session = c2s { type = "c2s", username = "romeo" };
				kept[session] = true;
				remove(session);
			end
			collectgarbage();
			collectgarbage();
			assert.is_nil(next(kept));
		end);
	end);

	-- Events that no known module fires. None of them may raise an error.
	local oddities = {
		["no name"] = { session = c2s() };
		["a name that is a number"] = { username = 5 };
		["an invite that is true"] = { username = "romeo", validated_invite = true };
		["an invite without a token"] = { username = "romeo", validated_invite = {} };
		["an invite whose token is a table"] = { username = "romeo", validated_invite = { token = {} } };
		["a status that is text"] = { username = "romeo", status = "pending" };
		["a status without a time"] = { username = "romeo", status = {} };
		["meta that is true"] = { username = "romeo", meta = true, status = true };
		["meta that is text"] = { username = "romeo", meta = "spam" };
		["meta with a time that is text"] = { username = "romeo", meta = { when = "now", comment = 5, reason = {} } };
		["meta with an infinite time"] = { username = "romeo", meta = { when = math.huge } };
		["meta with a time before all times"] = { username = "romeo", meta = { when = -1 } };
		["a comment of bytes"] = { username = "romeo", meta = { comment = "\255\0]]>", when = 1700000000.5 } };
	};
	for name, payload in pairs(oddities) do
		it("takes events with "..name, function ()
			load();
			payload.host, payload.allowed = host.name, true;
			assert.has_no.errors(function ()
				host:fire("user-registering", payload);
				module_api.pass(0);
				host:fire("user-registered", payload);
				host:fire("user-deregistered", payload);
				host:fire("user-deregistered-pending", payload);
				module_api.fire_global("user-enabled", payload);
				module_api.fire_global("user-disabled", payload);
			end);
			assert.same({}, module_api.complaints());
			assert.equal("user-registered user-deregistered user-deregistered-pending user-enabled user-disabled", types());
		end);
	end
end);
