-- Several writes as one: src/lua/store/batch.lua, with our own driver. spec/core/sql_spec.lua has the same for Prosody's SQL driver, and
-- spec/core/bytes_spec.lua the way in which our own one is handed entries otherwise.

local module_api = require "support.module_api";

local function new_log()
	local host = module_api.host { storage = { audit = "audit" }, audit_user_history = false };
	local audit = host:load("audit").module;
	-- Entries wait in the journal for a moment.
	require "core.configmanager".set(host.name, "audit_log_write", nil);
	module_api.log().log.forget(host.name);
	local store = audit:open_store("audit", "archive");
	local log = { module = audit, store = store, methods = getmetatable(store) };
	-- The driver is given stanzas, as any other.
	log.hand_over, log.methods.hand_over = log.methods.hand_over, nil;
	return log;
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
	after_each(function () log.methods.hand_over = log.hand_over; end);

	it("are one transaction for many", function ()
		local methods, batches = log.methods, 0;
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
		local methods = log.methods;
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
