-- A database that does not answer: another program holds a lock, or an answer takes long. No login waits for it, it is reported once,
-- and nothing is lost, duplicated or out of order afterwards.

local crash = require "support.crash";
local mariadb = require "support.mariadb";
local outage = require "support.outage";
local postgres = require "support.postgres";
local raw = require "support.raw_client";
local releases = require "support.releases";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;

-- What a server that waits for the lock would take is several seconds.
local QUICK = 1.5;

local databases = {
	PostgreSQL = {
		available = postgres.available;
		new = function () return postgres.shared():database(); end;
		lock = function (_, database) return postgres.shared():lock("prosodyarchive", database); end;
		waits = true;
		settings = [[SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout');]];
		usual = function () return "0 0"; end;
		slow = [[CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(4); RETURN NEW; END $$;
			CREATE TRIGGER slow BEFORE INSERT ON prosodyarchive FOR EACH ROW EXECUTE FUNCTION slow();]];
		quick = "DROP TRIGGER slow ON prosodyarchive;";
		query = function (...) return postgres.shared():query(...); end;
		says = "another program holds a lock";
	};
	MariaDB = {
		available = mariadb.available;
		new = function () return mariadb.shared():database(); end;
		lock = function (_, database) return mariadb.shared():lock("prosodyarchive", database); end;
		settings = "SELECT CONCAT(@@lock_wait_timeout, ' ', @@innodb_lock_wait_timeout);";
		usual = function () return "86400 50"; end;
		says = "another program holds a lock";
	};
	SQLite = {
		available = function () return true; end;
		new = function () return { driver = "SQLite3", database = "audit.sqlite" }; end;
		lock = function (prosody)
			local lock = outage.lock_sqlite(prosody.data.."/audit.sqlite");
			return { finish = function () lock:finish("KILL"); end };
		end;
		settings = "PRAGMA busy_timeout;";
		usual = function (series) return releases.is_since_patch(series, 6) and "4000" or "0"; end;
		says = "database is locked";
	};
};

server.each_series(describe, pending, function (series)
	for name, kind in pairs(databases) do describe(name, function ()
		local prosody, database, lock;

		-- A server whose accounts are in another store.
		local function start(config, storage, hosts)
			database = kind.new();
			config = config or {};
			config.sql = database;
			-- Since 13.0.6 a statement waits that long for a lock, and the whole server with it.
			config.sqlite_busy_timeout_ms = 4000;
			prosody = server.start {
				series = series; modules = { "audit", "audit_auth", "test_stream" };
				storage = storage or { audit = "sql" }; config = config; hosts = hosts;
			};
			prosody:adduser("romeo@"..host, "secret");
		end

		-- How long the slowest of some logins took, while the database is locked.
		local function logins(seconds)
			local slowest, from = 0, socket.gettime();
			repeat
				local before = socket.gettime();
				local ok, why = raw.login(prosody, "romeo", "secret");
				assert.is_true(ok, why);
				slowest = math.max(slowest, socket.gettime() - before);
				socket.sleep(0.1);
			until socket.gettime() - from > seconds;
			assert.is_true(slowest < QUICK, ("a login took %.2f s"):format(slowest));
		end

		local function lines_with(text)
			local lines = {};
			for line in prosody:log():gmatch("[^\n]+") do
				if line:find("Audit events of ", 1, true) and line:find(text, 1, true) then
					lines[#lines + 1] = line;
				end
			end
			return lines;
		end

		local function assert_told_once()
			local lines = lines_with("can't be stored");
			assert.equal(1, #lines, table.concat(lines, "\n"));
			assert.is_truthy(lines[1]:find(kind.says, 1, true), lines[1]);
		end

		local function assert_complete()
			assert.is_truthy(crash.settle(prosody, 60), "entries still wait");
			local entries, lost = crash.stored(prosody);
			assert.same({}, crash.faults(entries, crash.returned(prosody)));
			assert.equal(0, lost);
			assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
		end

		-- The settings of the connection, which others use too, are as they were.
		local function assert_connection_is_as_it_was()
			local found = prosody:eval([[
				local host, sql = ...;
				local store = require "core.storagemanager".open(host, "audit", "archive");
				local engine, result;
				for i = 1, 60 do
					local name, value = debug.getupvalue(store.append, i);
					if name == "engine" then engine = value; end
				end
				assert(engine:transaction(function ()
					for row in engine:select(sql) do result = row[1]; end
				end));
				return tostring(result);
			]], host, kind.settings);
			assert.equal(kind.usual(series), (found:gsub("%.0$", "")));
		end

		local function unlock()
			if lock then lock:finish(); end
			lock = nil;
		end

		after_each(function ()
			unlock();
			if prosody then prosody:stop(); end
			prosody = nil;
		end);

		local function test(title, define)
			it(title, function ()
				local here, why = kind.available();
				if not here then return pending(why); end
				define();
			end);
		end

		for _, way in ipairs({ "journal", "direct" }) do
			test("a lock while entries are handed over, audit_log_write = "..way, function ()
				start { audit_log_write = way };
				crash.stream(prosody, { from = 1, count = 2000, interval = 0.02, burst = 5 });
				socket.sleep(0.6);
				lock = kind.lock(prosody, database);
				logins(5);
				local _, slowest = crash.stop(prosody);
				assert.is_true(slowest < QUICK, ("audit() took %.3f s"):format(slowest));
				unlock();
				assert_complete();
				assert_told_once();
				assert.equal(1, #lines_with("are stored again; none was lost"));
				assert_connection_is_as_it_was();
			end);
		end

		test("a lock while others use the connection", function ()
			start(nil, "sql");
			crash.stream(prosody, { from = 1, count = 20, burst = 20 });
			assert_complete();
			if name ~= "SQLite" then
				lock = kind.lock(prosody, database);
				crash.stream(prosody, { from = 21, count = 20, burst = 20 });
				logins(2);
				prosody:adduser("juliet@"..host, "secret");
				unlock();
			end
			assert_complete();
			assert_connection_is_as_it_was();
		end);

		test("a lock while it is read and pruned", function ()
			start();
			crash.stream(prosody, { from = 1, count = 50, burst = 50 });
			assert_complete();
			lock = kind.lock(prosody, database);
			-- In the server, which everybody waits for.
			local results = prosody:eval([[
				local log, command = module:shared("/*/audit/log").log, require "audit_core".command;
				local time, found = require "util.time".now, {};
				local before = time();
				local read = log.read(command({ ... }, before).asked, function () end, {});
				found[1], found[2] = time() - before, read.problem or "read";
				before = time();
				local pruned, problem = log.prune(..., { settle = 0 });
				found[3], found[4] = time() - before, pruned and "pruned" or problem;
				return found;
			]], host);
			assert.is_true(results[1] < QUICK and results[3] < QUICK, ("%.2f s, %.2f s"):format(results[1], results[3]));
			assert.is_truthy(results[2]:find(kind.says, 1, true), results[2]);
			assert.is_truthy(results[4]:find(kind.says, 1, true), results[4]);
			logins(1);
			unlock();
			assert_complete();
			assert.is_true(#crash.shown(prosody) == 50);
			assert_connection_is_as_it_was();
		end);

		test("a lock when the server starts", function ()
			start();
			crash.stream(prosody, { from = 1, count = 20, burst = 20 });
			assert_complete();
			prosody:stop();
			lock = kind.lock(prosody, database);
			local before = socket.gettime();
			prosody:start();
			assert.is_true(socket.gettime() - before < 6, "the server took long to start");
			crash.stream(prosody, { from = 21, count = 20, burst = 20 });
			logins(3);
			unlock();
			assert_complete();
			assert.equal(40, #crash.stored(prosody));
			assert_connection_is_as_it_was();
		end);

		if kind.slow then
			test("statements that take long", function ()
				start();
				crash.stream(prosody, { from = 1, count = 20, burst = 20 });
				assert_complete();
				assert(kind.query(kind.slow, database));
				crash.stream(prosody, { from = 21, count = 20, burst = 20 });
				logins(5);
				assert.equal(20, #crash.stored(prosody));
				assert(kind.query(kind.quick, database));
				assert_complete();
				assert.equal(40, #crash.stored(prosody));
				assert.equal(1, #lines_with("the database did not answer within 500 ms"));
				assert_connection_is_as_it_was();
			end);
		end

		test("a lock that many hosts meet holds the server for one of them", function ()
			local hosts = { host };
			for i = 1, 9 do hosts[i + 1] = ("host%d.test"):format(i); end
			start({}, nil, hosts);
			socket.sleep(1);
			lock = kind.lock(prosody, database);
			local tries = select(2, prosody:log():gsub("Error in SQL transaction: ", ""));
			prosody:eval([[for host in pairs(prosody.hosts) do module:context(host):audit(nil, "test-event"); end]]);
			logins(4);
			tries = select(2, prosody:log():gsub("Error in SQL transaction: ", "")) - tries;
			if kind.waits then
				-- At 0, 1.5, 3.5 seconds; the log has two lines for each.
				assert.is_true(tries >= 2 and tries <= 8, tries.." tries");
			end
			unlock();
			for _, each in ipairs(hosts) do
				local settled = prosody:eval([[
					local log = module:shared("/*/audit/log").log;
					log.flush(..., 5);
					return log.waiting(...);
				]], each);
				assert.equal(0, settled, each);
			end
		end);

		test("prosodyctl waits for a lock longer, and not for ever", function ()
			start();
			crash.stream(prosody, { from = 1, count = 5, burst = 5 });
			assert_complete();
			prosody:stop();
			lock = kind.lock(prosody, database);
			local before = socket.gettime();
			local status, _, errors = prosody:ctl({ timeout = 60 }, "mod_audit", host);
			local took = socket.gettime() - before;
			assert.is_true(took > 3 and took < 20, ("it took %.1f s"):format(took));
			assert.equal(1, status);
			assert.is_truthy(errors:find(kind.says, 1, true), errors);
			unlock();
			assert.equal(5, #crash.shown(prosody));
		end);
	end); end

	it("a machine that accepts connections to PostgreSQL and never answers", function ()
		if not postgres.available() then
			return pending((select(2, postgres.available())));
		end
		local silent = assert(socket.bind("127.0.0.1", 0, 20));
		local _, port = silent:getsockname();
		local before = socket.gettime();
		local prosody = server.start {
			series = series; modules = { "audit", "audit_auth" }; storage = { audit = "sql" };
			config = { sql = { driver = "PostgreSQL", host = "127.0.0.1", port = tonumber(port), database = "x", username = "x", password = "x" } };
		};
		finally(function () prosody:stop(); silent:close(); end);
		assert.is_true(socket.gettime() - before < 8, "the server took long to start");
		prosody:adduser("romeo@"..host, "secret");
		local held, from = 0, socket.gettime();
		repeat
			before = socket.gettime();
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			if socket.gettime() - before > 0.5 then held = held + 1; end
			assert.is_true(socket.gettime() - before < 4, "a login took long");
			socket.sleep(0.1);
		until socket.gettime() - from > 10;
		assert.is_true(held <= 1, held.." logins were held");
	end);
end);
