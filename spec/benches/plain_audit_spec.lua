-- The plain-Lua baseline of the benchmark must do the same work as the core, otherwise the comparison is not valid:
-- for the same events both hand the same entries to the store.

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".";
local audit_core = require "audit_core";
local plain_audit = dofile(here .. "/../../benches/plain_audit.lua");
local st = require "util.stanza";

local xmlns_audit = "xmpp:prosody.im/audit";
local attr_id = xmlns_audit .. "\1id";
local uuid_v7 = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$";
local noon = 1795521600; -- 2026-11-24T12:00:00Z

-- Takes `room` entries a partition, and writes down what it got.
local function new_store(room)
	local appended, counts = {}, {};
	return {
		appended = appended, caps = { total = true };
		append = function (_, user, key, value, when, with)
			local partition = tostring(user);
			if room and (counts[partition] or 0) >= room then
				return nil, "quota-limit";
			end
			counts[partition] = (counts[partition] or 0) + 1;
			appended[#appended + 1] = { user = user, key = key, value = value, when = when, with = with };
			return "key-" .. #appended;
		end;
		-- As far as the core asks: the last entry of a partition, which a store must give back.
		find = function (_, user)
			local last = #appended;
			while last > 0 and appended[last].user ~= user do last = last - 1; end
			local entry = appended[last];
			return function ()
				local found = entry;
				entry = nil;
				if found then return "key-" .. last, found.value, found.when, found.with; end
			end;
		end;
		users = function () return function () return nil; end; end;
		delete = function () return true; end;
	};
end

local function new_log(implementation, options, room)
	local clock = { time = noon + 0.25 };
	local store = new_store(room);
	local log = implementation.new {
		get_option = function (_, name) return (options or {})[name]; end;
		open_store = function () return store; end;
		log = function () end;
		now = function () return clock.time; end;
		stanza_mt = st.stanza_mt;
	};
	return log, store, clock;
end

-- A stanza without its entry id, and without what util.stanza keeps of its building. Each child element must stand in
-- `tags` too, or readers will not find it.
local function comparable(stanza)
	assert.is_true(st.is_stanza(stanza));
	local copy, tags = { name = stanza.name, attr = {} }, {};
	for name, value in pairs(stanza.attr) do
		if name ~= attr_id then
			copy.attr[name] = value;
		end
	end
	for i, child in ipairs(stanza) do
		if type(child) == "table" then
			tags[#tags + 1] = child;
			child = comparable(child);
		end
		copy[i] = child;
	end
	assert.equal(#tags, #stanza.tags);
	for i, tag in ipairs(tags) do
		assert.is_true(rawequal(tag, stanza.tags[i]));
	end
	return copy;
end

local function comparable_appends(store)
	local list = {};
	for i, append in ipairs(store.appended) do
		list[i] = { value = comparable(append.value), user = append.user or "(nil)", key = append.key, when = append.when, with = append.with };
	end
	return list;
end

local function new_session(fields)
	local session = { id = "c2s55904800b230", type = "c2s_unauthed", ip = "203.0.113.80", client_id = "d4565fa7-4d72-4749-b3d3-740edbf87770" };
	for name, value in pairs(fields or {}) do
		session[name] = value ~= "" and value or nil;
	end
	return session;
end

-- Every audit() call of a row gets the arguments in `events`; at = seconds that the clock is set on (or back) before it.
local rows = {
	["an account's event without a session"] = {
		events = { { user = "juliet@example.com" } };
	};
	["an event of the whole host"] = {
		events = { {}, { user = "@" }, { user = "" } };
	};
	["a JID with a resource"] = {
		events = { { user = "juliet@example.com/balcony" } };
	};
	["a whole session"] = {
		events = { { user = "mallory@example.com", extra = { session = new_session() } } };
	};
	["sessions of which little is known"] = {
		events = {
			{ extra = { session = {} } };
			{ extra = { session = new_session { ip = "" } } };
			{ extra = { session = new_session { id = "", type = "" } } };
			{ extra = { session = new_session { client_id = "" } } };
		};
	};
	["addresses in full"] = {
		events = {
			{ extra = { session = new_session { ip = "203.0.113.80" } } };
			{ extra = { session = new_session { ip = "2001:DB8:0:1:2:3:4:5" } } };
			{ extra = { session = new_session { ip = "2001:db8:0:0:0:0:0:1" } } };
			{ extra = { session = new_session { ip = "::ffff:203.0.113.80" } } };
			{ extra = { session = new_session { ip = "fe80::1%eth0" } } };
			{ extra = { session = new_session { ip = "::1" } } };
		};
	};
	["addresses that are none"] = {
		events = {
			{ extra = { session = new_session { ip = "/run/prosody/prosody.sock" } } };
			{ extra = { session = new_session { ip = "203.0.113.80 " } } };
			{ extra = { session = new_session { ip = "203.0.113.256" } } };
			{ extra = { session = new_session { ip = 42 } } };
			{ extra = { session = new_session { ip = true } } };
		};
	};
	["no addresses"] = {
		options = { audit_log_ips = false };
		events = { { extra = { session = new_session() } } };
	};
	["details in their order"] = {
		events = { {
			user = "mallory@example.com";
			extra = {
				session = new_session();
				custom = {
					st.stanza("authentication", { xmlns = xmlns_audit, mechanism = "SCRAM-SHA-1", condition = "not-authorized" }):text("Wrong password");
					st.stanza("note", { xmlns = "urn:example:other" });
					st.stanza("disabled", { xmlns = xmlns_audit, reason = "abuse" }):text_tag("comment", "Spam & <more>"):tag("empty"):up();
				};
			};
		}, { extra = { custom = {} } } };
	};
	["text in every alphabet"] = {
		events = { { user = "ジュリエット@example.com", extra = { session = new_session { client_id = "naïve <&'\"> 😀" } } } };
	};
	["text that XML does not allow"] = {
		events = { {
			user = "mall\1ory@example.com";
			extra = {
				session = new_session { id = "c2s\20\31", client_id = "\239\191\190phone" };
				custom = { st.stanza("note", { xmlns = xmlns_audit, a = "\21" }):text("x\22y\239\191\191"):text_tag("inner", "\23") };
			};
		} };
	};
	["another time than now"] = {
		events = {
			{ extra = { timestamp = noon - 3600 } };
			{ extra = { timestamp = noon } };
			{ extra = { timestamp = noon - 7200.75 } };
		};
	};
	["a clock that goes back"] = {
		events = { {}, { at = -120 }, { at = 60 }, { at = 300 } };
	};
	["days"] = {
		events = { {}, { at = 43199 }, { at = 1 }, { at = 86400 } };
	};
	["a quota that fills a day"] = {
		room = 2;
		events = { {}, {}, {}, {}, {}, { at = 86400 } };
	};
	["the layout of the modules before"] = {
		options = { audit_log_layout = "single" };
		events = { { user = "juliet@example.com" }, { at = 86400 } };
	};
};

for _, prefixes in ipairs { { 24 }, { false, 48 }, { 24, 64 }, { 13, 33 }, { 0, 0 }, { 32, 128 }, { 8, 127 }, { 31, 1 } } do
	local events = {};
	local whole = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
	for i, ip in ipairs { "203.0.113.80", "255.255.255.255", "::ffff:203.0.113.80", "2001:db8:ffff:1:2:3:4:5", whole } do
		events[i] = { extra = { session = new_session { ip = ip } } };
	end
	rows[("addresses cut at %s and %s bits"):format(prefixes[1] or "no", prefixes[2] or "no")] = {
		options = { audit_log_ipv4_prefix = prefixes[1] or nil, audit_log_ipv6_prefix = prefixes[2] };
		events = events;
	};
end

local function run(implementation, row)
	local log, store, clock = new_log(implementation, row.options, row.room);
	for _, event in ipairs(row.events) do
		clock.time = clock.time + (event.at or 0);
		local id = log.audit("example.com", event.user, "mod_test", "test-event", event.extra);
		local appended = store.appended[#store.appended];
		assert.matches(uuid_v7, id);
		assert.equal(id, appended.value.attr[attr_id]);
	end
	assert.equal(#row.events, #store.appended);
	return comparable_appends(store);
end

describe("the plain-Lua baseline", function ()
	local names = {};
	for name in pairs(rows) do
		names[#names + 1] = name;
	end
	table.sort(names);

	for _, name in ipairs(names) do
		it("stores what the core stores: " .. name, function ()
			assert.same(run(audit_core, rows[name]), run(plain_audit, rows[name]));
		end);
	end

	it("refuses what the core refuses", function ()
		for _, implementation in ipairs { audit_core, plain_audit } do
			local log, store = new_log(implementation);
			assert.has_error(function () log.audit(nil, nil, "mod_test", "test-event"); end);
			assert.has_error(function () log.audit("*", nil, "mod_test", "test-event"); end);
			assert.has_error(function () log.audit("example.com", nil, "mod_test", "test-event", { custom = { "text" } }); end);
			assert.has_error(function () log.audit("example.com", nil, "mod_test", "test-event", { custom = { {} } }); end);
			assert.equal(0, #store.appended);
		end
	end);

	it("loses no event to bytes that util.stanza refuses", function ()
		for _, implementation in ipairs { audit_core, plain_audit } do
			local log, store = new_log(implementation);
			for _, bytes in ipairs { "a\0b", "\255\254", ("x"):rep(100000) } do
				assert.is_string(log.audit("example.com", bytes .. "@example.com", "mod_test", "test-event", { session = new_session { client_id = bytes } }));
			end
			assert.equal(3, #store.appended);
			for _, appended in ipairs(store.appended) do
				assert.is_true(#appended.with <= 1023);
				assert.is_true(#appended.value.tags[1]:get_child_text("client") <= 1023);
			end
		end
	end);

	it("gives the condition where the store fails, as the core does", function ()
		for _, failing in ipairs { function () return nil, "item-not-found"; end, function () error("broken"); end } do
			for _, implementation in ipairs { audit_core, plain_audit } do
				local log, store = new_log(implementation);
				store.append = failing;
				local id, condition = log.audit("example.com", nil, "mod_test", "test-event");
				assert.is_nil(id);
				assert.is_string(condition);
			end
		end
	end);

	it("describes a session alone as the core does", function ()
		for _, session in ipairs { new_session { host = "example.com" }, new_session(), {}, new_session { ip = "/run/prosody/prosody.sock" } } do
			assert.same(comparable(new_log(audit_core).session_extra(session)), comparable(new_log(plain_audit).session_extra(session)));
		end
	end);
end);
