-- What the audit modules share: lua/audit/audit.lib.lua, as modules use it.

local module_api = require "support.module_api";

describe("a handler of an audit module", function ()
	local host;

	before_each(function ()
		host = module_api.host { audit_user_history = false };
		host:load("audit_register", "audit_auth");
		module_api.complaints();
	end);

	local broken = setmetatable({}, { __index = function () error("broken"); end });

	it("never raises, never keeps an event from others, and logs a fault once", function ()
		local seen = 0;
		host:hook("user-registered", function () seen = seen + 1; end, -10000);
		for _ = 1, 3 do
			assert.is_nil(host:fire("user-registered", { username = "romeo", host = host.name, session = broken }));
		end
		assert.equal(3, seen);
		local lines = module_api.complaints("Fault while handling user-registered (logged once)");
		assert.equal(1, #lines);
		assert.is_truthy(lines[1]:find("stack traceback", 1, true));
	end);

	it("sees global events of its own host only", function ()
		for _, name in ipairs { "elsewhere.test", host.name } do
			module_api.fire_global("user-disabled", { username = "romeo", host = name });
		end
		module_api.fire_global("user-disabled");
		assert.equal("user-disabled", host:types());
		assert.same({}, module_api.complaints());
	end);

	it("does not describe an event that flood control only counts", function ()
		local asked = 0;
		for _ = 1, 8 do
			host:fire("authentication-failure", {
				session = {
					type = "c2s_unauthed", ip = "203.0.113.80", secure = true, sasl_handler = { username = "romeo", selected = "PLAIN" };
					conn = { ssl_info = function () asked = asked + 1; return {}; end };
				};
				condition = "not-authorized";
			});
		end
		assert.same({ 5, 5 }, { asked, #host:entries() });
	end);
end);

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
end);

describe("an option of an audit module", function ()
	-- Whether sessions are recorded says what the option was taken for.
	local function records_sessions(value)
		local host = module_api.host { audit_auth_sessions = value };
		module_api.complaints();
		host:load("audit_auth");
		host:fire("resource-bind", { session = { username = "romeo", resource = "x", ip = "203.0.113.80" } });
		return host:types() == "resource-bound", module_api.complaints("Option audit_auth_sessions");
	end

	it("that is a switch takes true and false as Prosody writes them", function ()
		for _, row in ipairs { { true, true }, { "true", true }, { 1, true }, { false, false }, { "false", false }, { 0, false } } do
			local records, lines = records_sessions(row[1]);
			assert.same({ row[2], 0 }, { records, #lines });
		end
	end);

	it("that is wrong is an error in the log with what is allowed, and has its default", function ()
		for _, value in ipairs { "maybe", 2 } do
			local records, lines = records_sessions(value);
			assert.same({ false, 1 }, { records, #lines });
			assert.is_truthy(lines[1]:find("which is not allowed: use true or false. Until then false is used.", 1, true), lines[1]);
		end
	end);

	it("that is a period takes seconds and Prosody's periods, and nothing shorter than is allowed", function ()
		for _, row in ipairs {
			{ 90, true }, { "10min", true }, { "2 weeks", true }, { 0.5, false }, { "never", false }, { "soon", false }, { {}, false };
		} do
			local host = module_api.host { audit_status_heartbeat_interval = row[1] };
			module_api.complaints();
			host:load("audit_status");
			local lines = module_api.complaints("Option audit_status_heartbeat_interval");
			assert.equal(row[2] and 0 or 1, #lines, tostring(row[1]));
			host:unload("audit_status");
		end
	end);
end);
