-- What many hosts share: modules and libraries are loaded once, and there is one timer.

local module_api = require "support.module_api";

local modulemanager = require "core.modulemanager";
local monotonic = require "util.time".monotonic;
local timer = require "util.timer";

local names = {
	"audit", "audit_admin", "audit_alerts", "audit_auth", "audit_firewall", "audit_reports", "audit_register", "audit_s2s", "audit_status";
	"audit_tokens", "audit_user_accounts";
};

-- Counts while f runs: files of ours that are loaded, and timers of the server that are added.
local function count(f)
	local loader, add_task = modulemanager.loader, timer.add_task;
	local load_resource, loads, timers = loader.load_resource, {}, 0;
	loader.load_resource = function (self, plugin, resource)
		if plugin:find("^audit") then table.insert(loads, resource or plugin); end
		return load_resource(self, plugin, resource);
	end;
	timer.add_task = function (...)
		timers = timers + 1;
		return add_task(...);
	end;
	local ok, err = pcall(f);
	loader.load_resource, timer.add_task = nil, add_task;
	assert(ok, err);
	return loads, timers;
end

local function instances(host)
	local found = {};
	for _, name in ipairs(names) do
		found[name] = { everywhere = modulemanager.get_module("*", name), here = modulemanager.get_module(host.name, name) };
	end
	return found;
end

-- How many entries there are of a host; some may still wait.
local function recorded_on(host)
	return #host:entries() + module_api.log().log.waiting(host.name);
end

describe("many hosts", function ()
	local first;

	setup(function ()
		package.loaded["core.certmanager"] = package.loaded["core.certmanager"]
			or { find_host_cert = function () return { certificate = "/nowhere/at.all" }; end };
		first = module_api.host();
		first:load(table.unpack(names));
		module_api.pass(60);
	end);

	it("load each module and library once", function ()
		local second = module_api.host();
		assert.same({}, (count(function () second:load(table.unpack(names)); end)));
		second:fire("authentication-success", { session = { username = "romeo" } });
		assert.equal("authentication-success", second:entries()[#second:entries()].attr.type);
	end);

	it("do not load a library again for another module", function ()
		local loads = count(function () module_api.reload("audit"); end);
		local seen = {};
		for _, file in ipairs(loads) do
			if file:find("%.lib%.lua$") then
				assert.is_nil(seen[file], file);
				seen[file] = true;
			end
		end
		assert.is_true(seen["audit/audit.lib.lua"]);
	end);

	it("share one timer", function ()
		local _, timers = count(function ()
			for _ = 1, 20 do module_api.host():load(table.unpack(names)); end
		end);
		assert.is_true(timers <= 5, timers.." timers for 20 hosts");
	end);

	it("have one handler for an event of the whole server", function ()
		local get_handlers = module_api.prosody.events.get_handlers;
		if not get_handlers then return; end -- COMPAT 0.12
		local before = #get_handlers("user-deleted");
		module_api.host():load(table.unpack(names));
		assert.equal(before, #get_handlers("user-deleted"));
	end);

	it("take new modules from disk when mod_audit is reloaded, each time", function ()
		for _ = 1, 3 do
			local before = instances(first);
			module_api.reload("audit");
			local after = instances(first);
			for _, name in ipairs(names) do
				assert.is_truthy(after[name].here, name);
				assert.not_equal(before[name].everywhere, after[name].everywhere, name);
				assert.not_equal(before[name].here, after[name].here, name);
			end
		end
		local recorded = recorded_on(first);
		first:fire("authentication-success", { session = { username = "romeo" } });
		assert.equal(recorded + 1, recorded_on(first));
	end);

	it("end soon although their store is slow, and keep what waits", function ()
		local hosts, appended = {}, 0;
		for i = 1, 30 do
			hosts[i] = module_api.host { audit_log_write = "journal" };
			hosts[i]:load("audit");
			hosts[i].behaviour.append = function ()
				local until_then = monotonic() + 0.1;
				repeat until monotonic() > until_then;
				appended = appended + 1;
				return "key-"..appended;
			end;
			modulemanager.get_module(hosts[i].name, "audit").module:audit(nil, "test-event");
		end
		local began = monotonic();
		module_api.fire_global("server-stopped");
		local took, waiting = monotonic() - began, 0;
		for _, host in ipairs(hosts) do
			waiting = waiting + module_api.log().log.waiting(host.name);
			host.behaviour.append = nil;
			host:unload("audit");
		end
		assert.is_true(took < 2, took.." seconds");
		assert.is_true(appended > 0 and waiting >= 30 - appended, ("%d stored, %d wait"):format(appended, waiting));
	end);

	it("continue when one of them unloads the log", function ()
		local other = module_api.host();
		other:load(table.unpack(names));
		other:unload("audit");
		for _, name in ipairs(names) do
			assert.is_nil(modulemanager.get_module(other.name, name), name);
			assert.is_truthy(modulemanager.get_module(first.name, name), name);
		end
		local recorded, recorded_there = recorded_on(first), recorded_on(other);
		module_api.fire_global("user-deleted", { host = first.name, username = "juliet" });
		module_api.fire_global("user-deleted", { host = other.name, username = "juliet" });
		module_api.pass(1);
		assert.equal(recorded + 1, recorded_on(first));
		assert.equal(recorded_there, recorded_on(other));
	end);
end);

describe("what is done later", function ()
	local timers, host;

	setup(function ()
		host = module_api.host();
		host:load("audit");
		timers = host:library "audit/timers";
		module_api.pass(60);
	end);

	local function note(seen, name, again)
		return function ()
			table.insert(seen, name);
			return again;
		end
	end

	it("runs in order, and again if requested", function ()
		local seen = {};
		timers.add(host:load("audit").module, 3, note(seen, "c"));
		timers.add(host:load("audit").module, 1, note(seen, "a", 10));
		timers.add(host:load("audit").module, 2, note(seen, "b"));
		module_api.pass(2.5);
		assert.equal("a b", table.concat(seen, " "));
		module_api.pass(20);
		assert.equal("a b c a a", table.concat(seen, " "));
	end);

	it("continues after an error", function ()
		local seen = {};
		timers.add(host:load("audit").module, 1, function () error("broken"); end);
		timers.add(host:load("audit").module, 1, note(seen, "a"));
		module_api.complaints();
		module_api.pass(2);
		assert.equal("a", table.concat(seen));
		assert.equal(1, #module_api.complaints("broken"));
	end);

	it("does not run for a module that was unloaded", function ()
		local seen, other = {}, module_api.host();
		timers.add(other:load("audit").module, 1, note(seen, "a"));
		other:unload("audit");
		module_api.pass(2);
		assert.same({}, seen);
	end);

	it("shares the loop if much is due at once", function ()
		local turns, longest, in_turn = 0, 0, 0;
		local function work()
			local until_then = monotonic() + 0.003;
			in_turn = in_turn + 1;
			longest = math.max(longest, in_turn);
			repeat until monotonic() > until_then;
		end
		for _ = 1, 40 do timers.add(host:load("audit").module, 1, work); end
		timer.add_task(1, function ()
			turns, in_turn = turns + 1, 0;
			return turns < 1000 and 0 or nil;
		end);
		module_api.pass(5);
		assert.is_true(longest <= 6, longest.." at once");
	end);
end);
