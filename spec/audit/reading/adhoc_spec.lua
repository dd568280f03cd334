-- The ad-hoc commands that are offered: lua/audit/reading/adhoc.lib.lua.

local module_api = require "support.module_api";

local NODE = "xmpp:prosody.im/audit#";

describe("the ad-hoc commands", function ()
	local function offered(host)
		local found = {};
		for _, node in ipairs { "log", "summary", "history", "history-download" } do
			found[node] = (pcall(host.adhoc, host, NODE..node, { from = "admin@"..host.name.."/x", action = "cancel" }));
		end
		return found;
	end

	it("are those for administrators and those for users", function ()
		local host = module_api.host();
		host:load("audit");
		assert.same({ log = true; summary = true; history = true; ["history-download"] = true }, offered(host));
	end);

	it("are without those for users if the option says so", function ()
		local host = module_api.host { audit_user_history = false };
		host:load("audit");
		assert.same({ log = true; summary = true; history = false; ["history-download"] = false }, offered(host));
	end);
end);
