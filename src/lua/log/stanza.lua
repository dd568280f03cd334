-- Stanzas made by hand: util.stanza's builder costs four times as much. What it checks is checked here, and more: every
-- text is valid XML 1.0 and bounded.

local native = ...;

local NAMESPACE = native.namespace;
local HOST_WIDE = "@";

-- How many words are remembered as good, and how long one may be, in bytes.
local MAX_WORDS, MAX_WORD = 1024, 128;
-- How deep elements of an event may lie in each other.
local MAX_DEPTH = 16;

local next, pairs, setmetatable, tostring, type = next, pairs, setmetatable, tostring, type;
local concat = table.concat;
local find, gmatch, gsub, s_match = string.find, string.gmatch, string.gsub, string.match;
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

-- Words and sentences that come again and again, such as event types and the texts of failures, are remembered once they
-- were found good: looking them up costs a tenth of looking at them. The memory is bounded, as some come from outside.
local good_words, word_count = {}, 0;

local function remember(word)
	if #word <= MAX_WORD then
		if word_count >= MAX_WORDS then
			good_words, word_count = {}, 0;
		end
		good_words[word], word_count = true, word_count + 1;
	end
	return word;
end

local function good_word(value)
	if good_words[value] then
		return value;
	end
	local good = good_attribute(value);
	return good == value and remember(good) or good;
end

local function good_text(text)
	if good_words[text] then
		return text;
	elseif #text <= text_limit and not find(text, "[^\32-\126]") then
		return remember(text);
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

-- An element of our own making: the texts are good already, and the table is the element's own.
local function element(stanza_mt, name, attr, text)
	return setmetatable({ name = name; attr = attr; tags = {}; text }, stanza_mt);
end

-- Adds to <session/> what is known of where its address is: a location as native.recorder's address() returns it, or nil.
local function add_location(stanza_mt, session, location)
	if not location then
		return;
	end
	local tags = session.tags;
	if location.country then
		local child = element(stanza_mt, "location", { country = location.country; continent = location.continent }, location.name);
		session[#session + 1], tags[#tags + 1] = child, child;
	end
	if location.asn or location.organization then
		local child = element(stanza_mt, "asn", { number = location.asn }, location.organization);
		session[#session + 1], tags[#tags + 1] = child, child;
	end
end

-- A stanza as one string, for the journal. Good text has no control characters but tab and newline, so these can't be
-- met in it: \1 begins an element, \2 an attribute's name, \3 its value, \4 a text, \5 ends an element, and \6 stands in an
-- attribute's name where util.stanza has \1.
local function encode_into(buffer, n, stanza)
	buffer[n + 1], buffer[n + 2] = "\1", stanza.name;
	n = n + 2;
	for name, value in next, stanza.attr do
		if find(name, "\1", 1, true) then
			name = gsub(name, "\1", "\6");
		end
		buffer[n + 1], buffer[n + 2], buffer[n + 3], buffer[n + 4] = "\2", name, "\3", value;
		n = n + 4;
	end
	for i = 1, #stanza do
		local child = stanza[i];
		if type(child) == "string" then
			buffer[n + 1], buffer[n + 2] = "\4", child;
			n = n + 2;
		else
			n = encode_into(buffer, n, child);
		end
	end
	buffer[n + 1] = "\5";
	return n + 1;
end

local buffer = {};

-- encode(prefix, stanza) -> string
local function encode(prefix, stanza)
	buffer[1] = prefix;
	return concat(buffer, "", 1, encode_into(buffer, 1, stanza));
end

-- What encode() made of a stanza, as a stanza again: decode(stanza_mt, text, from) -> stanza | nil
local function decode(stanza_mt, text, from)
	local open, depth, root, attribute = {}, 0, nil, nil;
	for mark, value in gmatch(text:sub(from), "([\1-\5])([^\1-\5]*)") do
		local parent = open[depth];
		if mark == "\1" then
			local child = setmetatable({ name = value; attr = {}; tags = {} }, stanza_mt);
			if parent then
				parent[#parent + 1] = child;
				parent.tags[#parent.tags + 1] = child;
			elseif root then
				return nil;
			end
			root = root or child;
			depth = depth + 1;
			open[depth] = child;
		elseif not parent then
			return nil;
		elseif mark == "\2" then
			attribute = gsub(value, "\6", "\1");
		elseif mark == "\3" then
			if not attribute then return nil; end
			parent.attr[attribute] = value;
		elseif mark == "\4" then
			parent[#parent + 1] = value;
		else
			depth = depth - 1;
		end
	end
	return depth == 0 and root or nil;
end

return {
	HOST_WIDE = HOST_WIDE;
	good_jid = good_jid;
	good_word = good_word;
	copy = copy;
	detail = detail;
	element = element;
	add_location = add_location;
	encode = encode;
	decode = decode;
};
