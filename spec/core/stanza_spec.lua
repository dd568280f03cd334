-- Elements of an entry, made of any text: src/lua/log/stanza.lua.

local core = require "audit_core";
local st = require "util.stanza";
local support = require "support.log";

local new_log, NAMESPACE = support.new, support.NAMESPACE;

describe("text from outside", function ()
	local hostile = {
		["\255\254"] = "\239\191\189\239\191\189";
		["\0\1\8\11\12\14\20\31"] = ("\239\191\189"):rep(8);
		["\239\191\190]]>"] = "\239\191\189]]>";
		["\237\160\128"] = ("\239\191\189"):rep(3);
		["a\r\nb"] = "a\nb";
		["na\195\175ve"] = "na\195\175ve";
	};
	-- What an XML parser makes of an attribute's white space.
	local function in_attribute(text) return (text:gsub("[\t\n]", " ")); end

	it("is valid XML in every place", function ()
		local log = new_log();
		for bytes, text in pairs(hostile) do
			local custom = setmetatable({ name = "note"; attr = { a = bytes }; tags = {}; bytes }, getmetatable(st.stanza("x")));
			local extra = { session = { id = bytes, type = bytes, client_id = bytes }, custom = { custom, core.detail("d", { b = bytes }, bytes) } };
			extra.actor = { kind = bytes, jid = bytes, session = { ip = bytes }, caused_by = bytes };
			assert.is_string(log.audit("example.com", "u"..bytes, bytes, bytes, extra));
			local stanza, row = log:last();
			assert.same({ xmlns = NAMESPACE, kind = "unknown", jid = in_attribute(text), ["caused-by"] = in_attribute(text) },
				table.remove(stanza.tags, 2).attr);
			assert.equal("u"..in_attribute(text), row.with);
			assert.equal("u"..in_attribute(text), stanza.attr.user);
			assert.equal(in_attribute(text), stanza.attr.source);
			assert.equal(in_attribute(text), stanza.attr.type);
			assert.equal(in_attribute(text), stanza.tags[1].attr.id);
			assert.equal(in_attribute(text), stanza.tags[1].attr.type);
			assert.equal(in_attribute(text), stanza:find("{"..NAMESPACE.."}session/client#"));
			assert.same({ in_attribute(text), text }, { stanza.tags[2].attr.a, stanza.tags[2][1] });
			assert.same({ in_attribute(text), text }, { stanza.tags[3].attr.b, stanza.tags[3][1] });
		end
	end);

	it("is bounded", function ()
		local log = new_log();
		local long = ("x"):rep(100000);
		local custom = { st.stanza("n", { a = long }):text(long) };
		log.audit("example.com", ("m"):rep(3000).."@example.com", long, long, {
			session = { client_id = long }, actor = { kind = long, jid = long, caused_by = long }, custom = custom;
		});
		local stanza, row = log:last();
		assert.is_true(#row.with <= 1023 and row.with:find("m\226\128\166@example.com", 1, true) ~= nil, row.with);
		assert.is_true(#tostring(stanza) < 14000);
	end);

	it("can't make one event large", function ()
		local log = new_log();
		local many, wide, deep = {}, st.stanza("wide"), st.stanza("deep");
		for i = 1, 10000 do
			many[i] = st.stanza("n");
			wide:text_tag("child", ("x"):rep(1000));
			if i < 3000 then deep:tag("d"); end
		end
		for _, custom in ipairs({ many, { wide }, { deep:reset() } }) do
			assert.is_string(log.audit("example.com", nil, "mod_test", "t", { custom = custom }));
			local stanza = log:last();
			assert.is_true(#tostring(stanza) < 60000, #tostring(stanza).." bytes");
			assert.equal("truncated", stanza.tags[#stanza.tags].name);
		end
	end);

	it("has valid names of elements and attributes", function ()
		local log = new_log();
		local attr = { ["c d"] = "e"; ["urn:x\1f"] = "g"; ["xml:lang"] = "de" };
		local odd = setmetatable({ name = "1a\1/b"; attr = attr; tags = {} }, getmetatable(st.stanza("x")));
		log.audit("example.com", nil, "mod_test", "t", { custom = { odd } });
		local copy = log:last().tags[1];
		assert.same({ "_1a__b", { c_d = "e"; ["urn:x\1f"] = "g"; ["xml:lang"] = "de" } }, { copy.name, copy.attr });
	end);
end);

describe("a detail", function ()
	it("is an element of the log", function ()
		local detail = core.detail("grant", { id = 7; client = ""; ok = true }, "text", { core.detail("scope") });
		assert.is_true(st.is_stanza(detail));
		assert.same({ xmlns = NAMESPACE; id = "7"; ok = "true" }, detail.attr);
		assert.equal("text", detail[1]);
		assert.equal("scope", detail.tags[1].name);
		assert.equal("<note xmlns='"..NAMESPACE.."'/>", tostring(core.detail("note", nil, "")));
		assert.same({ xmlns = NAMESPACE; _1 = "x" }, core.detail("n", { ["1"] = "x" }).attr);
	end);
end);
