-- The pages of administrators: the search, an account, a network, and downloads. src/web/page/ makes them.

local core = require "audit_core";

local time = require "util.time";

local answers = library "web/answers";
local readings = library "reading/readings";

local shared = module:shared("/*/audit/log");
local audit_log = shared.log;
local web = core.web;
local limits = web.limits;

-- The field that a page about one thing needs.
local about = { account = "user"; network = "ip" };

local function nothing() end

local function refused(problem)
	return answers.notice(400, "This can't be searched for", (problem:gsub("%-%-([%a-]+)", "%1")));
end

-- new_pages(audit) -> the pages of a host
return function (audit)
	local host = audit.module.host;
	local pages = {};
	local running = 0;

	-- read(work) -> as readings.read(), or nil if too much is being read for browsers
	function pages.read(pause, work)
		if running >= limits.readings then
			return nil;
		end
		running = running + 1;
		local function done(...)
			running = running - 1;
			return ...;
		end
		return done(readings.read(pause, work));
	end

	pages.busy = { retry_after = "2" };

	local function busy()
		return answers.notice(503, "Too many are reading the log", "Try again in a moment.", pages.busy);
	end

	-- actor(request, account | nil) -> who reads, for the log
	function pages.actor(request, account)
		return { kind = "http"; jid = account; session = { type = "http"; ip = request.ip } };
	end

	-- asked_of(request, first argument | nil) -> what the address asks for, the address | nil, what is wrong
	function pages.asked_of(request, first)
		local address, problem = web.address(request.url.query or "");
		if not address then
			return nil, problem;
		end
		local arguments = address:arguments(host);
		if first then table.insert(arguments, 1, first); end
		local command;
		command, problem = core.command(arguments, time.now());
		if not command then
			return nil, problem;
		end
		return command.asked, address;
	end

	local function remarks_of(result)
		local remarks = {};
		if result.problem then
			table.insert(remarks, "The log can't be read completely now. Entries are missing here.");
		end
		if result.damaged > 0 then
			table.insert(remarks, ("%d damaged entries are not shown: %s"):format(result.damaged, result.places));
		end
		local hidden = readings.hidden(result.hidden);
		if hidden then
			table.insert(remarks, (hidden:gsub("%-%-all shows", "the field “all” shows"))..".");
		end
		return remarks;
	end

	-- show(subject, event, reader) -> answer | true, when it was sent piece by piece
	function pages.show(subject, event, reader)
		local request = event.request;
		local asked, address = pages.asked_of(request);
		if not asked then
			return refused(address);
		elseif about[subject] and address:value(about[subject]) == "" then
			return refused("The address names no "..subject..".");
		end
		local size = math.min(asked.limit or limits.page, limits.largest_page);
		local after = address:value("after");
		local view = web.view();
		local ok, result = pages.read(readings.pause, function (pause)
			local found = audit_log.read(asked:page(size, after ~= "" and after or nil), nothing, {
				writing = view:rows(); pause = pause; haste = "batches";
			});
			audit_log.read(asked:page(limits.counted), nothing, { writing = view:numbers(); pause = pause; haste = "batches" });
			return found;
		end);
		if ok == nil then
			return busy();
		elseif not ok then
			audit.module:log("error", "The log can't be read for a browser: %s", result);
			return answers.notice(500, "The log can't be read now", "The log of the server says why.");
		end
		readings.record(host, {
			through = "http"; filter = asked.asked; entries = result.shown; actor = pages.actor(request, reader.account);
		});
		-- Reading has held the loop, and making the page does, too.
		readings.pause();
		local page = view:page(address, {
			subject = subject; host = host; account = reader.account; csrf = reader.csrf; health = shared.health(host);
			next = result.shown == size and result.last or nil; remarks = remarks_of(result);
		});
		readings.pause();
		return answers.send(event, answers.page(page));
	end

	-- download(event, reader) -> answer | true, when it is sent piece by piece
	function pages.download(event, reader)
		local request, response = event.request, event.response;
		local address, problem = web.address(request.url.query or "");
		local format = address and address:value("format");
		local asked;
		if address then
			asked, problem = pages.asked_of(request, "--format="..(format ~= "" and format or "csv"));
		end
		if not asked then
			return refused(problem);
		elseif request.method == "HEAD" then
			return answers.page("");
		end
		local name = ("audit-%s.%s"):format(host:gsub("[^%w.-]", "_"), asked.format);
		local stream;
		local ok, result = pages.read(function ()
			if stream then stream:pause(); else readings.pause(); end
		end, function (pause)
			-- The headers are sent when nothing can be refused any more.
			stream = answers.stream(response, "application/octet-stream", { content_disposition = ("attachment; filename=\"%s\""):format(name) });
			return audit_log.read(asked, function (text)
				return stream:put_slowly(text, pause);
			end, { pause = pause; piece = limits.piece; haste = "batches" });
		end);
		if ok == nil then
			return busy();
		end
		readings.record(host, {
			through = "http"; filter = asked.asked; entries = ok and result.shown or nil; exported = true; format = asked.format;
			actor = pages.actor(request, reader.account);
		});
		local why = not ok and result or ok and result.problem;
		if why then
			audit.module:log("error", "A download of the log is not complete: %s", why);
		end
		if not stream then
			return answers.notice(500, "The log can't be read now", "The log of the server says why.");
		elseif why or result.stopped then
			stream:abort();
		else
			stream:finish();
		end
		return true;
	end

	return pages;
end
