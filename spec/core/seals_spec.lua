-- Reading the seals of a log before its entries: src/lua/read/seals.lua. What they prove is tested with lua/audit/sealing.lib.lua.

local core = require "audit_core";
local journals = require "support.journal";
local process = require "support.process";
local support = require "support.log";

local host = support.host;

describe("the seals of a log", function ()
	local journal = journals.new("seals");
	local path;
	before_each(function ()
		journal.begin();
		path = process.new_folder("seals").."/audit.seal";
	end);
	after_each(journal.finish);

	-- A log with a seal key, and what seals it.
	local function sealed(kind)
		local log = journal:log(nil, support.new_store(nil, kind));
		log.environment.seal_path = path;
		log.log.close();
		log.log = core.new(log.environment);
		log.audit = log.log.audit;
		log.log.open(host);
		local seals = log.log.seals();
		local key = assert(core.new_seal(path..".new"));
		seals:adopt(path..".new");
		assert(seals:poll(true));
		return log, key, function ()
			for _, name in ipairs(seals:make({ host }, log.time)) do
				local seal, heads = seals:take(name), {};
				for i, head in ipairs(seal.heads) do heads[i] = core.detail("head", head); end
				log.audit(name, nil, "mod_audit", "audit-sealed", { custom = { core.detail("seal", seal.attributes, nil, heads) } });
				seals:recorded(name);
			end
			seals:save();
			assert.is_true((seals:poll(true)));
		end;
	end

	for _, kind in ipairs { "embedded", "sql" } do
		it("are found in all partitions and in the journal, in a store like "..kind, function ()
			local log, key, seal = sealed(kind);
			for day = 1, 3 do
				journal:audit(log, day, day);
				seal();
				if day < 3 then log:pass(2); end
				log.time = log.time + 86400;
			end
			log.time = log.time - 86400;
			local result = assert(log.log.verify(host, nil, { keys = { key } }));
			assert.equal(0, result.status, table.concat(result.lines, "\n"));
			assert.is_truthy(result.lines[2]:find("^sealed: 3 seals verified"), result.lines[2]);
			-- Every page is read: one has 500 rows.
			for i = 4, 30 do
				journal:audit(log, i, i);
				seal();
			end
			log:pass(2);
			result = assert(log.log.verify(host, function () end, { keys = { key } }));
			assert.is_truthy(result.lines[2]:find("^sealed: 30 seals verified"), result.lines[2]);
		end);
	end

	it("can't be read if the store or the file can't be", function ()
		local log, key = sealed();
		journal:audit(log, 1, 1);
		process.write(path, "damaged");
		local result, problem = log.log.verify(host, nil, { keys = { key } });
		assert.is_nil(result);
		assert.is_truthy(problem:find("holds no seal key", 1, true), problem);
		os.remove(path);
		log.store.find = function () return nil, "down"; end;
		result, problem = log.log.verify(host, nil, { keys = { key } });
		assert.same({ nil, "down" }, { result, problem });
	end);
end);
