-- Seals the logs of all hosts at intervals, if the operator has made a seal key (prosodyctl mod_audit --new-seal). docs/evidence.md
-- says what seals are for.
--
--   local sealing = library "sealing" (audit_log, hosts, path, sleep)   hosts: a set of names, which may change; path: the file with the key;
--                                 sleep: function(seconds) that lets the server go on, nil in prosodyctl
--   sealing.start()           seals at intervals, in the server
--   sealing.seal(seconds)     seals now, and waits so long for the disk
--   sealing.state(host)       --> { is_on: whether there is a seal key, at = when the host was sealed last | nil: not since the start of
--                                 the server, problem = text | nil }
--   sealing.replace(asked)    --> "true" | nil, message: goes on with the key that --new-seal has written. With sleep, in an async context.

local core = require "audit_core";

local socket = require "socket";
local time = require "util.time";

local try = library "faults".trier(module);
local timers = library "timers";

-- When the server seals first after its start, and how often it looks whether the file was written; seconds. Before the first time
-- the server has gone to the background: writing the file takes a thread, which would not follow.
local AT_FIRST, LOOK = 10, 1;
-- For how long recording seals may hold the loop, in seconds.
local SLICE = 0.005;
-- How long the end of the server waits for the disk, in seconds.
local LAST = 0.5;
-- How often a replaced key is looked for that is being written, in seconds.
local A_MOMENT = 0.01;

local error, ipairs, pairs, pcall, table = error, ipairs, pairs, pcall, table;

