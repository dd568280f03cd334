-- Sinks of a whole server: lua/mod_audit_sinks.lua. The sinks are files.

local module_api = require "support.module_api";
local config = require "core.configmanager";
local json = require "util.json";
local modulemanager = require "core.modulemanager";
local process = require "support.process";

describe("mod_audit_sinks", function ()
	local host, folder;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		folder = process.new_folder("sinks");
		module_api.complaints();
	end);
	after_each(function ()
		pcall(modulemanager.unload, host.name, "audit_sinks");
		pcall(modulemanager.unload, "*", "audit_sinks");
		config.set("*", "audit_log_sinks", nil);
	end);

	local function start(sinks)
		config.set("*", "audit_log_sinks", sinks);
		host:load("audit_sinks");
		module_api.pass(0);
	end

	local function record(...)
		for _, event_type in ipairs { ... } do
			modulemanager.get_module(host.name, "audit").module:audit(nil, event_type, nil, true);
		end
		module_api.pass(1.5);
	end

	local function types(name)
		local found = {};
		for line in (process.read(folder.."/"..name) or ""):gmatch("[^\n]+") do found[#found + 1] = json.decode(line).type; end
		return table.concat(found, " ");
	end

	it("sends entries as they are recorded, those that each sink wants", function ()
		start { all = { to = "file:"..folder.."/all" }, some = { to = "file:"..folder.."/some", types = { "b-*" } } };
		record("a-1", "b-1", "a-2");
		assert.same({ "a-1 b-1 a-2", "b-1" }, { types("all"), types("some") });
		assert.same({}, module_api.complaints());
	end);

	it("reads and sends in two turns of the loop, as each may take as long as a turn may", function ()
		record("a-1");
		local timer = require "util.timer";
		local log, core = modulemanager.get_module("*", "audit").module:shared("/*/audit/log").log, require "audit_core";
		local has_read, together, apart = false, 0, 0;
		local restore = {};
		local function replace(of, name, f)
			local real = of[name];
			table.insert(restore, function () of[name] = real; end);
			of[name] = function (...) return f(real, ...); end
		end
		replace(log, "reader", function (real, ...)
			local reader = assert(real(...));
			replace(reader, "fill", function (fill, ...)
				local more, problem = fill(...);
				has_read = true;
				timer.add_task(0, function () has_read = false; end);
				return more, problem;
			end);
			return reader;
		end);
		replace(core, "log_file", function (real, ...)
			local file = assert(real(...));
			return { append = function (_, text)
				if has_read then together = together + 1; else apart = apart + 1; end
				return file:append(text);
			end };
		end);
		local path = require "util.datamanager".getpath(nil, host.name, "audit", "all.position", true);
		process.write(path, "1 00000000-0000-0000-0000-000000000000 0 0");
		start { all = { to = "file:"..folder.."/all" } };
		module_api.pass(1);
		for i = #restore, 1, -1 do restore[i](); end
		assert.equal("a-1", types("all"));
		assert.same({ 0, 1 }, { together, apart });
	end);

	it("continues where it was when it is loaded again", function ()
		start { all = { to = "file:"..folder.."/all" } };
		record("a-1");
		modulemanager.unload(host.name, "audit_sinks");
		modulemanager.unload("*", "audit_sinks");
		record("a-2");
		start { all = { to = "file:"..folder.."/all" } };
		record("a-3");
		assert.equal("a-1 a-2 a-3", types("all"));
	end);

	it("sends everything again if its position can't be read, and says so", function ()
		record("a-1");
		local path = require "util.datamanager".getpath(nil, host.name, "audit", "all.position", true);
		process.write(path, "nonsense");
		start { all = { to = "file:"..folder.."/all" } };
		record("a-2");
		assert.is_truthy(types("all"):find("a-1 a-2", 1, true));
		assert.equal(1, #module_api.complaints("Everything that the log keeps is sent again"));
	end);

	it("uses another configuration at once, and reports what is wrong with it in a line each", function ()
		start { all = { to = "file:"..folder.."/all" } };
		record("a-1");
		config.set("*", "audit_log_sinks", { all = { to = "file:"..folder.."/other" }, bad = { to = "gopher:x" }, no = { to = "file:/nonexistent/x" } });
		module_api.fire_global("config-reloaded");
		record("a-2");
		assert.same({ "a-1", "a-2" }, { types("all"), types("other") });
		local lines = module_api.complaints("sink");
		assert.equal(2, #lines);
	end);

	it("reports trouble once when it begins, and when it ends", function ()
		start { all = { to = "file:"..folder.."/all" } };
		record("a-1");
		os.rename(folder.."/all", folder.."/old");
		process.run("mkdir "..process.quote(folder.."/all"));
		module_api.fire_global("config-reloaded");
		record("a-2");
		module_api.pass(10);
		assert.equal(1, #module_api.complaints("can't be sent to the sink all"));
		process.run("rmdir "..process.quote(folder.."/all"));
		module_api.pass(120);
		assert.equal("a-2", types("all"));
		assert.same({}, module_api.complaints());
	end);
end);
