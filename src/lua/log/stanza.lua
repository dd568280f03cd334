-- Builds stanzas as plain tables, because the builder of util.stanza takes four times as long. This file makes the same checks, and
-- also makes sure that every text is valid XML 1.0 of limited length.

local native = ...;

local NAMESPACE = native.namespace;

-- How many words are remembered as valid, and how long such a word may be, in bytes.
local MAX_WORDS, MAX_WORD = 1024, 128;

local next, setmetatable, tostring, type = next, setmetatable, tostring, type;
local find = string.find;
local part = native.part;
local END, OPEN, LEAF, ATTRIBUTES = native.parts["end"], native.parts.open, native.parts.leaf, native.parts.attributes;
local TEXT, CLOSE = native.parts.text, native.parts.close;
local clean_attribute, clean_name, clean_text = native.clean_attribute, native.clean_name, native.clean_text;
local attribute_limit, text_limit = native.attribute_limit, native.text_limit;

-- Most text is short printable ASCII, which is valid as it is. A Lua pattern finds that faster than a call into Rust.
local function good_attribute(value)
	if type(value) ~= "string" then
		value = tostring(value);
	end
	if #value <= attribute_limit and not find(value, "[^\32-\126]") then
		return value;
	end
	return clean_attribute(value);
end

-- Texts that occur often, such as event types and error texts, are remembered once they were found to be valid: looking one up
-- takes a tenth of the time of checking it. The number of remembered texts is limited, because some come from outside.
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

-- A word that says what an event is: its type, or the module that reports it.
local function word_of(value)
	if good_words[value] then
		return value;
	elseif type(value) == "string" and value ~= "" then
		return good_word(value);
	end
	return native.unknown;
end

local function good_text(text)
	if good_words[text] then
		return text;
	elseif #text <= text_limit and not find(text, "[^\32-\126]") then
		return remember(text);
	end
	return clean_text(text);
end

-- The names of elements and attributes come from code, so there are few of them.
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

-- Makes an element in the log's namespace, to be added to an event.
--   detail(name, attr, text, children) -> stanza
-- Values of `attr` are converted to strings. Empty values and empty text are left out. The table `attr` is used by the stanza and
-- must not be used again, as in util.stanza. `children` are results of detail(). It never raises an error, whatever the values are.
local function detail(stanza_mt, name, attr, text, children)
	if attr then
		for key, value in next, attr do
			if not good_names[key] and good_name(key) ~= key then
				-- If a name must be corrected, a new table is made: fields must not be added to a table during pairs().
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
	if text == "" then
		text = nil;
	elseif text ~= nil and not good_words[text] then
		text = good_text(tostring(text));
	end
	if not good_names[name] then
		name = good_name(name);
	end
	if not children then
		return setmetatable({ name = name; attr = attr; tags = {}; text }, stanza_mt);
	end
	local stanza = setmetatable({ name = name; attr = attr; tags = children; text }, stanza_mt);
	for i = 1, #children do
		stanza[#stanza + 1] = children[i];
	end
	return stanza;
end

local function attributes(name1, value1, name2, value2, name3, value3, name4, value4)
	if name4 then
		return { [name1] = value1; [name2] = value2; [name3] = value3; [name4] = value4 };
	elseif name3 then
		return { [name1] = value1; [name2] = value2; [name3] = value3 };
	elseif name2 then
		return { [name1] = value1; [name2] = value2 };
	elseif name1 then
		return { [name1] = value1 };
	end
	return {};
end

-- Adds the content of an element, up to its end. Returns whether the end was reached.
local function fill(stanza, stanza_mt)
	local tags, n, n_tags = stanza.tags, 0, 0;
	while true do
		local what, name, text, name1, value1, name2, value2, name3, value3, name4, value4 = part();
		if what == LEAF then
			local attr = attributes(name1, value1, name2, value2, name3, value3, name4, value4);
			local child = setmetatable({ name = name; attr = attr; tags = {}; text }, stanza_mt);
			n, n_tags = n + 1, n_tags + 1;
			stanza[n], tags[n_tags] = child, child;
		elseif what == OPEN then
			local attr = attributes(name1, value1, name2, value2, name3, value3, name4, value4);
			local child = setmetatable({ name = name; attr = attr; tags = {} }, stanza_mt);
			n, n_tags = n + 1, n_tags + 1;
			stanza[n], tags[n_tags] = child, child;
			if not fill(child, stanza_mt) then
				return false;
			end
		elseif what == TEXT then
			n = n + 1;
			stanza[n] = name;
		elseif what == ATTRIBUTES then
			for key, value in next, attributes(name1, value1, name2, value2, name3, value3, name4, value4) do
				stanza.attr[key] = value;
			end
		else
			return what == CLOSE;
		end
	end
end

-- Returns the element that was opened by native.open() or a similar function as a stanza, or nil if it is damaged.
local function decode(stanza_mt)
	local what, name, text, name1, value1, name2, value2, name3, value3, name4, value4 = part();
	if what ~= OPEN and what ~= LEAF then
		return nil;
	end
	local attr = attributes(name1, value1, name2, value2, name3, value3, name4, value4);
	local stanza = setmetatable({ name = name; attr = attr; tags = {}; text }, stanza_mt);
	if (what == LEAF or fill(stanza, stanza_mt)) and part() == END then
		return stanza;
	end
end

return { good_word = good_word; word_of = word_of; detail = detail; decode = decode };
