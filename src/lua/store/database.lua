-- The archive driver "audit": Prosody's archive store API on the native database.
--
-- Expected failures are returned as `nil, message`, as Prosody's drivers do. No yield happens between begin and commit.

local native, chunks = ...;

local error, getmetatable, ipairs, pcall, setmetatable, tostring, type = error, getmetatable, ipairs, pcall, setmetatable, tostring, type;
local decode = chunks.stanza.decode;

local function nothing() end

-- The types of values that JSON has.
local storable = { table = true; string = true; number = true; boolean = true };

local archive_mt = {};
archive_mt.__index = archive_mt;

-- Sets how long the next write waits for another process that writes: self.patience, or that of the driver.
local function ready(self)
	self.database:set_patience(self.patience or self.environment.patience);
end

-- encode(self, value) -> kind, bytes | nil, message
local function encode(self, value)
	local kinds, environment = native.kinds, self.environment;
	if getmetatable(value) == environment.stanza_mt then
		local bytes = native.element(value);
		if not bytes then
			return nil, "a stanza that is no XML can't be stored";
		end
		return kinds.element, bytes;
	end
	if not storable[type(value)] then
		return nil, "a value of the type "..type(value).." can't be stored";
	end
	local ok, json = pcall(environment.to_json, value);
	if not ok or not json then
		return nil, "a value that is no JSON can't be stored: "..tostring(json);
	end
	return kinds.json, json;
end

-- decoded(self, kind, bytes) -> value | nil
local function decoded(self, kind, bytes)
	local kinds, environment = native.kinds, self.environment;
	if kind == kinds.element then
		return decode(environment.stanza_mt);
	elseif kind == kinds.json then
		return environment.from_json(bytes);
	end
end

-- append(user | nil, key | nil, value, when | nil, with | nil) -> key | nil, message
function archive_mt:append(user, key, value, when, with)
	local kind, bytes = encode(self, value);
	if not kind then
		return nil, bytes;
	end
	local environment, is_new = self.environment, key == nil;
	if is_new then
		key = environment.new_key();
	end
	ready(self);
	local done, err = self.database:append(self.host, self.store, user, key, is_new, when or environment.now(), with or "", kind, bytes);
	return done and key or nil, err;
end

-- hand_over(recorder, journal, entries, now, deadline) -> as recorder.hand_over() (src/lua/hand_over/bytes.rs): takes entries of a journal
-- as bytes. A store that has this method is given the log's entries by it.
function archive_mt:hand_over(recorder, journal, entries, now, deadline)
	return recorder.hand_over(self.host, self.store, journal, self.database, entries, now, deadline);
end

-- rewriting(user, copy) -> a rewriting of an archive into another one, for cut()
function archive_mt:rewriting(user, copy)
	return native.rewriting(self.host, self.store, user, copy);
end

-- cut(recorder, class, rewriting, number) -> as recorder.cut() (src/lua/prune/rewrite.rs): takes the next entries, as many as that
function archive_mt:cut(recorder, class, rewriting, number)
	ready(self);
	return recorder.cut(self.host, class, self.database, rewriting, number);
end

-- find(user | nil, query | nil) -> iterator, total | nil if it is not asked for | nil, message
--   iterator() -> key, value, when, with
function archive_mt:find(user, query)
	local database, limit = self.database, query and query.limit;
	local total, err;
	if query and query.total then
		total, err = database:total(self.host, self.store, user, query);
		if not total then
			return nil, err;
		elseif limit == 0 then
			return nothing, total;
		end
	end
	local reading;
	reading, err = database:find(self.host, self.store, user, query, limit, query and query.reverse or false);
	if not reading then
		return nil, err;
	end
	return function ()
		local key, when, with, kind, bytes = database:next(reading);
		if key then
			local value = decoded(self, kind, bytes);
			if value == nil then
				error(("the item %s in %s can't be read"):format(key, self.environment.path), 0);
			end
			return key, value, when, with;
		elseif when then
			-- An iterator that ended here would hide the rest.
			error(when, 0);
		end
	end, total;
end

-- rows(user | nil, query, breathe) -> the rows of a page, which Lua passes on to a reading of the log (src/query) | nil, message. No
-- stanza is made.
--   query.limit   is needed
--   query.wanted  the result of wanted(): other entries may be left out
-- breathe() is called every few milliseconds.
function archive_mt:rows(user, query, breathe)
	local database = self.database;
	local search, err = database:search(self.host, self.store, user, query, query.limit, query.reverse or false, query.wanted);
	if not search then
		return nil, err;
	end
	local rows;
	rows, err = database:rows(search);
	while rows == false do
		breathe();
		rows, err = database:rows(search);
	end
	return rows, err;
end

-- wanted(asked) -> what rows() and users_with() take | nil: everything is asked for
function archive_mt.wanted(_, asked)
	return native.wanted(asked);
end

