local module_api = require "support.module_api";

local prosody = module_api.prosody;

describe("mod_audit_status", function ()
	local host;

	before_each(function ()
		prosody.shutdown_reason, prosody.shutdown_code = nil, nil;
		host = module_api.host { audit_status_heartbeat_interval = 60 };
		module_api.complaints();
	end);

	after_each(function ()
		host:restart(); -- so that its hooks do not see the next spec's events
	end);

	local function start()
		host:load("audit_status");
		module_api.fire_global("server-started");
		module_api.pass(0);
	end

	local function stop(reason, code)
		prosody.shutdown_reason, prosody.shutdown_code = reason, code;
		module_api.fire_global("server-stopping", { reason = reason, code = code });
		module_api.fire_global("server-stopped");
		prosody.shutdown_reason, prosody.shutdown_code = nil, nil;
		host:restart();
	end

	local function crash()
		host:restart();
	end

	local function types()
		return host:types();
	end

	it("records a start and a stop of the server on the host", function ()
		start();
		stop("Received SIGTERM");
		assert.equal("server-started server-stopped", types());
		for _, item in ipairs(host.appended) do
			assert.equal("@", item.with);
			assert.is_nil(item.value.attr.user);
			assert.equal("mod_audit_status", item.value.attr.source);
		end
		assert.same({}, module_api.complaints());
	end);

	it("says why the server was stopped, as readers of the log expect it", function ()
		start();
		stop("Received SIGTERM");
		assert.equal("Received SIGTERM", host:entries()[2]:get_child_text("note"));
	end);

	it("records a stop with any reason, or without one", function ()
		start();
		stop();
		assert.equal(0, #host:entries()[2].tags);
		start();
		stop("\255\0]]>");
		assert.equal("server-started server-stopped server-started server-stopped", types());
		assert.is_truthy(host:entries()[4]:get_child("note"));
		assert.same({}, module_api.complaints());
	end);

	it("tells a crash from a stop", function ()
		start();
		stop("Upgrade");
		start();
		assert.equal("server-started server-stopped server-started", types());
		crash();
		start();
		assert.equal("server-started server-stopped server-started server-crashed server-started", types());
		stop("Upgrade");
		start();
		assert.equal("server-started server-stopped server-started server-crashed server-started server-stopped server-started", types());
	end);

	-- Other software reads this field, such as Snikket's mod_health_report. Its name and place must stay.
	it("tells other modules of a crash, in the exported field crashed", function ()
		local function crashed()
			return host:load("audit").module:depends("audit_status").crashed;
		end
		start();
		assert.is_false(crashed());
		crash();
		start();
		assert.is_true(crashed());
		host:reload("audit_status");
		assert.is_true(crashed());
	end);

	it("records a crash with the time when the server was last alive", function ()
		start();
		module_api.pass(200);
		local alive = host.values.audit_status[""].heartbeat;
		module_api.pass(30);
		crash();
		module_api.pass(5000);
		start();
		local crashed = host:entries()[2];
		assert.equal("server-crashed", crashed.attr.type);
		local occurred;
		for name, value in pairs(crashed.attr) do
			if name:match("occurred$") then occurred = value; end
		end
		assert.equal(os.date("!%Y-%m-%dT%H:%M:%S", alive), occurred:sub(1, 19));
		assert.is_true(os.time() - alive >= 5030 and os.time() - alive < 5100);
		-- The archive does not go back in time.
		assert.is_true(host.appended[2].when >= os.time() - 5);
	end);

	it("records a crash soon after the start with the time of the start", function ()
		host:load("audit_status");
		module_api.fire_global("server-started");
		local began = os.time();
		crash();
		module_api.pass(1000);
		start();
		assert.equal("server-started server-crashed server-started", types());
		for name, value in pairs(host:entries()[2].attr) do
			if name:match("occurred$") then
				assert.equal(os.date("!%Y-%m-%dT%H:%M", began), value:sub(1, 16));
				return;
			end
		end
		error("no time");
	end);

	it("writes one value a heartbeat", function ()
		start();
		module_api.pass(30); -- in the middle between two heartbeats
		local before = host.writes;
		module_api.pass(600);
		assert.equal(10, host.writes - before);
		assert.equal(1, #host:entries());
	end);

	it("takes the interval from the option", function ()
		host = module_api.host { audit_status_heartbeat_interval = "5 minutes" };
		start();
		module_api.pass(30); -- in the middle between two heartbeats
		local before = host.writes;
		module_api.pass(600);
		assert.equal(2, host.writes - before);
	end);

	for _, value in ipairs { 0, -1, "never", "now and then", 0.5 } do
		it("uses 60 seconds instead of "..tostring(value), function ()
			host = module_api.host { audit_status_heartbeat_interval = value };
			module_api.complaints();
			start();
			assert.equal(1, #module_api.complaints("audit_status_heartbeat_interval"));
			module_api.pass(30); -- in the middle between two heartbeats
			local before = host.writes;
			module_api.pass(600);
			assert.equal(10, host.writes - before);
		end);
	end

	it("does not take a reload for a start", function ()
		start();
		host:reload("audit_status");
		module_api.pass(120);
		host:reload("audit_status");
		stop("Upgrade");
		assert.equal("server-started server-stopped", types());
	end);

	it("notices a crash right after a reload", function ()
		start();
		host:reload("audit_status");
		crash();
		start();
		assert.equal("server-started server-crashed server-started", types());
	end);

	it("records no start if it is loaded into a running server, but notices a crash from then on", function ()
		host:load("audit_status");
		-- On a busy machine, what is due may be done in a later turn of the loop.
		module_api.pass(1);
		assert.equal("", types());
		crash();
		start();
		assert.equal("server-crashed server-started", types());
	end);

	it("records no crash for a time when it was not loaded", function ()
		start();
		host:unload("audit_status");
		module_api.pass(200);
		crash();
		start();
		assert.equal("server-started server-started", types());
	end);

	it("stops with its module", function ()
		start();
		host:unload("audit_status");
		module_api.pass(30); -- in the middle between two heartbeats
		local before = host.writes;
		module_api.pass(600);
		module_api.fire_global("server-stopped");
		assert.equal(before, host.writes);
		assert.equal("server-started", types());
	end);

	it("leaves the status alone in a server that gives up while it starts", function ()
		start();
		local second = host.values.audit_status[""];
		crash(); -- the same store, seen by a second server while the first one runs
		prosody.shutdown_reason, prosody.shutdown_code = "Prosody already running", 1;
		host:load("audit_status");
		module_api.fire_global("server-started");
		module_api.fire_global("server-stopped");
		module_api.pass(0);
		assert.equal("server-started", types());
		assert.equal(second, host.values.audit_status[""]);
	end);

	it("stores no heartbeat during the last turns of a shutdown", function ()
		start();
		module_api.fire_global("server-stopped");
		module_api.pass(600);
		assert.equal("stopped", host.values.audit_status[""].status);
	end);

	it("reads what the community's modules have written", function ()
		local lately = os.time() - 600;
		host.values.audit_status = { [""] = { status = "started", heartbeat = lately } };
		start();
		assert.equal("server-crashed server-started", types());
		crash();
		host.values.audit_status[""] = { status = "stopped", heartbeat = lately };
		start();
		assert.equal("server-crashed server-started server-started", types());
	end);

	for name, get in pairs {
		["returns an error"] = function () return nil, "disk on fire"; end;
		["is the null driver"] = function () return false, "disk on fire"; end;
	} do
		it("does not assume a first start if the store "..name, function ()
			start();
			crash();
			host.behaviour.get = get;
			start();
			assert.equal("server-started server-started", types());
			assert.truthy(host:entries()[2]:get_child_text("note"):find("disk on fire", 1, true));
			assert.equal(1, #module_api.complaints("disk on fire"));
			-- From here on it is known again.
			host.behaviour.get = nil;
			crash();
			start();
			assert.equal("server-started server-started server-crashed server-started", types());
		end);
	end

	it("reads a status again that can't be read at the start, and does not replace it before", function ()
		start();
		local alive = host.values.audit_status[""];
		crash();
		module_api.pass(1000);
		host.behaviour.get = function () return nil, "disk on fire"; end;
		start();
		module_api.pass(130);
		host:reload("audit_status");
		module_api.pass(60);
		assert.equal(alive, host.values.audit_status[""]);
		assert.equal("server-started server-started", types());
		assert.is_false(prosody.hosts[host.name].modules.audit_status.crashed);
		assert.is_true(#module_api.complaints("tried again") <= 2, "once for each load of the module");
		host.behaviour.get = nil;
		module_api.pass(60);
		assert.equal("server-started server-started server-crashed", types());
		assert.is_true(prosody.hosts[host.name].modules.audit_status.crashed);
		assert.is_true(host.values.audit_status[""].heartbeat > alive.heartbeat);
		for name, value in pairs(host:entries()[3].attr) do
			if name:match("occurred$") then
				assert.equal(os.date("!%Y-%m-%dT%H:%M:%S", alive.heartbeat), value:sub(1, 19));
			end
		end
		module_api.pass(600);
		assert.equal("server-started server-started server-crashed", types());
	end);

	it("leaves a status that could not be read until the server stops to the next start", function ()
		start();
		crash();
		host.behaviour.get = function () return nil, "disk on fire"; end;
		start();
		stop("Upgrade");
		host.behaviour.get = nil;
		start();
		assert.equal("server-started server-started server-stopped server-crashed server-started", types());
	end);

	it("replaces a status that never can be read", function ()
		start();
		local alive = host.values.audit_status[""];
		crash();
		host.behaviour.get = function () return nil, "it is no table"; end;
		start();
		module_api.complaints();
		module_api.pass(1200);
		assert.equal(1, #module_api.complaints("it is no table"));
		assert.not_equal(alive, host.values.audit_status[""]);
		assert.equal("server-started server-started", types());
	end);

	for name, set in pairs {
		["returns an error"] = function () return nil, "disk full"; end;
		["raises"] = function () error("disk full"); end;
	} do
		it("logs once that the store "..name..", and goes on", function ()
			start();
			host.behaviour.set = set;
			assert.has_no.errors(function () module_api.pass(600); end);
			assert.equal(1, #module_api.complaints("disk full"));
			host.behaviour.set = nil;
			local before = host.values.audit_status[""].heartbeat;
			module_api.pass(120);
			assert.is_true(host.values.audit_status[""].heartbeat > before);
		end);
	end

	it("records a start if the store can't be read", function ()
		host.behaviour.get = function () error("torn page"); end;
		assert.has_no.errors(start);
		assert.equal("server-started", types());
		assert.equal(1, #module_api.complaints("torn page"));
	end);

	it("records starts and stops without a store for the status, but no crash", function ()
		host.behaviour.open = function (_, store_type)
			if store_type ~= "archive" then return nil, "unsupported-datastore"; end
			local stub = { caps = { total = true } };
			function stub:append(_, _, value, when, with) -- luacheck: ignore 212/self
				host.appended[#host.appended+1] = { value = value, when = when, with = with };
				return "key";
			end
			function stub:find() -- luacheck: ignore 212/self
				local last = host.appended[#host.appended];
				return function ()
					local found = last;
					last = nil;
					if found then return "key", found.value, found.when, found.with; end
				end;
			end
			function stub:delete() return 0; end -- luacheck: ignore 212/self
			return stub;
		end
		start();
		assert.is_true(#module_api.complaints("unsupported-datastore") >= 1);
		stop("Upgrade");
		start();
		crash();
		start();
		assert.equal("server-started server-stopped server-started server-started", types());
	end);

	it("waits for a driver that waits, without a queue of heartbeats", function ()
		local async = require "util.async";
		local waiting, pending = 0, {};
		start();
		host.behaviour.set = function ()
			waiting = waiting + 1;
			local wait, done = async.waiter();
			pending[#pending+1] = done;
			wait();
			return true;
		end;
		assert.has_no.errors(function () module_api.pass(600); end);
		assert.equal(1, waiting);
		assert.same({}, module_api.complaints());
		pending[1]();
		assert.equal(1, waiting);
		module_api.pass(60);
		assert.equal(2, waiting);
		host.behaviour.set = nil;
		pending[2]();
	end);
end);
