-- An event on its way into the core, and its entry on the way back: src/lua/log/entry.lua.

local json = require "util.json";
local st = require "util.stanza";
local journals = require "support.journal";
local support = require "support.log";

local new_log, NAMESPACE = support.new, support.NAMESPACE;

local function stanza_of(name, attr, ...)
	return setmetatable({ name = name; attr = attr or {}; tags = {}; ... }, st.stanza_mt);
end

-- What is stored of stanzas that a module adds.
local function stored(custom)
	local log = new_log();
	assert.is_string(log.audit("example.com", nil, "mod_test", "test-event", { custom = custom }));
	return log:last();
end

-- An element as tests/vectors/payload.json has it: { name, attributes, child, … }
local function listed(stanza)
	local list, tags = { stanza.name, stanza.attr }, {};
	for i, child in ipairs(stanza) do
		if type(child) == "table" then
			tags[#tags + 1] = child;
			child = listed(child);
		end
		list[i + 2] = child;
	end
	assert.is_true(st.is_stanza(stanza));
	assert.equal(#tags, #stanza.tags);
	for i, tag in ipairs(tags) do assert.is_true(rawequal(tag, stanza.tags[i])); end
	return list;
end

describe("what a module adds to an event", function ()
	it("is stored in its order, however it is nested", function ()
		local given = st.stanza("a", { xmlns = "urn:test" }):text("one"):tag("b", { c = "d" }):tag("e"):up():up():text("two"):tag("f"):text("x"):up();
		assert.same({ "a", { xmlns = "urn:test" }, "one", { "b", { c = "d" }, { "e", {} } }, "two", { "f", {}, "x" } }, listed(stored({ given }).tags[1]));
	end);

	it("may have any number of attributes", function ()
		for n = 0, 12 do
			local attr = {};
			for i = 1, n do attr["a"..i] = "v"..i; end
			assert.same({ "x", attr, "text" }, listed(stored({ stanza_of("x", attr, "text") }).tags[1]));
			assert.same({ "x", attr, { "y", attr } }, listed(stored({ stanza_of("x", attr, stanza_of("y", attr)) }).tags[1]));
		end
	end);

	it("may hold what is no string, if it was made by hand", function ()
		local odd = { "before", st.stanza("before"), stanza_of(7, { a = true, [5] = 6.5 }, stanza_of("b", { c = 1 }), "text") };
		table.remove(odd, 1);
		local tags = stored(odd).tags;
		assert.same({ "before", {} }, listed(tags[1]));
		assert.same({ "_7", { a = "true", _5 = "6.5" }, { "b", { c = "1" } }, "text" }, listed(tags[2]));
		assert.equal(2, #tags);
	end);

	it("does not get into the next event, if this one could not be recorded", function ()
		local log = new_log();
		local broken = stanza_of("x", nil, setmetatable({ name = "y" }, st.stanza_mt));
		assert.is_nil((log.audit("example.com", nil, "mod_test", "test-event", { custom = { st.stanza("lost"), broken } })));
		log.audit("example.com", nil, "mod_test", "test-event", { custom = { st.stanza("next") } });
		assert.same({ "next" }, { log:last().tags[1].name, log:last().tags[2] });
	end);
end);

describe("an entry of an older version", function ()
	local journal = journals.new("entry");
	before_each(journal.begin);
	after_each(journal.finish);

	local crc_table = {};
	for byte = 0, 255 do
		local crc = byte;
		for _ = 1, 8 do crc = crc % 2 == 1 and 0xedb88320 ~ crc // 2 or crc // 2; end
		crc_table[byte] = crc;
	end

	local function crc32(text)
		local crc = 0xffffffff;
		for i = 1, #text do crc = crc_table[(crc ~ text:byte(i)) & 0xff] ~ crc >> 8; end
		return crc ~ 0xffffffff;
	end

	-- As src/journal/mod.rs describes it.
	local function record(kind, sequence, payload)
		local checked = string.pack("<I4c1I8", #payload, kind, sequence)..payload;
		return "\255PA\254"..string.pack("<I4", crc32(checked))..checked;
	end

	it("that waits in a journal is handed over as it was recorded", function ()
		local vectors = json.decode(assert(io.open("tests/vectors/payload.json")):read("a"));
		local records = { record("a", 0, "") };
		for i, vector in ipairs(vectors) do records[i + 1] = record("e", i - 1, vector.payload); end
		local file = assert(io.open(journal.path..".0000000000000000", "wb"));
		file:write(table.concat(records));
		file:close();
		local log = journal:log();
		log.log.open("example.com");
		assert.equal(#vectors, log.log.waiting("example.com"));
		log:pass(1);
		local rows = {};
		for name in log.store:names():gmatch("%S+") do
			for _, row in ipairs(log.store:rows(name)) do rows[row.value.attr[NAMESPACE.."\1id"]] = row; end
		end
		for _, vector in ipairs(vectors) do
			local expected = vector.element;
			local row = rows[expected[2][NAMESPACE.."\1id"]];
			assert.same(expected, listed(row.value), vector.name);
			assert.same({ math.floor(vector.time), expected[2].user or "@" }, { row.when, row.with }, vector.name);
		end
		assert.equal(0, log.log.state("example.com").lost);
	end);
end);
