-- The TLS of sinks: lua/audit/sinks/tls.lib.lua.

local module_api = require "support.module_api";

describe("the TLS of a sink", function ()
	local new_context, create, asked;
	local certmanager;

	before_each(function ()
		certmanager = require "core.certmanager";
		asked, create = nil, certmanager.create_context;
		certmanager.create_context = function (...) asked = { ... }; return "a context"; end;
		new_context = module_api.host():library "sinks/tls";
	end);
	after_each(function () certmanager.create_context = create; end);

	it("checks the other end", function ()
		package.loaded["core.certmanager"] = certmanager;
		assert.equal("a context", new_context { cafile = "/dev/null" });
		assert.same({ "audit_sinks port 0", "client" }, { asked[1], asked[2] });
		assert.same({ "peer", "/dev/null" }, { asked[3].verify, asked[3].cafile });
		-- The reason is only known if the handshake comes to its end.
		assert.same({ "lsec_continue" }, asked[3].verifyext);
	end);

	it("says which file can't be read", function ()
		assert.same({ nil, "certificate can't be read: /nonexistent/x.pem: No such file or directory" },
			{ new_context { cafile = "/dev/null", certificate = "/nonexistent/x.pem" } });
		assert.is_nil(asked);
	end);
end);
