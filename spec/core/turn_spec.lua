-- One prune of a host at a time: src/lua/prune/turn.lua.

local core = require "audit_core";
local support = require "support.log";

local entry = require "support.pruning".entry;
local host = support.host;

describe("pruning in a server", function ()
	it("is for one at a time, in this process and in others", function ()
		local log = support.new(nil, support.new_store(nil, "embedded"));
		local lock = os.tmpname();
		for i = 1, 100 do
			log.store:append("@events.2020-01-01", nil, entry("x"), 1577880000 + i, "@");
		end
		-- A clock by which each row takes a millisecond.
		log.environment.now = function () log.time = log.time + 0.001; return log.time; end;
		log.environment.pause = function (seconds) log.time = log.time + seconds; coroutine.yield(); end;
		log.environment.lock_path = function () return lock; end;
		log.log = core.new(log.environment);
		local other = core.new(log.environment);
		local first = coroutine.wrap(function () return log.log.prune(host); end);
		assert.is_nil((first()));
		assert.same({ nil, "entries of this host are being removed already" }, { log.log.prune(host) });
		local ok, problem = other.prune(host);
		assert.is_nil(ok);
		assert.is_truthy(problem:find("in use by another process", 1, true), problem);
		local results;
		repeat results = first(); until results;
		assert.equal(100, results[1].count);
		-- The lock is free again.
		local again = coroutine.wrap(function () return other.prune(host); end);
		repeat results = again(); until results;
		assert.equal(0, #results);
		os.remove(lock);
	end);

	describe("that gets no answer from its driver", function ()
		local log, first, told;
		before_each(function ()
			log = support.new(nil, support.new_store(nil, "embedded"), os.tmpname());
			log.environment.pause = function (seconds) log.time = log.time + seconds; coroutine.yield("pause"); end;
			log.environment.lock_path = function () return log.lock; end;
			log.lock = os.tmpname();
			log.log = core.new(log.environment);
			for _, name in ipairs { "@events.2020-01-01", "@events.2020-01-02" } do
				log.store:append(name, nil, entry("x"), 1577880000, "@");
			end
			local delete = log.store.delete;
			function log.store.delete(...)
				log.store.delete = delete;
				coroutine.yield("no answer");
				return delete(...);
			end
			told = false;
			first = coroutine.wrap(function () return log.log.prune(host, { given_up = function () told = true; end }); end);
			assert.equal("no answer", first());
		end);
		after_each(function ()
			log.log.close();
			os.remove(log.lock);
			os.execute("rm -f '"..log.environment.journal_path().."'*");
		end);

		local function lines()
			local found = {};
			for _, line in ipairs(log.lines) do
				if line:find("can't be pruned", 1, true) then table.insert(found, line); end
			end
			return found;
		end

		it("lets the next prune begin after a minute", function ()
			local began, second = log.time, coroutine.wrap(function () return log.log.prune(host, { wait = true }); end);
			local results;
			repeat results = second(); until type(results) == "table";
			assert.is_true(log.time - began >= 60 and log.time - began < 61, tostring(log.time - began));
			assert.same({ 1, 2 }, { #results, results[1].partitions });
			assert.same({
				"error: Audit events of example.com can't be pruned: the storage driver has not answered for 60 seconds; it is tried again later";
			}, lines());
			-- Now the answer comes.
			local before = log.store:names();
			log.store:append("@events.2020-01-03", nil, entry("x"), 1577880000, "@");
			assert.is_nil((first()));
			assert.is_truthy(log.store:names():find("@events.2020-01-03", 1, true), before);
			assert.equal(1, log.log.prune(host)[1].partitions);
		end);

		it("is given up by itself, and tried again", function ()
			log:pass(59);
			assert.same({ {}, false }, { lines(), told });
			log:pass(2);
			assert.same({ 1, true }, { #lines(), told });
			assert.is_truthy(log.store:names():find("@events.2020-01-02", 1, true));
			log.environment.pause = nil;
			log:pass(900);
			assert.is_nil(log.store:names():find("@events.2020-01", 1, true));
			assert.equal(1, #lines());
		end);

	end);
end);
