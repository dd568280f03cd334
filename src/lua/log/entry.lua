-- Passes an event to the core, which makes its entry. No Lua table is made for an event, and nothing of it stays in Lua.

local native, chunks = ...;

local next, pairs, tostring, type = next, pairs, tostring, type;
local good_word = chunks.stanza.good_word;

-- Flags for record(), one bit each.
local bits_of = native.event_bits;
local HAS_SESSION, IS_ADMITTED, APPENDS, IS_KEPT = bits_of.has_session, bits_of.is_admitted, bits_of.appends, bits_of.is_kept;

-- Returns a field of a session if it is a string, and nil otherwise.
local function field(value)
	if type(value) == "string" then
		return value;
	end
end

-- Returns a copy of a stanza in which all values are strings. A stanza that was not made by util.stanza may have any values in it.
local function with_texts(stanza)
	local attr = {};
	for name, value in pairs(stanza.attr) do
		attr[tostring(name)] = tostring(value);
	end
	local copy = { name = tostring(stanza.name); attr = attr };
	for i = 1, #stanza do
		local child = stanza[i];
		copy[i] = type(child) == "string" and child or with_texts(child);
	end
	return copy;
end

-- make, mended = new(recorder)
--   make(host, user, source, event_type, session, actor, custom, timestamp, at, clock, is_admitted, appends, is_kept)
--     -> id | nil, what became of it, sequence, whether there are warnings, whether the journal is amiss
local function new(recorder)
	local close, set_actor, record = recorder.close, recorder.actor, recorder.record;
	local add_attribute, add_element, add_text = recorder.attribute, recorder.element, recorder.text;

	local add;

	-- Values that do not fit into one call of the core.
	local function add_rest(stanza, last)
		if last ~= nil then
			for name, value in next, stanza.attr, last do
				add_attribute(name, value);
			end
		end
		for i = 1, #stanza do
			local child = stanza[i];
			local has_room;
			if type(child) == "string" then
				has_room = add_text(child);
			else
				has_room = add(child);
			end
			if not has_room then break; end
		end
	end

	-- Adds an element to an event. Returns whether there was room for it. Raises an error if it has values other than strings and
	-- numbers.
	function add(stanza)
		local attr, text = stanza.attr, stanza[1];
		local name1, value1 = next(attr);
		local name2, value2, name3, value3, name4, value4;
		if name1 ~= nil then
			name2, value2 = next(attr, name1);
			if name2 ~= nil then
				name3, value3 = next(attr, name2);
				if name3 ~= nil then
					name4, value4 = next(attr, name3);
				end
			end
		end
		if (text == nil or stanza[2] == nil and type(text) == "string") and (name4 == nil or next(attr, name4) == nil) then
			return add_element(stanza.name, false, text, name1, value1, name2, value2, name3, value3, name4, value4);
		end
		local has_room = add_element(stanza.name, true, nil, name1, value1, name2, value2, name3, value3, name4, value4);
		if has_room then
			add_rest(stanza, name4);
		end
		close();
		return has_room;
	end

	-- Whether elements of an event are being added.
	local is_adding = false;

	local function make(host, user, source, event_type, session, actor, custom, timestamp, at, clock, is_admitted, appends, is_kept)
		if custom then
			is_adding = true;
			for i = 1, #custom do
				if not add(custom[i]) then break; end
			end
			is_adding = false;
		end
		if actor then
			local own = actor.session;
			if type(own) ~= "table" then own = nil; end
			local jid = field(actor.jid);
			if (jid == nil or jid == "") and own then jid = field(own.full_jid); end
			set_actor(field(actor.kind), jid, own and field(own.ip), field(actor.caused_by));
		end
		if user ~= nil and type(user) ~= "string" then user = tostring(user); end
		if type(source) ~= "string" then source = nil; end
		if type(event_type) ~= "string" then event_type = nil; end
		if timestamp ~= nil and type(timestamp) ~= "number" then timestamp = nil; end
		local bits = (is_admitted and IS_ADMITTED or 0) + (appends and APPENDS or 0) + (is_kept and IS_KEPT or 0);
		if not session then
			return record(host, user, source, event_type, nil, nil, nil, nil, at, clock, timestamp, bits);
		end
		local id, kind, ip, client = session.id, session.type, session.ip, session.client_id;
		if type(id) ~= "string" then id = nil; end
		if type(kind) ~= "string" then kind = nil; end
		if type(ip) ~= "string" then ip = nil; end
		if client ~= nil and type(client) ~= "string" then client = nil; end
		return record(host, user, source, event_type, id, kind, ip, client, at, clock, timestamp, bits + HAS_SESSION);
	end

	-- Call this after make() has raised an error. Returns another list to try instead of `custom`, or nil if that was not the cause.
	local function mended(custom)
		recorder.forget_event();
		if not is_adding then
			return nil;
		end
		is_adding = false;
		local texts = {};
		for i = 1, #custom do texts[i] = with_texts(custom[i]); end
		return texts;
	end

	return make, mended;
end

-- The type of an event as it is stored.
local function kind_of(event_type)
	if type(event_type) == "string" and event_type ~= "" then
		return good_word(event_type);
	end
	return "unknown";
end

return { new = new; field = field; kind_of = kind_of };
