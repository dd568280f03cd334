-- Time limits for all work on a database. Prosody has one event loop, so every login waits while the log waits.
--
-- All work of the log on an SQL engine goes through this file: stores are bound when they are opened (bind), and work on an
-- engine without a store is done by transaction(). The numbers, and when a database is asked again, are the core's
-- (src/archive/patience.rs). There is no limit for a database or a disk that stops in the middle of an answer, and for a slow
-- answer of MySQL or SQLite: LuaDBI waits.

local native = ...;

local error, pairs, pcall, rawget, setmetatable = error, pairs, pcall, rawget, setmetatable;
local tonumber, type = tonumber, type;
local find, match = string.find, string.match;
local floor, max = math.floor, math.max;

-- Settings of PostgreSQL's library: a connection is closed if the other end is silent for some seconds, since the network is
-- gone.
local SILENT = "tcp_user_timeout=3000 keepalives=1 keepalives_idle=5 keepalives_interval=1 keepalives_count=3";

-- What databases report at a time limit. In another language it is reported as it is.
local LOCKED = { "lock timeout", "Lock wait timeout" };
local SLOW = { "statement timeout" };

-- COMPAT LuaDBI 0.7: a prepared statement that is collected after its connection crashes the process. Prosody drops a lost
-- connection long before its statements. So the table of statements keeps the connection.
local function keep_connection(engine)
	if engine and engine.conn and type(engine.prepared) == "table" then
		engine.prepared.connection = engine.conn;
	end
end

local function close_statements(engine)
	for sql, statement in pairs(engine.prepared) do
		if sql ~= "connection" then
			pcall(function () statement:close(); end);
		end
	end
	engine.prepared = {};
end

-- By driver: { begin = function(engine, guard), at the beginning of each transaction; commit = function(engine), before it is
-- committed; restore = function(engine, guard), when the work of the log is done }, each nil if there is nothing to do.
local drivers = {};

-- For one transaction only, as other modules use the connection too.
drivers.PostgreSQL = {
	begin = function (engine, guard)
		engine:update(("SELECT set_config('lock_timeout', '%d', true), set_config('statement_timeout', '%d', true);")
			:format(guard.lock, guard.statement));
	end;
	-- COMPAT LuaDBI 0.7: it ignores the answer to COMMIT. A commit that reached the time limit would count as done.
	commit = function (engine)
		engine:update("SELECT set_config('statement_timeout', '0', true);");
	end;
};

-- For the session, as there is no smaller scope. Locks only: LuaDBI crashes the process when it reads the rows of a query that
-- max_statement_time has ended. In whole seconds: with 0 MariaDB does not wait at all for a table, and MySQL does not have 0.
drivers.MySQL = {
	begin = function (engine, guard)
		if guard.set_on == engine.conn then
			return;
		end
		if guard.asked ~= engine.conn then
			for row in engine:select("SELECT VERSION();") do
				guard.is_mariadb = find(row[1], "MariaDB", 1, true) ~= nil;
			end
			guard.asked = engine.conn;
		end
		local seconds = floor(guard.lock / 1000);
		engine:update(([[SET @audit_lock = @@SESSION.lock_wait_timeout, @audit_row_lock = @@SESSION.innodb_lock_wait_timeout,
			SESSION lock_wait_timeout = %d, SESSION innodb_lock_wait_timeout = %d;]]):format(
			guard.is_mariadb and seconds or max(1, seconds), max(1, seconds)));
		guard.set_on = engine.conn;
	end;
	restore = function (engine)
		engine:update("SET SESSION lock_wait_timeout = @audit_lock, SESSION innodb_lock_wait_timeout = @audit_row_lock;");
	end;
};

-- pragma(conn, sql) -> the number that a PRAGMA returns, in LuaDBI or in lsqlite3
local function pragma(conn, sql)
	local value;
	if conn.urows then
		for number in conn:urows(sql) do value = number; end
	else
		local statement = conn:prepare(sql);
		local row = statement and statement:execute() and statement:fetch();
		value = row and row[1];
		if statement then statement:close(); end
	end
	return tonumber(value);
