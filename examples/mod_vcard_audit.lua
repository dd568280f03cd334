-- An example for authors of modules: records when users change their vCard (vcard-changed), and when somebody tries to change
-- the vCard of another account (vcard-refused).

-- Loads mod_audit on this host. Without it, module:audit() does not exist.
module:depends("audit");

-- Loaded by mod_audit. detail() makes an element for an entry: its text and attributes are valid XML and have a bounded length,
-- whatever a client has sent.
local detail = require "audit_core".detail;

local jid_bare = require "util.jid".bare;

local xmlns_vcard = "vcard-temp";

-- Names of the fields that a vCard has. An entry says what was changed, but not the personal data in it.
local function fields_of(vcard)
	local fields = {};
	for i, tag in ipairs(vcard.tags) do
		fields[i] = detail("field", { name = tag.name });
	end
	return fields;
end

local function record_change(event)
	local session, stanza = event.origin, event.stanza;
	if stanza.attr.type ~= "set" then return; end
	local user = jid_bare(session.full_jid);
	local to = stanza.attr.to;
	if to and to ~= user then
		-- Anybody can cause this event as often as they like. Event types that end in "-refused" are under flood control: the log
		-- stores the first few of them, and counts the rest.
		module:audit(user, "vcard-refused", {
			session = session;
			custom = { detail("vcard", { of = to }) };
		});
		return;
	end
	module:audit(user, "vcard-changed", {
		session = session; -- its id, type, address and client are stored as the options say
		actor = { kind = "user", session = session }; -- who did it
		custom = { detail("vcard", nil, nil, fields_of(stanza.tags[1])) };
	});
end

-- A handler must not raise, as it would break the event for the modules after it. module:audit() itself never raises for what a
-- client or a store does. Returning nothing lets the other handlers have the event.
local function on_vcard(event)
	local ok, err = pcall(record_change, event);
	if not ok then
		module:log("error", "A change of a vCard can't be recorded: %s", err);
	end
end

-- Before mod_vcard, which handles the event at priority 0.
module:hook("iq/bare/"..xmlns_vcard..":vCard", on_vcard, 10);
