-- Making the stores of hosts known to prosodyctl: lua/audit/reading/activation.lib.lua.

local module_api = require "support.module_api";

local events = require "util.events";
local storagemanager = require "core.storagemanager";

local hosts = module_api.prosody.hosts;

describe("activating hosts in prosodyctl", function ()
	local activate;
	local names = { "one.test", "other.test" };

	before_each(function ()
		local host = module_api.host();
		host:load("audit");
		activate = host:library "audit/reading/activation";
		-- As Prosody makes them there.
		local shared = events.new();
		for _, name in ipairs(names) do
			hosts[name] = { host = name, type = "local", events = shared, modules = {}, sessions = {} };
		end
	end);

	after_each(function ()
		for _, name in ipairs(names) do hosts[name] = nil; end
	end);

	it("gives each host the driver that was loaded for it", function ()
		for _, name in ipairs(names) do assert.is_true(activate(name)); end
		local drivers = {};
		for i, name in ipairs(names) do
			drivers[i] = { name = "of "..name };
			hosts[name].events.fire_event("item-added/storage-provider", { item = { name = "internal"; open = function () return drivers[i]; end } });
		end
		for i, name in ipairs(names) do
			assert.equal(drivers[i], (storagemanager.get_driver(name, "other"):open()));
			-- Once is enough.
			local own = hosts[name].events;
			assert.is_true(activate(name));
			assert.equal(own, hosts[name].events);
		end
	end);

	it("refuses what is no host", function ()
		assert.is_nil(activate("*"));
		assert.is_nil(activate("nobody.test"));
	end);
end);
