-- From an event to its entry: src/lua/log/record.lua, with a store that does what each spec tells it to.

local core = require "audit_core";
local st = require "util.stanza";
local support = require "support.log";

local new_log, noon, NAMESPACE = support.new, support.noon, support.NAMESPACE;

describe("an audit event", function ()
	it("is stored with its attributes, session and details", function ()
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

	it("of a whole host has no user, and \"@\" in the archive", function ()
		local log = new_log();
		for _, user in ipairs({ false, "@", "" }) do
			log.audit("example.com", user or nil, "mod_test", "test-event");
			local stanza, row = log:last();
			assert.same({ "@", nil, 0 }, { row.with, stanza.attr.user, #stanza.tags });
		end
	end);

	it("has an empty session if nothing of it is known", function ()
		local log = new_log();
		log.audit("example.com", nil, "mod_test", "t", { session = {} });
		assert.equal("<session xmlns='"..NAMESPACE.."'/>", tostring(log:last().tags[1]));
		log.audit("example.com", nil, "mod_test", "t", { session = { id = 7, type = {}, ip = "/run/prosody.sock", client_id = function () end } });
		assert.equal("<session xmlns='"..NAMESPACE.."'/>", tostring(log:last().tags[1]));
	end);

	it("has of a session what is a text, and is recorded once", function ()
		for _, name in ipairs({ "id", "type", "ip", "client_id" }) do
			for _, odd in ipairs({ 7, 6.5, true, {}, function () end }) do
				local log = new_log();
				local session = { id = "c2s1", type = "c2s", ip = "203.0.113.80", client_id = "d4565fa7" };
				local expected = { id = session.id, type = session.type, ip = session.ip, client_id = session.client_id };
				session[name], expected[name] = odd, nil;
				log.audit("example.com", 7, "mod_test", 5, { session = session, custom = { st.stanza("note") } });
				local stanza, row = log:last();
				local element = stanza.tags[1];
				assert.same({ expected.id, expected.type, expected.ip, expected.client_id, "7", "unknown", "note", 2 }, {
					element.attr.id, element.attr.type, element:get_child_text("remote-ip"), element:get_child_text("client"), row.with,
					stanza.attr.type, stanza.tags[2].name, #stanza.tags,
				});
				assert.equal(1, #log.store:rows(log.store:names()));
			end
		end
	end);

	it("has the actor, as far as it is known", function ()
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

	it("has the time at which it happened", function ()
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

describe("misuse", function ()
	it("raises an error that says what is wrong", function ()
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

	it("raises no error if only values are wrong", function ()
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

	it("are read if a proxy has added a port", function ()
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

	it("are not stored in full if the option is wrong", function ()
		assert.equal("203.0.113.0/24", stored({ audit_log_ipv4_prefix = "many" }, "203.0.113.80"));
		assert.equal(nil, stored({ audit_log_ips = "perhaps" }, "203.0.113.80"));
	end);

	it("of a session without a host are not stored", function ()
		assert.equal("<session xmlns='"..NAMESPACE.."'/>", tostring(new_log().log.session_extra({ ip = "203.0.113.80" })));
	end);
end);

describe("a store that fails", function ()
	it("is reported once for each cause, and each event is counted", function ()
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
