-- What prosodyctl asks the running server for: lua/audit/reading/requests.lib.lua. Real servers are asked in the end-to-end specs.

local module_api = require "support.module_api";

describe("a request of prosodyctl", function ()
	local host, requests, asked;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		asked = nil;
		local sealing = { replace = function (what) asked = what; return "true"; end };
		requests = host:library "audit/reading/requests" ({ [host.name] = true }, sealing, { erase = function () return "erased"; end });
	end);

	it("is refused for a host without a log", function ()
		assert.same({ nil, "mod_audit is not loaded on it" }, { requests.prune { host = "other.test" } });
		assert.same({ nil, "mod_audit is not loaded on other.test" }, { requests.record { host = "other.test" } });
		assert.same({ nil, "mod_audit is not loaded on nil" }, { requests.record {} });
	end);

	it("is recorded with a name that anybody could have sent", function ()
		assert(requests.record { host = host.name; entries = "3"; by = "mallory"; by_source = "passport"; filter = "--limit=3" });
		local query = host:entries()[1]:get_child("query", "xmpp:prosody.im/audit");
		assert.is_nil(query.attr["by-source"]);
		assert.equal("3", query.attr.entries);
	end);

	it("can erase data", function ()
		assert.equal("erased", requests.erase {});
	end);

	it("can replace the seal key", function ()
		assert.equal("true", (requests["new-seal"] { replace = "true"; by = "root"; by_source = "login" }));
		assert.same({ replace = true; by = "root"; by_source = "login"; actor = { kind = "admin-shell" } }, asked);
		assert.equal("true", (requests["new-seal"] { by_source = "passport" }));
		assert.same({ replace = false; actor = { kind = "admin-shell" } }, asked);
	end);
end);
