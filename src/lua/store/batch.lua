-- Several writes to a store as one, for the drivers that can do that: SQL, and our own.

local _, chunks = ...;
local driver, sql = chunks.driver, chunks.sql;
local engine_of, is_native = driver.engine_of, driver.is_native;

-- can(store) -> whether the driver has transactions. Such a driver also reads in pages, and counts what it removes.
local function can(store)
	return engine_of(store) ~= nil or is_native(store);
end

-- run(store, work) -> true | nil, err: all that work() writes is stored, or nothing. work() must not yield. An SQL engine may call it
-- again if the connection was lost.
local function run(store, work)
	local engine = engine_of(store);
	if engine then
		return sql.in_one_transaction(engine, work);
	end
	local ok, err = store:batch(work);
	if ok then
		return true;
	end
	return nil, err;
end

-- undo(store): removes what is left of a transaction that failed.
local function undo(store)
	sql.undo(engine_of(store));
end

return { can = can; run = run; undo = undo };
