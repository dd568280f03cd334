-- Work on the SQL engine of a store.

local _, chunks = ...;
local bounds, driver = chunks.bounds, chunks.driver;
local engine_of, keep_connection, local_of = driver.engine_of, bounds.keep_connection, driver.local_of;

local error, pcall, rawget, type = error, pcall, rawget, type;
local find = string.find;

-- undo(engine): removes what is left of a transaction that failed. If a commit fails, since another process reads the SQLite
-- file, Prosody leaves the transaction open. The next commit would include what was reported as failed.
--
-- COMPAT LuaDBI 0.7: a statement that SQLite refused because of a lock stays in progress until it is executed again. Until
-- then no transaction of the connection can be committed, and the statement first reports its old error again.
local function undo(engine)
	local conn, prepared = engine and engine.conn, engine and engine.prepared;
	if not conn or type(prepared) ~= "table" then
		return;
	end
	bounds.close_statements(engine);
	keep_connection(engine);
	-- LuaDBI has a method for it, lsqlite3 has not.
	if not pcall(function () conn:rollback(); end) then
		pcall(function () conn:exec("ROLLBACK"); end);
	end
end

-- Lists the archive users of a host by jumps from one to the next in the index. It is one statement, so that a partition that
-- is replaced meanwhile is listed before or after that.
local LIST = [[
	WITH RECURSIVE "names" ("name") AS (
		SELECT (SELECT "user" FROM "prosodyarchive" WHERE "host"=? $bounds ORDER BY "user" LIMIT 1)
		UNION ALL
		SELECT (SELECT "user" FROM "prosodyarchive" WHERE "host"=? AND "user">"names"."name" $bounds ORDER BY "user" LIMIT 1)
		FROM "names" WHERE "name" IS NOT NULL
	)
	SELECT "name" FROM "names" WHERE "name" IS NOT NULL;
]];

-- By driver. PostgreSQL may have any collation, in which names that begin with "@" may be anywhere.
local LISTS = {
	SQLite3 = LIST:gsub("%$bounds", [[AND "user">'@' AND "user"<'A']]);
	PostgreSQL = LIST:gsub("%$bounds", "");
	-- Its indexes hold 20 characters of a name. There are no jumps in it.
	MySQL = [[SELECT DISTINCT "user" FROM "prosodyarchive" WHERE "host"=? AND "host"=? AND "user">'@' AND "user"<'A';]];
};

-- partitions_of(store) -> list of names | nil: not possible with this database | false, message. Prosody's own way reads every
-- row of the host.
local function partitions_of(store)
	local engine, host = engine_of(store), local_of(bounds.raw(store).append, "host");
	local statement = type(engine.params) == "table" and LISTS[engine.params.driver];
	if not statement or type(host) ~= "string" then
		return nil;
	end
	local ok, users = bounds.transaction(engine, function ()
		local users = {};
		for row in engine:select(statement, host, host) do
			if find(row[1], "^@") then
				users[#users + 1] = row[1];
			end
		end
		return users;
	end);
	return ok and users or false, users;
end

-- connect(store): connects to its database, if it has one, which also makes the tables.
local function connect(store)
	local engine = engine_of(store);
	if engine and not engine.conn then
		bounds.transaction(engine, function ()
			keep_connection(engine);
			return true;
		end);
	end
end

-- give_up_without_tables(store, cause): closes a connection without tables; the next transaction connects again. Prosody makes
-- the tables when it connects, and keeps the connection if it can't make them as the file is locked.
local function give_up_without_tables(store, cause)
	local engine = (find(cause, "no such table", 1, true) or find(cause, "prosodyarchive. does not exist")) and engine_of(store);
	if engine and engine.conn then
		undo(engine);
		pcall(engine.conn.close, engine.conn);
		engine.conn = nil;
	end
end

-- in_one_transaction(engine, append_all) -> true | nil, err. Runs append_all() in one transaction: all of it is stored, or
-- nothing. Each append of the driver would begin and end a transaction of its own, so transactions inside it are only calls.
-- append_all() must not yield: other modules use the engine too.
local function in_one_transaction(engine, append_all)
	local ok, err = bounds.transaction(engine, function ()
		keep_connection(engine);
		local own = rawget(engine, "transaction");
		engine.transaction = function (_, run, ...)
			return true, run(...);
		end;
		local done, problem = pcall(append_all);
		engine.transaction = own;
		if not done then
			error(problem, 0);
		end
		return true;
	end);
	if ok then
		return true;
	end
	return nil, err;
end

return {
	keep_connection = keep_connection;
	undo = undo;
	partitions_of = partitions_of;
	connect = connect;
	give_up_without_tables = give_up_without_tables;
	in_one_transaction = in_one_transaction;
};
