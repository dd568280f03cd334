-- An archive driver that fails as it is told: by the option broken_storage, or at run time by broken_storage_mode in a
-- server's shared table. Never a part of an installation.

local async = require "util.async";
local timer = require "util.timer";
local st = require "util.stanza";

local state = module:shared("/*/storage_broken/state");
state.mode = state.mode or module:get_option_string("broken_storage", "works");
state.rows = state.rows or {};

local behaviour = {
	works = function () return true; end;
	refuses = function () return nil, "resource-constraint"; end;
	refuses_as_sql = function () return false, "database is locked"; end;
	refuses_silently = function () return nil; end;
	throws = function () error("the driver is broken"); end;
	throws_a_table = function () error({ reason = "the driver is broken" }); end;
	-- As a driver over HTTP does.
	yields = function ()
		local wait, done = async.waiter();
		timer.add_task(0.05, function () done(); end);
		wait();
		return true;
	end;
	yields_and_refuses = function ()
		local wait, done = async.waiter();
		timer.add_task(0.05, function () done(); end);
		wait();
		return nil, "remote-server-timeout";
	end;
	-- Waits for an answer that never comes.
	hangs = function ()
		async.waiter()();
	end;
	-- Takes two of three.
	refuses_some = function (operation)
		if operation == "append" then
			state.appends = (state.appends or 0) + 1;
			if state.appends % 3 == 0 then return nil, "resource-constraint"; end
		end
		return true;
	end;
};

-- These take the entry and then fail, as a connection that breaks between the commit and its answer.
local afterwards = {
	takes_and_refuses = function () return nil, "remote-connection-failed"; end;
	takes_and_throws = function () error("the connection is gone"); end;
};

local function behave(operation)
	return (afterwards[state.mode] and behaviour.works or behaviour[state.mode])(operation);
end

local driver = {};

function driver.open(_, store, typ)
	if typ ~= "archive" then
		return nil, "unsupported-store";
	end
	local archive = { store = store; caps = {} };
	function archive.append(_, user, _, value, when, with)
		local ok, err = behave("append");
		if not ok then return ok, err; end
		local rows = state.rows[user or false] or {};
		state.rows[user or false] = rows;
		table.insert(rows, { value = st.clone(value), when = when, with = with });
		if afterwards[state.mode] then return afterwards[state.mode](); end
		return tostring(#rows);
	end
	function archive.find(_, user, query)
		local ok, err = behave("find");
		if not ok then return ok, err; end
		local rows = state.rows[user or false] or {};
		local i = query.reverse and #rows + 1 or 0;
		if query.reverse and query.before then
			i = tonumber(query.before);
		end
		local left = query.limit or math.huge;
		return function ()
			i = i + (query.reverse and -1 or 1);
			left = left - 1;
			local row = left >= 0 and rows[i];
			if row then
				return tostring(i), row.value, row.when, row.with;
			end
		end
	end
	function archive.users()
		return function (_, last)
			local user = last;
			repeat user = next(state.rows, user); until user ~= false;
			return user;
		end
	end
	function archive.delete(_, user)
		local ok, err = behave("delete");
		if not ok then return ok, err; end
		state.rows[user or false] = nil;
		return true;
	end
	return archive;
end

module:provides("storage", driver);
