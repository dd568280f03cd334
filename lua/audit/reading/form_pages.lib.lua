-- Entries as pages of an ad-hoc command (XEP-0050), with the actions "next" and "prev".

local st = require "util.stanza";

local readings = library "reading/readings";

local audit_log = module:shared("/*/audit/log").log;

-- How many entries a page has, if nothing else is asked for, and at most.
local pages = { SIZE = 50; LARGEST = 200 };

local column_labels = {
	time = "Time (UTC)"; event = "Event"; user = "Account"; ip = "Address"; location = "Country"; client = "Client"; actor = "Done by"; note = "Note";
};

-- The entries of a page as a form's result (XEP-0004, multiple items).
local function result_form(title, columns, entries)
	local form = st.stanza("x", { xmlns = "jabber:x:data"; type = "result" });
	form:text_tag("title", title);
	form:tag("reported");
	for _, column in ipairs(columns) do
		form:tag("field", { var = column; label = column_labels[column]; type = "text-single" }):up();
	end
	form:up();
	for _, entry in ipairs(entries) do
		form:tag("item");
		for i, column in ipairs(columns) do
			form:tag("field", { var = column }):text_tag("value", entry[i]):up();
		end
		form:up();
	end
	return form;
end

-- pages.show(state, title, columns, pause, change | nil) -> the answer of the command, the next state | nil, what came of the reading.
-- state = { asked, size, places = { the place where page n begins } }
function pages.show(state, title, columns, pause, change)
	local after = state.places[#state.places] or nil;
	local entries, result = audit_log.cells(state.asked:page(state.size, after), columns, pause);
	if change then
		for _, entry in ipairs(entries) do change(entry); end
	end
	local actions = { default = "complete" };
	if #state.places > 1 then table.insert(actions, "prev"); end
	if result.shown == state.size and result.last then
		table.insert(actions, "next");
		actions.default = "next";
		state.next = result.last;
	end
	table.insert(actions, "complete");
	local hidden = readings.hidden(result.hidden);
	local answer = {
		status = #actions > 1 and "executing" or "completed"; actions = #actions > 1 and actions or nil;
		other = result_form(title, columns, entries);
		info = ("%d entries"):format(result.shown)..(#state.places > 1 and (" on page %d"):format(#state.places) or "")
			..(hidden and "; "..hidden or "");
	};
	if result.problem then
		answer.warn = "The log can't be read completely now. Entries are missing here.";
	elseif result.damaged > 0 then
		answer.warn = ("%d damaged entries are not shown."):format(result.damaged);
	end
	return answer, answer.status == "executing" and state or nil, result;
end

-- pages.turn(state, action) -> whether there is a page to show after this action
function pages.turn(state, action)
	if action == "prev" and #state.places > 1 then
		table.remove(state.places);
		return true;
	elseif (action == "next" or action == "execute") and state.next then
		table.insert(state.places, state.next);
		state.next = nil;
		return true;
	end
end

return pages;
