-- Details of events, as stanzas: lua/audit/details.lib.lua.

local module_api = require "support.module_api";

describe("details that modules share", function ()
	local host, module;

	before_each(function ()
		host = module_api.host { audit_user_history = false };
		module = host:load("audit_register").module;
		module_api.complaints();
	end);

	local function register(event)
		event.username, event.host = event.username or "romeo", host.name;
		host:fire("user-registered", event);
		local entry = host:entries()[#host:entries()];
		local found = {};
		for _, line in ipairs(entry and module_api.lines(entry) or {}) do found[line:match("^<([%w-]+)")] = line; end
		return found, entry;
	end

	it("tell version and cipher of TLS, in either way that Prosody has", function ()
		local info = { protocol = "TLSv1.3", cipher = "AES" };
		for _, conn in ipairs {
			{ ssl_info = function () return info; end };
			{ socket = function () return { info = function () return info; end }; end };
		} do
			assert.equal('<tls cipher="AES" version="TLSv1.3"/>', register { session = { secure = true, conn = conn } }.tls);
		end
	end);

	it("tell nothing of TLS where there is none, or it can't be asked", function ()
		for _, session in ipairs {
			{ secure = false, conn = { ssl_info = function () return {}; end } };
			{ secure = true };
			{ secure = true, conn = { socket = function () return {}; end } };
			{ secure = true, conn = { ssl_info = function () error("closed"); end } };
		} do
			assert.is_nil(register { session = session }.tls);
		end
		assert.same({}, module_api.complaints());
	end);

	it("name an account by its bare JID, and nobody without a name", function ()
		local _, entry = register {};
		assert.equal("romeo@"..host.name, entry.attr.user);
		_, entry = register { username = "" };
		assert.is_nil(entry.attr.user);
	end);

	it("tell times from 1970 to 9999, and nothing else", function ()
		for value, expected in pairs { [0] = "1970-01-01T00:00:00Z", [253402300799] = "9999-12-31T23:59:59Z", [1.9] = "1970-01-01T00:00:01Z" } do
			module_api.fire_global("user-disabled", { username = "romeo", host = host.name, meta = { when = value } });
			assert.equal(('<disabled when="%s"/>'):format(expected), module_api.lines(host:entries()[#host:entries()])[2]
				or module_api.lines(host:entries()[#host:entries()])[1]);
		end
		for _, value in ipairs { -1, 253402300800, 0/0, math.huge, "now", {} } do
			module_api.fire_global("user-disabled", { username = "romeo", host = host.name, meta = { when = value } });
			assert.is_truthy(tostring(host:entries()[#host:entries()]):find("<disabled[^>]*/>"));
			assert.is_nil(tostring(host:entries()[#host:entries()]):find("when=", 1, true));
		end
		assert.is_truthy(module);
		assert.same({}, module_api.complaints());
	end);

	it("name an invite that can be used again by its hash, and any other by its token", function ()
		assert.equal('<invite-used token="one-time"/>', register { validated_invite = { token = "one-time" } }["invite-used"]);
		local found, entry = register { session = { validated_invite = { token = "group", reusable = true } } };
		assert.matches('^<invite%-used token%-sha256="%x+"/>$', found["invite-used"]);
		assert.is_nil(tostring(entry):find("group", 1, true));
		assert.is_nil(register { validated_invite = { token = 7 } }["invite-used"]);
		assert.is_nil(register { session = "none" }["invite-used"]);
	end);

	it("copy of a session what an entry has of it", function ()
		local session = { id = "c2s1", type = "c2s", ip = "::1", client_id = "x", full_jid = "a@b/c", username = "a", conn = {} };
		assert.same({ id = "c2s1", type = "c2s", ip = "::1", client_id = "x", full_jid = "a@b/c" },
			host:library "audit/details".session_copy(session));
	end);
end);
