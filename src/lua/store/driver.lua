-- Calls to archive stores, and what their drivers answer.

local _, chunks = ...;
local bounds = chunks.bounds;
local keep_connection = bounds.keep_connection;

local collectgarbage, debug, error, pcall = collectgarbage, debug, error, pcall;
local rawget, tostring, type = rawget, tostring, type;
local find = string.find;

-- What a driver says of a failure, as a text: some give a string, some an object, some nothing.
local function cause_of(err)
	if type(err) == "table" then
		local condition, text = err.condition, err.text;
		if condition then
			return tostring(condition)..(text and (": "..tostring(text)) or "");
		end
	end
	if err == nil then
		return "the storage driver refused without saying why";
	end
	-- Where in Lua it was said, and an object's address, would make one cause into several.
	return (tostring(err):gsub("%S+%.lua:%d+: ", ""):gsub("0x%x+", "0x…"));
end

-- The condition that audit() returns: a driver's own where it gave one, XMPP's for an internal error otherwise.
local function condition_of(err)
	local condition = type(err) == "table" and err.condition or err;
	if type(condition) == "string" and find(condition, "^%l[%l-]+$") then
		return condition;
	end
	return "internal-server-error";
end

-- The time of the newest entry of a partition, or nil where there is none, and how many there are, up to a number.
local function newest(store, partition, most)
	local rows, err = store:find(partition, { reverse = true; limit = most });
	if not rows then
		if err == nil or err == "item-not-found" then return nil, 0; end
		error(err, 0);
	end
	local time, count = nil, 0;
	while count < most do
		-- What can't be read counts, too. The SQL driver's iterator raises for it, and the next call gives the next row.
		local ok, key, _, when = pcall(rows);
		if ok and key == nil then break; end
		time, count = time or ok and when or nil, count + 1;
	end
	return time, count;
end

-- A local variable that a function of a driver's uses, by the name that it has there, or nil.
local function local_of(user, wanted)
	if type(user) ~= "function" or not debug then
		return nil;
	end
	for i = 1, 60 do
		local name, value = debug.getupvalue(user, i);
		if not name then
			return nil;
		elseif name == wanted then
			return value;
		end
	end
end

-- The SQL engine behind a store, or nil where there is none, or it is not as we know it. Neither series of Prosody gives
-- another way to it: the driver keeps it in a local variable.
local function engine_of(store)
	local engine = local_of(bounds.raw(store).append, "engine");
	if type(engine) == "table" and type(engine.transaction) == "function" then
		return engine;
	end
end

-- Whether a driver finds a time by bisection and everything else by walking: Prosody 13's embedded one, which reads each
-- entry that it passes.
local function seeks_by_time(store)
	return type(store.trim) == "function" and type(store.caps) == "table" and store.caps.quota ~= nil;
end

-- Whether a driver is known to find where a page begins without reading all that comes before it.
local function seeks(store)
	return seeks_by_time(store) or engine_of(store) ~= nil;
end

-- A function that reads the next row of an iterator: whether it could be read, key | nil at the end, xml, when, with.
local function each_row(store, rows)
	-- Behind the iterator of the SQL driver, which parses every entry, is one of the rows as they lie in the database. What is to be
	-- written again need not be parsed before.
	local found = engine_of(store) and local_of(rows, "result");
	if type(found) == "function" then
		return function ()
			local read, row = pcall(found);
			if not read then
				return false, row;
			elseif row == nil then
				return true, nil;
			elseif row[2] ~= "xml" or type(row[3]) ~= "string" then
				return false, "no XML";
			end
			return true, row[1], row[3], row[4], row[5];
		end
	end
	return function ()
		-- A row that is no XML makes the SQL driver's iterator raise; the next call gives the next row.
		local read, key, stanza, when, with = pcall(rows);
		if not read or key == nil then
			return read, key;
		end
		local written, xml = pcall(tostring, stanza);
		return written, key, xml, when, with;
	end
end

-- Whether an archive user has an entry of that key.
local function has_key(store, user, key)
	local ok, rows = pcall(store.find, store, user, { key = key; limit = 1 });
	if not ok or not rows then
		return false;
	end
	local read, found = pcall(rows);
	return not read or found ~= nil;
end

-- One page of a partition. page = { partition, with, oldest_first, behind = key of the row before it, near = its time, bound = what
-- comes before that time in the order of reading is not wanted, limit }
-- -> rows, number of rows that could not be read | nil, err
-- `rows.gone` says that the store does not know the row `behind`: it was removed, or written again under another key.
local function read_page(store, page)
	local limit = page.limit;
	local query = { reverse = not page.oldest_first; limit = limit; with = page.with };
	query[page.oldest_first and "after" or "before"] = page.behind;
	local near = page.near or page.bound;
	if near and page.partition and seeks_by_time(store) then
		-- A second further: of several entries with the time that it looks for, it meets any.
		if page.oldest_first then
			query.start = near - 1;
		else
			query["end"] = near + 1;
		end
	end
	local ok, rows, err = pcall(store.find, store, page.partition, query);
	if ok and not rows and (err == nil or err == "item-not-found") then
		return { gone = page.behind ~= nil }, 0;
	elseif not ok or not rows then
		if engine_of(store) then
			-- COMPAT LuaDBI 0.7: a query that met a lock stays in progress until it is collected, and nothing can be committed.
			collectgarbage();
		end
		return nil, ok and err or rows;
	end
	local next_row = each_row(store, rows);
	local list, n, skipped = {}, 0, 0;
	while true do
		local read, key, xml, when, with = next_row();
		if read and key == nil then
			break;
		elseif read then
			list[n + 1], list[n + 2], list[n + 3], list[n + 4] = key, when, with or "", xml;
			n = n + 4;
		else
			skipped = skipped + 1;
			if skipped > limit then
				return nil, key;
			end
		end
	end
	-- COMPAT 13.0.0 to 13.0.5: the embedded driver says of an unknown key what it says of the last one.
	if n == 0 and skipped == 0 and page.behind and seeks_by_time(store) then
		list.gone = not has_key(store, page.partition, page.behind);
	end
	return list, skipped;