end

-- With busy_timeout SQLite sleeps and tries again while the file is locked. With 0 it reports that at once.
drivers.SQLite3 = {
	begin = function (engine, guard)
		if guard.set_on == engine.conn then
			return;
		end
		local before = pragma(engine.conn, "PRAGMA busy_timeout;") or 0;
		if before > 0 then
			pragma(engine.conn, "PRAGMA busy_timeout = 0;");
			guard.set_on, guard.busy_timeout = engine.conn, before;
		end
	end;
	restore = function (engine, guard)
		pragma(engine.conn, ("PRAGMA busy_timeout = %d;"):format(guard.busy_timeout));
		-- LuaDBI began a transaction for that.
		pcall(function () engine.conn:rollback(); end);
	end;
};

-- Any other database.
local no_driver = {};

local guards = setmetatable({}, { __mode = "k" });

local function any_of(text, patterns)
	for i = 1, #patterns do
		if find(text, patterns[i], 1, true) then
			return true;
		end
	end
	return false;
end

-- explain(guard, err) -> a text if the database did not answer in time, and err otherwise
local function explain(guard, err)
	guard.failed = true;
	if type(err) ~= "string" then
		return err;
	elseif any_of(err, LOCKED) then
		return ("the database did not answer%s, as another program holds a lock"):format(
			guard.driver == drivers.PostgreSQL and (" within %d ms"):format(guard.lock) or "");
	elseif any_of(err, SLOW) then
		return ("the database did not answer within %d ms (a lock, or it is too slow)"):format(guard.statement);
	end
	return err;
end

-- Commits what a transaction's function did, and returns what it returned.
local function finish(engine, driver, ...)
	if driver.commit then
		driver.commit(engine);
	end
	return ...;
end

local function explained(guard, ok, err, ...)
	if not ok then
		err = explain(guard, err);
		guard.problem = err or guard.problem;
	end
	return ok, err, ...;
end

-- Connects as the engine does, with the time limits that PostgreSQL's library has. LuaDBI passes the name of the database on as
-- it is, and the library accepts a list of settings there.
local function connect_bounded(guard, engine)
	local params = engine.params;
	local database = params.database;
	if params.driver ~= "PostgreSQL" or type(database) ~= "string" or find(database, "=", 1, true) or match(database, "^postgres%a*://") then
		return pcall(guard.connect, engine);
	end
	local settings = ("dbname='%s' connect_timeout=%d"):format(database:gsub("[\\']", "\\%0"), guard.connect_seconds);
	params.database = settings.." "..SILENT;
	local ok, done, err = pcall(guard.connect, engine);
	if ok and not done and type(err) == "string" and find(err, "invalid connection option", 1, true) then
		-- COMPAT libpq 11: it has fewer settings.
		params.database = settings;
		ok, done, err = pcall(guard.connect, engine);
	end
	params.database = database;
	return ok, done, err;
end

local function connect(guard, engine)
	if engine.conn then
		return true;
	elseif guard.no_connection then
		-- Prosody tries twice. One attempt is long enough.
		return nil, guard.no_connection;
	end
	local is_sqlite = engine.params.driver == "SQLite3";
	local own, execute = rawget(engine, "execute"), engine.execute;
	if is_sqlite then
		-- COMPAT Prosody 13.0.6: it sets this when it connects, and then reads from the file.
		engine.execute = function (self, sql, ...)
			local wanted = match(sql, "^PRAGMA busy_timeout%s*=%s*(%d+)");
			if wanted then
				guard.set_on, guard.busy_timeout = self.conn, tonumber(wanted);
				return true;
			end
			return execute(self, sql, ...);
		end;
	end
	local ok, done, err = connect_bounded(guard, engine);
	engine.execute = own;
	if ok and done then
		return done;
	end
	local problem = ok and err or not ok and done or "the database can't be reached";
	if is_sqlite and engine.conn and problem ~= "database upgrade needed" then
		-- Prosody would keep the connection without tables, and never make them.
		close_statements(engine);
		pcall(engine.conn.close, engine.conn);
		engine.conn = nil;
	end
	guard.no_connection = problem;
	return nil, problem;
