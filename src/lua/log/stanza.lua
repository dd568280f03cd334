-- Stanzas made by hand: util.stanza's builder costs four times as much. What it checks is checked here, and more: every
-- text is valid XML 1.0 and bounded.

local native = ...;

local NAMESPACE = native.namespace;

-- How many words are remembered as good, and how long one may be, in bytes.
local MAX_WORDS, MAX_WORD = 1024, 128;

local next, setmetatable, tostring, type = next, setmetatable, tostring, type;
local find = string.find;
local part = native.part;
local END, OPEN, LEAF, ATTRIBUTES = native.parts["end"], native.parts.open, native.parts.leaf, native.parts.attributes;
local TEXT, CLOSE = native.parts.text, native.parts.close;
local clean_attribute, clean_name, clean_text = native.clean_attribute, native.clean_name, native.clean_text;
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

-- Something to add to an event: an element in the log's namespace.
--   detail(name, attr, text, children) -> stanza
-- Values of `attr` become strings; one that is "" is left out, and so is such a text. The table becomes the stanza's own,
-- as in util.stanza; `children` are details too. Nothing raises, whatever bytes the values hold.
local function detail(stanza_mt, name, attr, text, children)
	if attr then
		for key, value in next, attr do
			if not good_names[key] and good_name(key) ~= key then
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

-- Adds what an element has in it, up to its end: whether that was reached.
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

-- The element that was opened (native.open, and others), as a stanza | nil: it is damaged
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

return { good_word = good_word; detail = detail; decode = decode };
