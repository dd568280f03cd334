-- The ad-hoc commands (XEP-0050) that show the log to administrators.

local core = require "audit_core";

local new_form = require "util.dataforms".new;
local st = require "util.stanza";
local time = require "util.time";

local pages = library "reading/form_pages";
local readings = library "reading/readings";

local audit_log = module:shared("/*/audit/log").log;

local NODE = "xmpp:prosody.im/audit#";
local PAGE, LARGEST_PAGE = pages.SIZE, pages.LARGEST;

local function actor_of(data)
	return { kind = "adhoc"; jid = data.from; session = data.origin or prosody.full_sessions[data.from] };
end

local function record(host, data, asked, shown)
	readings.record(host, { through = "adhoc"; filter = asked.asked; entries = shown; actor = actor_of(data) });
end

local fields = {
	title = "Audit log";
	instructions = "Which entries to show; all of them if nothing is entered. Times are in UTC.";
	{ name = "FORM_TYPE"; type = "hidden"; value = NODE.."log" };
};
for _, flag in ipairs(core.flags()) do
	if flag.group == "filter" then
		if flag.value then
			table.insert(fields, { name = flag.name; type = "text-single"; label = flag.name..": "..flag.meaning });
		elseif not flag.negatable then
			table.insert(fields, { name = flag.name; type = "boolean"; label = flag.name..": "..flag.meaning; value = false });
		else
			table.insert(fields, {
				name = flag.name; type = "list-single"; label = "events of the whole host"; value = "";
				options = { { label = "with all others"; value = "" }, { label = "only these"; value = "only" }, { label = "none of these"; value = "none" } };
			});
		end
	end
end
table.insert(fields, { name = "oldest-first"; type = "boolean"; label = "the oldest entries first"; value = false });
table.insert(fields, { name = "limit"; type = "text-single"; label = ("entries a page, at most %d"):format(LARGEST_PAGE); value = tostring(PAGE) });
local log_form = new_form(fields);

-- What the form asks for | nil, what is wrong with it.
local function asked_of(host, values)
	local arguments = { host, "--utc" };
	for _, field in ipairs(fields) do
		local value = values[field.name];
		if field.type == "boolean" then
			if value then table.insert(arguments, "--"..field.name); end
		elseif value == "only" and field.type == "list-single" then
			table.insert(arguments, "--"..field.name);
		elseif value == "none" and field.type == "list-single" then
			table.insert(arguments, "--no-"..field.name);
		elseif field.type == "text-single" and value and value ~= "" then
			table.insert(arguments, "--"..field.name.."="..value);
		end
	end
	local command, problem = core.command(arguments, time.now());
	return command and command.asked, problem;
end

local LOG_COLUMNS = { "time", "event", "user", "ip", "location", "client", "actor", "note" };

local function unreadable(problem)
	return { status = "completed"; error = { message = "The log can't be read now: "..tostring(problem) } };
end

local summary_form = new_form {
	title = "Audit summary";
	instructions = "Totals of the audit log: by type, account, network and country, and over time. Times are in UTC.";
	{ name = "FORM_TYPE"; type = "hidden"; value = NODE.."summary" };
	{ name = "since"; type = "text-single"; label = "since: not before this time"; value = "7d" };
	{ name = "until"; type = "text-single"; label = "until: before this time" };
};

-- new(host) -> { log, summary }: the handlers of the two commands
return function (host)
	local function show_page(state, data)
		local ok, answer, next_state, result = readings.read(readings.pause, function (pause)
			return pages.show(state, "Audit log of "..host, LOG_COLUMNS, pause);
		end);
		if not ok then
			return unreadable(answer);
		end
		record(host, data, state.asked, result.shown);
		return answer, next_state;
	end

	local function log_handler(_, data, state)
		if data.action == "cancel" then
			return { status = "canceled" };
		elseif not state then
			return { status = "executing"; actions = { "next"; default = "next" }; form = log_form }, { asking = true };
		elseif state.asking then
			if not data.form then
				return { status = "completed"; error = { message = "The form is missing." } };
			end
			local values = log_form:data(data.form);
			local asked, problem = asked_of(host, values);
			if not asked then
				return { status = "executing"; actions = { "next"; default = "next" }; form = { layout = log_form; values = values };
					error = { message = problem } }, state;
			end
			state = { asked = asked; size = math.min(asked.limit or PAGE, LARGEST_PAGE); places = { false } };
			return show_page(state, data);
		elseif pages.turn(state, data.action) then
			return show_page(state, data);
		end
		return { status = "completed" };
	end

	local function summary_handler(_, data, state)
		if data.action == "cancel" then
			return { status = "canceled" };
		elseif not state or not data.form then
			return { status = "executing"; actions = { "complete"; default = "complete" }; form = summary_form }, { asking = true };
		end
		local values = summary_form:data(data.form);
		local arguments = { host, "--utc", "--stats" };
		for _, name in ipairs { "since", "until" } do
			if values[name] and values[name] ~= "" then table.insert(arguments, "--"..name.."="..values[name]); end
		end
		local command, problem = core.command(arguments, time.now());
		if not command then
			return { status = "executing"; actions = { "complete"; default = "complete" }; form = { layout = summary_form; values = values };
				error = { message = problem } }, state;
		end
		local text = {};
		local ok, result = readings.read(readings.pause, function (pause)
			return audit_log.read(command.asked, function (part) table.insert(text, part); end, { pause = pause });
		end);
		if not ok then
			return unreadable(result);
		end
		record(host, data, command.asked, result.shown);
		local form = st.stanza("x", { xmlns = "jabber:x:data"; type = "result" }):text_tag("title", "Audit summary of "..host)
			:tag("field", { var = "summary"; label = "Summary"; type = "text-multi" });
		for line in table.concat(text):gmatch("[^\n]*") do
			form:text_tag("value", line);
		end
		local hidden = readings.hidden(result.hidden);
		return { status = "completed"; other = form:up(); info = ("%d entries"):format(result.shown)..(hidden and "; "..hidden or "") };
	end

	return { log = log_handler; summary = summary_handler };
end
