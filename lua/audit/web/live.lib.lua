-- The live view: browsers that get new entries as they happen, as an event stream (HTML, section "Server-sent events").
--
-- All browsers of a host share one reading of what is new. It runs once a second, and only if something was recorded.

local core = require "audit_core";

local async = require "util.async";
local monotonic = require "util.time".monotonic;
local time = require "util.time";

local answers = library "web/answers";
local faults = library "faults";
local readings = library "reading/readings";

local audit_log = module:shared("/*/audit/log").log;
-- mod_audit notes here that something was recorded on a host that is watched.
local watched = module:shared("/*/audit/watched");
local web = core.web;
local limits = web.limits;

-- How many entries a browser gets that comes back after a lost connection. It is told if there were more.
local BACK = 50;

local function nothing() end

-- new_live(audit, access, pages) -> the live views of a host
return function (audit, access, pages)
	local module = audit.module;
	local host = module.host;
	local try = faults.trier(module);
	local live = {};
	local views, count = {}, 0;
	local feed, following;
	local is_looking, looked_at = false, 0;

	local function drop(view)
		if views[view] then
			views[view] = nil;
			count = count - 1;
		end
		if count == 0 then
			watched[host], following = nil, nil;
		end
	end

	local function send(view, text)
		if not view.stream:put(text) then
			drop(view);
		elseif view.stream:unsent() > limits.unsent then
			-- It does not keep up. It comes back by itself, and says what it has seen.
			drop(view);
			view.stream:abort();
		end
		view.sent_at = monotonic();
	end

	local function finish(view)
		drop(view);
		view.stream:put("event: over\ndata: -\n\n");
		view.stream:finish();
	end

	-- A request for everything that is recorded. Each browser's filter is applied to what it finds.
	local function everything()
		return core.command({ "--all", "--utc", "--", host }, time.now()).asked;
	end

	local function look()
		feed:clear();
		local ok, result = readings.read(readings.long_pause, function (pause)
			return audit_log.read(everything(), nothing, { following = following; writing = feed:entries(); pause = pause; haste = "batches" });
		end);
		if not ok or result.problem then
			module:log("debug", "New entries can't be read: %s", ok and result.problem or result);
			return;
		end
		local ready = {};
		for view in pairs(views) do
			if view.is_ready then table.insert(ready, view); end
		end
		-- Most browsers watch the same.
		local made = {};
		for _, view in ipairs(ready) do
			made[view.search] = made[view.search] or feed:messages(view.asked);
			if made[view.search] ~= "" and views[view] then
				send(view, made[view.search]);
				readings.pause();
			end
		end
	end

	-- Looks after all views: those that are gone, whose reader may not look any more, or that have heard nothing for long.
	local function tick()
		local now = monotonic();
		for view in pairs(views) do
			if view.stream.gone then
				drop(view);
			elseif now - view.checked_at >= limits.comment then
				view.checked_at = now;
				if not access.is_here(view.reader) then
					finish(view);
				end
			end
			if views[view] and now - view.sent_at >= limits.comment then
				send(view, ": \n\n");
			end
		end
		local news = watched[host];
		if following and news and not is_looking and (news.has_news or now - looked_at >= limits.comment) then
			news.has_news, is_looking, looked_at = false, true, now;
			try("the look at new entries", look);
			is_looking = false;
		end
	end

	local is_ticking = false;
	local function begin_ticking()
		if is_ticking then return; end
		is_ticking = true;
		module:add_timer(limits.look, function ()
			-- Accounts and stores may have to be waited for.
			async.runner(function () try("live views", tick); end):run(true);
			is_ticking = count > 0;
			return is_ticking and limits.look or nil;
		end);
	end

	-- What came after the entry that the browser has seen last.
	local function missed(view, place, pause)
		local asked = feed:since(view.asked, place, BACK);
		if not asked then return; end
		local back = web.feed();
		local result = audit_log.read(asked, nothing, { writing = back:entries(); pause = pause });
		local messages = back:messages(view.asked);
		if result.shown == BACK then
			messages = messages.."event: more\ndata: some\n\n";
		end
		if messages ~= "" then send(view, messages); end
	end

	-- watch(event, reader) -> answer | true, when the view is open
	function live.watch(event, reader)
		local request, response = event.request, event.response;
		local asked, address = pages.asked_of(request);
		if not asked then
			return answers.notice(400, "This can't be watched", address);
		elseif request.method ~= "GET" then
			return answers.page("");
		elseif count >= limits.live_views then
			return answers.notice(503, "Too many are watching", ("At most %d may watch a host at the same time."):format(limits.live_views),
				{ retry_after = "10" });
		end
		local now = monotonic();
		-- What is searched for, as a text: not that of the flags, which hides some values. A place is no part of it.
		local search = ("&"..(request.url.query or "")):gsub("&after=[^&]*", ""):gsub("&$", "");
		local view = { asked = asked; search = search; reader = reader; sent_at = now; checked_at = now };
		views[view], count = true, count + 1;
		watched[host] = watched[host] or { has_news = false };
		view.stream = answers.stream(response, "text/event-stream", { x_accel_buffering = "no" });
		view.stream:put("retry: 3000\n\n");
		local place = request.headers.last_event_id or address:value("after");
		local ok, problem = readings.read(readings.pause, function (pause)
			if not following then
				feed = web.feed();
				following = audit_log.follower(everything(), pause);
			end
			if place ~= "" then
				missed(view, place, pause);
			end
		end);
		if not ok then
			module:log("error", "The log can't be watched: %s", problem);
			finish(view);
			return true;
		end
		view.is_ready = true;
		begin_ticking();
		readings.record(host, { through = "http"; filter = asked.asked; actor = pages.actor(request, reader.account) });
		return true;
	end

	-- close(): ends all views
	function live.close()
		for view in pairs(views) do finish(view); end
	end

	return live;
end
