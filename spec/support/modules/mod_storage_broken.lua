-- An archive driver that fails as it is told: by the option broken_storage, or at run time by `mode` in the shared table
-- /*/storage_broken/state. Never a part of an installation.

local async = require "util.async";
local timer = require "util.timer";

local state = module:shared("/*/storage_broken/state");
state.mode = state.mode or module:get_option_string("broken_storage", "works");

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
	-- An append waits until a test calls state.answer().
	waits = function (operation)
		if operation == "append" then
			local wait, done = async.waiter();
			state.answer = done;
			wait();
		end
		return true;
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

-- These take the entry and then fail, like a connection that breaks between the commit and its answer.
local afterwards = {
	takes_and_refuses = function () return nil, "remote-connection-failed"; end;
	takes_and_throws = function () error("the connection is gone"); end;
};

local function behave(operation)
	return (afterwards[state.mode] and behaviour.works or behaviour[state.mode])(operation);
end

module:require "rows".provide(module, state, {
	before = behave;
	appended = function (row)
		if afterwards[state.mode] then return afterwards[state.mode](); end
		return row.key;
	end;
});
