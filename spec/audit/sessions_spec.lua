-- Sessions after a login: lua/audit/sessions.lib.lua, as mod_audit_auth uses it.

local module_api = require "support.module_api";

describe("sessions", function ()
	local host, session;

	local function load(options)
		host = module_api.host(options);
		host:load("audit_auth");
		session = { id = "c2s1", type = "c2s_unauthed", ip = "203.0.113.80" };
	end

	local function detail(i)
		return module_api.lines(host:entries()[i])[2];
	end

	-- The clock of the specs goes in whole seconds and the real one with it: a duration is right to the second.
	local function expect(pattern, seconds, line)
		local found = line:match("^"..pattern:gsub("%-", "%%-"):gsub("SECONDS", "(%%d+%%.%%d%%d%%d)").."$");
		assert.is_truthy(found, line);
		assert.is_true(math.abs(tonumber(found) - seconds) <= 1.1, line);
	end

	local function bind()
		session.username, session.resource, session.type = "romeo", "balcony", "c2s";
		session.conntime = require "util.time".now() - 2;
		host:fire("resource-bind", { session = session });
	end

	it("are not recorded where they are not asked for", function ()
		load();
		bind();
		host:fire("resource-unbind", { session = session });
		assert.equal("", host:types());
	end);

	for reason, text in pairs { ["Replaced by new connection"] = "Replaced by new connection", [false] = "closed by the client" } do
		it("are recorded with their time, and that they were "..text, function ()
			load { audit_auth_sessions = true };
			bind();
			module_api.pass(90);
			host:fire("resource-unbind", { session = session, error = reason });
			assert.equal("resource-bound session-ended", host:types());
			expect('<resource name="balcony" seconds-since-connect="SECONDS"/>', 2, detail(1));
			expect(('<ended reason=%q resource="balcony" seconds="SECONDS"/>'):format(text), 90, detail(2));
			assert.equal("romeo@"..host.name, host:entries()[2].attr.user);
		end);
	end

	it("that were there before us are as long as their stream", function ()
		load { audit_auth_sessions = true };
		bind();
		module_api.reload("audit");
		module_api.pass(90);
		host:fire("resource-unbind", { session = session });
		expect('<ended reason="connection closed" resource="balcony" seconds="SECONDS"/>', 92, detail(2));
	end);
end);
