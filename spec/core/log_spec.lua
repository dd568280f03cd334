-- The native core as Lua sees it, with a store that does what each spec tells it to.

local core = require "audit_core";
local st = require "util.stanza";

local noon = 1795521600; -- 2026-11-24T12:00:00Z
local day = 86400;
local NAMESPACE = "xmpp:prosody.im/audit";

local new_log, new_store = require "support.log".new, require "support.log".new_store;

describe("an audit event", function ()
	it("is stored as the contract says", function ()
		local log = new_log();
		local session = { id = "c2s1", type = "c2s_unauthed", ip = "203.0.113.80", client_id = "d4565fa7" };
		local custom = { st.stanza("note", { xmlns = "urn:test" }):text("first"), st.stanza("second") };
		local id = log.audit("example.com", "mallory@example.com", "mod_test", "test-event", { session = session; custom = custom });
		local stanza, row = log:last();
		assert.equal("mallory@example.com", row.with);
		assert.equal(noon, row.when);
		assert.equal(nil, stanza.attr.xmlns);
		assert.same({ source = "mod_test"; type = "test-event"; user = "mallory@example.com"; [NAMESPACE.."\1id"] = id }, stanza.attr);
		assert.same({ "session", "note", "second" }, { stanza.tags[1].name, stanza.tags[2].name, stanza.tags[3].name });
		assert.same({ xmlns = NAMESPACE; id = "c2s1"; type = "c2s_unauthed" }, stanza.tags[1].attr);
		assert.equal("203.0.113.80", stanza:find("{"..NAMESPACE.."}session/remote-ip#"));
		assert.equal("d4565fa7", stanza:find("{"..NAMESPACE.."}session/client#"));
		assert.equal("first", stanza:get_child_text("note", "urn:test"));
		assert.is_true(st.is_stanza(stanza) and st.is_stanza(stanza.tags[1].tags[1]));
	end);

	it("of a whole host has no user, and '@' in the archive", function ()
		local log = new_log();
		for _, user in ipairs({ false, "@", "" }) do
			log.audit("example.com", user or nil, "mod_test", "test-event");
			local stanza, row = log:last();
			assert.same({ "@", nil, 0 }, { row.with, stanza.attr.user, #stanza.tags });
		end
	end);

	it("has an empty session where nothing of it is known", function ()
		local log = new_log();
		log.audit("example.com", nil, "mod_test", "t", { session = {} });
		assert.equal("<session xmlns='"..NAMESPACE.."'/>", tostring(log:last().tags[1]));
		log.audit("example.com", nil, "mod_test", "t", { session = { id = 7, type = {}, ip = "/run/prosody.sock", client_id = function () end } });
		assert.equal("<session xmlns='"..NAMESPACE.."'/>", tostring(log:last().tags[1]));
	end);

	it("says who did it, as far as it is told", function ()
		local log = new_log({ audit_log_ipv4_prefix = 24 });
		local session = { id = "c2s1", ip = "203.0.113.80", full_jid = "admin@example.com/phone", type = "c2s" };
		local note = st.stanza("note");
		for _, row in ipairs({
			{ { kind = "adhoc", jid = "a@example.com", session = session, caused_by = "01a2" },
				{ kind = "adhoc", jid = "a@example.com", ["caused-by"] = "01a2" }, "203.0.113.0/24" };
			{ { kind = "user", session = session }, { kind = "user", jid = "admin@example.com/phone" }, "203.0.113.0/24" };
			{ { kind = "admin-shell", session = { ip = "/run/prosody.sock" } }, { kind = "admin-shell" } };
			{ { kind = "http", session = { ip = "2001:db8::1" } }, { kind = "http" }, "2001:db8::/48" };
			{ { kind = "server" }, { kind = "server" } };
			{ { kind = "unknown" }, { kind = "unknown" } };
			{ { kind = "wizard" }, { kind = "unknown" } };
			{ { kind = {}, jid = 7, session = "x", caused_by = {} }, { kind = "unknown" } };
			{ {}, { kind = "unknown" } };
		}) do
			local actor, attr, address = row[1], row[2], row[3];
			assert.is_string(log.audit("example.com", nil, "mod_test", "t", { session = session, actor = actor, custom = { note } }));
			local tags = log:last().tags;
			assert.same({ "session", "actor", "note" }, { tags[1].name, tags[2].name, tags[3].name });
			attr.xmlns = NAMESPACE;
			assert.same(attr, tags[2].attr);
			assert.equal(address, tags[2]:get_child_text("remote-ip"));
		end
		for _, actor in ipairs({ "admin", 7, false }) do
			log.audit("example.com", nil, "mod_test", "t", { actor = actor });
			assert.equal(0, #log:last().tags);
		end
		log.options.audit_log_ips = false;
		log.log.forget();
		log.audit("example.com", nil, "mod_test", "t", { actor = { kind = "user", session = session } });
		assert.equal(0, #log:last().tags[1]);
		assert.matches("by admin@example.com/phone\n", (log:shown()));
	end);

	it("keeps the time at which it happened", function ()
		local log = new_log();
		log.audit("example.com", nil, "mod_test", "t", { timestamp = noon - 3600 });
		local stanza, row = log:last();
		assert.equal("2026-11-24T11:00:00Z", stanza.attr[NAMESPACE.."\1occurred"]);
		assert.equal(noon, row.when);
		for _, timestamp in ipairs({ noon, "yesterday", {}, 0/0, math.huge }) do
			log.audit("example.com", nil, "mod_test", "t", { timestamp = timestamp });
			assert.equal(nil, log:last().attr[NAMESPACE.."\1occurred"]);
		end
	end);

	it("does not share a table with its caller or another event", function ()
		local log = new_log();
		local note = st.stanza("note", { a = "1" }):tag("inner"):text("x"):up();
		local detail = core.detail("thing", { a = "1" });
		local seen = {};
		local function walk(value)
			if type(value) ~= "table" then return; end
			assert.is_nil(seen[value], "a table is met twice");
			seen[value] = true;
			walk(value.attr);
			for i = 1, #value do walk(value[i]); end
		end
		for _ = 1, 2 do
			log.audit("example.com", nil, "mod_test", "t", { session = { ip = "::1" }, custom = { note, note, detail, detail } });
			assert.equal(5, #log:last().tags);
			walk(log:last());
			walk(note.attr);
			seen[note.attr] = nil;
		end
	end);
end);

describe("a retention class", function ()
	local classes = {
		accounts = { types = { "user-*" }, expires_after = "1y", ips = "none" };
		failures = { expires_after = "1d", ips = "prefix" };
	};
	local session = { ip = "203.0.113.80" };

	local function ip_of(row)
		return row.value:find("{"..NAMESPACE.."}session/remote-ip#");
	end

	it("has partitions of its own, and its own way with addresses", function ()
		local log = new_log { audit_log_classes = classes };
		for _, event_type in ipairs({ "user-registered", "authentication-failure", "s2s-refused", "other" }) do
			log.audit("example.com", nil, "mod_test", event_type, { session = session, actor = { kind = "user", session = session } });
		end
		assert.equal("@accounts.2026-11-24 @events.2026-11-24 @failures.2026-11-24", log.store:names());
		assert.is_nil(ip_of(log.store:rows("@accounts.2026-11-24")[1]));
		assert.is_nil(tostring(log.store:rows("@accounts.2026-11-24")[1].value):find("203", 1, true));
		local failures = log.store:rows("@failures.2026-11-24");
		assert.same({ "203.0.113.0/24", "203.0.113.0/24" }, { ip_of(failures[1]), ip_of(failures[2]) });
		assert.equal("203.0.113.0/24", failures[1].value:find("{"..NAMESPACE.."}actor/remote-ip#"));
		assert.equal("203.0.113.80", ip_of(log.store:rows("@events.2026-11-24")[1]));
		assert.same({}, log.lines);
	end);

	it("is the one that the configuration says when an entry is handed over", function ()
		local path = os.tmpname();
		local log = new_log({}, nil, path);
		log.log.open("example.com");
		log.audit("example.com", nil, "mod_test", "user-registered");
		log.options.audit_log_classes = classes;
		log.log.forget("example.com");
		log:pass(1);
		assert.equal("@accounts.2026-11-24", log.store:names());
		log.log.close();
		os.execute("rm -f "..path.."*");
	end);

	it("expires by itself, and what is of no class any more is kept", function ()
		local log = new_log { audit_log_classes = classes };
		local names = { "@accounts", "@events", "@failures", "@former" };
		for _, name in ipairs(names) do
			for _, ago in ipairs({ 400, 200, 10, 0 }) do
				local time = noon - ago * day;
				log.store:append(name..os.date("!.%Y-%m-%d", time), nil, st.stanza("audit-event", { type = name:sub(2).."-"..ago }), time, "@");
			end
		end
		local shown = {};
		for event_type in log:shown():gmatch("%S+ %S+  (%l+%-%d+)") do shown[event_type] = true; end
		local expected = { "accounts-200", "accounts-10", "accounts-0", "events-10", "events-0", "failures-0", "former-200", "former-10", "former-0" };
		for _, name in ipairs(expected) do
			assert.is_true(shown[name], name);
			shown[name] = nil;
		end
		assert.same({}, shown);
		local dropped = 0;
		for _, result in ipairs(log.log.prune("example.com")) do dropped = dropped + result.partitions; end
		assert.equal(7, dropped);
		assert.equal("@accounts.2026-05-08 @accounts.2026-11-14 @accounts.2026-11-24 @events.2026-11-14 @events.2026-11-24 "
			.."@failures.2026-11-24 @former.2026-05-08 @former.2026-11-14 @former.2026-11-24", log.store:names());
	end);

	it("that is wrong is said once, and used as far as it is right", function ()
		local log = new_log { audit_log_classes = { accounts = { types = { "user-*" }, ips = "some", expire = 1 } } };
		log.audit("example.com", nil, "mod_test", "user-registered", { session = session });
		log.audit("example.com", nil, "mod_test", "user-registered", { session = session });
		assert.equal(2, #log.lines);
		assert.is_truthy(log.lines[1]:find("class accounts has expire = 1, but there is no such field: use types, expires_after, limit, "
			.."ips, ips_expire_after, ips_expire_to", 1, true));
		assert.is_truthy(log.lines[2]:find("class accounts has ips = \"some\", which is not allowed: use \"full\", \"prefix\"", 1, true));
		assert.is_nil(ip_of(log.store:rows("@accounts.2026-11-24")[1]));
	end);

	it("shares archive user nil with the others in the old layout, where time never goes back", function ()
		local log = new_log { audit_log_layout = "single", audit_log_classes = classes };
		for _, step in ipairs({ { 0, "user-a" }, { 5, "other" }, { 0, "user-b" }, { 3, "other" }, { 5, "user-c" } }) do
			log.time = noon + step[1];
			log.audit("example.com", nil, "mod_test", step[2]);
		end
		local times = {};
		for i, row in ipairs(log.store:rows(nil)) do times[i] = row.when - noon; end
		assert.same({ 0, 5, 5, 5, 5 }, times);
	end);
end);

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

	it("is valid XML wherever it stands", function ()
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

	it("can not make one event large", function ()
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

	it("has names that an element can have", function ()
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

describe("misuse", function ()
	it("raises, and says what was wrong", function ()
		local log = new_log();
		local function misuse(message, ...)
			local ok, err = pcall(log.audit, ...);
			assert.is_false(ok);
			assert.is_truthy(tostring(err):find(message, 1, true), tostring(err));
		end
		misuse("cannot log audit events for global", nil, nil, "mod_test", "t");
		misuse("cannot log audit events for global", "*", nil, "mod_test", "t");
		misuse("extra.custom[2] is no stanza but a table", "example.com", nil, "mod_test", "t", { custom = { st.stanza("x"), {} } });
		misuse("extra.custom[1] is no stanza but a string", "example.com", nil, "mod_test", "t", { custom = { "x" } });
		misuse("extra.custom is no list of stanzas but a string", "example.com", nil, "mod_test", "t", { custom = "x" });
		assert.equal("", log.store:names());
	end);

	it("of any other kind does not", function ()
		local log = new_log();
		local raising = setmetatable({}, { __index = function () error("boom"); end, __tostring = function () error("boom"); end });
		assert.is_string(log.audit("example.com", 7, {}, nil, "extra"));
		assert.same({ "7", "unknown", "unknown" }, { log:last().attr.user, log:last().attr.source, log:last().attr.type });
		assert.is_string(log.audit("example.com", nil, "mod_test", "t", { session = "c2s" }));
		assert.same({ nil, "internal-server-error" }, { log.audit("example.com", nil, "mod_test", "t", { session = raising }) });
		assert.same({ nil, "internal-server-error" }, { log.audit("example.com", raising, "mod_test", "t") });
		assert.equal(2, log.log.lost());
	end);
end);

describe("addresses", function ()
	local function stored(options, ip)
		local log = new_log(options);
		log.audit("example.com", nil, "mod_test", "t", { session = { ip = ip } });
		local alone = log.log.session_extra({ ip = ip, host = "example.com" });
		assert.equal(tostring(log:last().tags[1]), tostring(alone));
		return log:last():find("{"..NAMESPACE.."}session/remote-ip#");
	end

	it("are stored as the options say", function ()
		assert.equal("2001:db8:0:1:2:3:4:5", stored({}, "2001:DB8:0:1:2:3:4:5"));
		assert.equal("203.0.113.0/24", stored({ audit_log_ipv4_prefix = 24 }, "::ffff:203.0.113.80"));
		assert.equal("203.0.96.0/19", stored({ audit_log_ipv4_prefix = 19 }, "203.0.113.80"));
		assert.equal("2001:db8:1::/48", stored({ audit_log_ipv4_prefix = 24 }, "2001:db8:1:2::3"));
		assert.equal(nil, stored({ audit_log_ips = false }, "203.0.113.80"));
	end);

	it("are read with the port that some proxies add", function ()
		assert.equal("203.0.113.7", stored({}, "203.0.113.7:51008"));
		assert.equal("2001:db8::7", stored({}, "[2001:db8::7]:51008"));
		assert.equal("203.0.113.0/24", stored({ audit_log_ipv4_prefix = 24 }, "203.0.113.7:51008"));
		assert.equal(nil, stored({ audit_log_ips = false }, "203.0.113.7:51008"));
	end);

	it("that can't be read are not stored, but counted and reported once", function ()
		local log = new_log();
		for _, ip in ipairs({ "203.0.113.7;51008", "203.0.113.7;51008", "unknown", "/run/prosody.sock" }) do
			log.audit("example.com", nil, "mod_test", "t", { session = { ip = ip } });
			assert.equal(nil, log:last():find("{"..NAMESPACE.."}session/remote-ip#"));
		end
		assert.equal(3, log.log.state("example.com").unreadable_addresses);
		assert.equal(1, #log.lines);
		assert.matches("^warn: The address of a client of example.com can't be read, it has the form \"999.9.999.9;99999\"", log.lines[1]);
		assert.equal(nil, log.lines[1]:find("203.0.113", 1, true));
	end);

	it("are not stored in full where the option is wrong", function ()
		assert.equal("203.0.113.0/24", stored({ audit_log_ipv4_prefix = "many" }, "203.0.113.80"));
		assert.equal(nil, stored({ audit_log_ips = "perhaps" }, "203.0.113.80"));
	end);

	it("of a session without a host are not stored", function ()
		assert.equal("<session xmlns='"..NAMESPACE.."'/>", tostring(new_log().log.session_extra({ ip = "203.0.113.80" })));
	end);
end);

describe("options", function ()
	it("that are wrong are said once, and the default is used", function ()
		local log = new_log({ audit_log_expires_after = "soon" });
		for _ = 1, 3 do log.audit("example.com", nil, "mod_test", "t"); end
		assert.equal(1, #log.lines);
		assert.is_truthy(log.lines[1]:find('^error: Option audit_log_expires_after is "soon", which is not allowed: use '), log.lines[1]);
	end);

	it("are read again when the configuration is", function ()
		local log = new_log();
		log.audit("example.com", nil, "mod_test", "t", { session = { ip = "203.0.113.80" } });
		log.options.audit_log_ips = false;
		log.log.forget();
		log.audit("example.com", nil, "mod_test", "t", { session = { ip = "203.0.113.80" } });
		assert.equal(0, #log:last().tags[1].tags);
	end);
end);

describe("partitions", function ()
	it("are one for each UTC day", function ()
		local log = new_log();
		log.audit("example.com", nil, "mod_test", "t");
		log.time = log.time + day;
		log.audit("example.com", nil, "mod_test", "t");
		assert.equal("@events.2026-11-24 @events.2026-11-25", log.store:names());
	end);

	it("roll over where a quota fills them, and lose nothing", function ()
		local log = new_log(nil, new_store(10));
		for _ = 1, 25 do assert.is_string(log.audit("example.com", nil, "mod_test", "t")); end
		assert.equal("@events.2026-11-24 @events.2026-11-24.2 @events.2026-11-24.3", log.store:names());
		local again = new_log(nil, log.store);
		assert.is_string(again.audit("example.com", nil, "mod_test", "t"));
		assert.equal(6, #log.store:rows("@events.2026-11-24.3"));
	end);

	it("are all full at the end: the event is refused with the driver's condition", function ()
		local log = new_log(nil, new_store(0));
		assert.same({ nil, "quota-limit" }, { log.audit("example.com", nil, "mod_test", "t") });
		assert.equal(1, log.log.lost());
	end);

	it("never go back in time, whatever the clock or another process did", function ()
		local log = new_log();
		log.store:append("@events.2026-11-24", nil, st.stanza("audit-event"), noon + 90, "@");
		log.audit("example.com", nil, "mod_test", "t");
		log.time = noon - 100;
		log.audit("example.com", nil, "mod_test", "t");
		local _, row = log:last();
		assert.equal(noon + 90, row.when);
		assert.equal("2026-11-24T11:58:20Z", row.value.attr[NAMESPACE.."\1occurred"]);
	end);

	it("give way to archive user nil in the single layout, which spills into them when it is full", function ()
		local log = new_log({ audit_log_layout = "single" }, new_store(2));
		for _ = 1, 3 do assert.is_string(log.audit("example.com", nil, "mod_test", "t")); end
		assert.equal("@events.2026-11-24 false", log.store:names());
		local _, shown = log:shown();
		assert.equal(3, shown);
	end);

	it("are not used with a driver that can't list them", function ()
		local log = new_log();
		log.store.users = nil;
		log.audit("example.com", nil, "mod_test", "t");
		assert.equal("false", log.store:names());
		local _, shown = log:shown();
		assert.equal(1, shown);
	end);
end);

describe("stores", function ()
	it("are opened once and kept", function ()
		local log = new_log();
		for _ = 1, 3 do log.audit("example.com", nil, "mod_test", "t"); end
		assert.equal(1, log.opened);
		assert.equal(log.store, log.log.stores["example.com"]);
	end);

	it("are forgotten when told to", function ()
		local log = new_log();
		assert.equal(log.store, log.log.stores["example.com"]);
		log.store = new_store();
		log.log.forget("example.com");
		assert.equal(log.store, log.log.stores["example.com"]);
	end);

	it("that can't be opened are tried again at the next event", function ()
		local log = new_log();
		local null = setmetatable({ name = "null" }, { __index = function () return function () return false, "no data storage active"; end; end });
		local failures = {
			function () return nil, "unsupported-datastore"; end;
			function () error("boom"); end;
			function () return null; end;
			function () return nil; end;
		};
		for _, open in ipairs(failures) do
			log.open = open;
			assert.is_nil(log.audit("example.com", nil, "mod_test", "t"));
			assert.is_nil(rawget(log.log.stores, "example.com"));
		end
		log.open = nil;
		assert.is_string(log.audit("example.com", nil, "mod_test", "t"));
		assert.equal(4, log.log.lost());
		assert.equal(5, #log.lines);
	end);
end);

describe("a store that fails", function ()
	it("is said once for each cause, and each event is counted", function ()
		local log = new_log();
		local append = log.store.append;
		log.store.append = function () return false, "database is locked"; end;
		for _ = 1, 50 do assert.same({ nil, "internal-server-error" }, { log.audit("example.com", nil, "mod_test", "t") }); end
		log.store.append = function () return nil, { condition = "resource-constraint", text = "disk full" }; end;
		for _ = 1, 50 do assert.same({ nil, "resource-constraint" }, { log.audit("example.com", nil, "mod_test", "t") }); end
		log.store.append = function () error("boom"); end;
		for _ = 1, 50 do assert.is_nil(log.audit("example.com", nil, "mod_test", "t")); end
		log.store.append = function () end;
		assert.is_nil(log.audit("example.com", nil, "mod_test", "t"));
		assert.equal(4, #log.lines);
		for i, cause in ipairs({ "database is locked", "disk full", "boom" }) do
			assert.is_truthy(log.lines[i]:find(cause, 1, true), log.lines[i]);
		end
		assert.equal(151, log.log.lost());

		log.store.append = append;
		assert.is_string(log.audit("example.com", nil, "mod_test", "t"));
		assert.is_string(log.audit("example.com", nil, "mod_test", "t"));
		assert.same({ 5, "info: Audit events of example.com are stored again; 151 could not be stored." }, { #log.lines, log.lines[5] });
	end);

	it("may yield", function ()
		local log = new_log();
		local append = log.store.append;
		log.store.append = function (...)
			coroutine.yield("waiting");
			return append(...);
		end;
		local id;
		local thread = coroutine.create(function () id = log.audit("example.com", nil, "mod_test", "t"); end);
		assert.same({ true, "waiting" }, { coroutine.resume(thread) });
		assert.same({ true }, { coroutine.resume(thread) });
		assert.is_string(id);
	end);
end);

describe("reading", function ()
	it("shows the newest first, across partitions and the archive of the community's modules", function ()
		local log = new_log();
		log.store:append(nil, nil, st.stanza("audit-event", { source = "mod_audit_auth", type = "old" }), noon - 2 * day, "juliet");
		log.audit("example.com", "juliet@example.com", "mod_test", "new");
		local text, shown = log:shown("--user=juliet");
		assert.equal(2, shown);
		assert.is_truthy(text:find("new.*old"), text);
	end);

	it("passes over entries that are damaged, and counts them", function ()
		local log = new_log();
		for _ = 1, 3 do log.audit("example.com", nil, "mod_test", "t"); end
		log.store:rows("@events.2026-11-24")[2].value = setmetatable({ name = "x<" ; attr = {}; tags = {} }, getmetatable(st.stanza("x")));
		log.store:rows("@events.2026-11-24")[3].value = setmetatable({}, { __tostring = function () error("broken"); end });
		local _, shown, damaged = log:shown();
		assert.same({ 1, 2 }, { shown, damaged });
	end);

	it("begins where a page does, on a driver that finds times by bisection", function ()
		local log = new_log();
		local find, rows_read = log.store.find, 0;
		log.store.caps, log.store.trim = { quota = 10000 }, function () end;
		log.store.find = function (self, user, query)
			local rows, limit = find(self, user, { reverse = query.reverse, before = query.before, after = query.after }), query.limit;
			return function ()
				for key, value, when, with in rows do
					if (not query["end"] or when <= query["end"]) and (not query.start or when >= query.start) then
						if limit == 0 then return nil; end
						limit, rows_read = limit - 1, rows_read + 1;
						return key, value, when, with;
					end
				end
			end
		end;
		local ids = {};
		for i = 1, 5000 do
			log.time = noon + i // 3;
			ids[i] = log.audit("example.com", nil, "mod_test", "t");
		end
		for _, case in ipairs { { 2500, 2499 }, { 2500, 2501, "--oldest-first" }, { 1001, 1000 }, { 4000, 4001, "--oldest-first" } } do
			rows_read = 0;
			local text, shown = log:shown("--columns=id", "--limit=50", "--after="..ids[case[1]], case[3]);
			assert.equal(50, shown);
			assert.equal(ids[case[2]], text:match("\n(%x+%-%S+)"));
			assert.is_true(rows_read <= 1100, rows_read.." rows were read");
		end
	end);

	it("says what went wrong", function ()
		local log = new_log();
		log.store.find = function () return nil, "database is locked"; end;
		local result = log:read(print);
		assert.same({ 0, 0, "database is locked" }, { result.shown, result.damaged, result.problem });
		log.store.users = function () error("no connection"); end;
		assert.is_truthy(log:read(print).problem:find("no connection", 1, true));
	end);

	it("stops when nobody reads on", function ()
		local log = new_log();
		for i = 1, 5000 do
			log.time = noon + i;
			log.audit("example.com", nil, "mod_test", "t");
		end
		local calls = 0;
		local result = log:read(function () calls = calls + 1; return false; end);
		assert.same({ 1, true }, { calls, result.stopped });
	end);
end);

describe("the journal", function ()
	local lfs = require "lfs";
	local folder, number = lfs.currentdir().."/target/scratch", 0;
	local path, logs;

	before_each(function ()
		lfs.mkdir(folder);
		number = number + 1;
		path = ("%s/spec-%s-%d-%d.journal"):format(folder, prosody_series, os.time(), number);
		logs = {};
	end);

	after_each(function ()
		for _, log in ipairs(logs) do log.log.close(); end
		for name in lfs.dir(folder) do
			if name:find("^spec%-"..prosody_series) then os.remove(folder.."/"..name); end
		end
	end);

	local function journaled(options, store)
		local log = new_log(options, store, path);
		table.insert(logs, log);
		return log;
	end

	-- Numbered events, each with what entries have.
	local function audit(log, first, last)
		for i = first, last do
			local extra = { session = { ip = "203.0.113.80", id = "c2s"..i }, custom = { core.detail("n", { v = i }, "tab\tand\nnewline") } };
			assert.is_string(log.log.audit("example.com", i % 2 == 0 and "romeo@example.com" or nil, "mod_test", "t", extra));
		end
	end

	local function numbers(log)
		local found, names = {}, {};
		for name in pairs(log.store.partitions) do table.insert(names, name); end
		table.sort(names, function (a, b) return tostring(a) < tostring(b); end);
		for _, name in ipairs(names) do
			for _, row in ipairs(log.store.partitions[name]) do
				table.insert(found, row.value:get_child("n", NAMESPACE).attr.v);
			end
		end
		return table.concat(found, " ");
	end

	local function count_to(last)
		local list = {};
		for i = 1, last do list[i] = i; end
		return table.concat(list, " ");
	end

	it("takes an event at once, and the store gets it a moment later", function ()
		local log = journaled();
		audit(log, 1, 3);
		assert.equal("", log.store:names());
		assert.equal(3, log.log.waiting("example.com"));
		log:pass(0.3);
		assert.equal("1 2 3", numbers(log));
		assert.equal(0, log.log.waiting("example.com"));
		local stanza, row = log:last();
		assert.same({ "@", noon }, { row.with, row.when });
		assert.same({ "session", "n" }, { stanza.tags[1].name, stanza.tags[2].name });
		assert.equal("tab\tand\nnewline", stanza.tags[2][1]);
	end);

	describe("hastens no garbage collection where the driver is known to be done when it returns:", function ()
		local cycles, heap, watch;

		before_each(function ()
			-- As in Prosody, but done sooner.
			collectgarbage("incremental", 105, 1000);
			cycles, watch = 0, {};
			function watch.__gc()
				cycles = cycles + 1;
				if watch then setmetatable({}, watch); end
			end
			setmetatable({}, watch);
		end);

		local function begin()
			collectgarbage();
			collectgarbage();
			cycles, heap = 0, collectgarbage("count");
		end

		after_each(function ()
			watch = nil;
			collectgarbage("incremental", 200, 100);
		end);

		-- Hands over so many entries, for which the driver makes so many times as much garbage as there is: how often the heap was
		-- gone through, and how large it was at most, in times of what it was.
		local function hand_over(kind, entries, times)
			local store, peak = new_store(nil, kind), 0;
			local function waste()
				local _ = ("x"):rep(math.floor(times * heap * 1024 / entries));
				peak = math.max(peak, collectgarbage("count"));
			end
			if kind then
				local datamanager = { append = store.append };
				function store.append(...) waste(); return datamanager.append(...); end
			else
				local append = store.append;
				function store.append(...) waste(); return append(...); end
			end
			local log = journaled(nil, store);
			audit(log, 1, entries);
			begin();
			log:pass(60);
			local gone_through, ratio = cycles, peak / heap;
			log.log.close();
			assert.equal(entries, select(2, numbers(log):gsub("%d+", "")));
			return gone_through, ratio;
		end

		it("not for a little of garbage", function ()
			assert.equal(0, (hand_over("embedded", 50, 0.2)));
			assert.is_true(hand_over(nil, 50, 0.2) > 0);
		end);

		it("but the heap does not grow for that by more than a part", function ()
			local gone_through, peak = hand_over("embedded", 200, 5);
			assert.is_true(gone_through > 1);
			assert.is_true(peak < 2, peak);
		end);

		it("and it is not put off", function ()
			local log = journaled(nil, new_store(nil, "embedded"));
			begin();
			for i = 1, 200 do
				audit(log, i, i);
				log:pass(0.3);
			end
			cycles = 0;
			for _ = 1, 100 do
				local _ = ("x"):rep(math.floor(heap * 1024 * 0.005));
			end
			assert.is_true(cycles > 0);
		end);
	end);

	it("shows what waits together with what is stored", function ()
		local log = journaled();
		audit(log, 1, 2);
		log:pass(0.3);
		audit(log, 3, 4);
		local _, shown, damaged = log:shown();
		assert.same({ 4, 0 }, { shown, damaged });
		_, shown = log:shown("--user=romeo");
		assert.equal(2, shown);
		-- Another process has no journal of its own, and reads ours.
		local reader = new_log(nil, log.store);
		reader.environment.readable_path = function () return path; end;
		reader.log = core.new(reader.environment);
		_, shown = reader:shown();
		assert.equal(4, shown);
		assert.equal(2, log.log.waiting("example.com"));
	end);

	it("outlives the process, and nothing is stored twice", function ()
		local log = journaled();
		audit(log, 1, 2);
		log:pass(0.3);
		audit(log, 3, 5);
		-- The store took one more before the process ended, and the journal does not know.
		local release = log.store.append;
		log.store.append = function (self, ...)
			if #self:rows("@events.2026-11-24") == 4 then error("killed"); end
			return release(self, ...);
		end;
		log:pass(0.3);
		log.store.append = release;
		log.log.close();
		assert.equal("1 2 3 4", numbers(log));
		local again = journaled(nil, log.store);
		again.log.open("example.com");
		audit(again, 6, 6);
		again:pass(1);
		assert.equal("1 2 3 4 5 6", numbers(again));
	end);

	it("is not stored twice where the clock went back over midnight before the process ended", function ()
		local midnight = noon + 43200;
		local log = journaled();
		log.log.open("example.com");
		for i, time in ipairs({ midnight + 5, midnight + 6, midnight - 20, midnight - 19 }) do
			log.time = time;
			audit(log, i, i);
		end
		-- The process ends when the store has all of it, and the journal does not know.
		local kept = path..".kept";
		assert.is_true(os.execute(("mkdir %s && cp %s.0* %s/"):format(kept, path, kept)));
		log:pass(0.3);
		log.log.close();
		assert.is_true(os.execute(("rm -f %s.0* && mv %s/* %s && rmdir %s"):format(path, kept, path:match("^(.*)/"), kept)));
		assert.equal("3 4 1 2", numbers(log));
		local again = journaled(nil, log.store);
		again.time = midnight - 10;
		again.log.open("example.com");
		assert.equal(4, again.log.waiting("example.com"));
		again:pass(5);
		assert.equal("3 4 1 2", numbers(again));
		assert.equal(0, again.log.waiting("example.com"));
	end);

	it("keeps what the store does not take, in order, and offers it again with back-off", function ()
		local log = journaled();
		local append, attempts = log.store.append, 0;
		log.store.append = function () attempts = attempts + 1; return nil, "database is locked"; end;
		audit(log, 1, 1500);
		log:pass(20);
		assert.is_true(attempts >= 4 and attempts <= 6, attempts.." attempts in 20 seconds");
		assert.same({ 1500, 0, "database is locked" }, { log.log.waiting("example.com"), log.log.lost(), log.log.state("example.com").problem });
		assert.equal(1, #log.lines);
		log.store.append = append;
		log:pass(60);
		assert.equal(count_to(1500), numbers(log));
		assert.same({ 2, "info: Audit events of example.com are stored again; none was lost." }, { #log.lines, log.lines[2] });
	end);

	it("spares an entry that the store can't hold its characters, not the log", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (self, user, key, value, ...)
			if tostring(value):find("[\128-\255]") then return nil, "invalid byte sequence for this encoding"; end
			return append(self, user, key, value, ...);
		end;
		log.log.audit("example.com", "r\195\182meo@example.com", "mod_test", "t");
		log.log.audit("example.com", nil, "mod_test", "t");
		log:pass(0.3);
		local rows = log.store:rows("@events.2026-11-24");
		assert.same({ 2, "r\\u{f6}meo@example.com", "r\\u{f6}meo@example.com" }, { #rows, rows[1].with, rows[1].value.attr.user });
	end);

	it("knows what the store took although it said that it did not", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (...) append(...); return nil, "connection lost"; end;
		audit(log, 1, 1);
		log:pass(0.3);
		log.store.append = append;
		audit(log, 2, 3);
		log:pass(5);
		assert.equal("1 2 3", numbers(log));
	end);

	it("knows that also of what was written directly", function ()
		local log = journaled({ audit_log_write = "direct" });
		local append = log.store.append;
		log.store.append = function (...) append(...); error("connection lost"); end;
		audit(log, 1, 1);
		log.store.append = append;
		audit(log, 2, 2);
		log:pass(5);
		assert.equal("1 2", numbers(log));
	end);

	it("waits where it can't know what the store has already", function ()
		local log = journaled();
		audit(log, 1, 3);
		log:pass(0.3);
		audit(log, 4, 4);
		log.log.close();
		local again = journaled(nil, log.store);
		local find = again.store.find;
		again.store.find = function () return nil, "database is locked"; end;
		again.log.open("example.com");
		again:pass(10);
		assert.equal("1 2 3", numbers(again));
		again.store.find = find;
		again:pass(60);
		assert.equal("1 2 3 4", numbers(again));
	end);

	it("counts a damaged record among what was lost", function ()
		local log = journaled();
		audit(log, 1, 3);
		log.log.close();
		for name in lfs.dir(folder) do
			if (folder.."/"..name):find(path..".0", 1, true) then
				local file = io.open(folder.."/"..name, "r+b");
				local at = file:read("a"):find("c2s2", 1, true);
				file:seek("set", at - 1);
				file:write("XXXX");
				file:close();
			end
		end
		local again = journaled(nil, log.store);
		again.log.open("example.com");
		again:pass(1);
		local rows = again.store:rows("@events.2026-11-24");
		assert.same({ 3, "1", "3", "audit-entries-lost" }, {
			#rows, rows[1].value:get_child("n", NAMESPACE).attr.v, rows[2].value:get_child("n", NAMESPACE).attr.v, rows[3].value.attr.type,
		});
		assert.equal("unreadable", rows[3].value:get_child("lost", NAMESPACE).tags[1].attr.name);
		assert.is_truthy(again.lines[1]:find("1 audit events of example.com are lost: their records in the journal are damaged or missing", 1, true));
	end);

	it("rolls over at a quota", function ()
		local log = journaled(nil, new_store(10));
		audit(log, 1, 25);
		log:pass(1);
		assert.equal("@events.2026-11-24 @events.2026-11-24.2 @events.2026-11-24.3", log.store:names());
		assert.equal(count_to(25), numbers(log));
	end);

	it("is passed by where entries are written directly, until something waits", function ()
		local log = journaled({ audit_log_write = "direct" });
		audit(log, 1, 2);
		assert.equal("1 2", numbers(log));
		local append = log.store.append;
		log.store.append = function () error("broken"); end;
		audit(log, 3, 4);
		log.store.append = append;
		audit(log, 5, 5);
		assert.same({ "1 2", 3 }, { numbers(log), log.log.waiting("example.com") });
		log:pass(5);
		assert.equal("1 2 3 4 5", numbers(log));
	end);

	it("waits for a driver that yields", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (...) coroutine.yield(); return append(...); end;
		audit(log, 1, 3);
		table.remove(log.timers, 1).run(); -- its time has come
		local thread = coroutine.create(table.remove(log.timers, 1).run);
		assert.is_true(coroutine.resume(thread));
		audit(log, 4, 4);
		while coroutine.status(thread) ~= "dead" do assert.is_true(coroutine.resume(thread)); end
		assert.equal("1 2 3 4", numbers(log));
	end);

	it("says that its store does not answer, once", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (...) coroutine.yield(); return append(...); end;
		audit(log, 1, 3);
		table.remove(log.timers, 1).run();
		local thread = coroutine.create(table.remove(log.timers, 1).run);
		assert.is_true(coroutine.resume(thread));
		log:pass(59);
		assert.same({ nil, {} }, { log.log.state("example.com").problem, log.lines });
		log:pass(2);
		for _ = 1, 3 do
			assert.equal("the storage driver has not answered for 60 seconds", log.log.state("example.com").problem);
			audit(log, 4, 4);
			log:pass(10);
		end
		assert.equal(1, #log.lines, table.concat(log.lines, "\n"));
		while coroutine.status(thread) ~= "dead" do assert.is_true(coroutine.resume(thread)); end
		log.store.append = append;
		log:pass(1);
		assert.same({ 2, nil, 0 }, { #log.lines, log.log.state("example.com").problem, log.log.waiting("example.com") });
	end);

	it("is handed over in few slices, though entries are large", function ()
		local children = {};
		for i = 1, 190 do children[i] = core.detail("n", { v = i }); end
		local log = journaled();
		for _ = 1, 150 do
			assert.is_string(log.log.audit("example.com", nil, "mod_test", "t", { custom = { core.detail("large", nil, nil, children) } }));
		end
		log.log.close();
		-- All of it must be read back, in real time.
		local again = journaled(nil, log.store);
		again.environment.now = require "util.time".now;
		again.log = core.new(again.environment);
		again.log.open("example.com");
		local slices = 0;
		while again.log.waiting("example.com") > 0 and slices <= 150 do
			slices = slices + 1;
			table.remove(again.timers, 1).run();
		end
		assert.is_true(slices <= 75, slices.." slices");
	end);

	it("may hold what the store has already, of which only the last is looked at", function ()
		local store = new_store();
		local function append(part, id)
			local stanza = st.stanza("audit-event", { type = "t", [NAMESPACE.."\1id"] = id });
			store:append("@events.2026-11-24"..(part > 1 and "."..part or ""), nil, stanza, noon, "@");
		end
		for part = 1, 20 do
			for _ = 1, 500 do append(part); end
		end
		local log = journaled(nil, store);
		audit(log, 1, 400);
		log:pass(60);
		-- As if the server had been killed before the journal let go of what the store has taken.
		for i = 1, 150 do
			append(i <= 100 and 21 or 22, (assert(log.audit("example.com", nil, "mod_test", "t"))));
		end
		log.log.close();
		local read, find = {}, store.find;
		function store.find(self, user, query)
			read[tostring(user)] = true;
			return find(self, user, query);
		end
		local again = journaled(nil, store);
		again.log.open("example.com");
		again.audit("example.com", nil, "mod_test", "last");
		again:pass(60);
		assert.equal(0, again.log.waiting("example.com"));
		assert.same({ 500, 51 }, { #store:rows("@events.2026-11-24.21"), #store:rows("@events.2026-11-24.22") });
		read["nil"] = nil;
		assert.same({ ["@events.2026-11-24.21"] = true, ["@events.2026-11-24.22"] = true }, read);
	end);

	it("is handed over in large transactions, and with pauses, where a commit takes long", function ()
		local log = journaled();
		local engine, append = { transactions = 0 }, log.store.append;
		function engine:transaction(run)
			self.transactions = self.transactions + 1;
			run();
			log.time = log.time + 0.05; -- the commit
			return true;
		end
		log.store.append = function (...) return engine and append(...); end;
		audit(log, 1, 1000);
		local began = log.time;
		local last = 1000;
		while log.log.waiting("example.com") > 0 do
			log:pass(0.01);
			-- What comes meanwhile does not cut a pause short.
			if last < 1050 then
				last = last + 1;
				audit(log, last, last);
			end
		end
		assert.equal(count_to(last), numbers(log));
		assert.is_true(engine.transactions >= 5 and engine.transactions <= 12, engine.transactions.." transactions");
		assert.is_true(log.time - began > engine.transactions * 0.2 - 0.3, ("only %.2f s"):format(log.time - began));
	end);

	it("is handed over in small transactions where to append takes long", function ()
		local log = journaled();
		local engine, append = { longest = 0 }, log.store.append;
		function engine:transaction(run)
			local began = log.time;
			run();
			self.longest = math.max(self.longest, log.time - began);
			return true;
		end
		log.store.append = function (...)
			log.time = log.time + (engine and 0.001);
			return append(...);
		end;
		audit(log, 1, 100);
		while log.log.waiting("example.com") > 0 do log:pass(0.01); end
		assert.equal(count_to(100), numbers(log));
		assert.is_true(engine.longest < 0.0105, engine.longest.." seconds");
	end);

	it("is not stored twice where the answer to a commit was lost", function ()
		local log = journaled();
		local engine, append = { lose = true }, log.store.append;
		-- As Prosody's engine does with a connection that is gone: it begins again.
		function engine:transaction(run)
			local ok = pcall(run);
			if self.lose then
				self.lose = false;
				ok = pcall(run);
			end
			return ok, not ok and "failed" or nil;
		end
		log.store.append = function (...) return engine and append(...); end;
		audit(log, 1, 30);
		log:pass(5);
		assert.equal(count_to(30), numbers(log));
		assert.equal("the connection was lost", log.lines[1]:match("the connection was lost"));
	end);

	it("is handed over for one host in a turn of the loop", function ()
		local log = journaled();
		log.environment.journal_path = function (host) return path.."."..host; end;
		local stores = {};
		log.environment.open_store = function (host)
			stores[host] = stores[host] or new_store();
			return stores[host];
		end;
		log.log = core.new(log.environment);
		local hosts = { "a.example", "b.example", "c.example" };
		for _ = 1, 5 do
			for _, host in ipairs(hosts) do log.log.audit(host, nil, "mod_test", "t"); end
		end
		log.time = log.time + 1;
		local turns, served = 0, {};
		-- A turn: what is due when it begins. What that makes due is for the next.
		while #log.timers > 0 and turns < 20 do
			turns = turns + 1;
			local timers = log.timers;
			log.timers = {};
			local before = {};
			for _, host in ipairs(hosts) do before[host] = log.log.waiting(host); end
			for _, timer in ipairs(timers) do timer.run(); end
			local hosts_of_turn = {};
			for _, host in ipairs(hosts) do
				if log.log.waiting(host) < before[host] then table.insert(hosts_of_turn, host); end
			end
			assert.is_true(#hosts_of_turn <= 1, table.concat(hosts_of_turn, ", ").." in one turn");
			table.insert(served, hosts_of_turn[1]);
		end
		assert.same(hosts, served);
		for _, host in ipairs(hosts) do assert.equal(5, #stores[host]:rows("@events.2026-11-24")); end
	end);

	it("counts what it has no room for, and the count becomes an entry", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function () return nil, "disk full"; end;
		audit(log, 1, 1);
		-- The journal is bounded, and so is what is kept beside it.
		local limit = 200000;
		local big = core.detail("big", nil, ("x"):rep(4000));
		local lost = 0;
		for _ = 1, limit do
			local id, condition = log.log.audit("example.com", nil, "mod_test", "flood", { custom = { big } });
			if not id then
				lost = lost + 1;
				assert.equal("resource-constraint", condition);
				if lost == 3 then break; end
			end
		end
		assert.equal(3, lost);
		-- Nor for a small one, such as the entry of the count.
		repeat until not log.log.audit("example.com", nil, "mod_test", "flood");
		assert.same({ 4, 4 }, { log.log.lost(), log.log.state("example.com").lost });
		local kept = log.log.waiting("example.com");
		-- The first slices free too little for the count to find room.
		local slow = 5;
		log.store.append = function (...)
			if slow > 0 then
				slow, log.time = slow - 1, log.time + 0.01;
			end
			return append(...);
		end;
		log:pass(300);
		local rows, part = {}, 1;
		repeat
			local more = log.store:rows("@events.2026-11-24"..(part > 1 and "."..part or ""));
			table.move(more, 1, #more, #rows + 1, rows);
			part = part + 1;
		until #more == 0;
		assert.equal(kept + 1, #rows);
		local entry = rows[#rows].value;
		assert.equal("audit-entries-lost", entry.attr.type);
		local what = entry:get_child("lost", NAMESPACE);
		assert.same({ "4", "flood", "4" }, { what.attr.count, what.tags[1].attr.name, what.tags[1].attr.count });
	end);
end);
