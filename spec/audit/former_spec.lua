-- What other storage drivers hold of the log: lua/audit/former.lib.lua.

local module_api = require "support.module_api";
local process = require "support.process";

describe("another storage driver", function ()
	local host, former;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		former = host:library "former";
	end);

	it("is opened though it is not the configured one", function ()
		local st = require "util.stanza";
		local store = assert(former.open(host.name, "internal", "audit_test"));
		assert(store:append(nil, nil, st.stanza("x"), 1764072000, "@"));
		assert.equal("x", (select(2, store:find(nil, {})())).name);
	end);

	it("that can't be loaded is named", function ()
		assert.same({ nil, "the storage driver nowhere can't be loaded" }, { former.open(host.name, "nowhere", "audit") });
		assert.same({ nil, "the storage driver null can't be loaded" }, { former.open(host.name, "null", "audit") });
		assert.same({ nil, "the storage driver internal can't be loaded" }, { former.open("unknown.example", "internal", "audit") });
		module_api.complaints();
	end);

	it("that keeps entries in audit.sqlite3 is noticed", function ()
		local path = module_api.prosody.paths.data.."/audit.sqlite3";
		os.remove(path);
		assert.is_false(former.has_native());
		process.write(path, "");
		assert.is_true(former.has_native());
		os.remove(path);
	end);

	it("is reported with the number of entries that stay there", function ()
		module_api.complaints();
		former.warn({ left_behind = function (name)
			if name == host.name then return 12, "internal"; end
		end }, { [host.name] = true, ["other.example"] = true });
		local found = module_api.complaints();
		assert.equal(1, #found);
		local what = "12 audit events of "..host.name.." are in audit.sqlite3, which is not used any more, and are not shown";
		assert.is_truthy(found[1]:find(what, 1, true), found[1]);
		assert.is_truthy(found[1]:find('storage driver internal: audit_log_move_from = "audit"', 1, true), found[1]);
	end);
end);
