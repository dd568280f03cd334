-- The marks of a move from one storage driver to another (src/archive/transfer). They are in an archive of the driver "audit", beside
-- the log, so that a copy and its mark are in one file.

local error, pairs, type = error, pairs, type;

-- The item with the number of entries that were moved so far. No driver has such a name.
local PROGRESS = "\tprogress ";

local function key_of(mark)
	return mark.from.." "..mark.original;
end

-- new(store, now) -> marks. Failures are raised.
--   store  the archive of the driver "audit" for marks
--   now    function() -> UNIX time
local function new(store, now)
	local marks = {};

	local function items(query)
		local rows, err = store:find(nil, query or {});
		if not rows then
			if err == nil or err == "item-not-found" then
				return function () end;
			end
			error(err, 0);
		end
		return rows;
	end

	local function put(key, value)
		local done, err = store:append(nil, key, value, now(), "");
		if not done then
			error(err, 0);
		end
	end

	local function remove(key)
		local done, err = store:delete(nil, { key = key });
		if not done then
			error(err, 0);
		end
	end

	-- list() -> list of { original, from, to, copy, complete }
	function marks.list()
		local list = {};
		for key, value in items() do
			if key:sub(1, #PROGRESS) ~= PROGRESS and type(value) == "table" then
				list[#list + 1] = value;
			end
		end
		return list;
	end

	-- of(from, original) -> the mark of an archive user of that driver | nil
	function marks.of(from, original)
		local _, value = items({ key = key_of { from = from; original = original } })();
		return type(value) == "table" and value or nil;
	end

	-- put(mark)
	function marks.put(mark)
		local copy = {};
		for name, value in pairs(mark) do copy[name] = value; end
		put(key_of(mark), copy);
	end

	-- remove(mark)
	function marks.remove(mark)
		remove(key_of(mark));
	end

	-- progress(from) -> how many entries were moved from a driver so far | nil: the move was not begun
	function marks.progress(from)
		local _, value = items { key = PROGRESS..from }();
		return type(value) == "table" and value.moved or nil;
	end

	-- set_progress(from, number | nil)
	function marks.set_progress(from, moved)
		if moved then
			put(PROGRESS..from, { moved = moved });
		else
			remove(PROGRESS..from);
		end
	end

	return marks;
end

return { new = new };
