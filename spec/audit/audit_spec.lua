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
