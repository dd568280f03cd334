-- Whether a name is that of an account: lua/audit/existing.lib.lua.

local module_api = require "support.module_api";

describe("whether an account exists", function ()
	local storagemanager = require "core.storagemanager";
	local host, existing, asked, accounts, failure;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		existing = module_api.log().existing;
		asked, accounts, failure = 0, {}, nil;
		module_api.prosody.hosts[host.name].users = { name = "internal_hashed" };
		local get_driver, open = storagemanager.get_driver, storagemanager.open;
		stub(storagemanager, "get_driver", function (name, store)
			if name == host.name and store == "accounts" then return {}, host.driver or "internal"; end
			return get_driver(name, store);
		end);
		stub(storagemanager, "open", function (name, store, store_type)
			if name ~= host.name or store ~= "accounts" then return open(name, store, store_type); end
			return {
				get = function (_, username)
					asked = asked + 1;
					if failure then return nil, failure; end
					return accounts[username];
				end;
			};
		end);
	end);

	after_each(function ()
		storagemanager.get_driver:revert();
		storagemanager.open:revert();
	end);

	it("is known from the embedded storage", function ()
		accounts.romeo = {};
		assert.is_true(existing.exists(host.name, "romeo"));
		assert.is_false(existing.exists(host.name, "juliet"));
		assert.is_true(existing.answers(host.name));
	end);

	it("is looked up once a minute for each name", function ()
		for _ = 1, 5 do assert.is_false(existing.exists(host.name, "romeo")); end
		assert.equal(1, asked);
		accounts.romeo = {};
		module_api.pass(59);
		assert.is_false(existing.exists(host.name, "romeo"));
		module_api.pass(2);
		assert.is_true(existing.exists(host.name, "romeo"));
		assert.equal(2, asked);
	end);

	it("is known without a lookup if the account is online", function ()
		module_api.prosody.hosts[host.name].sessions.romeo = {};
		assert.is_true(existing.exists(host.name, "romeo"));
		assert.equal(0, asked);
	end);

	for what, set in pairs {
		["with a database"] = function () host.driver = "sql"; end;
		["with LDAP"] = function () module_api.prosody.hosts[host.name].users.name = "ldap"; end;
		["without a provider"] = function () module_api.prosody.hosts[host.name].users = nil; end;
	} do
		it("is not known "..what..", which is never asked", function ()
			set();
			assert.is_nil(existing.exists(host.name, "romeo"));
			assert.is_false(existing.answers(host.name));
			assert.equal(0, asked);
		end);
	end

	it("is not known if the file can't be read", function ()
		failure = "permission denied";
		assert.is_nil(existing.exists(host.name, "romeo"));
	end);

	it("is not known of a host or name that makes no sense", function ()
		assert.is_nil(existing.exists("nowhere.test", "romeo"));
		assert.is_nil(existing.exists(host.name, ""));
		assert.is_nil(existing.exists(host.name, {}));
		assert.is_false(existing.answers("nowhere.test"));
	end);

	it("is false without a lookup for a name that is too long for a file", function ()
		assert.is_false(existing.exists(host.name, ("x"):rep(300)));
		assert.equal(0, asked);
	end);

	it("remembers a bounded number of names", function ()
		for i = 1, 4001 do existing.exists(host.name, "name"..i); end
		assert.equal(4001, asked);
		existing.exists(host.name, "name4001");
		assert.equal(4001, asked);
		existing.exists(host.name, "name1");
		assert.equal(4002, asked);
	end);
end);
