-- Several writes as one: src/lua/store/batch.lua, with our own driver. spec/core/sql_spec.lua has the same for Prosody's SQL driver.

local module_api = require "support.module_api";

local function new_log()
	local host = module_api.host { storage = { audit = "audit" }, audit_user_history = false };
	local audit = host:load("audit").module;
	-- Entries wait in the journal for a moment.
	require "core.configmanager".set(host.name, "audit_log_write", nil);
	module_api.log().log.forget(host.name);
	return { module = audit, store = audit:open_store("audit", "archive") };
end

local function count(log)
	local entries = 0;
	for user in log.store:users() do
		entries = entries + select(2, log.store:find(user, { total = true; limit = 0 }));
	end
	return entries;
end

describe("entries that waited, handed over to the driver \"audit\",", function ()
	local log;
	before_each(function ()
		log = new_log();
		log.module:audit(nil, "thing");
		module_api.pass(1);
	end);

	it("are one transaction for many", function ()
		local methods, batches = getmetatable(log.store), 0;
		local batch = methods.batch;
		methods.batch = function (...)
			batches = batches + 1;
			return batch(...);
		end;
		for _ = 1, 25 do log.module:audit(nil, "thing"); end
		module_api.pass(1);
		methods.batch = batch;
		assert.equal(26, count(log));
		assert.is_true(batches >= 1 and batches <= 6, batches.." transactions");
	end);

	it("are stored one at a time if one of them is refused, up to that one", function ()
		local methods = getmetatable(log.store);
		local append = methods.append;
		methods.append = function (self, user, key, stanza, ...)
			if stanza.attr.type == "bad" then return nil, "the disk is full"; end
			return append(self, user, key, stanza, ...);
		end;
		for i = 1, 10 do log.module:audit(nil, i == 5 and "bad" or "thing"); end
		module_api.pass(1);
		methods.append = append;
		assert.equal(5, count(log));
		module_api.complaints();
		module_api.pass(60);
		assert.equal(11, count(log));
	end);
end);
