-- Checks that a store keeps what it takes. Some drivers report that they stored an entry and did not, or stored it so that it
-- can't be read. So the first entry of each partition, and the first after each start or failure, is read back.

local native, chunks = ...;
local driver = chunks.driver;

local ID = native.namespace.."\1id";

-- The numbers are defined in the core (src/archive/trust.rs).
local numbers = native.trust;

local pcall, setmetatable, type = pcall, setmetatable, type;

-- Whether an entry is the wanted one. Compares only the parts that the log needs.
local function is_same(found, when, wanted)
	return type(found) == "table" and type(found.attr) == "table" and type(when) == "number" and found.name == wanted.name
		and found.attr[ID] == wanted.id and found.attr.type == wanted.type and type(found.tags) == "table" and #found.tags == wanted.children;
end

-- look(store, query, wanted) -> whether the entry is there | nil, err
local function look(store, query, wanted)
	local ok, rows, err = pcall(store.find, store, wanted.partition, query);
	if not ok then
		return nil, rows;
	elseif not rows then
		if err == nil or err == "item-not-found" then
			return false;
		end
		return nil, err;
	end
	local is_found = false;
	for _ = 1, numbers.searched do
		local read, key, found, when = pcall(rows);
		if read and key == nil then
			return false;
		elseif read and is_same(found, when, wanted) then
			is_found = true;
			break;
		end
	end
	driver.finish(rows);
	return is_found;
end

local function is_there(store, wanted)
	local found, err = look(store, { reverse = true; limit = numbers.searched }, wanted);
	if found == false then
		found, err = look(store, { key = wanted.key; limit = 1 }, wanted);
	end
	return found, err;
end

-- context = {
--   now          as the log's environment has it
--   driver_name  function(host) -> the name of the storage driver | nil
-- }
local function new(context)
	-- For each store: the partitions from which an entry was read back, and the entry that the store did not return.
	local proven = setmetatable({}, { __mode = "k" });
	local refused = setmetatable({}, { __mode = "k" });

	local function accept(store, partition)
		local of_store = proven[store] or {};
		proven[store] = of_store;
		of_store[partition or false] = true;
		refused[store] = nil;
	end

	local function message(host)
		local name = context.driver_name(host) or "of this host";
		local other = name == "sql" and "internal" or "sql";
		return ([[the storage driver %s said that it took an entry, and does not give it back; set storage = { audit = "%s" }]]):format(name, other);
	end

	-- stands(store) -> true: entries may be appended | nil, message. If the store did not return an entry, this asks for the entry
	-- again.
	local function stands(store)
		local wanted = refused[store];
		local since = wanted and context.now() - wanted.at;
		-- If the clock was set back, the time that has passed is not known.
		if not wanted or since > numbers.refused or since < 0 then
			return true;
		elseif is_there(store, wanted) then
			accept(store, wanted.partition);
			return true;
		end
		return nil, wanted.problem;
	end

	-- appended(host, store, partition, key, stanza) -> true | nil, err. Call it after each append.
	local function appended(host, store, partition, key, stanza)
		local of_store = proven[store];
		if of_store and of_store[partition or false] then
			return true;
		end
		local wanted = { partition = partition, key = key, name = stanza.name, id = stanza.attr[ID], type = stanza.attr.type, children = #stanza.tags };
		local found, err = is_there(store, wanted);
		if found then
			accept(store, partition);
			return true;
		elseif found == nil then
			return nil, err;
		end
		wanted.at, wanted.problem = context.now(), message(host);
		refused[store] = wanted;
		return nil, wanted.problem;
	end

	return {
		stands = stands, appended = appended;
		-- doubt(store): its next entries are read back again
		doubt = function (store) proven[store] = nil; end;
		-- problem_of(store) -> what is wrong with it | nil
		problem_of = function (store) return refused[store] and refused[store].problem; end;
	};
end

return { new = new };
