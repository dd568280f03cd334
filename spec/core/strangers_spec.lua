-- Names that are no accounts, stored as keyed hashes: src/lua/log/strangers.lua.

local core = require "audit_core";
local process = require "support.process";
local support = require "support.log";

local NAMESPACE, host = support.NAMESPACE, support.host;

describe("a name that is no account", function ()
	local folder, log, asked;

	local function new(options, exists, key_folder)
		folder = key_folder or process.new_folder("key");
		options.audit_log_flood = options.audit_log_flood or false;
		log = support.new(options);
		asked = 0;
		log.environment.key_path = function () return folder.."/key"; end;
		log.environment.exists = function (_, username)
			asked = asked + 1;
			return exists(username);
		end;
		log.log = core.new(log.environment);
		log.audit = log.log.audit;
	end

	local function only_romeo(username) return username == "romeo"; end

	before_each(function () new({ audit_log_unknown_names = "hash" }, only_romeo); end);

	local function failure(name, event_type)
		assert.is_string((log.audit(host, name.."@"..host, "mod_test", event_type or "authentication-failure")));
		local list = log.store:rows(log.store:names():match("%S*failures%S*") or "@events.2026-11-24");
		local row = list[#list];
		return row.value, row;
	end

	it("is not stored, but its hash, the key of it and its length", function ()
		local entry, row = failure("hunter2");
		assert.same({ nil, "@" }, { entry.attr.user, row.with });
		local name = entry:get_child("unknown-name", NAMESPACE);
		assert.same({ "7", 8 }, { name.attr.length, #name.attr.key });
		assert.matches("^%x+$", name:get_text());
		for _, rows in pairs(log.store.partitions) do
			for _, stored in ipairs(rows) do assert.is_nil(tostring(stored.value):find("hunter2", 1, true)); end
		end
	end);

	it("has the same hash each time and in another process, and another name has another one", function ()
		local function hash(name) return (failure(name)):get_child_text("unknown-name", NAMESPACE); end
		local first = hash("hunter2");
		assert.equal(first, hash("hunter2"));
		assert.is_true(first ~= hash("hunter3"));
		new({ audit_log_unknown_names = "hash" }, only_romeo, folder);
		assert.equal(first, hash("hunter2"));
	end);

	it("is stored as it is if it is an account after all, or that can't be told", function ()
		assert.equal("romeo@"..host, failure("romeo").attr.user);
		new({ audit_log_unknown_names = "hash" }, function () return nil; end);
		assert.equal("hunter2@"..host, failure("hunter2").attr.user);
		new({ audit_log_unknown_names = "hash" }, function () error("broken"); end);
		assert.equal("hunter2@"..host, failure("hunter2").attr.user);
	end);

	it("is stored as it is in events that only an account can cause", function ()
		assert.equal("former@"..host, failure("former", "user-deleted").attr.user);
		assert.equal(0, asked);
	end);

	it("is stored as it is if the option does not say otherwise", function ()
		new({}, only_romeo);
		assert.equal("hunter2@"..host, failure("hunter2").attr.user);
		assert.equal(0, asked);
	end);

	it("is not stored without a key either", function ()
		process.write(folder.."/key", "nonsense");
		local entry = failure("hunter2");
		local name = entry:get_child("unknown-name", NAMESPACE);
		assert.same({ nil, nil, "7" }, { entry.attr.user, name:get_text() ~= "" and name:get_text() or nil, name.attr.length });
	end);

	it("is not in summaries of flood control, nor in their samples", function ()
		local journal = require "support.journal".new("strangers");
		journal.begin();
		folder = process.new_folder("key");
		log = journal:log { audit_log_unknown_names = "hash" };
		log.environment.key_path = function () return folder.."/key"; end;
		log.environment.exists = function (_, username) return only_romeo(username); end;
		log.log = core.new(log.environment);
		log.log.open(host);
		for _ = 1, 20 do
			log.log.audit(host, "hunter2@"..host, "mod_test", "authentication-failure", { session = { ip = "203.0.113.80" } });
		end
		log:pass(120);
		local summaries = 0;
		for _, rows in pairs(log.store.partitions) do
			for _, row in ipairs(rows) do
				local repeated = row.value:get_child("repeated", NAMESPACE);
				assert.is_nil(tostring(row.value):find("hunter2", 1, true));
				if repeated then
					summaries = summaries + 1;
					assert.is_truthy(repeated.tags[1].attr["name-hash"]);
				end
			end
		end
		assert.equal(1, summaries);
		journal.finish();
	end);

	it("has a new hash once the key is another", function ()
		local first = (failure("hunter2")):get_child_text("unknown-name", NAMESPACE);
		assert(core.new_key(folder.."/key"));
		log.log.look_at_key(host);
		assert.is_true(first ~= (failure("hunter2")):get_child_text("unknown-name", NAMESPACE));
	end);
end);
