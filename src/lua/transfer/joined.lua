-- Two stores as one, while entries are moved from one to the other: the target, and what is still in the source. Where each archive
-- user is, is decided in the core (src/archive/transfer). It is a store as any other for those that read, write and prune.

local native, chunks = ...;
local drivers, pages = chunks.driver, chunks.page;

local coroutine, error, ipairs, pairs, pcall, setmetatable = coroutine, error, ipairs, pairs, pcall, setmetatable;
local tostring = tostring;
local find, match = string.find, string.match;
local newest, users_of = pages.newest, pages.users_of;
local DAMAGED = native.slices.damaged;
local NIL = "nil"; -- in marks

-- collect(store, user, query) -> list of rows, to be iterated below | nil, err. All rows are read at once, as what is read from the
-- source is shown only if it was not moved meanwhile.
local function collect(store, user, query)
	local own = {}; -- some releases of the embedded driver change it
	for name, value in pairs(query or {}) do own[name] = value; end
	local rows, err = store:find(user, own);
	if not rows then
		return nil, err;
	end
	local list, in_a_row = {}, 0;
	while in_a_row <= DAMAGED do
		local ok, key, value, when, with = pcall(rows);
		if ok and key == nil then break; end
		in_a_row = ok and 0 or in_a_row + 1;
		list[#list + 1] = { ok, key, value, when, with };
	end
	return list;
end

-- iterate(list) -> an iterator as that of a store. It raises for a row that can't be read; the next call returns the next row.
local function iterate(list)
	local i = 0;
	return function ()
		i = i + 1;
		local row = list[i];
		if not row then
			return nil;
		elseif not row[1] then
			error(row[2], 0);
		end
		return row[2], row[3], row[4], row[5];
	end
end

-- at_once(f, …) -> whether it is known, what f(…) returned. It is not known if f fails, or would have to wait for an answer: then the
-- coroutine is left behind.
local function at_once(f, ...)
	local run = coroutine.create(f);
	local ok, result = coroutine.resume(run, ...);
	if not ok or coroutine.status(run) ~= "dead" then
		return false;
	end
	return true, result;
end

local function is_failure(list, err)
	return not list and err ~= nil and err ~= "item-not-found";
end

-- is_empty(store) -> whether archive user nil has no entries
local function is_empty(store)
	local rows, err = store:find(nil, { limit = 1 });
	if is_failure(rows, err) then
		error(err, 0);
	end
	if not rows then return true; end
	local ok, key = pcall(rows);
	if ok and key == nil then
		return true;
	end
	drivers.finish(rows);
	return false;
end

-- Before the source was listed, nobody knows a name that is there.
local NOTHING = { partitions = {}, originals = {}, closed = {}, source_nil = true, target_nil = true };

local methods = { listed = NOTHING };
local joined_mt = { __index = methods };

-- listing(exact | nil) -> archive users of the source, whether its archive user nil is empty, archive users of the target, marks.
-- Raises if a store can't be listed. Without `exact`, archive user nil is looked at only if that decides about others.
--
-- The source comes first: what is moved meanwhile is then in the target. The marks come last: a copy that is begun meanwhile is not
-- among the users.
function methods:listing(exact)
	local source, err = users_of(self.source);
	if not source then
		error(err, 0);
	end
	local decides = exact;
	for _, name in ipairs(source) do
		decides = decides or find(tostring(name), "^@moving%-") ~= nil;
	end
	local nil_is_empty = not decides or is_empty(self.source);
	local target;
	target, err = users_of(self.target);
	if not target then
		error(err, 0);
	end
	local marks = self.marks.list();
	self.listed = self.joint:join(source, nil_is_empty, target, marks);
	return source, nil_is_empty, target, marks;
end

-- has_anything() -> whether there is anything to move, or a move is not over
function methods:has_anything()
	local source, nil_is_empty, _, marks = self:listing(true);
	for _, name in ipairs(source) do
		if native.is_partition(name) then return true; end
	end
	return not nil_is_empty or #marks > 0 or self.marks.progress(self.from) ~= nil;
end

-- What is known without the source. That is enough to write: nothing is added to the source, and a name that both have is no harm.
local function list_target(self)
	local users, err = users_of(self.target);
	if not users then
		error(err, 0);
	end
	return self.joint:join({}, true, users, self.marks.list());
end

-- Raises if the target can't be listed. If the source can't be, `missing` says why.
function methods:users()
	local ok, err = pcall(self.listing, self);
	local found = ok and self.listed or list_target(self);
	self.missing = not ok and ("what the storage driver %s holds can't be read: %s"):format(self.from, drivers.cause_of(err)) or nil;
	local list, i = found.partitions, 0;
	return function ()
		i = i + 1;
		return list[i];
	end
end

-- places() -> names of archive users, those of them to which nothing may be appended | nil, err. For writers: it does not wait for the
-- source.
function methods:places()
	local ok, found = pcall(list_target, self);
	if not ok then
		return nil, found;
	end
	local users, closed = found.partitions, found.closed;
	for _, name in ipairs(self.listed.closed) do
		users[#users + 1], closed[#closed + 1] = name, name;
	end
	return users, closed;
end

-- time_before(partition) -> when the last entry of the partition before it was stored, if that is in the source | nil
function methods:time_before(partition)
	local day, number = match(partition, "^(@[^.]+%.[%d-]+)%.(%d+)$");
	local before = day and (number == "2" and day or ("%s.%d"):format(day, number - 1));
	local original = before and self.listed.originals[before];
	if not original then
		return nil;
	end
	local _, time = at_once(newest, self.source, original, 1);
	return time;
end

function methods:append(...)
	return self.target:append(...);
end

local function moved_to(self, original)
	local mark = self.marks.of(self.from, original);
	return mark and mark.complete and mark.copy or nil, mark ~= nil;
end

-- Finds in the source -> list of rows | nil, err | nil, nil, name in the target: it was moved, or is not there any more
local function find_in_source(self, name, original, query)
	local copy = moved_to(self, original);
	if copy then
		return nil, nil, copy;
	end
	local list, err = collect(self.source, original, query);
	local is_begun;
	copy, is_begun = moved_to(self, original);
	if copy then
		return nil, nil, copy;
	elseif is_failure(list, err) or list and list[1] then
		return list, err;
	end
	local key = query and (query.after or query.before);
	if key then
		-- Drivers differ in what they return for a key that is not there. At the end of the archive user it is.
		local found = collect(self.source, original, { key = key; limit = 1 });
		if found and found[1] then
			return {};
		end
	end
	if not is_begun then
		return nil, nil, name;
	elseif key then
		return nil, "item-not-found";
	end
	return {};
end

function methods:find(user, query)
	local listing = self.listed;
	if user == nil then
		if not listing.target_nil then
			return nil, "item-not-found";
		end
		return self.target:find(nil, query);
	end
	local original = listing.originals[user];
	if not original then
		return self.target:find(user, query);
	end
	local found, list, err, copy = pcall(find_in_source, self, user, original, query);
	if not found then
		return nil, list;
	elseif copy then
		return self.target:find(copy, query);
	end
	return list and iterate(list), err;
end

function methods:delete(user, query)
	local listing = self.listed;
	local original = user and listing.originals[user];
	if not original then
		return self.target:delete(user, query);
	end
	local copy = moved_to(self, original);
	if copy then
		-- What is left of it in the source is removed by the next round.
		return self.target:delete(copy, query);
	end
	local mark = self.marks.of(self.from, original);
	if mark and not query then
		self.target:delete(mark.copy);
	end
	local count, err = self.source:delete(original, query);
	if count and mark and not query then
		self.marks.remove(mark);
	end
	return count, err;
end

-- former(self) -> archive user nil of the source, as a store
local function former(self)
	return { find = function (_, _, query)
		local ok, list, err = pcall(function ()
			local copy = moved_to(self, NIL);
			local list, err;
			if not copy then
				list, err = collect(self.source, nil, query);
				copy = moved_to(self, NIL);
			end
			if copy then
				return nil, "item-not-found";
			end
			return list, err;
		end);
		if not ok then
			return nil, list;
		end
		return list and iterate(list), err;
	end };
end

-- new(parts) -> store
--   parts = {
--     source, target   the stores
--     from, to         the names of their drivers
--     marks            see marks.lua
--   }
local function new(parts)
	local self = setmetatable({
		source = parts.source, target = parts.target, from = parts.from, to = parts.to, marks = parts.marks;
		joint = native.joint(parts.from, parts.to);
		native = drivers.is_native(parts.target) and parts.target or parts.source; -- one of the two is of the driver "audit"
		caps = parts.target.caps;
		-- The embedded driver is recognised by it.
		guards = drivers.is_embedded(parts.target) and (parts.target.guards or {}) or nil;
	}, joined_mt);
	self.former = former(self);
	return self;
end

return { at_once = at_once, new = new };
