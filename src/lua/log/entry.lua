-- Passes an event to the core, which makes its entry. No Lua table is made for an event, and nothing of it stays in Lua.

local native, chunks = ...;

local next, pairs, tostring, type = next, pairs, tostring, type;
local word_of = chunks.stanza.word_of;

-- Flags for record(), one bit each.
local bits_of = native.event_bits;
local HAS_SESSION, IS_ADMITTED, IS_KEPT = bits_of.has_session, bits_of.is_admitted, bits_of.is_kept;

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
--   make(host, user, source, event_type, session, actor, custom, timestamp, at, clock, is_admitted, journal, is_kept)
--     -> id | nil, what became of it, sequence, whether there are warnings, whether the journal is amiss
--   `journal` is the number of the journal to which the entry is appended at once, or nil.
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

	-- Whether an event is being passed. The core refuses values of a wrong type before it has done anything.
	local is_passing = false;

	local function make(host, user, source, event_type, session, actor, custom, timestamp, at, clock, is_admitted, journal, is_kept)
		is_passing = true;
		if custom then
			for i = 1, #custom do
				if not add(custom[i]) then break; end
			end
		end
		if actor then
			local own = actor.session;
			if type(own) ~= "table" then own = nil; end
			local jid = field(actor.jid);
			if (jid == nil or jid == "") and own then jid = field(own.full_jid); end
			set_actor(field(actor.kind), jid, own and field(own.ip), field(actor.caused_by));
		end
		if timestamp ~= nil and type(timestamp) ~= "number" then timestamp = nil; end
		local bits = (is_admitted and IS_ADMITTED or 0) + (is_kept and IS_KEPT or 0);
		local session_id, kind, ip, client;
		if session then
			session_id, kind, ip, client = session.id, session.type, session.ip, session.client_id;
			-- The core would take a number for a text. This raises an error for one, in less time than type() takes.
			local _ = #(session_id or "") + #(kind or "") + #(ip or "") + #(client or "");
			bits = bits + HAS_SESSION;
		end
		local id, outcome, sequence, is_warned, is_amiss = record(host, user, word_of(source), word_of(event_type), session_id, kind, ip, client,
			at, clock, timestamp, bits, journal);
		is_passing = false;
		return id, outcome, sequence, is_warned, is_amiss;
	end

	-- Call this after make() has raised an error. Returns whether the cause may be a value of a wrong type, and then what to pass
	-- instead of `user`, `session` and `custom`.
	local function mended(user, session, custom)
		recorder.forget_event();
		if not is_passing then
			return false;
		end
		is_passing = false;
		local texts = custom and {};
		for i = 1, #(custom or "") do texts[i] = with_texts(custom[i]); end
		if session then
			session = { id = field(session.id); type = field(session.type); ip = field(session.ip); client_id = field(session.client_id) };
		end
		if user ~= nil then user = tostring(user); end
		return true, user, session, texts;
	end

	return make, mended;
end

return { new = new; field = field };
