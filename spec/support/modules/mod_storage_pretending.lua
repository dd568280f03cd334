-- An archive driver that claims to have stored each entry. What it returns when it is read depends on the option
-- pretending_storage, or at run time on `mode` in the shared table /*/storage_pretending/state. Never a part of an installation.

local async = require "util.async";
local st = require "util.stanza";
local time = require "util.time";

local state = module:shared("/*/storage_pretending/state");
state.mode = state.mode or module:get_option_string("pretending_storage", "keeps");

-- By mode: what is returned for a row, as stanza and when; nil if it is not there.
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
	-- Like a database whose replica answers.
	lags = function (row)
		if time.now() - row.at > 1.5 then return st.clone(row.value), row.when; end
	end;
	forgets = function () end;
	-- Stores only what it knows, like mod_storage_xmlarchive.
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

module:require "rows".provide(module, state, {
	read = function (row) return given_back[state.mode](row); end;
});
