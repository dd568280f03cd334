-- An archive driver that says of each entry that it has stored it, and gives back what the option pretending_storage says, or at
-- run time pretending_mode in a server's shared table. Never a part of an installation.

local async = require "util.async";
local st = require "util.stanza";
local time = require "util.time";

local state = module:shared("/*/storage_pretending/state");
state.mode = state.mode or module:get_option_string("pretending_storage", "keeps");
state.rows = state.rows or {};
state.appended = state.appended or 0;

-- What becomes of an entry that is read: stanza, when | nil where it is not there.
local given_back = {
	keeps = function (row) return st.clone(row.value), row.when; end;
	adds_attributes = function (row)
		local stanza = st.clone(row.value);
		stanza.attr.stamp, stanza.attr["urn:example\1other"] = "2026-11-26T00:00:00Z", "x";
		return stanza, row.when;
	end;
	waits = function (row)
		async.sleep(0.01);
		return st.clone(row.value), row.when;
	end;
	-- As a database of which another server answers.
	lags = function (row)
		if time.now() - row.at > 1.5 then return st.clone(row.value), row.when; end
	end;
	forgets = function () end;
	-- Stores only what it knows, as mod_storage_xmlarchive.
	raises = function () error("Multiple items in chunk"); end;
	gives_something_else = function (row) return st.stanza("message"):text("audit-event"), row.when; end;
	loses_attributes = function (row)
		local stanza = st.clone(row.value);
		for name in pairs(stanza.attr) do
			if name:find("\1", 1, true) then stanza.attr[name] = nil; end
		end
		return stanza, row.when;
	end;
	loses_content = function (row) return st.stanza("audit-event", row.value.attr), row.when; end;
	loses_times = function (row) return st.clone(row.value), nil; end;
};

local driver = {};

function driver.open(_, store, typ)
	if typ ~= "archive" then
		return nil, "unsupported-store";
	end
	local archive = { store = store; caps = {} };
	function archive.append(_, user, _, value, when, with)
		local rows = state.rows[user or false] or {};
		state.rows[user or false] = rows;
		state.appended = state.appended + 1;
		table.insert(rows, { key = tostring(state.appended), value = st.clone(value), when = when, with = with, at = time.now() });
		return rows[#rows].key;
	end
	function archive.find(_, user, query)
		local rows = state.rows[user or false] or {};
		local i, left = query.reverse and #rows + 1 or 0, query.limit or math.huge;
		local skip = query.before or query.after;
		return function ()
			while left > 0 do
				i = i + (query.reverse and -1 or 1);
				local row = rows[i];
				if not row then return; end
				if skip then
					if row.key == skip then skip = nil; end
				elseif not query.key or row.key == query.key then
					left = left - 1;
					local stanza, when = given_back[state.mode](row);
					if stanza then return row.key, stanza, when, row.with; end
				end
			end
		end
	end
	function archive.users()
		return function (_, last)
			local user = last;
			repeat user = next(state.rows, user); until user ~= false;
			return user;
		end
	end
	function archive.delete(_, user)
		state.rows[user or false] = nil;
		return true;
	end
	return archive;
end

module:provides("storage", driver);
