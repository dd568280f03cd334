-- Sealing the logs of all hosts: lua/audit/sealing.lib.lua. Real servers are in the end-to-end spec (seals).

local core = require "audit_core";
local module_api = require "support.module_api";
local socket = require "socket";

describe("sealing", function ()
	local host, shared, path, sealing, key;

	local function of_type(event_type)
		local found = {};
		for _, entry in ipairs(host:entries()) do
			if entry.attr.type == event_type then table.insert(found, entry); end
		end
		return found;
	end

	local function verify(keys)
		return shared.log.verify(host.name, nil, { keys = keys });
	end

	local function audit(event_type)
		host:load("audit").module:audit("romeo@"..host.name, event_type);
	end

	local function replace(again)
		key = assert(core.new_seal(path..".new"));
		return sealing.replace { replace = again; by = "root"; by_source = "login"; actor = { kind = "admin-shell" } };
	end

	before_each(function ()
		host = module_api.host();
		shared = host:load("audit").module:shared("/*/audit/log");
		path = shared.environment.seal_path;
		os.remove(path);
		sealing = host:library "audit/sealing" (shared.log, { [host.name] = true }, path);
		audit "test-event";
	end);

	after_each(function ()
		sealing.close();
		os.remove(path);
		os.remove(path..".new");
		module_api.complaints();
	end);

	it("is not done without a key", function ()
		sealing.seal();
		assert.same({}, of_type "audit-sealed");
		assert.same({ is_on = false }, sealing.state(host.name));
	end);

	it("begins when there is a key, and is done if something has happened", function ()
		assert(replace());
		assert.equal(1, #of_type "audit-seal-created");
		assert.is_true(sealing.state(host.name).is_on and sealing.state(host.name).at > 1.6e9);
		assert.equal(1, #of_type "audit-sealed");
		sealing.seal();
		assert.equal(1, #of_type "audit-sealed");
		audit "test-event";
		sealing.seal();
		assert.equal(2, #of_type "audit-sealed");
		local result = assert(verify { key });
		assert.is_true(result.intact, table.concat(result.lines, "\n"));
		assert.is_truthy(result.lines[2]:find("^sealed: 2 seals verified, the last one of 20"), result.lines[2]);
		-- The entry of the last seal itself.
		assert.equal("not sealed yet: 1 entry", result.lines[3]);
		assert.is_nil(io.open(path..".new"));
	end);

	it("finds a seal that was changed, one that was removed, and a file that is gone", function ()
		assert(replace());
		for _ = 1, 3 do
			audit "test-event";
			sealing.seal();
		end
		local changed;
		for _, item in ipairs(host.appended) do
			local seal = item.value.attr.type == "audit-sealed" and item.value:get_child("seal", "xmpp:prosody.im/audit");
			changed = seal or changed;
		end
		local real = changed.attr.time;
		changed.attr.time = "1"..real;
		local lines = table.concat(assert(verify { key }).lines, "\n");
		assert.is_truthy(lines:find("seals: resealed: the seal of epoch %d was changed"), lines);
		changed.attr.time = real;
		assert.is_true((assert(verify { key }).intact));
		os.rename(path, path..".kept");
		local result = assert(verify { key });
		assert.equal(3, result.status);
		assert.is_truthy(table.concat(result.lines, "\n"):find("the seal file is missing", 1, true));
		os.rename(path..".kept", path);
	end);

	it("lets the server go on while the key is replaced", function ()
		local others = { module_api.host(), module_api.host() };
		local names, slept = { [host.name] = true }, 0;
		for _, other in ipairs(others) do
			other:load("audit").module:audit("romeo@"..other.name, "test-event");
			names[other.name] = true;
		end
		local log = setmetatable({ audit = function (...)
			-- Longer than a slice.
			socket.sleep(0.006);
			return shared.log.audit(...);
		end }, { __index = shared.log });
		local refused;
		sealing.close();
		sealing = host:library "audit/sealing" (log, names, path, function (seconds)
			slept = slept + 1;
			-- Somebody else asks meanwhile, and another entry is recorded.
			refused = refused or select(2, sealing.replace { replace = true });
			if slept == 3 then audit "test-event"; end
			socket.sleep(seconds);
		end);
		assert(replace());
		local first = key;
		slept = 0;
		assert(replace(true));
		-- Between the entries of three hosts: seals, ends of the former key, the new key, seals.
		assert.is_true(slept >= 8, slept);
		assert.equal("the seal key is being replaced already", refused);
		for name in pairs(names) do
			local result = assert(shared.log.verify(name, nil, { keys = { first, key } }));
			assert.is_true(result.intact, table.concat(result.lines, "\n"));
		end
	end);

	-- The server was stopped while an epoch was being sealed: the seals of some hosts were recorded, and the epoch was sealed once more without
	-- them. Their logs were reported as resealed.
	for _, what in ipairs { "the server stops", "the key is replaced" } do
		it("ends the epoch that is being sealed when "..what, function ()
			local names, recorded = { [host.name] = true }, 0;
			for _ = 1, 2 do
				local other = module_api.host();
				other:load("audit").module:audit("romeo@"..other.name, "test-event");
				names[other.name] = true;
			end
			local log = setmetatable({ audit = function (...)
				-- Longer than a slice, so each turn of the loop records one.
				socket.sleep(0.006);
				if select(4, ...) == "audit-sealed" then recorded = recorded + 1; end
				return shared.log.audit(...);
			end }, { __index = shared.log });
			sealing.close();
			sealing = host:library "audit/sealing" (log, names, path);
			assert(replace());
			local keys = { key };
			for name in pairs(names) do shared.log.audit(name, nil, "mod_test", "test-event", {}); end
			recorded = 0;
			sealing.start();
			module_api.pass(10);
			while recorded == 0 do module_api.pass(0); end
			assert.is_true(recorded < 3, recorded);
			if what == "the server stops" then
				sealing.seal();
			else
				assert(replace(true));
				keys[2] = key;
			end
			for name in pairs(names) do
				local result = assert(shared.log.verify(name, nil, { keys = keys }));
				assert.is_true(result.intact, table.concat(result.lines, "\n"));
			end
		end);
	end

	it("verifies after there was no room for a seal", function ()
		assert(replace());
		local has_room = false;
		local log = setmetatable({ audit = function (name, user, source, event_type, extra)
			if event_type == "audit-sealed" and not has_room then
				return nil, "resource-constraint";
			end
			return shared.log.audit(name, user, source, event_type, extra);
		end }, { __index = shared.log });
		sealing.close();
		sealing = host:library "audit/sealing" (log, { [host.name] = true }, path);
		for _, room in ipairs { false, true } do
			has_room = room;
			audit "test-event";
			sealing.seal();
		end
		assert.equal(2, #of_type "audit-sealed");
		local result = assert(verify { key });
		assert.is_true(result.intact, table.concat(result.lines, "\n"));
	end);

	it("refuses the key of another server", function ()
		assert(replace());
		local result, problem = verify { assert(core.new_seal(path..".other")) };
		os.remove(path..".other");
		assert.is_nil(result);
		assert.is_truthy(problem:find("the seal key is of another server", 1, true), problem);
	end);

	it("goes on with another key, and both verify", function ()
		assert(replace());
		local former = key;
		audit "test-event";
		local ok, problem = replace();
		assert.same({ nil, "there is a seal key already" }, { ok, problem });
		assert(replace(true));
		audit "test-event";
		sealing.seal();
		assert.equal(1, #of_type "audit-seal-replaced");
		local both = assert(verify { former, key });
		assert.is_true(both.intact, table.concat(both.lines, "\n"));
		local one = assert(verify { former });
		assert.is_true(one.intact, table.concat(one.lines, "\n"));
		assert.is_truthy(table.concat(one.lines, "\n"):find("not verified: %d seals? of a key that was not given"));
	end);

	it("says once that the file can't be written, and seals the epoch again", function ()
		assert(replace());
		os.remove(path);
		for _ = 1, 2 do
			audit "test-event";
			sealing.seal();
		end
		assert.equal(1, #module_api.complaints("somebody has removed the seal file"));
	end);
end);
