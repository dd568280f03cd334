-- Beginnings and ends of accounts, recorded for their history: lua/audit/reading/account_ends.lib.lua.

local module_api = require "support.module_api";

describe("the beginning and end of an account", function ()
	local host;

	local function new_host(options, ...)
		host = module_api.host(options);
		host:load("audit", ...);
		module_api.complaints();
	end

	local function register_and_delete()
		host:fire("user-registered", { username = "romeo", host = host.name });
		module_api.fire_global("user-deleted", { username = "romeo", host = host.name });
		module_api.pass(1);
	end

	it("are recorded by mod_audit if no module for accounts is loaded", function ()
		new_host();
		register_and_delete();
		assert.equal("user-registered user-deleted", host:types());
		assert.equal("mod_audit", host:entries()[2].attr.source);
	end);

	it("are recorded once if a module for accounts is loaded", function ()
		new_host(nil, "audit_user_accounts", "audit_register");
		register_and_delete();
		assert.equal("user-registered user-deleted", host:types());
		assert.equal("mod_audit_user_accounts", host:entries()[2].attr.source);
	end);

	it("are not recorded if users have no history", function ()
		new_host { audit_user_history = false };
		register_and_delete();
		assert.equal("", host:types());
	end);
end);
