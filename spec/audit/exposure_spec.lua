-- Whether other users of the machine can read the log: lua/audit/exposure.lib.lua.

local config = require "core.configmanager";
local datamanager = require "util.datamanager";
local module_api = require "support.module_api";
local process = require "support.process";

local quote = process.quote;

describe("other users of the machine", function ()
	local data = module_api.prosody.paths.data;
	local host, hosts, exposure, folder, file;

	if not require "audit_core".others_can_read(process.target) then
		pending("the folder of this checkout is closed to others");
		return;
	end

	before_each(function ()
		host = module_api.host();
		hosts = { [host.name] = true };
		exposure = host:library "exposure";
		folder = datamanager.getpath("any", host.name, "audit", "list"):gsub("/[^/]*$", "");
		file = folder..".list";
		process.run(("mkdir -p %s && chmod -R o-rwx %s"):format(quote(folder), quote(data)));
		process.run("chmod o+x "..quote(data));
		module_api.complaints();
	end);

	after_each(function () process.run("chmod o-rwx "..quote(data)); end);

	local function chmod(mode, path)
		process.run(("chmod %s %s"):format(mode, quote(path)));
	end

	it("can't read it if its folder is closed, or one above it", function ()
		assert.is_nil(exposure.find(hosts)); -- that of the host
		chmod("o+x", (folder:gsub("/[^/]*$", "")));
		assert.is_nil(exposure.find(hosts)); -- its own
		chmod("o+rx", folder);
		assert.equal(folder, exposure.find(hosts));
		chmod("o-x", data);
		assert.is_nil(exposure.find(hosts)); -- that of the server
	end);

	it("can't read the file of the older layout if it is closed", function ()
		chmod("o+x", (folder:gsub("/[^/]*$", "")));
		process.write(file, "");
		chmod("640", file);
		assert.is_nil(exposure.find(hosts));
		chmod("644", file);
		assert.equal(file, exposure.find(hosts));
	end);

	it("can't read an SQLite file if it is closed", function ()
		config.set(host.name, "storage", "sql");
		config.set(host.name, "sql", { driver = "SQLite3", database = "log.sqlite" });
		local database = data.."/log.sqlite";
		process.write(database, "");
		chmod("640", database);
		assert.is_nil(exposure.find(hosts));
		chmod("644", database);
		assert.equal(database, exposure.find(hosts));
		config.set(host.name, "sql", { driver = "PostgreSQL", database = "log.sqlite" });
		assert.is_nil(exposure.find(hosts));
	end);

	it("are warned of in one line that says what to do", function ()
		exposure.warn(hosts);
		assert.same({}, module_api.complaints());
		chmod("-R o+rx", (folder:gsub("/[^/]*$", "")));
		exposure.warn(hosts);
		assert.same({ ("All users of this machine can read the audit log, such as %s. To prevent that: chmod o-rwx %s"):format(folder, data) },
			module_api.complaints());
	end);
end);
