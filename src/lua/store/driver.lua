-- Recognises storage drivers, and translates their errors.

local native, chunks = ...;
local bounds = chunks.bounds;

local debug, pcall, tostring, type = debug, pcall, tostring, type;
local find = string.find;

-- cause_of(err) -> text. Drivers report a failure as a string, as an object, or as nil.
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
	-- Line numbers of Lua and addresses of objects are removed, so that the same failure always has the same text.
	return (tostring(err):gsub("%S+%.lua:%d+: ", ""):gsub("0x%x+", "0x…"));
end

-- condition_of(err) -> the condition that audit() returns: the driver's own, or XMPP's for an internal error.
local function condition_of(err)
	local condition = type(err) == "table" and err.condition or err;
	if type(condition) == "string" and find(condition, "^%l[%l-]+$") then
		return condition;
	end
	return "internal-server-error";
end

-- local_of(function, name) -> the value of a local variable that a driver's function uses | nil
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

-- finish(rows): ends reading rows before the last one. The embedded driver of Prosody 13 has its files open until the last row was
-- read, or until the next garbage collection.
local function finish(rows)
	local list = local_of(rows, "list");
	if type(list) == "table" and type(list.close) == "function" then
		pcall(list.close, list);
	end
end

-- is_native(store) -> whether it is one of the driver "audit" (database.lua).
local function is_native(store)
	return type(store.batch) == "function" and type(store.database) == "userdata";
end

-- engine_of(store) -> the SQL engine of a store | nil. No release of Prosody has another way to it: the driver keeps it in a
-- local variable.
local function engine_of(store)
	if is_native(store) then
		return nil;
	end
	local engine = local_of(bounds.raw(store).append, "engine");
	if type(engine) == "table" and type(engine.transaction) == "function" then
		return engine;
	end
end

-- seeks_by_time(store) -> whether the driver finds a time by bisection, and reads every entry on the way to anything else:
-- Prosody 13's embedded driver.
local function seeks_by_time(store)
	return type(store.trim) == "function" and type(store.caps) == "table" and store.caps.quota ~= nil;
end

-- filters(store) -> whether the driver can leave out what a filter does not want: it has wanted(), users_with() and rows().
local function filters(store)
	return is_native(store) and type(store.caps) == "table" and store.caps.filters or false;
end

-- seeks(store) -> what the driver is known to find without reading what comes before it: "times", "rows" (the first of a page) | nil
local function seeks(store)
	return seeks_by_time(store) and "times" or (engine_of(store) or is_native(store)) and "rows" or nil;
end

-- is_embedded(store) -> whether it is one of the embedded driver, which keeps each archive user in a file. To remove an entry
-- from a file, the driver writes the whole file again.
local function is_embedded(store)
	return store.guards ~= nil or not is_native(store) and type(local_of(store.append, "datamanager")) == "table";
end

-- can_not_load(err) -> whether the embedded driver says that it can't load a file. It takes nothing for such a file, and on 0.12 it
-- returns nothing of it.
local function can_not_load(err)
	return err == "Error reading storage";
end

-- refuses_busy(message) -> whether the driver "audit" says that another process is writing. It can be tried again a little later.
local function refuses_busy(message)
	return message == native.busy;
end

-- bind(store, now, may_wait) -> the store, with a time limit for all that waits for a database (bounds.lua).
local function bind(store, now, may_wait)
	if is_native(store) and not may_wait then
		store.patience = native.native_patience;
	end
	local engine = engine_of(store);
	return engine and bounds.bind(store, engine, now, may_wait) or store;
end

-- wait(store) -> for how many seconds its database is left alone, as it did not answer.
local function wait(store)
	local engine = store and engine_of(store);
	return engine and bounds.wait(engine) or 0;
end

-- try_again(store): allows one more attempt now.
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
	seeks = seeks;
	seeks_by_time = seeks_by_time;
	engine_of = engine_of;
	filters = filters;
	is_embedded = is_embedded;
	is_native = is_native;
	refuses_busy = refuses_busy;
	can_not_load = can_not_load;
	local_of = local_of;
	finish = finish;
};
