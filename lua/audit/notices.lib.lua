-- Tells users that their account was used from a new country or with a new client.
--
-- local notices = library "notices" (audit, alerts);
-- notices.send(notice)   sends it to the other sessions of the account, and later to its offline store
-- notices.look()         stores what can be stored now, in an async context
-- notices.waits()        --> whether something is not stored yet
--
-- What is in the offline store goes to the next session that sends presence. That must not be the session that has just logged in,
-- which may be somebody else's. So it is stored after that session has sent presence, or is gone.

local jid_node = require "util.jid".node;
local st = require "util.stanza";
local new_id = require "util.id".short;
local monotonic = require "util.time".monotonic;

local ipairs, next, pairs, pcall = ipairs, next, pairs, pcall;
local remove = table.remove;

local hosts = prosody.hosts;

-- How many notices wait to be stored, and how many accounts' languages are remembered, on each host.
local MOST = 1000;
-- A session that has logged in has no resource for a moment. It is gone if it has none after that many seconds.
local WITHOUT_RESOURCE = 60;

return function (audit, alerts)
	local module = audit.module;
	local host = module.host;
	local notices, waiting = {}, {};
	local languages, language_count = {}, 0;

	local function sessions_of(username)
		local user = hosts[host].sessions[username];
		return user and user.sessions or {};
	end

	local function language_of(session)
		return session.presence and session.presence.attr["xml:lang"];
	end

	audit:watch("presence/initial", function (event)
		local username, language = event.origin.username, event.stanza.attr["xml:lang"];
		if not username or not language or #language > 35 then return; end
		local known = languages[username];
		if not known then
			if language_count >= MOST then languages, language_count = {}, 0; end
			language_count = language_count + 1;
		end
		languages[username] = { last = language; session = event.origin.id; before = known and known.last };
	end);

	-- The language that the account used last, and not in the session that the notice is about: that may be somebody else's.
	local function language_before(notice, username)
		local known = languages[username];
		if not known then return nil; end
		return known.session == notice.session and known.before or known.last;
	end

	local function message(notice, to, language)
		local text = alerts.notice_text(host, language, notice);
		return st.message({ from = host; to = to; type = "chat"; id = new_id(); ["xml:lang"] = language }):tag("body"):text(text):up();
	end

	function notices.send(notice)
		local username = jid_node(notice.account);
		local language = language_before(notice, username);
		for _, session in pairs(sessions_of(username)) do
			if session.id ~= notice.session and session.presence then
				session.send(message(notice, session.full_jid, language_of(session) or language));
			end
		end
		if #waiting >= MOST then
			remove(waiting, 1);
		end
		waiting[#waiting + 1] = { notice = notice; username = username; language = language; since = monotonic() };
	end

	-- Whether the session that has logged in may still get what is in the offline store.
	local function is_in_the_way(item)
		for _, session in pairs(sessions_of(item.username)) do
			if session.id == item.notice.session then
				return not session.presence;
			end
		end
		return monotonic() - item.since < WITHOUT_RESOURCE;
	end

	local function store(item)
		if not (hosts[host].modules.offline and hosts[host].users and hosts[host].users.name ~= "anonymous") then return; end
		local stanza = message(item.notice, item.notice.account, item.language);
		module:fire_event("message/offline/handle", { stanza = stanza; origin = { type = "local"; host = host; username = item.username } });
	end

	function notices.look()
		if not next(waiting) then return; end
		local list = waiting;
		waiting = {};
		for _, item in ipairs(list) do
			if is_in_the_way(item) then
				waiting[#waiting + 1] = item;
			else
				local ok, problem = pcall(store, item);
				if not ok then
					module:log("error", "A notice to a user can't be stored: %s", problem);
				end
			end
		end
	end

	-- waits() -> whether look() may have something to do later
	function notices.waits()
		return next(waiting) ~= nil;
	end

	-- forget(username): forgets what waits for an account
	function notices.forget(username)
		for i = #waiting, 1, -1 do
			if waiting[i].username == username then remove(waiting, i); end
		end
	end

	return notices;
end
