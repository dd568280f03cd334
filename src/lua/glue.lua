-- The Lua half of the binding. Everything that calls a store is here and not in Rust: a driver may yield, a yield can't
-- cross Rust, and a driver's errors must arrive as they are.

local native = ...;

local NAMESPACE = native.namespace;
-- util.stanza's way to write an attribute with a namespace.
local ID, OCCURRED = NAMESPACE.."\1id", NAMESPACE.."\1occurred";
local HOST_WIDE = "@";

-- The bounds of what one event may add: elements, and bytes of text in them.
local MAX_ELEMENTS, MAX_BYTES, MAX_DEPTH = 200, 32768, 16;
-- How many words are remembered as good, and how long one may be, in bytes.
local MAX_WORDS, MAX_WORD = 1024, 64;
-- How many addresses are remembered with what is stored of them.
local MAX_ADDRESSES = 1024;

local error, getmetatable, next, pairs, pcall, rawget = error, getmetatable, next, pairs, pcall, rawget;
local require, setmetatable, tonumber, tostring, type = require, setmetatable, tonumber, tostring, type;
local ceil, floor = math.ceil, math.floor;
local find, s_match = string.find, string.match;
local clean_attribute, clean_jid, clean_name, clean_text = native.clean_attribute, native.clean_jid, native.clean_name, native.clean_text;
local attribute_limit, text_limit = native.attribute_limit, native.text_limit;

-- Most text is short and printable ASCII: good as it is, which a pattern finds for less than a call into Rust costs.
local function good_attribute(value)
	if type(value) ~= "string" then
		value = tostring(value);
	end
	if #value <= attribute_limit and not find(value, "[^\32-\126]") then
		return value;
	end
	return clean_attribute(value);
end

-- Words that come again and again, such as event types, are remembered once they were found good: looking them up costs a
-- tenth of looking at them. The memory is bounded, as some words come from outside.
local good_words, word_count = {}, 0;

local function good_word(value)
	if good_words[value] then
		return value;
	end
	local good = good_attribute(value);
	if good == value and #value <= MAX_WORD then
		if word_count >= MAX_WORDS then
			good_words, word_count = {}, 0;
		end
		good_words[value], word_count = true, word_count + 1;
	end
	return good;
end

local function good_text(text)
	if #text <= text_limit and not find(text, "[^\32-\126]") then
		return text;
	end
	return clean_text(text);
end

-- A bare JID; nil where an event is of the whole host.
local function good_jid(user)
	if user == nil or user == "" or user == HOST_WIDE then
		return nil;
	elseif type(user) ~= "string" then
		user = tostring(user);
	end
	-- No resource, and nothing to mend.
	if #user <= attribute_limit and not find(user, "[^\32-.0-\126]") then
		return user;
	end
	return clean_jid(user);
end

-- Names come from code, so there are few of them.
local good_names, name_count = {}, 0;

local function good_name(name)
	if good_names[name] then
		return name;
	elseif type(name) ~= "string" then
		name = tostring(name);
	end
	if find(name, "^[%a_][%w_-]*$") and #name <= MAX_WORD then
		if name_count >= MAX_WORDS then
			good_names, name_count = {}, 0;
		end
		good_names[name], name_count = true, name_count + 1;
		return name;
	end
	return clean_name(name);
end

-- An attribute's namespace stands before its name, as in util.stanza.
local function good_attribute_name(name)
	local namespace, local_name = s_match(name, "^([^\1]+)\1(.+)$");
	if namespace then
		return good_attribute(namespace).."\1"..good_name(local_name);
	end
	return good_name(name);
end