-- users_with(wanted, users, breathe) -> list of those of the users who may have what is wanted | nil, message
function archive_mt:users_with(wanted, users, breathe)
	local may_have = {};
	local found, behind;
	repeat
		found, behind = self.database:users_with(self.host, self.store, wanted, behind);
		if not found then
			return nil, behind;
		end
		for _, user in ipairs(found) do
			may_have[user] = true;
		end
		breathe();
	until not behind;
	local list = {};
	for _, user in ipairs(users) do
		if may_have[user] then
			list[#list + 1] = user;
		end
	end
	return list;
end

-- get(user | nil, key) -> value, when, with | nil, "item-not-found"
function archive_mt:get(user, key)
	local items, err = self:find(user, { key = key; limit = 1 });
	if not items then
		return nil, err;
	end
	local ok, found, value, when, with = pcall(items);
	if not ok then
		return nil, found;
	elseif not found then
		return nil, "item-not-found";
	end
	return value, when, with;
end

-- set(user | nil, key, value | nil, when | nil, with | nil) -> true | nil, message; what is nil stays as it is
function archive_mt:set(user, key, value, when, with)
	local kind, bytes;
	if value ~= nil then
		kind, bytes = encode(self, value);
		if not kind then
			return nil, bytes;
		end
	end
	ready(self);
	return self.database:set(self.host, self.store, user, key, when, with, kind, bytes);
end

-- delete(user | nil | true: all users, query | nil) -> how many items were removed | nil, message
function archive_mt:delete(user, query)
	ready(self);
	return self.database:delete(self.host, self.store, user, query, query and query.truncate, query and query.reverse or false);
end

-- summary(user | nil, query | nil) -> { counts =, earliest =, latest = }, each by `with` | nil, message
function archive_mt:summary(user, query)
	return self.database:summary(self.host, self.store, user, query);
end

-- dates(user | nil) -> list of days, such as "2026-11-26" | nil, message
function archive_mt:dates(user)
	return self.database:dates(self.host, self.store, user);
end

local function iterate(list)
	local i = 0;
	return function ()
		i = i + 1;
		return list[i];
	end;
end

-- users() -> iterator over the users that have items. The archive of the host is not among them, as with the embedded driver:
-- prosody-migrator copies it apart from those of users, and would copy it twice.
function archive_mt:users()
	local users, err = self.database:users(self.host, self.store);
	if not users then
		error(err, 0);
	elseif users[1] == "" then -- they are sorted
		table.remove(users, 1);
	end
	return iterate(users);
end

-- batch(work, …) -> what work(…) returns. All that it writes is one write; if it raises, nothing is written and the error is raised
-- again. True, … | false, error
function archive_mt:batch(work, ...)
	local database = self.database;
	ready(self);
	local begun, err = database:begin();
	if not begun then
		return false, err;
	end
	local function finish(ok, ...)
		if not ok then
			database:roll_back();
			return false, ...;
		end
		local committed, failure = database:commit();
		if not committed then
			return false, failure;
		end
		return true, ...;
	end
	return finish(pcall(work, ...));
end

local driver_mt = {};
driver_mt.__index = driver_mt;

-- open(store, kind) -> archive | nil, "unsupported-store"
function driver_mt:open(store, kind)
	if kind ~= "archive" then
		return nil, "unsupported-store";
	end
	local archive = { environment = self.environment; database = self.database; host = self.host; store = store; caps = self.caps };
	return setmetatable(archive, archive_mt);
end

-- purge(user) -> true | nil, message
function driver_mt:purge(user)
	self.database:set_patience(self.environment.patience);
	return self.database:purge(self.host, user);
end

-- stores(user | nil) -> iterator over the stores in which the user has items
function driver_mt:stores(user)
	local stores = self.database:stores(self.host, type(user) == "string" and user or nil);
	return stores and iterate(stores) or nothing;
end

-- trouble() -> why the file can't be used now | nil. It is tried again with each operation.
function driver_mt:trouble()
	local stores, err = self.database:stores(self.host);
	return not stores and err or nil;
end

-- sync_problem() -> why what was written can't be brought to the disk | nil. It is tried again twice a second.
function driver_mt:sync_problem()
	return self.database:sync_problem();
end

-- recovered() -> what became of a file that was damaged, deleted or replaced, once | nil
--   { cause =, reason = | nil, path = its name now | nil, copied =, missing = | nil, hosts = { [host] = { copied =, missing = } }, text = }
--   missing  how many items could not be read | nil: that is not known
function driver_mt:recovered()
	return self.database:recovered();
end

-- new(environment) -> driver | nil, message
--   environment = {
--     host         whose archives they are
--     path         the file, such as "/var/lib/prosody/audit.sqlite3"
--     is_server    false for another program: it does not sync, and leaves a damaged file alone
--     patience     seconds for which a write waits for another process that writes
--     shared       a table that all hosts share; the database is kept there
--     now, new_key functions; keys that become larger are kept in less room
--     stanza_mt, to_json, from_json     Prosody's
--   }
local function new(environment)
	if not native.database then
		return nil, "this library was built without the storage driver \"audit\" (the feature \"storage\" of its crate)";
	end
	local shared = environment.shared;
	if not shared.database then
		shared.database = native.database(environment.path, environment.is_server, environment.patience);
	end
	local database = shared.database;
	local caps = { total = true; truncate = true; full_id_range = true; ids = true; wildcard_delete = true; filters = true };
	local driver = { environment = environment; database = database; host = environment.host; caps = caps };
	return setmetatable(driver, driver_mt);
end

return { new = new };
