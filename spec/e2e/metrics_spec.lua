-- The state of the log for operators: metrics over HTTP, and the status of the module.

local http = require "socket.http";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(server.stop_all);

	local function start(broken)
		prosody = server.start {
			series = series; modules = { "audit", "audit_auth", "http_openmetrics" };
			storage = { audit = "broken" };
			config = { broken_storage = broken; statistics = "internal"; statistics_interval = "manual"; openmetrics_allow_ips = { "127.0.0.1" } };
		};
		prosody:adduser("romeo@"..host, "secret");
		assert.is_true((raw.login(prosody, "romeo", "secret")));
		assert.is_false((raw.login(prosody, "romeo", "wrong")));
	end

	local function metric(name, labels)
		prosody:eval("prosody.events.fire_event('stats-update')");
		local body, status = http.request(("http://127.0.0.1:%d/metrics"):format(prosody.http_port));
		assert.equal(200, status, body);
		for line in body:gmatch("[^\n]+") do
			local found, set, value = line:match("^prosody_mod_audit__(%S-){(.-)} (%S+)");
			if found == name and set:find(('host="%s"'):format(host), 1, true) and (not labels or set:find(labels, 1, true)) then
				return tonumber(value);
			end
		end
		error("no metric "..name.." in\n"..body);
	end

	it("metrics count entries that were recorded, wait and were stored", function ()
		start("refuses");
		assert.equal(1, metric("entries_total", 'type="authentication-success"'));
		assert.equal(1, metric("entries_total", 'type="authentication-failure"'));
		assert.equal(2, metric("waiting"));
		-- The broken store is asked again after one second and more.
		assert.is_truthy(process.wait_until(function () return metric("oldest_waiting_seconds") > 0.2; end, 5));
		assert.equal(0, metric("lost"));
		prosody:eval("module:shared('/*/storage_broken/state').mode = 'works'; flush_audit_log();");
		assert.same({ 0, 0, 2 }, { metric("waiting"), metric("oldest_waiting_seconds"), metric("stored_total") });
		assert.is_true(metric("handover_seconds_total") > 0);
	end);

	it("the status says that entries wait, and why", function ()
		start("refuses");
		assert.is_truthy(process.wait_until(function () return (prosody:eval([[
			prosody.events.fire_event("stats-update");
			return (prosody.hosts[...].modules.audit.module:get_status());
		]], host)) == "error"; end, 5));
		local kind, message = prosody:eval("return prosody.hosts[...].modules.audit.module:get_status()", host);
		assert.same({ "error", "2 events wait: resource-constraint" }, { kind, message });
		prosody:eval("module:shared('/*/storage_broken/state').mode = 'works'; flush_audit_log(); prosody.events.fire_event('stats-update');");
		kind, message = prosody:eval("return prosody.hosts[...].modules.audit.module:get_status()", host);
		assert.same({ "info", "0 events wait" }, { kind, message });
	end);
end);
