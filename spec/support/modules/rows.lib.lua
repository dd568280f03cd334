-- The rows of archive stores that tests keep in tables: { key =, value =, when =, with = }, oldest first.

local rows = {};

-- find(list, query | nil, read | nil) -> iterator of an archive's find(). The query may have key, reverse, limit, and before or
-- after, a row's key. read(row) -> value, when: what is returned of a row, and nil hides it.
function rows.find(list, query, read)
	query = query or {};
	local step, left, skip_to = query.reverse and -1 or 1, query.limit or math.huge, query.before or query.after;
	local i = query.reverse and #list + 1 or 0;
	return function ()
		while left > 0 do
			i = i + step;
			local row = list[i];
			if not row then return nil; end
			if skip_to then
				if row.key == skip_to then skip_to = nil; end
			elseif not query.key or row.key == query.key then
				left = left - 1;
				local value, when = row.value, row.when;
				if read then value, when = read(row); end
				if value then return row.key, value, when, row.with; end
			end
		end
	end
end

-- users(partitions) -> iterator over the names of archive users; partitions[false] are the rows of archive user nil.
function rows.users(partitions)
	local user;
	return function ()
		repeat user = next(partitions, user); until user ~= false;
		return user;
	end
end

-- provide(module, state, methods): an archive driver whose rows are in state.rows[user | false]. state.appended counts what was
-- appended. `methods` may have
--   before(operation) -> true | nil, err   called first; append, find and delete fail if it does
--   read(row)                              as find() has it
--   appended(row) -> key | nil, err        what append returns
function rows.provide(module, state, methods)
	local st, time = require "util.stanza", require "util.time";
	state.rows, state.appended = state.rows or {}, state.appended or 0;
	local partitions = state.rows;
	local driver = {};

	function driver.open(_, store, store_type)
		if store_type ~= "archive" then
			return nil, "unsupported-store";
		end
		local archive = { store = store; caps = {} };
		local function guarded(operation, f)
			return function (...)
				if methods.before then
					local ok, err = methods.before(operation);
					if not ok then return ok, err; end
				end
				return f(...);
			end
		end
		archive.append = guarded("append", function (_, user, _, value, when, with)
			local list = partitions[user or false] or {};
			partitions[user or false] = list;
			state.appended = state.appended + 1;
			local row = { key = tostring(state.appended), value = st.clone(value), when = when, with = with, at = time.now() };
			table.insert(list, row);
			if methods.appended then
				return methods.appended(row);
			end
			return row.key;
		end);
		archive.find = guarded("find", function (_, user, query)
			return rows.find(partitions[user or false] or {}, query, methods.read);
		end);
		archive.delete = guarded("delete", function (_, user)
			partitions[user or false] = nil;
			return true;
		end);
		function archive.users()
			return rows.users(partitions);
		end
		return archive;
	end

	module:provides("storage", driver);
end

return rows;