return function (audit_log, hosts, path, sleep)
	local sealing = {};
	local seals, problem = audit_log.seals();
	local waiting, told = {}, nil;
	-- Whether the key is being replaced.
	local replacing = false;
	-- By host, when it was sealed last.
	local sealed = {};

	local function names()
		local list = {};
		for host in pairs(hosts) do list[#list + 1] = host; end
		table.sort(list);
		return list;
	end

	-- A problem is told once.
	local function tell(text)
		if text and text ~= told then
			module:log("error", "The audit log can't be sealed: %s", text);
		elseif not text and told then
			module:log("info", "The audit log is sealed again");
		end
		told = text;
	end

	-- Whether the file is written. What came of it is told.
	local function is_written(waits)
		local ok, wrong = seals:poll(waits);
		if ok ~= nil then
			tell(not ok and wrong or nil);
		end
		return ok ~= nil;
	end

	local function record(host)
		local seal = seals:take(host);
		if not seal or not hosts[host] then return; end
		local heads = {};
		for i, head in ipairs(seal.heads) do heads[i] = core.detail("head", head); end
		local id = audit_log.audit(host, nil, "mod_audit", "audit-sealed", {
			actor = { kind = "server" }; custom = { core.detail("seal", seal.attributes, nil, heads) };
		});
		if not id then
			-- There is no room for it. The next seal of the host follows the one before, or a seal would be missing.
			seals:not_recorded(host);
			return;
		end
		seals:recorded(host);
		sealed[host] = time.now();
		module:log("info", "The audit log of %s was sealed: %s", host, table.concat(seal.anchors, " "));
	end

	-- Records the seals that are made, for so long. Returns whether all are recorded.
	local function record_some(seconds)
		local deadline = seconds and time.monotonic() + seconds;
		while waiting[1] do
			try("a seal", record, table.remove(waiting));
			if deadline and time.monotonic() > deadline then break; end
		end
		return not waiting[1];
	end

	local function is_on()
		return seals ~= nil and seals:key() ~= nil;
	end

	function sealing.state(host)
		return { is_on = is_on(); at = sealed[host]; problem = told };
	end

	function sealing.seal(seconds)
		if not is_on() then return; end
		is_written(true);
		-- An epoch that is being sealed ends first: made once more, its seals would not be those that are recorded already.
		record_some();
		seals:save();
		is_written(true);
		waiting = seals:make(names(), time.now());
		record_some();
		seals:save();
		local deadline = time.monotonic() + (seconds or LAST);
		while not is_written(false) and time.monotonic() < deadline do
			socket.sleep(0.005);
		end
	end

	-- Calls each() with every host, in slices.
	local function for_each_host(each)
		local deadline = time.monotonic() + SLICE;
		for _, host in ipairs(names()) do
			if sleep and time.monotonic() > deadline then
				sleep(0);
				deadline = time.monotonic() + SLICE;
			end
			each(host);
		end
	end

	-- Waits until the file is written: nil | true | false, what is wrong
	local function written()
		while sleep and seals:is_writing() do
			local ok, wrong = seals:poll(false);
			if ok ~= nil then return ok, wrong; end
			sleep(A_MOMENT);
		end
		return seals:poll(true);
	end

	-- Records what is made, in slices.
	local function record_all()
		while not record_some(SLICE) do
			if sleep then sleep(0); end
		end
	end

	local function seal_all()
		waiting = seals:make(names(), time.now());
		record_all();
	end

	-- Ends the seals of the key so far, each host's with an entry that says how. An entry that comes in between is for the next key.
	local function end_seals(asked)
		seal_all();
		for_each_host(function (host)
			local attributes = seals:ending(host);
			attributes.by, attributes["by-source"] = asked.by, asked.by_source;
			audit_log.audit(host, nil, "mod_audit", "audit-seal-replaced", {
				actor = asked.actor; custom = { core.detail("seal", attributes) };
			});
		end);
	end

	local function replace(asked)
		written();
		if is_on() then
			-- See sealing.seal().
			record_all();
			seals:save();
			local _, wrong = written();
			tell(wrong);
			end_seals(asked);
		end
		seals:adopt(path..".new");
		local ok, wrong = written();
		if not ok then
			return nil, wrong;
		end
		problem = nil;
		for_each_host(function (host)
			audit_log.audit(host, nil, "mod_audit", "audit-seal-created", {
				actor = asked.actor; custom = { core.detail("seal", { key = seals:key(); by = asked.by; ["by-source"] = asked.by_source }) };
			});
		end);
		seal_all();
		seals:save();
		ok, wrong = written();
		tell(ok == false and wrong or nil);
		return "true";
	end

	-- asked = { replace: whether a key that is there is to be replaced, by, by_source: who asks, actor }
	function sealing.replace(asked)
		if not seals then
			return nil, problem;
		elseif replacing then
			return nil, "the seal key is being replaced already";
		elseif is_on() and not asked.replace then
			return nil, "there is a seal key already";
		end
		replacing = true;
		local ok, done, wrong = pcall(replace, asked);
		replacing = false;
		if not ok then
			error(done, 0);
		end
		return done, wrong;
	end

	local function interval()
		return (core.option("audit_log_seal_interval", module:get_option("audit_log_seal_interval")));
	end

	-- Records what is made in slices, then has the file written.
	local function go_on()
		if replacing then
			return nil;
		elseif not record_some(SLICE) then
			return 0;
		end
		seals:save();
	end

	function sealing.start()
		tell(problem);
		local _, refused = core.option("audit_log_seal_interval", module:get_option("audit_log_seal_interval"));
		if refused then
			module:log("error", "%s", refused);
		end
		timers.add(module, AT_FIRST, function ()
			if is_on() and not replacing then
				try("sealing", function ()
					if waiting[1] then return; end
					is_written(false);
					waiting = seals:make(names(), time.now());
					timers.add(module, 0, go_on);
				end);
			end
			return interval();
		end);
		timers.add(module, LOOK, function ()
			if is_on() and not replacing then is_written(false); end
			return LOOK;
		end);
	end

	-- The next instance of the module reads the file.
	function sealing.close()
		if is_on() then is_written(true); end
	end

	module:shared("/*/audit/log").sealing = sealing;
	return sealing;
end
