-- Erases data of persons inside the server: when prosodyctl asks, when an account was deleted a while ago, what an earlier process did
-- not end, and what is there again as a store was restored from a backup.

local core = require "audit_core";

local async = require "util.async";
local json = require "util.json";
local time = require "util.time";

local erasures = library "erasures";
local faults = library "faults";
local readings = library "reading/readings";
local timers = library "timers";

local audit_log = module:shared("/*/audit/log").log;

-- When it is looked for erasures that are due: after the start, and then again; seconds.
local AT_FIRST, AGAIN = 5, 600;

-- has_log(host) -> whether there are entries of a host on which mod_audit is not loaded. It may have been loaded earlier.
local function has_log(host)
	local store = module:context(host):open_store("audit", "archive");
	if not store then return false; end
	local ok, found = pcall(function ()
		for user in store.users and store:users() or function () end do
			if user then return true; end
		end
		local entries = store:find(nil, { limit = 1 });
		return entries ~= nil and entries() ~= nil;
	end);
	-- What can't be read is reported when it is to be erased.
	return not ok or found;
end

-- audited_hosts: a table with the hosts that have mod_audit as keys. Returns {
--   erase   function(attributes) -> text | nil, message: for the requests of prosodyctl
--   again   function(host): erases what was erased from its log before, and is there again
-- }
return function (audited_hosts)
	local try = faults.trier(module);
	-- By receipt, the erasures that run.
	local running = {};

	local function all_hosts()
		local list = {};
		for host in pairs(prosody.hosts) do
			if audited_hosts[host] or has_log(host) then table.insert(list, host); end
		end
		table.sort(list);
		return list;
	end

	local function run(host, wish)
		local ok, result, problem = readings.bounded(function (give_up)
			wish.wait = true;
			function wish.given_up()
				give_up("the storage driver does not answer");
			end
			return audit_log.erase(host, wish);
		end);
		if not ok then
			return nil, result;
		end
		return result, problem;
	end

	local function record(host, request, result)
		audit_log.erased(host, erasures.recorded(request), result, request.actor or { kind = "server" });
	end

	local function erase(request)
		running[request.receipt] = true;
		local ok, results = pcall(erasures.erase, request, all_hosts(), run, record);
		running[request.receipt] = nil;
		if not ok then error(results, 0); end
		return results;
	end

	local function erase_what_is_due()
		local pending, problems = erasures.pending();
		for _, problem in ipairs(problems) do
			module:log("error", "What is to be erased can't be read: %s", problem);
		end
		for _, request in ipairs(pending) do
			if not running[request.receipt] and (request.due or 0) <= time.now() then
				request.resumed = not request.due;
				local results = erase(request);
				module:log("info", "Erased data of one person from %d entries, receipt %s%s", results.count, request.receipt,
					request.due and ", as the account was deleted" or "; it was interrupted before");
				for _, problem in ipairs(results.problems) do
					module:log("error", "Data of a person can't be erased on %s now, receipt %s; it is tried again: %s", problem.host, request.receipt,
						problem.problem);
				end
			end
		end
	end

	local is_looking = false;
	local function look()
		if not is_looking then
			is_looking = true;
			async.runner(function ()
				try("the erasure of data", erase_what_is_due);
				is_looking = false;
			end):run(true);
		end
		return AGAIN;
	end
	timers.add(module, AT_FIRST, look);

	local function user_deleted(event)
		local username, host = event.username, event.host;
		local seconds = type(username) == "string" and audited_hosts[host] and audit_log.on_user_deleted(host);
		if seconds then
			local now = math.floor(time.now());
			-- The entry about the deletion comes a moment later.
			local ok, problem = erasures.new {
				person = username.."@"..host; before = now + 2; due = math.ceil(now + seconds); by = "audit_log_on_user_deleted";
			};
			if not ok then
				module:log("error", "The data of a deleted account will not be erased: %s", problem);
			end
		end
	end
	module:hook("user-deleted", function (event)
		try("the event user-deleted", user_deleted, event);
	end);

	local function again(host)
		local request = { receipt = core.receipt(); again = true };
		local result, problem = run(host, { again = true; receipt = request.receipt });
		if not result then
			module:log("error", "What was erased from the audit log of %s is there again, and can't be erased now: %s", host, problem);
		elseif result.count > 0 then
			record(host, request, result);
			module:log("warn", "Values that had been erased were in the audit log of %s again, as its store was restored. They were erased "
				.."from %d entries, receipt %s", host, result.count, request.receipt);
		end
	end

	return {
		again = again;
		erase = function (attr)
			if not core.is_person(attr.person or "") then
				return nil, "this is not the name of one account";
			end
			local request = {
				person = attr.person; before = tonumber(attr.before); acted = attr.acted == "true"; by = attr.by, by_source = attr.by_source;
				reason = erasures.masked(attr.reason, attr.person); actor = { kind = "admin-shell" };
			};
			if attr.preview == "true" then
				return json.encode(erasures.preview(request, all_hosts(), run));
			end
			local ok, problem = erasures.new(request);
			if not ok then
				return nil, problem;
			end
			return json.encode(erase(request));
		end;
	};
end
