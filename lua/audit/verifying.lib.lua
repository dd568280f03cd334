-- Verifies the logs of all hosts once a day, one after another, while the server goes on.
--
--   library "verifying" (audit_log, metrics, hosts, erase_again)   hosts: a set of names, which may change;
--     erase_again: function(host), in an async context, if something is there again that was erased
--   local verifying = module:shared("/*/audit/log").verifying;
--   verifying.run(host)   verifies it now, in an async context
--   verifying.note(host, result | nil, problem)   takes note of a verification by somebody else, in an async context
--   verifying.of(host)    --> { at, intact, verified, unprotected, faults, problem | nil } | nil: it was not verified yet

local core = require "audit_core";

local async = require "util.async";
local time = require "util.time";

local try = library "faults".trier(module);
local readings = library "reading/readings";
local timers = library "timers";

-- After how many seconds it is looked what is due, and how soon after the start a log is verified first.
local LOOK, FIRST = 600, 3600;
local DAY = 86400;
-- How many lines about a changed log are in Prosody's log.
local TOLD = 5;

local ipairs, math, pairs = ipairs, math, pairs;

return function (audit_log, metrics, hosts, erase_again)
	local verifying = {};
	local due, results = {}, {};
	local is_running = false;

	local function tell(host, result)
		for i = 1, math.min(#result.lines, TOLD) do
			module:log("error", "The audit log was changed: %s", result.lines[i]);
		end
		local first;
		for _, line in ipairs(result.lines) do
			first = first or line:match("^%S+ %d.*");
		end
		audit_log.audit(host, nil, "mod_audit", "audit-tampered", {
			actor = { kind = "server" };
			custom = { core.detail("verification", { faults = ("%d"):format(result.faults), verified = ("%d"):format(result.verified), first = first }) };
		});
	end

	function verifying.run(host)
		local ok, result, problem = readings.read(readings.pause, function (pause)
			return audit_log.verify(host, pause);
		end);
		if not ok then
			result, problem = nil, result;
		end
		return verifying.note(host, result, problem);
	end

	function verifying.note(host, result, problem)
		local before = results[host];
		if not result then
			results[host] = { at = time.now(); problem = problem };
			module:log("warn", "The audit log of %s can't be verified: %s", host, problem);
			return nil, problem;
		end
		results[host] = { at = time.now(); intact = result.intact; verified = result.verified; unprotected = result.unprotected;
			faults = result.faults; status = result.status };
		metrics.verified(host, results[host]);
		if not result.intact and not (before and before.faults == result.faults) then
			-- The same faults are told once.
			tell(host, result);
		end
		if result.status == 4 and not (before and before.status == 4) then
			-- Somebody may have shortened the expiry in the configuration, which is in the log.
			for _, line in ipairs(result.lines) do
				if line:find("^removed under a later rule") or line:find("^behind the journal") or line:find("^erased, and there again") then
					module:log("warn", "The audit log of %s: %s", host, line);
				end
			end
		end
		if result.again > 0 then
			erase_again(host);
		end
		audit_log.alerts.trouble(host, "Somebody has changed the audit log", not result.intact and result.lines[1] or nil, 0);
		return result;
	end

	function verifying.of(host)
		return results[host];
	end

	local function is_wanted(host)
		return (core.option("audit_log_verify", module:context(host):get_option("audit_log_verify")));
	end

	local function look()
		is_running = true;
		local now, hosts_due = time.monotonic(), {};
		for host in pairs(hosts) do
			due[host] = due[host] or now + FIRST - LOOK;
			if due[host] <= now then hosts_due[#hosts_due + 1] = host; end
		end
		for _, host in ipairs(hosts_due) do
			-- It may have been deactivated meanwhile.
			if hosts[host] then
				due[host] = now + DAY;
				try("the verification of a log", function ()
					if is_wanted(host) then verifying.run(host); end
				end);
			end
		end
		is_running = false;
	end

	timers.add(module, LOOK, function ()
		if not is_running then
			async.runner(look):run(true);
		end
		return LOOK;
	end);

	module:shared("/*/audit/log").verifying = verifying;
	library "health" (audit_log);
end
