-- Makes sure that nothing is left in the files of a store of what was erased.

local native, chunks = ...;
local bounds, drivers, sql = chunks.bounds, chunks.driver, chunks.sql;

local error, pcall, type = error, pcall, type;

-- The SQL engine of a store, if it has an SQLite file | nil
local function sqlite_of(store)
	local engine = drivers.engine_of(store);
	if engine and type(engine.params) == "table" and engine.params.driver == "SQLite3" then
		return engine;
	end
end

-- before(store): what is changed or removed from now on is overwritten.
local function before(store)
	local engine = sqlite_of(store);
	if engine then
		sql.connect(store);
		local ok, problem = bounds.transaction(engine, function ()
			engine:execute("PRAGMA secure_delete=ON;");
			return true;
		end);
		if not ok then
			error(drivers.cause_of(problem), 0);
		end
	end
end

-- after(store, breathe): waits until the files beside the database have nothing of it, too.
local function after(store, breathe)
	if drivers.is_native(store) then
		local database = store.database;
		local asked, problem = database:scrub();
		if not asked then
			error(problem, 0);
		end
		while not database:is_scrubbed() do
			breathe(true, native.transfers.ask);
		end
		return;
	end
	local engine = sqlite_of(store);
	if engine and engine.conn then
		-- It does something only if the file is in WAL mode and the library can do it: LuaDBI is always in a transaction.
		pcall(function () engine.conn:exec("PRAGMA wal_checkpoint(TRUNCATE);"); end);
	end
end

return { before = before; after = after };
