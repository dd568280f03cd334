-- Checks before Prosody's embedded storage driver is used: src/lua/store/embedded.lua. With the real
-- driver and its files.

local datamanager = require "util.datamanager";
local lfs = require "lfs";
local module_api = require "support.module_api";
local process = require "support.process";

describe("the embedded driver", function ()
	local host, module;

	local function new_host(options)
		options = options or {};
		options.storage, options.audit_user_history = "internal", false;
		host = module_api.host(options);
		module = host:load("audit").module;
		module_api.complaints();
	end

	local function state()
		return module_api.log().log.state(host.name);
	end

	-- How many entries can be read.
	local function count()
		local asked = assert(require "audit_core".command({ host.name, "--type=thing" }, require "util.time".now())).asked;
		local result;
		require "util.async".runner(function ()
			result = module_api.log().log.read(asked, function () end, {});
		end):run(true);
		for _ = 1, 5 do module_api.pass(0); end
		return result.shown, result.problem;
	end

	-- A module that makes Prosody keep nothing of the host, until stop() is called.
	local function keep_nothing()
		local name = host.name;
		local function refuse(username, of_host, datastore, data)
			if of_host == name then return false; end
			return username, of_host, datastore, data;
		end
		datamanager.add_callback(refuse);
		return function () datamanager.remove_callback(refuse); end
	end

	local function partition()
		return datamanager.getpath("@events."..os.date("!%Y-%m-%d"), host.name, "audit", "list");
	end

	it("stores entries and returns them", function ()
		new_host();
		for _ = 1, 5 do assert.is_string(module:audit(nil, "thing")); end
		assert.same({ 5, nil }, { count() });
		assert.is_truthy(lfs.attributes(partition(), "mode"));
		assert.same({}, module_api.complaints());
	end);

	it("has all entries read that another version of Prosody wrote without an index", function ()
		new_host();
		for _ = 1, 3 do module:audit(nil, "thing"); end
		-- 0.12 appends to the list, and knows no index.
		local text = process.read(partition());
		local item = text:match("^(item%b());\n") or text:match("^item.-\n(item%b());\n");
		process.write(partition(), text..item:gsub('%["key"%]%s*=%s*"[^"]*"', '["key"] = "other"')..";\n");
		-- A file is believed for a moment after it was looked at.
		local until_then = require "util.time".now() + 0.02;
		repeat until require "util.time".now() > until_then;
		assert.equal(4, (count()));
		module:audit(nil, "thing");
		assert.equal(5, (count()));
	end);

	it("that a module keeps from storing anything is named in one line, and entries wait", function ()
		new_host();
		local stop = keep_nothing();
		for _ = 1, 3 do module:audit(nil, "thing"); end
		module_api.pass(1);
		local lines = module_api.complaints("a module makes Prosody keep nothing of this host in its internal storage; set storage = { audit = \"sql\" }");
		assert.equal(1, #lines);
		assert.equal(3, state().waiting);
		stop();
		module_api.pass(61);
		assert.equal(0, state().waiting);
		assert.equal(3, (count()));
	end);

	it("of an anonymous host is named with the reason", function ()
		new_host { authentication = "anonymous" };
		local stop = keep_nothing();
		module:audit(nil, "thing");
		module_api.pass(1);
		stop();
		assert.equal(1, #module_api.complaints("with authentication = \"anonymous\" Prosody keeps nothing of a host"));
	end);

	it("whose file can't be a list is not asked to append to it: entries wait, and one line names the file", function ()
		new_host();
		local path = partition();
		process.run("mkdir -p "..process.quote(path));
		for _ = 1, 3 do module:audit(nil, "thing"); end
		assert.equal(3, state().waiting);
		module_api.pass(1);
		local lines = module_api.complaints("can't be stored");
		assert.equal(1, #lines);
		process.run("rmdir "..process.quote(path));
		module_api.pass(61);
		assert.same({ 0, 3 }, { state().waiting, (count()) });
	end);
end);
