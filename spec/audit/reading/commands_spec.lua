-- Making ad-hoc commands of a host: lua/audit/reading/commands.lib.lua.

local module_api = require "support.module_api";

describe("an ad-hoc command of ours", function ()
	local host, module, new_command;

	before_each(function ()
		host = module_api.host();
		new_command = host:library "audit/reading/commands";
		module = host:load("audit").module;
	end);

	it("has what mod_adhoc needs", function ()
		local function handler() end
		local item = new_command(module, "Test", "urn:test", handler, "local_user");
		assert.same({ "Test", "urn:test", handler, "local_user" }, { item.name, item.node, item.handler, item.permission });
		assert.is_function(item.cmdtag);
	end);

	it("for administrators asks for the permission of its own host", function ()
		local asked = {};
		local authz = module_api.prosody.hosts[host.name].authz;
		authz.add_default_permission = function (role, permission) table.insert(asked, role.." "..permission); end;
		local item = new_command(module, "Test", "urn:test", function () end, "admin");
		if module.default_permission then
			assert.equal("check", item.permission);
			assert.equal(1, #asked);
			assert.is_truthy(asked[1]:find("prosody:admin", 1, true) and asked[1]:find("adhoc:urn:test", 1, true), asked[1]);
		else
			assert.equal("admin", item.permission); -- COMPAT 0.12
		end
	end);
end);
