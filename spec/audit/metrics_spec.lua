-- The state of a host's log as metrics and as module status: lua/audit/metrics.lib.lua.

local async = require "util.async";
local process = require "support.process";
local core = require "audit_core";
local module_api = require "support.module_api";
local st = require "util.stanza";

require "core.configmanager".set("*", "statistics", "internal");
require "core.configmanager".set("*", "statistics_interval", "manual");

local statsmanager = require "core.statsmanager";

describe("the metrics of a host", function ()
	local host, module;

	before_each(function ()
		host = module_api.host();
		module = host:load("audit").module;
		module_api.complaints();
	end);

	-- metric("entries_total", 'type="x"') -> its value for the host | nil
	local function metric(name, label)
		module_api.fire_global("stats-update");
		for line in statsmanager.get_metric_registry():render():gmatch("[^\n]+") do
			local found, labels, value = line:match("^prosody_mod_audit__(%S-){(.-)} (%S+)");
			if found == name and labels:find(('host="%s"'):format(host.name), 1, true) and (not label or labels:find(label, 1, true)) then
				return tonumber(value);
			end
		end
	end

	local function status()
		module_api.fire_global("stats-update");
		local kind, text = module:get_status();
		return kind, text;
	end

	it("count entries by type, and what the store took", function ()
		for _ = 1, 2 do module:audit(nil, "first-thing"); end
		module:audit(nil, "second-thing");
		assert.same({ 2, 1 }, { metric("entries_total", 'type="first-thing"'), metric("entries_total", 'type="second-thing"') });
		assert.same({ 0, 0 }, { metric("waiting"), metric("lost") });
	end);

	it("have the label \"other\" for types beyond the first hundred", function ()
		for i = 1, 110 do module:audit(nil, "type-"..i); end
		assert.equal(1, metric("entries_total", 'type="type-100"'));
		assert.is_nil(metric("entries_total", 'type="type-101"'));
		assert.equal(10, metric("entries_total", 'type="other"'));
	end);

	it("tell how many entries wait, for how long, and what was handed over", function ()
		host.behaviour.append = function () return nil, "resource-constraint"; end;
		for _ = 1, 3 do module:audit(nil, "thing"); end
		module_api.pass(30);
		assert.equal(3, metric("waiting"));
		assert.is_true(metric("oldest_waiting_seconds") >= 29);
		host.behaviour.append = nil;
		module_api.pass(61);
		assert.same({ 0, 0, 3 }, { metric("waiting"), metric("oldest_waiting_seconds"), metric("stored_total") });
	end);

	it("count what flood control did not store, and addresses that can't be read", function ()
		for _ = 1, 8 do module:audit("romeo@"..host.name, "thing-refused", { session = { ip = "203.0.113.80" } }); end
		module:audit(nil, "thing", { session = { ip = "nonsense" } });
		assert.equal(3, metric("suppressed_total", 'type="thing-refused"'));
		-- Each event is counted once, however often the metrics are updated.
		module:audit(nil, "thing");
		assert.equal(3, metric("suppressed_total", 'type="thing-refused"'));
		assert.equal(1, metric("unreadable_addresses"));
	end);

	it("are followed by how far a move to another storage driver is", function ()
		if not module.get_status then return; end -- COMPAT 0.12
		local log, moving = module_api.log().log, { from = "internal", to = "audit", moved = 1200, left = 3 };
		local state = log.state;
		function log.state(name)
			local found = state(name);
			found.moving = moving;
			return found;
		end
		module:audit(nil, "thing");
		module_api.pass(1);
		assert.same({ "info", "0 events wait, 1200 were moved from the storage driver internal, 3 partitions are left" }, { status() });
		moving.moved = 1500; -- nothing else happens
		assert.is_truthy(select(2, status()):find("1500 were moved", 1, true));
		moving.problem = "the disk is gone";
		assert.same({ "warn", "events can't be moved from the storage driver internal: the disk is gone" }, { status() });
		log.state = state;
	end);

	it("tell when the log was last verified and sealed, and what nothing protects", function ()
		local shared = module:shared("/*/audit/log");
		local path = shared.environment.seal_path;
		finally(function () shared.sealing.close(); os.remove(path); end);
		table.insert(host.appended, 1, { key = "older"; value = st.stanza("audit-event", { type = "older-event" }); when = os.time() - 86400; with = "@" });
		module:audit(nil, "thing");
		assert(core.new_seal(path..".new"));
		local is_replaced;
		async.runner(function () is_replaced = shared.sealing.replace { actor = { kind = "server" } }; end):run(true);
		-- A thread writes the file.
		process.wait_until(function ()
			module_api.pass(0.01);
			return is_replaced;
		end, 10);
		assert(is_replaced);
		async.runner(function () shared.verifying.run(host.name); end):run(true);
		module_api.pass(1);
		assert.is_true(metric("chain_verified_timestamp") > 1.6e9);
		assert.is_true(metric("sealed_timestamp") > 1.6e9);
		assert.same({ 0, 1 }, { metric("chain_tampered"), metric("chain_unprotected") });
		if not module.get_status then return; end -- COMPAT 0.12
		local text = select(2, status());
		assert.is_truthy(text:find("^0 events wait, verified at %d+%-%d+%-%d+ %d+:%d+ UTC, sealed at %d+%-%d+%-%d+ %d+:%d+ UTC$"), text);
	end);

	it("are in the status of the module, with the problem of a store that fails", function ()
		if not module.get_status then return; end -- COMPAT 0.12
		assert.same({ "info", "0 events wait" }, { status() });
		host.behaviour.append = function () return nil, "resource-constraint"; end;
		module:audit(nil, "thing");
		module_api.pass(1);
		assert.same({ "error", "1 events wait: resource-constraint" }, { status() });
		host.behaviour.append = nil;
		module_api.pass(61);
		-- Without an error to be overridden the status is the last one that was set.
		assert.equal(0, metric("waiting"));
	end);
end);
