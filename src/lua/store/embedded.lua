-- Checks the files of the embedded driver before the driver writes or reads them. The checks are in the core
-- (src/archive/embedded.rs).

local native, chunks = ...;
local can_not_load, local_of = chunks.driver.can_not_load, chunks.driver.local_of;

local error, getmetatable, pcall, require, setmetatable, type = error, getmetatable, pcall, require, setmetatable, type;
local open = io.open;

-- Whether the driver maintains indexes: Prosody 13's does, if Lua has string.packsize.
local keeps_indexes = type(string.packsize) == "function";

-- An item that stands for one that can't be read. The driver's iterator raises for it, as it has no content, and goes on.
local function unreadable(read, list, i)
	for distance = 1, #list do
		local neighbour = read(list, i - distance) or read(list, i + distance);
		if neighbour then
			return { key = "unreadable-"..i; when = neighbour.when };
		end
	end
	return nil;
end

-- COMPAT Prosody 13: where one item of a list is damaged, the driver takes that for the end of the list. All entries behind it would
-- be missing without a word, also from what pruning copies.
local watching = setmetatable({}, { __mode = "k" });

local function watch(list)
	local mt = type(list) == "table" and list.index and getmetatable(list);
	if not mt then
		return list;
	end
	if not watching[mt] then
		local read = mt.__index;
		watching[mt] = {
			__index = function (of_list, i)
				local item = read(of_list, i);
				if not item and type(i) == "number" and i >= 1 and i <= #of_list then
					return unreadable(read, of_list, i);
				end
				return item;
			end;
			__len = mt.__len, __close = mt.__close;
		};
	end
	return setmetatable(list, watching[mt]);
end

-- Calls find() of a driver with an index. It does not yield.
local function find_watched(datamanager, store, user, query)
	local list_open = datamanager.list_open;
	local opened;
	function datamanager.list_open(...)
		local list, err, number = list_open(...);
		opened = list;
		return watch(list), err, number;
	end
	local ok, rows, err = pcall(store.find, store, user, query);
	datamanager.list_open = list_open;
	if (not ok or not rows) and type(opened) == "table" and opened.close then
		pcall(opened.close, opened);
	end
	if not ok then
		error(rows, 0);
	end
	return rows, err;
end

-- context = {
--   list_path   function(host, archive user) -> the file in which the driver keeps its entries | nil
--   get_option  function(host, name), log, now  as the log's environment has them
-- }
-- Returns guard(host, store of the embedded driver) -> one that checks its files | the store itself, if it is not known where they are.
local function new(context)
	local lists, is_root = native.lists(), native.is_root();
	local told = {};

	local function tell_once(host, level, line)
		if not told[host..level] then
			told[host..level] = true;
			context.log(level, line:format(host));
		end
	end

	-- dropped(host, callback, user) -> why the driver would store nothing of a host, and report success | nil
	local function dropped(host, callback, user)
		local ok, passed = pcall(callback, user, host, "audit");
		if not ok or passed ~= false then
			return nil;
		elseif context.get_option(host, "authentication") == "anonymous" then
			return [[with authentication = "anonymous" Prosody keeps nothing of a host in its internal storage; set storage = { audit = "sql" }]];
		end
		return [[a module makes Prosody keep nothing of this host in its internal storage; set storage = { audit = "sql" }]];
	end

	return function (host, store)
		if not context.list_path then
			return store;
		end
		local datamanager = local_of(store.append, "datamanager");
		local callback = local_of(datamanager.list_append, "callback");
		local stanzas = require "util.stanza";
		local has_index = keeps_indexes and type(datamanager.list_open) == "function";
		local guarded = setmetatable({ guards = store }, { __index = store });

		-- The archive users whose files were checked since then.
		local looked_at, since = {}, 0;

		-- may_append(user, path) -> true, whether its files were checked now | nil, message
		local function may_append(user, path)
			local now = context.now();
			if now - since > native.trust.unchanged or now < since then
				looked_at, since = {}, now;
			end
			if looked_at[user or false] then
				return true, false;
			end
			local problem = type(callback) == "function" and dropped(host, callback, user);
			if problem then
				return nil, problem;
			end
			local ok;
			ok, problem = lists:before_append(path, user ~= nil, has_index);
			if ok == nil then
				return nil, problem;
			end
			looked_at[user or false] = true;
			return true, true;
		end

		-- Whether a file can be opened, and the driver can't load it: it is damaged, such as by a loss of power. Its entries are kept, and it
		-- is full for us: new ones go to another file.
		local function is_damaged(path, err)
			local file = can_not_load(err) and path and open(path);
			if not file then
				return false;
			end
			local _, problem = file:read(1);
			file:close();
			if problem then
				return false; -- a folder, or a broken disk
			end
			tell_once(host..path, "error", "A file with stored audit events of "..host.." is damaged, and new ones go to another one: "
				..path:gsub("%%", "%%%%"));
			return true;
		end

		-- After a failure the files are checked again.
		local function appended(user, path, key, err)
			if not key then
				looked_at[user or false] = nil;
				if is_damaged(path, err) then
					return nil, "quota-limit";
				end
			end
			return key, err;
		end

		local function found(path, rows, err)
			if not rows and can_not_load(err) and not is_damaged(path, err) then
				return nil, "a file can't be read: "..(path or "of an unknown name");
			end
			return rows, err;
		end

		local function done(user, path, ...)
			if is_root and path then
				lists:after_root(path, user ~= nil);
			end
			return ...;
		end

		function guarded.append(_, user, ...)
			local path = context.list_path(host, user);
			local ok, looked = may_append(user, path);
			if not ok then
				return nil, looked;
			end
			-- Files that were missing are created by the first append.
			return done(user, looked and path, appended(user, path, store:append(user, ...)));
		end

		function guarded.find(_, user, query)
			local path = context.list_path(host, user);
			if path then
				local removed, problem = lists:before_read(path, has_index);
				if removed then
					tell_once(host, "info", "Indexes of stored audit events of %s lacked entries, as another version of Prosody wrote them; they are made again");
				elseif removed == nil then
					return nil, problem;
				elseif problem then
					tell_once(host, "warn", "Some of the stored audit events of %s can't be read, as an index lacks them: "..problem:gsub("%%", "%%%%"));
				end
			end
			if has_index then
				return done(user, path, find_watched(datamanager, store, user, query));
			end
			return done(user, path, found(path, store:find(user, query)));
		end

		function guarded.delete(_, user, ...)
			looked_at[user or false] = nil;
			return done(user, context.list_path(host, user), store:delete(user, ...));
		end

		-- rewrite(user, changes) -> true | nil, message: changes and removes entries, and writes the file once. The driver would write it
		-- once for each entry. changes = { [key] = { stanza, with | nil: as it was } | false: it is removed }
		function guarded.rewrite(_, user, changes)
			local path, name = context.list_path(host, user), store.store or "audit";
			local items, problem = datamanager.list_load(user, host, name);
			if not items then
				return nil, problem or "item-not-found";
			end
			local left = {};
			for i = 1, #items do
				local item = items[i];
				local change = changes[item.key];
				if change then
					local changed = stanzas.preserialize(stanzas.clone(change.stanza));
					changed.key, changed.when, changed.with = item.key, item.when, change.with or item.with;
					changed.attr.stamp, changed.attr.stamp_legacy = item.attr.stamp, item.attr.stamp_legacy;
					left[#left + 1] = changed;
				elseif change == nil then
					left[#left + 1] = item;
				end
			end
			looked_at[user or false] = nil;
			return done(user, path, datamanager.list_store(user, host, name, left));
		end

		return guarded;
	end
end

return { new = new };
