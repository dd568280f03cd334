-- Logs of hosts that are not configured any more: lua/audit/reading/leftovers.lib.lua.

local module_api = require "support.module_api";
local datamanager = require "util.datamanager";
local lfs = require "lfs";

describe("logs that are left over", function ()
	local host, leftovers, folders;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		leftovers = host:library "audit/reading/leftovers";
		folders = {};
		module_api.complaints();
	end);

	after_each(function ()
		for _, folder in ipairs(folders) do os.execute("rm -rf '"..folder.."'"); end
	end);

	local function leave(folder, ...)
		folder = module_api.prosody.paths.data.."/"..folder;
		table.insert(folders, folder);
		lfs.mkdir(folder);
		for _, name in ipairs { ... } do
			if name:sub(-1) == "/" then
				lfs.mkdir(folder.."/"..name:sub(1, -2));
			else
				io.open(folder.."/"..name, "w"):close();
			end
		end
	end

	it("are those of hosts with files of a log that are not configured, in order", function ()
		leave(datamanager.path_encode("old.test"), "audit.journal", "accounts/");
		leave(datamanager.path_encode("former.test"), "audit/");
		leave(datamanager.path_encode("plain.test"), "accounts/", "auditors.dat");
		leave(datamanager.path_encode(host.name), "audit.journal");
		-- Configured, but not active.
		require "core.configmanager".set("inactive.test", "enabled", false);
		leave(datamanager.path_encode("inactive.test"), "audit.journal");
		leave("not.encoded", "audit.journal");
		leave(".hidden", "audit.journal");
		assert.same({ "former.test", "old.test" }, leftovers.find());
	end);

	it("are none if there is no folder of data", function ()
		local data = module_api.prosody.paths.data;
		module_api.prosody.paths.data = data.."/nowhere";
		assert.same({}, leftovers.find());
		module_api.prosody.paths.data = data;
	end);

	it("are named in one warning when the server starts", function ()
		leave(datamanager.path_encode("old.test"), "audit.journal");
		module_api.fire_global("server-started");
		local lines = module_api.complaints("logs of hosts that are not configured: old.test.");
		assert.equal(1, #lines);
		assert.is_truthy(lines[1]:find("prosodyctl mod_audit --host-data --prune HOST", 1, true));
	end);

	it("can be made known to the process, unless the host is configured", function ()
		local activated, problem = leftovers.activate(host.name);
		assert.same({ nil, host.name.." is configured: name it without --host-data" }, { activated, problem });
		assert.is_true(leftovers.activate("old.test"));
		assert.same({ "old.test", "local" }, { module_api.prosody.hosts["old.test"].host, module_api.prosody.hosts["old.test"].type });
		module_api.prosody.hosts["old.test"] = nil;
	end);
end);