end

-- Whether a store is one of the embedded driver, which keeps each archive user in a file that it can only write anew.
local function is_embedded(store)
	return store.guards ~= nil or type(local_of(store.append, "datamanager")) == "table";
end

-- Sees to it that nothing is left of a transaction that failed. Where the commit failed, as another process reads from the
-- SQLite file just then, Prosody leaves it open, and the next commit would be of what was said to have failed, too.
--
-- COMPAT LuaDBI 0.7: a statement that SQLite refused because of a lock stays in progress until it is executed again. As long
-- as it is, no transaction of the connection can be committed, and when it is, it first says its old error once more.
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

-- The archive users of a host, by jumps from one to the next in the index. In one statement, so that what is replaced meanwhile is
-- there before or after.
local LIST = [[
	WITH RECURSIVE "names" ("name") AS (
		SELECT (SELECT "user" FROM "prosodyarchive" WHERE "host"=? $bounds ORDER BY "user" LIMIT 1)
		UNION ALL
		SELECT (SELECT "user" FROM "prosodyarchive" WHERE "host"=? AND "user">"names"."name" $bounds ORDER BY "user" LIMIT 1)
		FROM "names" WHERE "name" IS NOT NULL
	)
	SELECT "name" FROM "names" WHERE "name" IS NOT NULL;
]];

-- By driver. The collation of PostgreSQL may be any, and names that begin with "@" lie anywhere in it.
local LISTS = {
	SQLite3 = LIST:gsub("%$bounds", [[AND "user">'@' AND "user"<'A']]);
	PostgreSQL = LIST:gsub("%$bounds", "");
	-- Its indexes hold 20 characters of a name: there are no jumps.
	MySQL = [[SELECT DISTINCT "user" FROM "prosodyarchive" WHERE "host"=? AND "host"=? AND "user">'@' AND "user"<'A';]];
};

-- Names of the partitions in an SQL database: list | nil where they can't be had so | false, message after a
-- failure. Prosody's own way reads every row of the host.
local function partitions_of(engine, host)
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

-- Names of a store's archive users, all partitions among them, whatever a driver lists: list | nil, err
local function users_of(store)
	local engine = engine_of(store);
	if engine then
		local ok, users, problem = pcall(partitions_of, engine, local_of(bounds.raw(store).append, "host"));
		if ok and users then
			return users;
		elseif not ok or users == false then
			if ok then problem = problem or "the database refused without saying why"; else problem = users; end
			-- Or nothing of this connection could be committed. A transaction around this is undone by the one who began it.
			if not bounds.is_inside(engine) then
				undo(engine);
			end
			-- COMPAT: databases that can't do it so.
			if not find(tostring(problem), "syntax", 1, true) then
				return nil, problem;
			end
		end
	end
	local users = {};
	if store.users then
		local ok, problem = pcall(function ()
			for user in store:users() do
				users[#users + 1] = user;
			end
		end);
		if not ok then
			return nil, problem;
		end
	end
	return users;
end

-- Connects to the database behind a store, which also makes its tables. Nothing where there is none.
local function connect(store)
	local engine = engine_of(store);
	if engine and not engine.conn then
		bounds.transaction(engine, function ()
			keep_connection(engine);
			return true;
		end);
	end
end

-- Prosody makes the tables when it connects, and keeps a connection for which it could not, because the file was locked just
-- then. Such a one is given up; the next transaction connects again.
local function give_up_without_tables(store, cause)
	local engine = (find(cause, "no such table", 1, true) or find(cause, "prosodyarchive. does not exist")) and engine_of(store);
	if engine and engine.conn then
		undo(engine);
		pcall(engine.conn.close, engine.conn);
		engine.conn = nil;
	end
end

-- Runs append_all() in one transaction of an engine: all of it is stored, or nothing. Each append of the driver begins a
-- transaction of its own and would end ours, so for that long a transaction within it is only a call. append_all() must
-- not yield: the engine is everybody's.
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

-- A store as we use it: whatever it waits for is bounded. Its engine, if it has one, is everybody's.
local function bind(store, now, may_wait)
	local engine = engine_of(store);
	return engine and bounds.bind(store, engine, now, may_wait) or store;
end

-- For how many seconds the database behind a store is left alone, as it did not answer.
local function wait(store)
	local engine = store and engine_of(store);
	return engine and bounds.wait(engine) or 0;
end

local function try_again(store)
	local engine = store and engine_of(store);
	if engine then
		bounds.try_again(engine);
	end
end

return {
	bind = bind;
	wait = wait;
	try_again = try_again;
	cause_of = cause_of;
	condition_of = condition_of;
	newest = newest;
	read_page = read_page;
	seeks = seeks;
	users_of = users_of;
	engine_of = engine_of;
	is_embedded = is_embedded;
	local_of = local_of;
	in_one_transaction = in_one_transaction;
	keep_connection = keep_connection;
	undo = undo;
	connect = connect;
	give_up_without_tables = give_up_without_tables;
};
