-- The recent activity of an account, for its owner.
--
-- A name can be registered again. Entries about a former account of that name are not shown.

local core = require "audit_core";

local datamanager = require "util.datamanager";
local jid = require "util.jid";
local lfs = require "lfs";
local st = require "util.stanza";
local time = require "util.time";
local usermanager = require "core.usermanager";

local pages = library "reading/form_pages";
local readings = library "reading/readings";

local audit_log = module:shared("/*/audit/log").log;

-- What users are told about their accounts. They see what an administrator did, but not from where. Entries that stand for several
-- accounts are not shown.
local OWN = { "--type=authentication-*,new-client,resource-bound,session-ended,user-*,token-*"; "--no-global"; "--utc"; "--" };
-- The same, as JSON with all that the log has about them; what it says of others is withheld.
local OWN_DATA = { OWN[1], OWN[2], OWN[3] };
local OWN_COLUMNS = { "time", "event", "ip", "location", "client", "actor" };

local BUSY = "The log is being read for somebody else. Try again in a moment.";
local UNREADABLE = "The log can't be read now.";

-- An entry explains a change of an account's file if it comes at most that many seconds later.
local EXPLAINED_WITHIN = 5;

-- created(username, pause) -> when the account was made, by Prosody's own data: UNIX time | nil, if that is not known
local function created(host, username, pause)
	local ok, info = pcall(function ()
		return usermanager.get_account_info and usermanager.get_account_info(username, host);
	end);
	if ok and type(info) == "table" and tonumber(info.created) then
		return math.floor(info.created);
	end
	-- COMPAT 0.12 does not store when an account was made. If no entry explains why its file was written, prosodyctl may have made it.
	local written = lfs.attributes(datamanager.getpath(username, host, "accounts"), "modification");
	if not written then
		return nil;
	end
	local types = "--type=user-registered,user-password-*,user-enabled,user-disabled";
	local since = "--since="..os.date("!%Y-%m-%dT%H:%M:%SZ", written - EXPLAINED_WITHIN);
	local explained = core.command({ types, since, "--limit=1", "--no-global", "--", username.."@"..host }, time.now());
	local found, result = audit_log.cells(explained.asked, { "event" }, pause);
	if #found == 0 and not result.problem then
		return written;
	end
end

-- new(host_module) -> { show, download = handlers of the ad-hoc commands; rows }
return function (module)
	local host = module.host;

	-- Anybody may ask, and reading a large log takes long: one reading at a time.
	local is_reading, told = false, false;

	-- Removes from a row what the user must not see: an address is shown only if the user did it.
	local function new_cut(own)
		return function (entry)
			local actor = entry[6];
			if actor ~= "" and jid.bare(actor) ~= own then
				entry[3], entry[4], entry[5] = "", "", "";
				entry[6] = actor:find("@", 1, true) and "an administrator" or actor;
			elseif actor ~= "" then
				entry[6] = "you";
			end
		end
	end

	-- What is asked for the history of an account | nil, what is wrong, unless it is an account of another host
	local function request_of(own, is_download)
		-- A name may look like a flag. Behind "--" or "=" it is a name.
		local arguments = { table.unpack(is_download and OWN_DATA or OWN) };
		table.insert(arguments, is_download and "--person="..own or own);
		local command, problem = core.command(arguments, time.now());
		return command and command.host == host and command.asked or nil, problem;
	end

	-- read(f) -> true, what f(pause) returned | false
	local function read(f)
		is_reading = true;
		local ok, answer, more = readings.read(readings.long_pause, f);
		is_reading = false;
		if ok then
			told = false;
			return true, answer, more;
		end
		-- If the driver never answers, this is logged once, not for each user who asks.
		if answer ~= readings.unanswered or not told then
			module:log("error", "The activity of an account can't be read: %s", answer);
		end
		told = answer == readings.unanswered;
		return false;
	end

	-- The entries of a page as JSON Lines, to be saved.
	local function data_form(state, own, pause)
		local text = {};
		local result = audit_log.read(state.asked:page(state.size, state.places[#state.places] or nil), function (part)
			table.insert(text, part);
			return true;
		end, { pause = pause });
		local actions = { "complete"; default = "complete" };
		if result.shown == state.size and result.last then
			actions = { "next", "complete"; default = "next" };
			state.next = result.last;
		end
		local form = st.stanza("x", { xmlns = "jabber:x:data"; type = "result" }):text_tag("title", "Data about "..own)
			:tag("field", { var = "json"; label = "JSON Lines"; type = "text-multi" });
		for line in table.concat(text):gmatch("[^\n]+") do
			form:text_tag("value", line);
		end
		local answer = { status = "executing"; actions = actions; other = form:up(); info = ("%d entries"):format(result.shown) };
		if actions.default == "complete" then
			answer.status, answer.actions = "completed", nil;
		end
		if result.problem or result.damaged > 0 then
			answer.warn = "The log can't be read completely now. Entries are missing here.";
		end
		return answer, answer.status == "executing" and state or nil;
	end

	local function show(state, own, pause)
		if not state.asked then
			local asked, began = audit_log.of_account(state.all, created(host, jid.node(own), pause), pause);
			if not asked then error(began, 0); end
			state.asked, state.began = asked, began;
		else
			-- The name may belong to somebody else since the first page.
			local is_other, problem = audit_log.is_other_account(state.all, state.since, state.began, pause);
			if is_other == nil then error(problem, 0); end
			if is_other then
				return { status = "completed"; error = { message = "This account belongs to somebody else now. Ask again." } };
			end
		end
		if state.is_download then
			return data_form(state, own, pause);
		end
		return pages.show(state, "Recent activity of "..own, OWN_COLUMNS, pause, new_cut(own));
	end

	local function handle(data, state, is_download)
		if data.action == "cancel" then
			return { status = "canceled" };
		end
		local own = jid.bare(data.from);
		if not state then
			local all, problem = request_of(own, is_download);
			if not all then
				return { status = "completed"; error = { message = problem or "You have no account here." } };
			end
			state = {
				all = all; size = is_download and pages.LARGEST or pages.SIZE; is_download = is_download;
				places = { false }; jid = own; since = math.floor(time.now());
			};
		elseif state.jid ~= own or not pages.turn(state, data.action) then
			return { status = "completed" };
		end
		if is_reading then
			return { status = "completed"; error = { message = BUSY } };
		end
		local ok, answer, next_state = read(function (pause)
			return show(state, own, pause);
		end);
		if not ok then
			return { status = "completed"; error = { message = UNREADABLE } };
		end
		return answer, next_state;
	end

	-- rows(account, size, place after which it begins | nil) -> columns, rows, result of the reading | nil, why it can't be
	-- read now. The same in a browser. Called in an async context.
	local function rows_of(own, size, after)
		local all = request_of(own);
		if not all then
			return nil, UNREADABLE;
		elseif is_reading then
			return nil, BUSY;
		end
		local ok, rows, result = read(function (pause)
			local asked, problem = audit_log.of_account(all, created(host, jid.node(own), pause), pause);
			if not asked then error(problem, 0); end
			return audit_log.cells(asked:page(size, after), OWN_COLUMNS, pause);
		end);
		if not ok then
			return nil, UNREADABLE;
		end
		local cut = new_cut(own);
		for _, row in ipairs(rows) do cut(row); end
		return OWN_COLUMNS, rows, result;
	end

	return {
		show = function (_, data, state) return handle(data, state); end;
		download = function (_, data, state) return handle(data, state, true); end;
		rows = rows_of;
	};
end
