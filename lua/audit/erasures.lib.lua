-- Erases a person's data from the logs of all hosts of the server.
--
-- Until it is done, a file in Prosody's data says what is being erased, so that the next start goes on after a crash. An erasure that is
-- due later, as an account was deleted, has such a file too.

local core = require "audit_core";

local lfs = require "lfs";
local time = require "util.time";

local DAY = 86400;

local FOLDER, NAME = prosody.paths.data, "audit.erasure-";

local erasures = {};

local function path_of(receipt)
	return FOLDER.."/"..NAME..receipt;
end

local function save(request)
	return core.save_erasure(path_of(request.receipt), {
		receipt = request.receipt; person = request.person; before = ("%d"):format(request.before); reason = request.reason;
		by = request.by; by_source = request.by_source; acted = request.acted and "true" or nil; all = request.all and "true" or nil;
		due = request.due and ("%d"):format(request.due) or nil; done = table.concat(request.done, " ");
	});
end

-- new(request) -> the request with the number of its receipt | nil, message. It will be done, even if this process ends now.
--   request = { person = bare JID, before = UNIX time | nil: now, acted, reason, by, by_source, due = UNIX time | nil: at once }
function erasures.new(request)
	request.receipt, request.done = core.receipt(), {};
	request.all = request.before == nil;
	-- Times in the log are whole seconds. What is recorded from the next one on is not meant.
	request.before = request.before or math.floor(time.now()) + 1;
	local ok, problem = save(request);
	if not ok then
		return nil, ("%s can't be written: %s"):format(path_of(request.receipt), problem);
	end
	return request;
end

-- pending() -> list of the requests that are not done yet, and a list of lines about files that can't be read
function erasures.pending()
	local found, problems = {}, {};
	local ok, names, state = pcall(lfs.dir, FOLDER);
	if not ok then return found, problems; end
	for name in names, state do
		local receipt = name:sub(1, #NAME) == NAME and name:sub(#NAME + 1) or nil;
		if receipt and not receipt:find(".", 1, true) then
			local request, problem = core.read_erasure(FOLDER.."/"..name);
			if request and core.is_person(request.person or "") and tonumber(request.before) then
				local done = {};
				for host in (request.done or ""):gmatch("%S+") do table.insert(done, host); end
				request.receipt, request.before, request.due = receipt, tonumber(request.before), tonumber(request.due);
				request.acted, request.all, request.done, request.resumed = request.acted == "true", request.all == "true", done, true;
				table.insert(found, request);
			else
				table.insert(problems, ("%s/%s: %s"):format(FOLDER, name, problem or "it is damaged"));
			end
		end
	end
	table.sort(found, function (a, b) return a.receipt < b.receipt; end);
	return found, problems;
end

local function contains(list, wanted)
	for _, item in ipairs(list) do
		if item == wanted then return true; end
	end
	return false;
end

local function add(results, host, result)
	for _, name in ipairs { "count", "held", "kept", "damaged" } do
		results[name] = results[name] + result[name];
	end
	for _, total in ipairs(result.totals) do
		table.insert(results.totals, { host = host; class = total.class; type = total.type; count = total.count });
	end
end

local function new_results(receipt)
	return { receipt = receipt; count = 0; held = 0; kept = 0; damaged = 0; totals = {}; problems = {} };
end

-- preview(request, hosts, run) -> results as erase() returns them, and nothing is changed
function erasures.preview(request, hosts, run)
	local results = new_results();
	for _, host in ipairs(hosts) do
		local wish = { person = request.person; before = request.before; acted = request.acted; preview = true };
		local result, problem = run(host, wish);
		if result then
			add(results, host, result);
		else
			table.insert(results.problems, { host = host; problem = tostring(problem) });
		end
	end
	return results;
end

-- erase(request, hosts, run, record) -> results
--   request    of new() or pending()
--   run        function(host, wish) -> what audit_log.erase() returns
--   record     function(host, request, result): records that it was done
--   results = { receipt, count, held, kept, damaged, totals = list of { host, class, type, count }, problems = list of { host, problem } }
function erasures.erase(request, hosts, run, record)
	local results = new_results(request.receipt);
	for _, host in ipairs(hosts) do
		if not contains(request.done, host) then
			local result, problem = run(host, {
				person = request.person; before = request.before; all = request.all; acted = request.acted; receipt = request.receipt;
			});
			if result then
				add(results, host, result);
				if result.count > 0 or host == request.person:match("@(.*)$") then
					record(host, request, result);
				end
				table.insert(request.done, host);
				save(request);
			else
				table.insert(results.problems, { host = host; problem = tostring(problem) });
			end
		end
	end
	if request.due and results.held > 0 then
		-- It is due again when nothing is held any more.
		request.done, request.due = {}, math.floor(time.now()) + DAY;
		save(request);
	elseif #results.problems == 0 then
		local ok, problem = core.forget_erasure(path_of(request.receipt));
		if not ok then
			table.insert(results.problems, { host = "*"; problem = problem });
		end
	end
	return results;
end

-- recorded(request) -> what is recorded of it: nothing that confirms the name
function erasures.recorded(request)
	return {
		receipt = request.receipt; before = request.before and os.date("!%Y-%m-%dT%H:%M:%SZ", request.before); acted = request.acted;
		reason = request.reason; by = request.by, by_source = request.by_source, resumed = request.resumed, again = request.again;
	};
end

-- masked(reason | nil, person) -> the reason without the name, as it may be stored
function erasures.masked(reason, person)
	if not reason then return nil; end
	local function plain(text) return (text:gsub("%p", "%%%0")); end
	for _, name in ipairs { person, (person:match("^(.*)@")) } do
		reason = reason:gsub(plain(name), "***");
	end
	return reason;
end

-- describe(results, is_preview) -> list of lines
function erasures.describe(results, is_preview)
	local lines = {};
	for _, total in ipairs(results.totals) do
		table.insert(lines, ("%s: %d %s of type %s in class %s"):format(total.host, total.count, total.count == 1 and "entry" or "entries",
			total.type == "" and "(none)" or total.type, total.class));
	end
	local function say(count, what, ...)
		if count > 0 then
			table.insert(lines, (what:format(count, count == 1 and "entry" or "entries", ...)));
		end
	end
	say(results.kept, "%d %s in which the person acted on somebody else or on the server: this stays (--acted erases it too)");
	say(results.held, "%d %s held by audit_log_hold: unchanged");
	say(results.damaged, "%d damaged %s can't be read: nothing of them was erased");
	for _, problem in ipairs(results.problems) do
		table.insert(lines, ("%s: %s"):format(problem.host, problem.problem));
	end
	if not is_preview then
		table.insert(lines, ("Erased data of one person from %d %s, receipt %s"):format(results.count, results.count == 1 and "entry" or "entries",
			results.receipt));
		table.insert(lines, "Not reached: the database's own log and free pages, backups, sinks and exports, and Prosody's log");
	end
	return lines;
end

return erasures;
