-- Long work on a store, in slices: src/lua/prune/slices.lua.

local core = require "audit_core";
local process = require "support.process";
local pruning = require "support.pruning";
local st = require "util.stanza";
local support = require "support.log";

local noon, day = support.noon, 86400;
local new_log, entry, name_of, done = pruning.new_log, pruning.entry, pruning.name_of, pruning.done;

describe("a copy on the embedded driver", function ()
	it("is kept for 45 seconds before its original is removed", function ()
		local log = new_log({ audit_log_ips_expire_after = "1d" }, "embedded");
		log.store:append(name_of("events", noon - 3 * day), nil, entry("a", "203.0.113.80"), noon - 3 * day, "@");
		log.store:append(nil, nil, entry("old"), noon, "@");
		local copied, kept = {}, {};
		local append, delete = log.store.append, log.store.delete;
		function log.store.append(self, user, ...)
			if user and not copied[user] and user:find("^@%l+%-") then copied[user] = log.time; end
			return append(self, user, ...);
		end
		local datamanager = { append = log.store.append };
		function log.store.append(...) return datamanager.append(...); end
		function log.store.delete(self, user, query)
			kept[user or "nil"] = log.time;
			return delete(self, user, query);
		end
		log.environment.pause = function (seconds) log.time = log.time + seconds; end;
		log.log = core.new(log.environment);
		assert.equal("events addresses 1 in 1", (done(log)));
		assert.is_true(kept["@events.2026-11-21"] - copied["@cut-events.2026-11-21"] >= 45);
		assert.is_true(kept["nil"] - copied["@old-events.2026-11-24.100001"] >= 45);
	end);
end);

describe("long work on a store", function ()
	it("goes on in slices of some milliseconds", function ()
		local log = support.new(nil, support.new_store(nil, "embedded"));
		for back = 60, 30, -1 do
			for i = 1, 100 do
				local time = noon - back * day + i;
				log.store:append(name_of("events", time), nil, entry("x"), time, "@");
			end
		end
		-- A clock by which each row takes a millisecond.
		log.environment.now = function () log.time = log.time + 0.001; return log.time; end;
		log.environment.pause = function (seconds) log.time = log.time + seconds; coroutine.yield(); end;
		log.log = core.new(log.environment);
		local slices, thread = 0, coroutine.wrap(function () return done(log); end);
		local result;
		repeat
			result = thread();
			slices = slices + 1;
		until result;
		assert.equal("events expired 3100 in 31", result);
		assert.is_true(slices > 200, slices.." slices");
		assert.is_true(log.log.longest_slice() < 0.010, log.log.longest_slice().." s");
	end);

	it("pauses sooner and for less time on the driver \"audit\"", function ()
		local path = process.new_folder("slices").."/audit.sqlite3";
		local driver = assert(core.storage {
			host = "example.com"; path = path; is_server = false; patience = 1; shared = {}; now = os.time; stanza_mt = st.stanza_mt;
			new_key = require "util.uuid".generate;
		});
		local log = support.new(nil, driver:open("audit", "archive"));
		for back = 60, 41, -1 do
			log.store:append(name_of("events", noon - back * day), nil, entry("x"), noon - back * day, "@");
		end
		local pauses = {};
		-- A clock by which each look at it takes a millisecond.
		log.environment.now = function () log.time = log.time + 0.001; return log.time; end;
		log.environment.pause = function (seconds) table.insert(pauses, seconds); end;
		log.log = core.new(log.environment);
		assert.equal("events expired 20 in 20", (done(log)));
		assert.is_true(#pauses >= 7, #pauses.." pauses");
		for _, seconds in ipairs(pauses) do assert.is_true(seconds < 0.01); end
	end);

	it("tries a transaction again that a lock refused", function ()
		local log = support.new({ audit_log_ips_expire_after = "1d" }, support.new_store(nil, "sql"));
		for i = 1, 3 do
			local time = noon - 3 * day + i;
			log.store:append(name_of("events", time), nil, entry("e"..i, "203.0.113.80"), time, "@");
		end
		local engine, attempts = nil, {};
		for i = 1, 9 do
			local name, value = debug.getupvalue(log.store.append, i);
			if name == "engine" then engine = value; end
		end
		local transaction = engine.transaction;
		function engine.transaction(self, run, ...)
			if #attempts < 2 and self.conn then return false, "database is locked"; end
			return transaction(self, run, ...);
		end
		local statement = { closed = 0, close = function (self) self.closed = self.closed + 1; end };
		engine.conn, engine.prepared = { rollback = function () end }, { select = statement };
		log.environment.retry = function (_, message) table.insert(attempts, message); return true; end;
		log.log = core.new(log.environment);
		assert.equal("events addresses 3 in 1", (done(log)));
		assert.same({ "database is locked", "database is locked" }, attempts);
		assert.equal(1, statement.closed);
	end);
end);

describe("long work on a file to which another process writes", function ()
	it("does not wait for that process, and tries again", function ()
		local path = process.new_folder("busy").."/audit.sqlite3";
		local driver = assert(core.storage {
			host = support.host; path = path; is_server = false; patience = 5; shared = {};
			now = function () return noon; end, new_key = tostring; stanza_mt = st.stanza_mt;
		});
		local store = driver:open("audit", "archive");
		for i = 1, 3 do store:append(name_of("events", noon - 60 * day), "k"..i, entry("x"), noon - 60 * day, "@"); end
		local log = support.new(nil, store);
		log.time = noon;
		local holder = process.start {
			folder = process.new_folder("holder");
			command = { "/usr/bin/python3", "-c", [[
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(60)]], path };
		};
		local finish <close> = setmetatable({}, { __close = function () holder:finish("KILL"); end }); -- luacheck: ignore 211
		assert.is_truthy(process.wait_until(function () return holder:output():find("locked"); end, 10));
		local pauses = 0;
		log.environment.pause = function (seconds)
			log.time = log.time + seconds;
			pauses = pauses + 1;
			if pauses == 10 then holder:finish("KILL"); end
		end;
		log.log = core.new(log.environment);
		local began = os.time();
		assert.equal("events expired 3 in 1", (done(log)));
		assert.is_true(pauses >= 10 and os.time() - began < 5, pauses);
		assert.is_true(log.log.longest_slice() < 0.01, "the pauses are not slices");
	end);
end);
