-- Options and stores of hosts: src/lua/log/hosts.lua, with a store that does what each spec tells it to.

local support = require "support.log";

local new_log, new_store = support.new, support.new_store;

describe("options", function ()
	it("that are wrong are reported once, and the default is used", function ()
		local log = new_log({ audit_log_expires_after = "soon" });
		for _ = 1, 3 do log.audit("example.com", nil, "mod_test", "t"); end
		assert.equal(1, #log.lines);
		assert.is_truthy(log.lines[1]:find('^error: Option audit_log_expires_after is "soon", which is not allowed: use '), log.lines[1]);
	end);

	it("are read again with the configuration", function ()
		local log = new_log();
		log.audit("example.com", nil, "mod_test", "t", { session = { ip = "203.0.113.80" } });
		log.options.audit_log_ips = false;
		log.log.forget();
		log.audit("example.com", nil, "mod_test", "t", { session = { ip = "203.0.113.80" } });
		assert.equal(0, #log:last().tags[1].tags);
	end);
end);

describe("stores", function ()
	it("are opened once", function ()
		local log = new_log();
		for _ = 1, 3 do log.audit("example.com", nil, "mod_test", "t"); end
		assert.equal(1, log.opened);
		assert.equal(log.store, log.log.stores["example.com"]);
	end);

	it("are forgotten when told to", function ()
		local log = new_log();
		assert.equal(log.store, log.log.stores["example.com"]);
		log.store = new_store();
		log.log.forget("example.com");
		assert.equal(log.store, log.log.stores["example.com"]);
	end);

	it("that can't be opened are tried again at the next event", function ()
		local log = new_log();
		local null = setmetatable({ name = "null" }, { __index = function () return function () return false, "no data storage active"; end; end });
		local failures = {
			function () return nil, "unsupported-datastore"; end;
			function () error("boom"); end;
			function () return null; end;
			function () return nil; end;
		};
		for _, open in ipairs(failures) do
			log.open = open;
			assert.is_nil(log.audit("example.com", nil, "mod_test", "t"));
			assert.is_nil(rawget(log.log.stores, "example.com"));
		end
		log.open = nil;
		assert.is_string(log.audit("example.com", nil, "mod_test", "t"));
		assert.equal(4, log.log.lost());
		assert.equal(5, #log.lines);
	end);
end);
