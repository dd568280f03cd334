-- The log of a host, for other modules to read. docs/module-api.md describes it.

local core = require "audit_core";

local async = require "util.async";
local time = require "util.time";

local faults = library "faults";
local readings = library "reading/readings";

local ipairs, pairs, tostring, type = ipairs, pairs, tostring, type;
local ceil, floor = math.ceil, math.floor;

local shared = module:shared("/*/audit/log");

-- The fields of a query. They are the flags of the command that say which entries are wanted, how many and in which order.
local fields, names, field_of = {}, {}, {};
for _, flag in ipairs(core.flags()) do
	if flag.field then
		fields[flag.field], field_of[flag.name] = flag, flag.field;
		names[#names + 1] = flag.field;
	end
end

-- is_time(value): a text, as the command takes it, or UNIX seconds
local function is_time(value)
	return type(value) == "string" or type(value) == "number" and value == value and value >= 0 and value < 1e11;
end

local function is_count(value)
	return type(value) == "number" and value >= 1 and value < 1e15 and value == floor(value);
end

local function is_boolean(value)
	return type(value) == "boolean";
end

local function is_text(value)
	return type(value) == "string";
end

local function is_list(value)
	if type(value) ~= "table" then
		return is_text(value);
	end
	for key, item in pairs(value) do
		if type(key) ~= "number" or not is_text(item) then return false; end
	end
	return true;
end

-- What a field takes: a function that tells whether a value is right, and words for it.
local function takes(flag)
	if flag.name == "since" or flag.name == "until" then
		return is_time, "a time: UNIX seconds, or a text such as \"2d\"";
	elseif flag.name == "limit" then
		return is_count, "a whole number from 1";
	elseif not flag.value then
		return is_boolean, "true or false";
	elseif flag.list then
		return is_list, "a text or a list of texts";
	end
	return is_text, "a text";
end

-- The levels of errors: the program has called log:query(), which calls new_reading(), which calls check().
local OF_PROGRAM, OF_PROGRAM_IN_CHECK = 3, 4;

-- Raises for what is a mistake in the program.
local function check(query)
	local function fail(message, ...)
		error("log:query(): "..message:format(...), OF_PROGRAM_IN_CHECK + 1);
	end
	if type(query) ~= "table" then
		fail("the query is a table, not %s", type(query));
	end
	for name, value in pairs(query) do
		local flag = fields[name];
		if name == "reader" then
			if type(value) ~= "table" then
				fail("reader is a table that describes an actor, not %s", type(value));
			end
		elseif not flag then
			local meant = is_text(name) and core.nearest(name, names);
			fail("unknown field %s%s", tostring(name), meant and "; did you mean "..meant.."?" or
				"; known are "..table.concat(names, ", ").." and reader");
		else
			local is_right, what = takes(flag);
			if not is_right(value) then
				fail("%s is %s, but takes %s", name, is_text(value) and ("%q"):format(value) or tostring(value), what);
			end
		end
	end
end

-- The query as arguments of the command.
local function arguments_of(host, query)
	local list = { "--utc" };
	for _, name in ipairs(names) do
		local flag, value = fields[name], query[name];
		if type(value) == "table" and #value == 0 then
			value = ""; -- refused, as nothing could match
		end
		for _, one in ipairs(type(value) == "table" and value or { value }) do
			if one == true then
				list[#list + 1] = "--"..flag.name;
			elseif one == false then
				-- A flag that can't be turned off is off.
				if flag.negatable then list[#list + 1] = "--no-"..flag.name; end
			else
				if type(one) == "number" then
					-- Times in the log are whole seconds.
					one = flag.name == "limit" and ("%d"):format(one) or os.date("!%Y-%m-%dT%H:%M:%SZ", ceil(one));
				end
				list[#list + 1] = "--"..flag.name.."="..one;
			end
		end
	end
	list[#list + 1] = "--";
	list[#list + 1] = host;
	return list;
end

-- The request | nil, what is wrong with its values
local function request_of(host, query)
	local command, problem = core.command(arguments_of(host, query), time.now());
	if not command then
		return nil, (problem:gsub("%-%-([%a-]+)", field_of));
	end
	return command.asked;
end

-- How a reading ended: nothing | false, condition, text
local function ending_of(result)
	if result.problem then
		return false, "internal-server-error", "The store can't be read: "..result.problem;
	elseif result.damaged > 0 then
		return false, "damaged-entries", ("%d damaged entries were left out: %s"):format(result.damaged, result.places);
	end
end

-- The entries one by one: an iterator. After them it returns nil, or once false, condition, text if there may be more.
local function iterate(host, query)
	local asked, problem = request_of(host, query);
	local reading = asked and shared.log.lists(asked);
	local list, at, is_over, is_recorded = {}, 0, false, false;
	local is_waiting = false;

	-- The next list of entries | nil, how the reading ended
	local function read_on()
		local ok, found = readings.read(readings.pause, reading.next);
		if not ok then
			return nil, false, found == readings.unanswered and "remote-server-timeout" or "internal-server-error", tostring(found);
		elseif query.reader and not is_recorded then
			-- At the beginning, as nobody knows whether the caller goes on to the end.
			is_recorded = true;
			readings.record(host, { through = "module"; filter = asked.asked; actor = query.reader });
		end
		if found then return found; end
		return nil, ending_of(reading.conclude());
	end

	local function finish(...)
		is_over, list = true, {};
		return ...;
	end

	return function ()
		if is_over then
			return nil;
		elseif not asked then
			return finish(false, "bad-request", problem);
		elseif is_waiting then
			error("log:query(): the iterator is used while it waits for the store", 2);
		end
		is_waiting = true;
		reading.breathe(readings.pause);
		at = at + 1;
		local failed, condition, text;
		if not list[at] then
			list, failed, condition, text = read_on();
			at = 1;
		end
		is_waiting = false;
		if not list then
			return finish(failed, condition, text);
		end
		return list[at];
	end
end

-- Calls the callback for each entry, in an async context of its own.
local function call_for_each(entries, callback)
	async.runner(function ()
		local ok, err = xpcall(function ()
			for entry, condition, text in entries do
				local goes_on = callback(entry, condition, text);
				if entry == false or goes_on == false then return; end
			end
			callback(nil);
		end, faults.with_traceback);
		if not ok then
			module:log("error", "The callback of log:query() has failed: %s", err);
		end
	end):run(true);
end

-- Checks a query, and begins to read: what log:query() returns.
local function new_reading(host, query, callback)
	check(query);
	if callback == nil then
		if not async.ready() then
			error("log:query(): without a callback it needs an async context, see util.async", OF_PROGRAM);
		end
		return iterate(host, query);
	elseif type(callback) ~= "function" then
		error("log:query(): the callback is a function, not "..type(callback), OF_PROGRAM);
	end
	call_for_each(iterate(host, query), callback);
	return true;
end

-- A program may keep a log while this module is reloaded. What it calls is always of the module that is loaded now.
shared.new_reading, shared.is_read = new_reading, true;

local log_methods = {};
local log_mt = { __index = log_methods };

-- log:query(query) -> iterator, in an async context; log:query(query, callback) -> true
function log_methods:query(query, callback)
	if getmetatable(self) ~= log_mt then
		error("log:query() is called with a colon", 2);
	elseif not shared.new_reading then
		error("log:query(): mod_audit is not loaded any more", 2);
	end
	local result = shared.new_reading(self.host, query, callback); -- no tail call, for the levels of errors
	return result;
end

-- hosts: a table with the hosts that have a log as keys
return function (hosts)
	-- log(host) -> the log of a host | nil, "item-not-found"
	return function (host)
		if type(host) ~= "string" or host == "*" then
			error("log() takes the name of a host, not "..tostring(host), 2);
		elseif not hosts[host] then
			return nil, "item-not-found";
		end
		return setmetatable({ host = host }, log_mt);
	end
end