-- Copies a stanza, made good. Stores keep what they are given, and a serializer refuses a table that it meets twice.
local function copy(stanza, stanza_mt, budget, depth)
	budget.elements = budget.elements - 1;
	local attr, tags = {}, {};
	for name, value in pairs(stanza.attr) do
		value = good_attribute(value);
		attr[good_attribute_name(name)] = value;
		budget.bytes = budget.bytes - #value;
	end
	local new = { name = good_name(stanza.name); attr = attr; tags = tags };
	for i = 1, #stanza do
		if budget.elements <= 0 or budget.bytes <= 0 or depth > MAX_DEPTH then
			budget.truncated = true;
			break;
		end
		local child = stanza[i];
		if type(child) == "string" then
			child = good_text(child);
			budget.bytes = budget.bytes - #child;
		else
			child = copy(child, stanza_mt, budget, depth + 1);
			tags[#tags + 1] = child;
		end
		new[#new + 1] = child;
	end
	return setmetatable(new, stanza_mt);
end

-- Something to add to an event: an element in the log's namespace.
--   detail(name, attr, text, children) -> stanza
-- Values of `attr` become strings; one that is "" is left out, and so is such a text. The table becomes the stanza's own,
-- as in util.stanza; `children` are details too. Nothing raises, whatever bytes the values hold.
--
-- What is good from the start need not be copied when it is stored, once: a detail that was not stored yet says so itself.
local function detail(stanza_mt, name, attr, text, children)
	if attr then
		for key, value in next, attr do
			if good_name(key) ~= key then
				-- Names that need mending make for another table: a table must not grow while it is walked.
				local mended = {};
				for bad_key, bad_value in next, attr do
					mended[good_name(bad_key)] = bad_value;
				end
				return detail(stanza_mt, name, mended, text, children);
			elseif value == "" then
				attr[key] = nil;
			elseif not good_words[value] then
				attr[key] = good_word(value);
			end
		end
		attr.xmlns = NAMESPACE;
	else
		attr = { xmlns = NAMESPACE };
	end
	if text ~= nil and text ~= "" then
		text = good_text(tostring(text));
	else
		text = nil;
	end
	local stanza = setmetatable({ name = good_name(name); attr = attr; tags = children or {}; fresh = true; text }, stanza_mt);
	if children then
		for i = 1, #children do
			stanza[#stanza + 1] = children[i];
		end
	end
	return stanza;
end

-- What a driver says of a failure, as a text: some give a string, some an object, some nothing.
local function cause_of(err)
	if type(err) == "table" then
		local condition, text = err.condition, err.text;
		if condition then
			return tostring(condition)..(text and (": "..tostring(text)) or "");
		end
	end
	-- An object's address is another one each time, which would make each failure a cause of its own.
	return err ~= nil and tostring(err):gsub("0x%x+", "0x…") or "the storage driver refused without saying why";
end

-- The condition that audit() returns: a driver's own where it gave one, XMPP's for an internal error otherwise.
local function condition_of(err)
	local condition = type(err) == "table" and err.condition or err;
	if type(condition) == "string" and find(condition, "^%l[%l-]+$") then
		return condition;
	end
	return "internal-server-error";
end

-- A new audit log.
--   environment = {
--     stanza_mt   the metatable of util.stanza's stanzas
--     open_store  function(host) -> archive store | nil, err
--     get_option  function(host, name) -> the value in the configuration | nil
--     log         function(level, message)
--     now         function() -> UNIX time, with its fraction
--   }
-- State lies in the object that this returns: a module may be reloaded, the library stays.
local function new(environment)
	local recorder = native.recorder();
	local new_id = recorder.id;
	local stanza_mt, log, now = environment.stanza_mt, environment.log, environment.now;
	local configured, troubled = {}, {};
	-- What the recorder decided, kept for as long as it would decide the same: where entries of a host go until the second
	-- is over, and what is stored of an address. A call into Rust costs about as much as building an element.
	local slots, addresses, address_count = {}, {}, 0;

	local function tell(level, lines)
		for i = 1, #lines do
			log(level, lines[i]);
		end
	end

	local function configure(host)
		configured[host] = true;
		tell("error", recorder.configure(host, function (name)
			return environment.get_option(host, name);
		end));
		tell("warn", recorder.warnings());
	end

	-- stores[host] is the host's archive store. Only what works is kept: a failure is tried again at the next event.
	local function open(stores, host)
		local ok, store, err = pcall(environment.open_store, host);
		if not ok then
			return nil, store;
		elseif not store then
			return nil, err;
		elseif store.name == "null" or type(store.caps) == "function" then
			-- The null driver: its every field is a function that refuses.
			return nil, "no storage driver for archives is configured or loaded";
		end
		if type(store.users) ~= "function" then
			recorder.use_single(host);
			slots[host] = nil;
		end
		stores[host] = store;
		return store;
	end
	local stores = setmetatable({}, {
		__index = function (self, host)
			return (open(self, host));
		end;
	});

	-- The store of a host | nil, err
	local function store_of(host)
		local store = rawget(stores, host);
		if store then
			return store;
		end
		return open(stores, host);
	end

	local function failed(host, err, at)
		troubled[host] = true;
		local line = recorder.failed(host, cause_of(err), at);
		if line then
			log("error", line);
		end
		return nil, condition_of(err);
	end

	-- The time of the newest entry of a partition, or nothing where there is none.
	local function newest(store, partition)
		local rows, err = store:find(partition, { reverse = true; limit = 1 });
		if not rows then
			if err == nil or err == "item-not-found" then return nil; end
			return nil, err;
		end
		local time;
		for _, _, when in rows do
			time = time or when;
		end
		return time;
	end

	-- What is stored of an address on a host: { remote_ip, country, continent, name }, each nil where it is not.
	local function address_of(host, ip)
		local of_host = addresses[host];
		local known = of_host and of_host[ip];
		if not known then
			local remote_ip, country, continent, name, warned = recorder.address(host, ip);
			if warned then
				tell("warn", recorder.warnings());
			end
			known = { remote_ip = remote_ip; country = country; continent = continent; name = name };
			if not of_host or address_count >= MAX_ADDRESSES then
				if address_count >= MAX_ADDRESSES then
					addresses, address_count = {}, 0;
				end
				of_host = {};
				addresses[host] = of_host;
			end
			of_host[ip], address_count = known, address_count + 1;
		end
		return known;
	end

	local function element(name, attr, text)
		return setmetatable({ name = name; attr = attr; tags = {}; text }, stanza_mt);
	end

	-- A field of a session as text; whatever is no string counts as nothing.
	local function field(value)
		if type(value) == "string" and value ~= "" then
			return good_word(value);
		end
	end

	-- The element <session/> for a session of Prosody's, or a table with its fields.
	local function session_stanza(host, session)
		local ip, client = session.ip, field(session.client_id);
		local tags, n = {}, 0;
		local stanza = { name = "session"; attr = { xmlns = NAMESPACE; id = field(session.id); type = field(session.type) }; tags = tags };
		local address = type(ip) == "string" and address_of(host, ip);
		if address and address.remote_ip then
			n = 1;
			local child = element("remote-ip", {}, address.remote_ip);
			stanza[1], tags[1] = child, child;
		end
		if address and address.country then
			n = n + 1;
			local child = element("location", { country = address.country; continent = address.continent }, address.name);
			stanza[n], tags[n] = child, child;
		end
		if client then
			n = n + 1;
			local child = element("client", {}, client);
			stanza[n], tags[n] = child, child;
		end
		return setmetatable(stanza, stanza_mt);
	end

	-- Where an entry of `host` goes at `at`: { second, partition, when }.
	local function slot_at(host, store, at)
		local partition, when, fresh = recorder.slot(host, at);
		if fresh then
			recorder.resume(host, at, newest(store, partition));
			partition, when = recorder.slot(host, at);
		end
		local slot = { second = floor(at); partition = partition; when = when };
		slots[host] = slot;
		return slot;
	end

	-- Hands an entry to the store: the one way by which entries are written.
	local function write(host, store, slot, at, stanza, with)
		while true do
			local key, err = store:append(slot.partition, nil, stanza, slot.when, with);
			if key then
				return key;
			elseif cause_of(err) ~= "quota-limit" or not recorder.full(host, at) then
				return nil, err;
			end
			slot = slot_at(host, store, at);
		end
	end

	local function record(host, user, source, event_type, session, custom, timestamp)
		if not configured[host] then
			configure(host);
		end
		local at = now();
		local store, err = store_of(host);
		if not store then
			return failed(host, err, at);
		end
		local slot = slots[host];
		if not slot or slot.second ~= floor(at) then
			slot = slot_at(host, store, at);
		end

		local id = new_id(at);
		local jid = good_jid(user);
		local tags, n = {}, 0;
		local stanza = {
			name = "audit-event";
			attr = { source = field(source) or "unknown"; type = field(event_type) or "unknown"; user = jid; [ID] = id };
			tags = tags;
		};
		if timestamp ~= nil or slot.when ~= slot.second then
			stanza.attr[OCCURRED] = recorder.occurred(timestamp, at, slot.when);
		end
		if session then
			n = 1;
			local child = session_stanza(host, session);
			stanza[1], tags[1] = child, child;
		end
		if custom then
			local budget;
			for i = 1, #custom do
				local child = custom[i];
				if child.fresh then
					child.fresh = nil;
				else
					budget = budget or { elements = MAX_ELEMENTS; bytes = MAX_BYTES };
					child = copy(child, stanza_mt, budget, 1);
				end
				n = n + 1;
				stanza[n], tags[n] = child, child;
				if n > MAX_ELEMENTS or budget and (budget.truncated or budget.elements <= 0 or budget.bytes <= 0) then
					n = n + 1;
					child = element("truncated", { xmlns = NAMESPACE });
					stanza[n], tags[n] = child, child;
					break;
				end
			end
		end

		local key;
		key, err = write(host, store, slot, at, setmetatable(stanza, stanza_mt), jid or HOST_WIDE);
		if not key then
			return failed(host, err, at);
		end
		if troubled[host] then
			local line = recorder.stored(host, at);
			if line then
				troubled[host] = nil;
				log("info", line);
			end
		end
		return id;
	end

	-- Records an event of `host`.
	--   audit(host, user, source, event_type, extra) -> the entry's id | nil, condition
	-- `extra` may have session (a session of Prosody's, or a table with its fields id, type, ip, client_id), custom (a list
	-- of stanzas to add) and timestamp (when it happened, if not now). Raises for what only a programmer can do wrong: no
	-- host, host "*", an item of `custom` that is no stanza. Never for anything else.
	local function audit(host, user, source, event_type, extra)
		if type(host) ~= "string" or host == "*" then
			error("cannot log audit events for global", 2);
		end
		local session, custom, timestamp;
		if type(extra) == "table" then
			session, custom, timestamp = extra.session, extra.custom, extra.timestamp;
			if type(session) ~= "table" then
				session = nil;
			end
			if custom ~= nil then
				if type(custom) ~= "table" then
					error("extra.custom is no list of stanzas but a "..type(custom), 2);
				end
				for i = 1, #custom do
					if getmetatable(custom[i]) ~= stanza_mt then
						error("extra.custom["..i.."] is no stanza but a "..type(custom[i]), 2);
					end
				end
			end
		end
		local ok, id, condition = pcall(record, host, user, source, event_type, session, custom, timestamp);
		if ok then
			return id, condition;
		end
		return failed(host, id, now());
	end

	-- The element that describes a session in an event: session_extra(session) -> stanza. The policy is that of session.host.
	local function session_extra(session)
		local host = session.host;
		if type(host) ~= "string" then
			host = "";
		elseif not configured[host] then
			configure(host);
		end
		return session_stanza(host, session);
	end

	-- Forgets what is known of a host, or of all: its store, its options, where its entries go.
	local function forget(host)
		if host then
			stores[host], configured[host], slots[host] = nil, nil, nil;
		else
			for name in pairs(stores) do stores[name] = nil; end
			configured, slots = {}, {};
		end
		addresses, address_count = {}, 0;
		recorder.forget(host);
	end

	-- Opens the store of a host for reading: store, names of its archive users | nil, err
	local function open_to_read(host)
		if not configured[host] then
			configure(host);
		end
		local store, err = store_of(host);
		if not store then
			return nil, cause_of(err);
		end
		local users = {};
		if store.users then
			local ok, problem = pcall(function ()
				for user in store:users() do
					users[#users + 1] = user;
				end
			end);
			if not ok then
				return nil, cause_of(problem);
			end
		end
		return store, users;
	end

	-- One page of a partition, newest first: rows, number of rows that could not be read | nil, err
	local function read_page(store, limit, partition, before)
		local ok, rows, err = pcall(store.find, store, partition, { reverse = true; limit = limit; before = before });
		if not ok then
			return nil, rows;
		elseif not rows then
			if err == nil or err == "item-not-found" then
				return {}, 0;
			end
			return nil, err;
		end
		local list, n, skipped = {}, 0, 0;
		while true do
			-- A row that is no XML makes the SQL driver's iterator raise; the next call gives the next row.
			local read, key, stanza, when, with = pcall(rows);
			if read and key == nil then
				break;
			end
			local written, xml = read, nil;
			if read then
				written, xml = pcall(tostring, stanza);
			end
			if written then
				list[n + 1], list[n + 2], list[n + 3], list[n + 4] = key, when, with or "", xml;
				n = n + 4;
			else
				skipped = skipped + 1;
				if skipped > limit then
					return nil, key;
				end
			end
		end
		return list, skipped;
	end

	-- Shows entries of a host as a table, newest first.
	--   show(host, filter, columns, width, write) -> number shown, number that could not be read | nil, message
	-- `filter` may have username, global and limit; `write` is called with text and returns false to stop.
	local function show(host, filter, columns, width, write_out)
		local store, users = open_to_read(host);
		if not store then
			return nil, users;
		end
		local query = native.query(host, filter, users, recorder.expires_after(host), now());
		local listing = native.table(columns, width);
		local going_on = true;
		while going_on do
			local limit, partition, before = query:next_page();
			if not limit then
				break;
			end
			local rows, problem = read_page(store, limit, partition, before);
			if not rows then
				return nil, cause_of(problem);
			end
			query:feed(rows, problem);
			local lines = listing:lines(query);
			going_on = lines == "" or write_out(lines) ~= false;
		end
		return query:counts();
	end

	-- Removes what has expired.
	--   prune(host) -> names of the partitions that were dropped, number of older entries that were removed | nil, message
	local function prune(host)
		local store, users = open_to_read(host);
		if not store then
			return nil, users;
		end
		local at = now();
		local dropped, removed = {}, 0;
		for i = 1, #users do
			local user = users[i];
			if type(user) == "string" and recorder.expired(host, user, at) then
				local ok, done, err = pcall(store.delete, store, user);
				if not ok or not done then
					return nil, cause_of(ok and err or done);
				end
				dropped[#dropped + 1] = user;
			end
		end
		-- Archive user nil, where the community's modules wrote. Asking for its oldest entry first spares a rewrite.
		local expires_after = recorder.expires_after(host);
		local ok, rows, err = pcall(store.find, store, nil, { limit = 1 });
		if not ok or not rows then
			if ok and (err == nil or err == "item-not-found") then
				return dropped, removed;
			end
			return nil, cause_of(ok and err or rows);
		end
		local oldest;
		for _, _, when in rows do
			oldest = oldest or when;
		end
		if oldest and oldest < at - expires_after then
			-- `end` is inclusive.
			local deleted, count, problem = pcall(store.delete, store, nil, { ["end"] = ceil(at - expires_after) - 1 });
			if not deleted or not count then
				return nil, cause_of(deleted and problem or count);
			end
			removed = tonumber(count) or removed;
			recorder.pruned(host);
			slots[host] = nil;
		end
		return dropped, removed;
	end

	return {
		audit = audit;
		session_extra = session_extra;
		stores = stores;
		configure = configure;
		forget = forget;
		show = show;
		prune = prune;
		-- lost() -> how many events could not be stored
		lost = recorder.lost;
	};
end

local exports = {
	version = native.version;
	period = native.period;
	command = native.command;
	help = native.help;
	terminal_width = native.terminal_width;
	new = new;
};

-- The metatable of stanzas is Prosody's, and Prosody may not be here yet when the library is loaded.
local stanza_mt;
function exports.detail(name, attr, text, children)
	stanza_mt = stanza_mt or require "util.stanza".stanza_mt;
	return detail(stanza_mt, name, attr, text, children);
end

return exports;
