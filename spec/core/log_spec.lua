-- The log as a whole: src/lua/log/log.lua.

local core = require "audit_core";
local support = require "support.log";

local host, NAMESPACE = support.host, support.NAMESPACE;

describe("a keyed hash of addresses", function ()
	local folder = require "lfs".currentdir().."/target/scratch/keys-"..tostring({}):match("0x(%x+)");

	local function new()
		local log = support.new({ audit_log_classes = { failures = { ips = "hash" } } });
		log.environment.key_path = function (name) return folder.."/"..name..".key"; end;
		log.log = core.new(log.environment);
		return log;
	end

	local function hashed(log, ip)
		log.log.audit(host, nil, "mod_test", "s2s-refused", { session = { ip = ip }, actor = { kind = "user", session = { ip = ip } } });
		local rows = log.store:rows("@failures.2026-11-24");
		local session = rows[#rows].value:get_child("session", NAMESPACE);
		local hash = session.tags[1];
		assert.same({ 1, "ip-hash" }, { #session.tags, hash.name });
		assert.same(hash.attr.key, rows[#rows].value:get_child("actor", NAMESPACE).tags[1].attr.key);
		return hash:get_text(), hash.attr.key;
	end

	teardown(function () os.execute("rm -rf '"..folder.."'"); end);

	it("identifies an address, and changes with its key", function ()
		local log = new();
		local hash, key = hashed(log, "203.0.113.80");
		assert.is_truthy(hash:match("^%x+$") and #hash == 32 and #key == 8);
		assert.equal(hash, (hashed(log, "::ffff:203.0.113.80")));
		assert.is_true(hash ~= hashed(log, "203.0.113.81"));
		assert.same({ hash, key }, { log.log.hash(host, "203.0.113.80") });
		assert.equal(hash, (hashed(new(), "203.0.113.80")), "another process has the same key");
		assert.is_truthy(log:shown():find(hash, 1, true));
		assert.same({ 2, 1, 3 }, { (select(2, log:shown("--ip", "203.0.113.80"))), (select(2, log:shown("--ip", "203.0.113.81"))),
			(select(2, log:shown())) });

		log.log.look_at_key(host);
		local old, new_key = core.new_key(folder.."/"..host..".key");
		assert.is_true(old == key and new_key ~= key);
		log.log.look_at_key(host);
		log.log.look_at_key(host);
		local again, id = hashed(log, "203.0.113.80");
		assert.same({ new_key, false }, { id, again == hash });
		local rows = log.store:rows("@events.2026-11-24");
		assert.equal(1, #rows);
		assert.equal("audit-key-replaced", rows[1].value.attr.type);
		assert.same({ xmlns = NAMESPACE; old = old; new = new_key }, rows[1].value.tags[1].attr);
	end);

	it("is not replaced by the address if there is no key", function ()
		local log = new();
		os.execute("rm -rf '"..folder.."'; mkdir -p '"..folder.."'; echo nonsense > '"..folder.."/"..host..".key'");
		log.log.audit(host, nil, "mod_test", "s2s-refused", { session = { ip = "203.0.113.80" } });
		log.log.audit(host, nil, "mod_test", "s2s-refused", { session = { ip = "203.0.113.81" } });
		local rows = log.store:rows("@failures.2026-11-24");
		assert.same({ 2, 0 }, { #rows, #rows[1].value.tags[1].tags });
		assert.equal(1, #log.lines);
		assert.is_truthy(log.lines[1]:find("no key to hash them with", 1, true));
	end);
end);
