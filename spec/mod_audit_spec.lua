local module_api = require "support.module_api";

local NAMESPACE = "xmpp:prosody.im/audit";

local config = require "core.configmanager";
local modulemanager = require "core.modulemanager";
local moduleapi = require "core.moduleapi";

describe("mod_audit", function ()
	local host, module;

	before_each(function ()
		host = module_api.host();
		module = host:load("audit").module;
		module_api.complaints();
	end);

	local function global()
		return modulemanager.get_module("*", "audit").module;
	end

	describe("gives module:audit() to other modules, which", function ()
		it("returns the id of the entry, and names the module as its source", function ()
			local other = host:load("audit_tokens").module;
			local id = other:audit("romeo@"..host.name, "test-event");
			local entry = host:entries()[1];
			assert.same({ id, "mod_audit_tokens", "romeo@"..host.name }, { entry.attr[NAMESPACE.."\1id"], entry.attr.source, entry.attr.user });
		end);

		it("raises in a global module, as an event needs a host", function ()
			assert.has_error(function () global():audit(nil, "test-event"); end, "cannot log audit events for global");
		end);

		it("is gone when the module is unloaded, and comes back", function ()
			assert.is_function(rawget(moduleapi, "audit"));
			modulemanager.unload("*", "audit");
			assert.same({ nil, nil }, { rawget(moduleapi, "audit"), rawget(moduleapi, "audit_admits") });
			assert(modulemanager.load("*", "audit"));
			assert.is_string(module:audit(nil, "test-event"));
		end);

		it("is left alone at the end if another module has replaced it", function ()
			local function other() end
			moduleapi.audit = other;
			modulemanager.unload("*", "audit");
			assert.equal(other, rawget(moduleapi, "audit"));
			moduleapi.audit = nil;
			assert(modulemanager.load("*", "audit"));
		end);
	end);

	describe("records the event \"audit\"", function ()
		it("of a host, and of the server for a host", function ()
			host:fire("audit", { user = "romeo@"..host.name, source = "mod_test", type = "first-event" });
			module_api.fire_global("audit", { host = host.name, source = "mod_test", type = "second-event", extra = { session = { id = "x" } } });
			assert.equal("first-event second-event", host:types());
			assert.equal("mod_test", host:entries()[1].attr.source);
			assert.equal('<session id="x"/>', module_api.lines(host:entries()[2])[1]);
		end);

		it("only if it is one, and never raises", function ()
			host:fire("audit");
			host:fire("audit", "test-event");
			host:fire("audit", { type = "test-event", extra = { custom = "x" } });
			module_api.fire_global("audit", { type = "test-event" });
			assert.equal("", host:types());
			local lines = module_api.complaints();
			assert.equal(4, #lines, table.concat(lines, "\n"));
		end);
	end);

	it("reads its options again when the configuration is, and says then what is wrong", function ()
		config.set(host.name, "audit_log_ipv4_prefix", "many");
		module_api.fire_global("config-reloaded");
		local lines = module_api.complaints("Option audit_log_ipv4_prefix");
		assert.equal(1, #lines);
		config.set(host.name, "audit_log_ipv4_prefix", 24);
		module_api.fire_global("config-reloaded");
		module:audit(nil, "test-event", { session = { ip = "203.0.113.80" } });
		assert.equal("<session><remote-ip>203.0.113.0/24</remote-ip></session>", module_api.lines(host:entries()[1])[1]);
		assert.same({}, module_api.complaints());
	end);

	it("has a daily task that removes what has expired", function ()
		local tasks = {};
		for _, task in ipairs(module:get_host_items("task")) do
			if task.name == "Remove expired audit events" then table.insert(tasks, task); end
		end
		assert.equal(1, #tasks);
		assert.equal("daily", tasks[1].when);
	end);

	it("gives up the journal of a host that is deactivated", function ()
		module:audit(nil, "test-event");
		assert.is_true(module_api.log().log.owns_journal(host.name));
		assert.is_true(module_api.log().log.is_owned(host.name));
		module_api.fire_global("host-deactivated", host.name);
		assert.is_false(module_api.log().log.is_owned(host.name));
	end);

	it("forgets a store when its driver is unloaded or reloaded", function ()
		local stores = module_api.log().log.stores;
		for _, event in ipairs { "module-unloaded", "module-reloaded" } do
			module:audit(nil, "test-event");
			assert.is_truthy(rawget(stores, host.name));
			host:fire(event, { module = "roster" });
			assert.is_truthy(rawget(stores, host.name));
			host:fire(event, { module = "storage_sql" });
			assert.is_nil(rawget(stores, host.name));
		end
	end);

	it("hands over what waits when the server stops", function ()
		config.set(host.name, "audit_log_write", nil);
		module_api.fire_global("config-reloaded");
		module:audit(nil, "test-event");
		assert.equal("", host:types());
		module_api.fire_global("server-stopped");
		assert.equal("test-event", host:types());
	end);

	it("hands over what waits when the server starts, before anybody connects", function ()
		config.set(host.name, "audit_log_write", nil);
		module_api.fire_global("config-reloaded");
		module:audit(nil, "test-event");
		module_api.fire_global("server-started");
		assert.equal("test-event", host:types());
	end);

	it("loses nothing by a reload while the store fails", function ()
		host.behaviour.append = function () return nil, "resource-constraint"; end;
		for i = 1, 5 do assert.is_string(module:audit(nil, "event-"..i)); end
		modulemanager.reload("*", "audit");
		module = host:load("audit").module;
		module:audit(nil, "event-6");
		host.behaviour.append = nil;
		module_api.pass(61);
		assert.equal("event-1 event-2 event-3 event-4 event-5 event-6", host:types());
	end);

	it("keeps the logs of hosts apart", function ()
		local other = module_api.host();
		other:load("audit").module:audit(nil, "other-event");
		module:audit(nil, "test-event");
		assert.same({ "test-event", "other-event" }, { host:types(), other:types() });
	end);
end);
