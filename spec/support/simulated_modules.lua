-- The modules that a process of a simulated host (spec/support/simulated.lua) runs beside its log: the real files in lua/, with simulated
-- time, and with as much of Prosody's module API as they use.
--
--   local modules = require "support.simulated_modules".new(host, log, admins);
--   modules.library "sealing"   --> what lua/audit/sealing.lib.lua returns
--   modules.load "audit_alerts" -- loads lua/mod_audit_alerts.lua, on the host too
--   modules.hurry()             -- something has happened

local events = require "util.events";
local lfs = require "lfs";
local new_set = require "util.set".new;
local support = require "support.log";

local HOST = support.host;
local folder = lfs.currentdir().."/lua/";

-- How long a timer waits that would come again earlier, as long as nothing happens: simulated days are long. In seconds.
local IDLE = 60;

-- The timers of modules, as lua/audit/timers.lib.lua has them.
local function new_timers(host)
	local timers, hasty = {}, {};

	function timers.add(of_module, seconds, run, idle)
		local timer;
		timer = host:after(math.max(seconds, idle or 0), function ()
			hasty[timer] = nil;
			if of_module.loaded == false then return; end
			local again = run();
			if again then
				timers.add(of_module, again, run, again >= 1 and IDLE or nil);
			end
		end);
		hasty[timer] = idle and seconds;
	end

	function timers.each(of_module, seconds, list, visit)
		timers.add(of_module, seconds, function ()
			for _, item in ipairs(list()) do visit(item); end
			return seconds;
		end);
	end

	local function hurry()
		for timer, seconds in pairs(hasty) do
			timer.at = math.min(timer.at, host.uptime + seconds);
		end
	end
	return timers, hurry;
end

-- What lua/audit/reading/readings.lib.lua has, without giving up: a store that never answers is there until the process dies.
local function new_readings()
	return {
		read = function (pause, read) return pcall(read, pause); end;
		pause = function () coroutine.yield(0); end;
		unanswered = "the storage driver does not answer";
	};
end

local function new(host, log, admins)
	local modules, shared, libraries = {}, { ["/*/audit/log"] = { log = log } }, {};
	local hosts = { [HOST] = { events = events.new(), sessions = {}, modules = {} } };

	local function runner(work)
		local of_work = { state = "ready" };
		function of_work.run(_, task)
			of_work.state = "running";
			host:resume(coroutine.create(function ()
				work(task);
				of_work.state = "ready";
			end));
		end
		return of_work;
	end

	local simulated = {
		["util.time"] = { now = function () return host.time; end; monotonic = function () return host.uptime; end };
		["util.async"] = { runner = runner, ready = coroutine.isyieldable };
		["util.datamanager"] = { getpath = function (_, _, _, extension) return host:file(extension); end };
		["core.modulemanager"] = {};
		["core.usermanager"] = { get_jids_with_role = function (role) return role == "prosody:admin" and admins or {}; end };
		socket = { sleep = function (seconds) host:block(seconds); end };
	};
	local globals = setmetatable({
		prosody = { hosts = hosts };
		require = function (name) return simulated[name] or require(name); end;
	}, { __index = _G });

	local api = {};
	local function new_module(name, on)
		return setmetatable({ name = name, host = on, loaded = true, environment = {} }, { __index = api });
	end
	local audit_module = new_module("audit", "*");

	local function run(path, module, library)
		local environment = setmetatable({ module = module, library = library }, { __index = globals });
		return assert(loadfile(folder..path, "t", environment))();
	end

	function modules.library(name)
		if libraries[name] == nil then
			libraries[name] = run("audit/"..name..".lib.lua", audit_module, modules.library);
		end
		return libraries[name];
	end
	libraries.timers, modules.hurry = new_timers(host);
	libraries["reading/readings"] = new_readings();

	function modules.load(name)
		local module = new_module(name, "*");
		run("mod_"..name..".lua", module);
		local of_host = new_module(name, HOST);
		module.add_host(of_host);
	end

	function api.set_global() end
	function api.hook() end
	function api.depends()
		return { library = modules.library, log = modules.library "reading/query" ({ [HOST] = true }) };
	end
	function api.shared(_, path)
		shared[path] = shared[path] or {};
		return shared[path];
	end
	function api.get_option(_, name) return host.options[name]; end
	function api.get_option_inherited_set(_, _, default) return new_set(default); end
	function api.send(_, stanza) host:sent(stanza); end
	function api.log(_, level, text, ...)
		text = text:format(...);
		table.insert(host.lines, level..": "..text);
		-- Modules never raise: what went wrong is in a line.
		host.fault = host.fault or text:find("^Fault") and text or nil;
	end

	return modules;
end

return { new = new };