end

local function new_guard(engine, now, may_wait)
	local driver = type(engine.params) == "table" and engine.params.driver;
	local guard = { now = now, patience = native.patience(may_wait), problem = "the database did not answer" };
	guard.lock, guard.statement, guard.connect_seconds = guard.patience:bounds();
	guard.driver = drivers[driver] or no_driver;
	function guard.bounded_transaction(self, run, ...)
		return explained(guard, guard.transaction(self, function (...)
			keep_connection(self);
			if guard.driver.begin then
				guard.driver.begin(self, guard);
			end
			return finish(self, guard.driver, run(...));
		end, ...));
	end
	function guard.bounded_connect(self)
		return connect(guard, self);
	end
	return guard;
end

local function leave(engine, guard, began, own_transaction, own_connect, ok, ...)
	engine.transaction, engine.connect = own_transaction, own_connect;
	if guard.set_on and guard.set_on == engine.conn then
		pcall(guard.driver.restore, engine, guard);
	end
	guard.is_inside, guard.set_on = false, nil;
	if guard.failed then
		local ended = guard.now();
		guard.patience:unanswered(ended, ended - began);
	else
		guard.patience:answered();
	end
	if not ok then
		error(..., 0);
	end
	return ...;
end

-- within(engine, run, ...) -> what run(...) returns | nil, message: the database is left alone now. All transactions in it have
-- time limits. run() must not yield, as other modules use the engine too.
local function within(engine, run, ...)
	local guard = guards[engine];
	if not guard or guard.is_inside then
		return run(...);
	end
	local began = guard.now();
	if guard.patience:wait(began) > 0 then
		return nil, guard.problem;
	end
	local own_transaction, own_connect = rawget(engine, "transaction"), rawget(engine, "connect");
	guard.transaction, guard.connect = engine.transaction, engine.connect;
	guard.is_inside, guard.failed, guard.no_connection = true, false, nil;
	engine.transaction, engine.connect = guard.bounded_transaction, guard.bounded_connect;
	return leave(engine, guard, began, own_transaction, own_connect, pcall(run, ...));
end

-- As engine:transaction(run), with time limits.
local function transaction(engine, run)
	return within(engine, function ()
		return engine:transaction(run);
	end);
end

local function users_of(result, err)
	if not result then
		error(err, 0);
	end
	return result, err;
end

-- bind(store, engine, now, may_wait) -> the store, with time limits
--   now        function() -> seconds, of a clock that does not jump
--   may_wait   whether this is a process that nobody else waits for
local function bind(store, engine, now, may_wait)
	guards[engine] = guards[engine] or new_guard(engine, now, may_wait);
	local function bounded(method)
		return function (_, ...)
			return within(engine, store[method], store, ...);
		end
	end
	return setmetatable({
		unbounded = store;
		append = bounded "append", delete = bounded "delete", find = bounded "find";
		users = function ()
			return users_of(within(engine, store.users, store));
		end;
	}, { __index = store });
end

return {
	bind = bind;
	transaction = transaction;
	keep_connection = keep_connection;
	close_statements = close_statements;
	-- raw(store) -> the store as Prosody opened it
	raw = function (store)
		return rawget(store, "unbounded") or store;
	end;
	-- is_inside(engine) -> whether this is called inside within()
	is_inside = function (engine)
		return guards[engine] ~= nil and guards[engine].is_inside == true;
	end;
	-- wait(engine) -> for how many seconds the database is still left alone
	wait = function (engine)
		local guard = guards[engine];
		return guard and guard.patience:wait(guard.now()) or 0;
	end;
	-- try_again(engine): allows one more attempt now
	try_again = function (engine)
		if guards[engine] then
			guards[engine].patience:try_again();
		end
	end;
};
