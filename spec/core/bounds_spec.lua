-- Bounds for what waits for a database: src/lua/store/bounds.lua. With real locks on SQLite, and with engines that note what
-- PostgreSQL and MySQL are told; spec/e2e/bounds_spec.lua has real servers of them.

local core = require "audit_core";
local module_api = require "support.module_api";
local process = require "support.process";
local support = require "support.log";

describe("an SQLite file that another program has locked", function ()
	local host, module, path, lock;

	before_each(function ()
		path = process.new_folder("sql").."/audit.sqlite";
		host = module_api.host { storage = "sql", sql = { driver = "SQLite3", database = path }, audit_user_history = false };
		module = host:load("audit").module;
		module:audit(nil, "first-thing");
		module_api.complaints();
		lock = process.start {
			folder = process.new_folder("lock");
			command = { "/usr/bin/python3", "-c", [[
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(60)]], path };
		};
		assert.is_truthy(process.wait_until(function () return lock:output():find("locked"); end, 10));
	end);

	after_each(function () lock:finish("KILL"); end);

	it("holds nobody, is named once, and has all entries afterwards", function ()
		local began = require "socket".gettime();
		for _ = 1, 3 do assert.is_string(module:audit(nil, "thing")); end
		assert.is_true(require "socket".gettime() - began < 1);
		module_api.pass(1);
		assert.equal(1, #module_api.complaints("can't be stored"));
		assert.equal(3, module_api.log().log.state(host.name).waiting);
		lock:finish("KILL");
		module_api.pass(61);
		assert.equal(0, module_api.log().log.state(host.name).waiting);
		local _, out = process.capture { "sqlite3", path, "SELECT count(*) FROM prosodyarchive" };
		assert.equal("4\n", out);
	end);
end);

describe("an engine", function ()
	local log, engine, said, answer, is_mariadb;

	-- A log on a store with an engine like that of Prosody's SQL driver, for this kind of database.
	local function new(driver)
		log = support.new({ audit_log_write = "direct" }, support.new_store());
		said, answer, is_mariadb = {}, nil, false;
		engine = { params = { driver = driver, database = "prosody" }, prepared = {}, conn = {} };
		function engine:transaction(run, ...) -- luacheck: ignore 212/self
			table.insert(said, "begin");
			local ok, result, err = pcall(run, ...);
			table.insert(said, ok and "commit" or "rollback");
			return ok, result, err;
		end
		function engine:update(sql) table.insert(said, (sql:gsub("%s+", " "))); return true; end -- luacheck: ignore 212/self
		function engine:select(sql) -- luacheck: ignore 212/self
			local rows = sql:find("VERSION", 1, true) and { { is_mariadb and "11.4-MariaDB" or "8.0" } } or {};
			local i = 0;
			return function () i = i + 1; return rows[i]; end;
		end
		local append = log.store.append;
		function log.store.append(...)
			local arguments = table.pack(...);
			local ok, key, err = engine:transaction(function ()
				table.insert(said, "append");
				if answer then error(answer, 0); end
				return append(table.unpack(arguments, 1, arguments.n));
			end);
			if not ok then return nil, key; end
			return key, err;
		end
		log.environment.monotonic = function () return log.time; end;
		log.log = core.new(log.environment);
	end

	local function audit()
		said = {};
		return log.log.audit("example.com", nil, "mod_test", "t");
	end

	it("of PostgreSQL has bounds for locks and statements in each transaction, and none while it commits", function ()
		new("PostgreSQL");
		assert.is_string((audit()));
		assert.equal("begin", said[1]);
		assert.is_truthy(table.concat(said, "\n"):find(
			"begin\nSELECT set_config('lock_timeout', '150', true), set_config('statement_timeout', '500', true);\nappend\n"
			.."SELECT set_config('statement_timeout', '0', true);\ncommit", 1, true), table.concat(said, "\n"));
	end);

	it("of MySQL has its session's bounds set before and put back after our work", function ()
		for _, maria in ipairs { true, false } do
			new("MySQL");
			is_mariadb = maria;
			assert.is_string((audit()));
			local text = table.concat(said, "\n");
			local set = text:find(("SESSION lock_wait_timeout = %d, SESSION innodb_lock_wait_timeout = 1;"):format(maria and 0 or 1), 1, true);
			local appended = text:find("append", 1, true);
			local restored = text:find("SET SESSION lock_wait_timeout = @audit_lock, SESSION innodb_lock_wait_timeout = @audit_row_lock;", 1, true);
			assert.is_true(set and appended and restored and set < appended and appended < restored, text);
		end
	end);

	it("is as Prosody made it when our work is done", function ()
		new("PostgreSQL");
		local transaction = engine.transaction;
		audit();
		assert.same({ transaction, nil }, { engine.transaction, rawget(engine, "connect") });
		answer = "broken";
		audit();
		assert.same({ transaction, nil }, { engine.transaction, rawget(engine, "connect") });
	end);

	for wait, message in pairs {
		["canceling statement due to lock timeout"] = "the database did not answer within 150 ms, as another program holds a lock";
		["canceling statement due to statement timeout"] = "the database did not answer within 500 ms (a lock, or it is too slow)";
	} do
		it("that answers \""..wait.."\" is explained, and left alone for a while", function ()
			new("PostgreSQL");
			audit();
			answer = wait;
			local transaction = engine.transaction;
			function engine.transaction(...)
				log.time = log.time + 0.5;
				return transaction(...);
			end
			assert.is_nil((audit()));
			assert.is_truthy(log.lines[1]:find(message, 1, true), log.lines[1]);
			local tries = #said;
			assert.is_true(tries > 0);
			-- Nothing is asked of it now.
			assert.is_nil((audit()));
			assert.same({}, said);
			assert.equal(1, #log.lines);
			answer = nil;
			log.time = log.time + 61;
			assert.is_string((audit()));
		end);
	end

	it("that fails at once is not left alone", function ()
		new("PostgreSQL");
		audit();
		answer = "syntax error";
		assert.is_nil((audit()));
		answer = nil;
		assert.is_string((audit()));
	end);

	it("of an unknown database is used as it is", function ()
		new("Oracle");
		assert.is_string((audit()));
		for _, line in ipairs(said) do
			assert.is_truthy(line == "begin" or line == "append" or line == "commit", line);
		end
	end);
end);
