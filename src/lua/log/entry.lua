-- Passes an event to the core, which makes its entry. No Lua table is made for an event, and nothing of it stays in Lua.

local native = ...;

local pairs, tostring, type = pairs, tostring, type;

local HAS_SESSION, ADMINISTERS = native.event_bits.has_session, native.event_bits.administers;

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

-- Whether the actor is an administrator, who could also stop the log. For ad-hoc commands, `actor.administers` says so.
local function administers(actor)
	return actor.kind == "admin-shell" or actor.administers;
end

-- new(recorder) -> { describe =, mended =, passing = }
--   describe(extra) -> bits, id, type, ip and client of the session, timestamp: what record() of the core takes after the event type.
--                      Passes what `extra` has otherwise. `extra` is a table or nil.
--   passing         passing.event must be true while an event is passed
--   mended(user, extra)
local function new(recorder)
	local close, set_actor, add_element, add_text = recorder.close, recorder.actor, recorder.element, recorder.text;
	local passing = { event = false };

	-- Adds an element to an event. Returns whether there was room for it. Raises an error if it has values other than strings and
	-- numbers.
	local function add(stanza)
		local text = stanza[1];
		if text == nil or stanza[2] == nil and type(text) == "string" then
			return add_element(stanza.name, false, text, stanza.attr);
		end
		local has_room = add_element(stanza.name, true, nil, stanza.attr);
		if has_room then
			for i = 1, #stanza do
				local child = stanza[i];
				if not (type(child) == "string" and add_text or add)(child) then break; end
			end
		end
		close();
		return has_room;
	end

	local function add_actor(actor)
		local own = actor.session;
		if type(own) ~= "table" then own = nil; end
		local jid = field(actor.jid);
		if (jid == nil or jid == "") and own then jid = field(own.full_jid); end
		set_actor(field(actor.kind), jid, own and field(own.ip), field(actor.caused_by));
		return administers(actor) and ADMINISTERS or 0;
	end

	local function describe(extra)
		if not extra then
			return 0;
		end
		local session, actor, custom, timestamp, bits = extra.session, extra.actor, extra.custom, extra.timestamp, 0;
		if custom then
			for i = 1, #custom do
				if not add(custom[i]) then break; end
			end
		end
		if actor ~= nil and type(actor) == "table" then
			bits = add_actor(actor);
		end
		if timestamp ~= nil and type(timestamp) ~= "number" then timestamp = nil; end
		if type(session) ~= "table" then
			return bits, nil, nil, nil, nil, timestamp;
		end
		local id, kind, ip, client = session.id, session.type, session.ip, session.client_id;
		-- The core would take a number for a text. This raises an error for one, in less time than type() takes.
		local _ = #(id or "") + #(kind or "") + #(ip or "") + #(client or "");
		return bits + HAS_SESSION, id, kind, ip, client, timestamp;
	end

	-- Call this if an error was raised. Returns whether the cause may be a value of a wrong type, and then what to pass instead of
	-- `user` and `extra`. The core refuses such a value before it has done anything.
	local function mended(user, extra)
		recorder.forget_event();
		if not passing.event then
			return false;
		end
		passing.event = false;
		local copy;
		if extra then
			local session, custom = extra.session, extra.custom;
			copy = { actor = extra.actor; timestamp = extra.timestamp; custom = custom and {} };
			for i = 1, #(custom or "") do copy.custom[i] = with_texts(custom[i]); end
			if type(session) == "table" then
				copy.session = { id = field(session.id); type = field(session.type); ip = field(session.ip); client_id = field(session.client_id) };
			end
		end
		if user ~= nil then user = tostring(user); end
		return true, user, copy;
	end

	return { describe = describe; mended = mended; passing = passing };
end

return { new = new; field = field };
