-- Records server-started, server-stopped (with the reason) and server-crashed, on each host that has this module.
--
-- While the server runs, the time is stored at every heartbeat. If the next start finds a heartbeat and no stop, the server has
-- crashed, and was last alive at that time. A status that can't be read at the start is read again at each heartbeat, and not
-- replaced before.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";
local timers = library "timers";

local new_runner = require "util.async".runner;

local os_time = os.time;
local pairs, pcall, tonumber, tostring, type = pairs, pcall, tonumber, tostring, type;

local prosody = prosody;

-- A status that could not be read this many times is damaged, and is replaced.
local MAX_ATTEMPTS = 10;

function module.add_host(module)
	local audit = new_audit(module, "audit");

	local interval = audit:option("audit_status_heartbeat_interval");

	-- A keyval store, as 0.12 has no keyval+. Data that the community's modules wrote by keyval+ can be read with it.
	local store, store_err = module:open_store("audit_status", "keyval");
	if not store then
		module:log("error", "Crashes can't be told from stops, as there is no store for the server's status: %s", store_err);
	end

	-- For other modules: whether the server crashed before this start.
	local environment = module.environment;
	environment.crashed = false;

	-- Whether the store says that the server runs.
	local running = false;
	local write_failed = false;
	-- Whether it is known what the store said before this start, and how many attempts to read it have failed.
	local is_known, failed_attempts = true, 0;

	-- An error raised by a driver is treated as a failure.
	local function call(method, ...)
		if not store then return nil; end
		local ok, result, err = pcall(store[method], store, nil, ...);
		if not ok then return nil, result; end
		return result, err;
	end

	local function write_status(status)
		running = status == "started";
		if not is_known then return; end
		local ok, err = call("set", { status = status; heartbeat = os_time() });
		if not ok and store and not write_failed then
			module:log("error", "The server's status could not be stored, it will be tried again: %s", err);
		end
		write_failed = not ok;
	end

	-- Reads the status of before this start, and records a crash. Returns an error if it can't be read.
	local function read_status()
		local state, err = call("get");
		if type(state) ~= "table" and err then
			failed_attempts = failed_attempts + 1;
			if failed_attempts == 1 then
				module:log("error", "The server's status could not be read, so it is not known yet whether it crashed. It will be tried again: %s", err);
			elseif failed_attempts == MAX_ATTEMPTS then
				module:log("error", "The server's status still can't be read and is replaced. It stays unknown whether the server crashed: %s", err);
				is_known = true;
			end
			return err;
		end
		is_known = true;
		if type(state) == "table" and state.status == "started" then
			environment.crashed = true;
			module:audit(nil, "server-crashed", { timestamp = tonumber(state.heartbeat) });
		end
	end

	-- Writes the status, after it was known what it was before.
	local function replace_status(status)
		if not is_known then read_status(); end
		write_status(status);
	end

	-- Contract with readers of the log: <note/> has no namespace.
	local function note(text)
		local stanza = audit.detail("note", nil, text);
		stanza.attr.xmlns = nil;
		return stanza;
	end

	local tasks = {};

	function tasks.start()
		is_known = false;
		local err = read_status();
		local custom = err and { note("Status before the start could not be read: "..tostring(err)) };
		module:audit(nil, "server-started", { custom = custom });
		write_status("started");
	end

	function tasks.heartbeat()
		replace_status("started");
	end

	function tasks.stop()
		local reason = prosody.shutdown_reason;
		module:audit(nil, "server-stopped", { custom = reason and { note(reason) } });
		replace_status("stopped");
	end

	function tasks.leave()
		replace_status("stopped");
	end

	-- Storage drivers may wait, which is not possible in events and timers.
	local perform = {};
	for name, task in pairs(tasks) do
		perform[name] = audit:guard(name, task);
	end
	local runner = new_runner(function (name)
		perform[name]();
	end);

	local stopped = false;

	module:hook_global("server-started", audit:guard("server-started", function ()
		-- If another server runs already, this one gives up. It must not change the status of the other one.
		if prosody.shutdown_reason or prosody.shutdown_code then return; end
		runner:run("start");
	end));

	module:hook_global("server-stopped", audit:guard("server-stopped", function ()
		stopped = true;
		if running then
			runner:run("stop");
		end
	end));

	-- In the first turn of the loop, after server-started. If the module is loaded later, it begins here.
	timers.add(module, 0, function ()
		if stopped then return; end
		if runner.state == "ready" then -- otherwise a slow store still writes the last heartbeat
			runner:run("heartbeat");
		end
		return interval;
	end);

	-- Without this module the next start could not tell a stop from a crash.
	function module.unload()
		if running and not stopped and not module.reloading then
			runner:run("leave");
		end
	end

	function module.save()
		return { crashed = environment.crashed, running = running, is_known = is_known };
	end

	function module.restore(state)
		environment.crashed, running = state.crashed, state.running;
		-- COMPAT 0.1: saved no is_known.
		is_known = state.is_known ~= false;
	end
end
