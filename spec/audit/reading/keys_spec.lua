-- Replacing the key that addresses are hashed with: lua/audit/reading/keys.lib.lua.

local module_api = require "support.module_api";

describe("a new key", function ()
	local host, new_key;

	before_each(function ()
		host = module_api.host { audit_log_ips = "hash" };
		local audit = host:load("audit");
		new_key = audit.module:depends("audit").library "reading/keys";
	end);

	it("replaces the one before, and says which older hashes it does not match", function ()
		local first = assert(new_key(host.name));
		assert.is_truthy(first:find("^"..host.name:gsub("%p", "%%%0")..": addresses are hashed with the new key %x+%. Older hashes do not match"), first);
		local second = assert(new_key(host.name));
		local old = first:match("new key (%x+)");
		assert.is_truthy(second:find("Older hashes (key "..old..") do not match new ones.", 1, true), second);
		assert.is_not.equal(old, second:match("new key (%x+)"));
	end);
end);
