-- The ad-hoc command by which users see the recent activity of their own account.
--
-- A name can be registered again. Entries about a former account of that name are not shown.

local core = require "audit_core";

local datamanager = require "util.datamanager";
local jid = require "util.jid";
local lfs = require "lfs";
local modulemanager = require "core.modulemanager";
local st = require "util.stanza";
local time = require "util.time";
local usermanager = require "core.usermanager";

local new_accounts = library "accounts";
local new_command = library "reading/commands";
local readings = library "reading/readings";

local shared = module:shared("/*/audit/log");
local audit_log = shared.log;

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

-- add_history(audit, forms): adds the command to the host of `audit`. forms = { node, size, largest, page, turn } of adhoc.lib.lua
return function (audit, forms)
	local module = audit.module;
	local host = module.host;
	local accounts = new_accounts(audit);

	-- A history depends on entries about the beginning and end of accounts. If no other module records them, this one does.
	local function record(event_type, event, session)
		if not (modulemanager.is_loaded(host, "audit_register") or modulemanager.is_loaded(host, "audit_user_accounts")) then
			return audit:jid(event.username), event_type, { session = session };
		end
	end

	-- Accounts that were just deleted. mod_audit_register may still record that their owners did it.
	local ending = {};

	local record_end = audit:guard("user-deleted", function (username)
		if ending[username] then
			ending[username] = nil;
			module:audit(audit:jid(username), "user-deleted", {});
		end
	end);

	audit:hook_global("user-deleted", function (event)
		local username = event.username;
		if modulemanager.is_loaded(host, "audit_user_accounts") or accounts.current("removing", username) then
			return;
		elseif not modulemanager.is_loaded(host, "audit_register") then
			return audit:jid(username), "user-deleted", {};
		end
		ending[username] = true;
		module:add_timer(0, function () record_end(username); end);
	end);

	audit:watch("user-deregistered", function (event)
		ending[event.username] = nil;
	end);

	audit:hook("user-registered", function (event)
		return record("user-registered", event, type(event.session) == "table" and event.session or nil);
	end);

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
		return forms.page(state, "Recent activity of "..own, OWN_COLUMNS, pause, new_cut(own));
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
				all = all; size = is_download and forms.largest or forms.size; is_download = is_download;
				places = { false }; jid = own; since = math.floor(time.now());
			};
		elseif state.jid ~= own or not forms.turn(state, data.action) then
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

	-- histories[host](account, size, place after which it begins | nil) -> columns, rows, result of the reading | nil, why it can't be
	-- read now. The same in a browser. Called in an async context.
	shared.histories = shared.histories or {};
	shared.histories[host] = function (own, size, after)
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

	module:provides("adhoc", new_command(module, "Recent account activity", forms.node, function (_, data, state)
		return handle(data, state);
	end, "local_user"));
	module:provides("adhoc", new_command(module, "Recent account activity: Download", forms.node.."-download", function (_, data, state)
		return handle(data, state, true);
	end, "local_user"));
end
