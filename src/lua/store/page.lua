-- Reads from a store: pages of a partition, the newest entry, the names of archive users.

local _, chunks = ...;
local bounds, driver, sql = chunks.bounds, chunks.driver, chunks.sql;
local engine_of, filters, local_of, seeks_by_time = driver.engine_of, driver.filters, driver.local_of, driver.seeks_by_time;

local collectgarbage, error, pcall = collectgarbage, error, pcall;
local tostring, type = tostring, type;
local find = string.find;

-- newest(store, partition, most) -> time of the newest entry | nil: there is none, number of entries up to `most`. A damaged file of
-- the embedded driver counts as full, as nothing can be appended to it.
local function newest(store, partition, most)
	local rows, err = store:find(partition, { reverse = true; limit = most });
	if not rows then
		if err == nil or err == "item-not-found" then return nil, 0; end
		if driver.can_not_load(err) then return nil, most; end
		error(err, 0);
	end
	local time, count = nil, 0;
	while count < most do
		-- Rows that can't be read count too. The SQL driver's iterator raises for them; the next call returns the next row.
		local ok, key, _, when = pcall(rows);
		if ok and key == nil then return time, count; end
		time, count = time or ok and when or nil, count + 1;
	end
	driver.finish(rows);
	return time, count;
end

-- each_row(store, rows) -> a function that reads the next row of an iterator: whether it could be read, key | nil at the end,
-- xml, when, with
local function each_row(store, rows)
	-- The iterator of the SQL driver parses every entry. It uses another iterator, of the rows as they are in the database.
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
		-- A row that is no XML makes the SQL driver's iterator raise; the next call returns the next row.
		local read, key, stanza, when, with = pcall(rows);
		if not read or key == nil then
			return read, key;
		end
		local written, xml = pcall(tostring, stanza);
		return written, key, xml, when, with;
	end
end

-- has_key(store, user, key) -> whether an archive user has an entry with that key
local function has_key(store, user, key)
	local ok, rows = pcall(store.find, store, user, { key = key; limit = 1 });
	if not ok or not rows then
		return false;
	end
	local read, found = pcall(rows);
	if found ~= nil then
		driver.finish(rows);
	end
	return not read or found ~= nil;
end

local function nothing() end

-- read_page(store, page, breathe | nil) -> rows, number of rows that could not be read | nil, err
--   page = {
--     partition     archive user | nil
--     with, limit
--     oldest_first  the order of reading
--     behind        key of the row before the page | nil
--     near          time of that row | nil
--     bound         entries before that time, in the order of reading, are not wanted | nil
--     wanted        what the driver is asked for, if it filters | nil
--   }
--   breathe()       for a driver that filters to call every few milliseconds
--   rows.gone says that the store does not know the row `behind`: it was removed, or written again under another key.
local function read_page(store, page, breathe)
	local limit = page.limit;
	local query = { reverse = not page.oldest_first; limit = limit; with = page.with; wanted = page.wanted };
	query[page.oldest_first and "after" or "before"] = page.behind;
	local near = page.near or page.bound;
	if near and page.partition and seeks_by_time(store) then
		-- One second more: of several entries with the time that it searches for, the driver finds any.
		if page.oldest_first then
			query.start = near - 1;
		else
			query["end"] = near + 1;
		end
	end
	local has_rows = filters(store);
	local ok, rows, err = pcall(has_rows and store.rows or store.find, store, page.partition, query, breathe or nothing);
	if ok and not rows and (err == nil or err == "item-not-found") then
		return { gone = page.behind ~= nil }, 0;
	elseif not ok or not rows then
		if engine_of(store) then
			-- COMPAT LuaDBI 0.7: a query that met a lock stays in progress until it is collected, and nothing can be committed.
			collectgarbage();
		end
		return nil, ok and err or rows;
	end
	if has_rows then
		return rows, 0;
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
	-- COMPAT 13.0.0 to 13.0.5: the embedded driver answers for an unknown key as for the last one.
	if n == 0 and skipped == 0 and page.behind and seeks_by_time(store) then
		list.gone = not has_key(store, page.partition, page.behind);
	end
	return list, skipped;
end

-- users_of(store) -> list of names of its archive users, at least all partitions | nil, err
local function users_of(store)
	local engine = engine_of(store);
	if engine then
		local ok, users, problem = pcall(sql.partitions_of, store);
		if ok and users then
			return users;
		elseif not ok or users == false then
			if ok then problem = problem or "the database refused without saying why"; else problem = users; end
			-- Otherwise nothing of this connection could be committed. A transaction around this is undone by its own code.
			if not bounds.is_inside(engine) then
				sql.undo(engine);
			end
			-- COMPAT: databases without recursive statements.
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

-- places_of(store) -> the same list for a writer, names to which nothing may be appended | nil. It does not wait for a store from which
-- entries are being moved (joined.lua).
local function places_of(store)
	if store.places then
		return store:places();
	end
	return users_of(store);
end

return { newest = newest, places_of = places_of, read_page = read_page, users_of = users_of };
