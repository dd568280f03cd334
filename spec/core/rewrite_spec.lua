-- Addresses that expire before their entries: src/lua/prune/rewrite.lua.

local core = require "audit_core";
local json = require "util.json";
local process = require "support.process";
local pruning = require "support.pruning";
local st = require "util.stanza";
local support = require "support.log";

local noon, day, host = support.noon, 86400, support.host;
local new_log, entry, name_of, done, shown = pruning.new_log, pruning.entry, pruning.name_of, pruning.done, pruning.shown;
local NAMESPACE = support.NAMESPACE;

-- The rows of a store, as a list of { key, value, when, with }
local function rows_of(store, user)
	local rows = {};
	for key, value, when, with in store:find(user) do
		table.insert(rows, { key = key, value = value, when = when, with = with });
	end
	return rows;
end

-- A store of the driver "audit", with the methods that specs use.
local function native_store()
	local path, made = process.new_folder("rewrite").."/audit.sqlite3", 0;
	local driver = assert(core.storage {
		host = host; path = path; is_server = false; patience = 0.05; shared = {};
		now = function () return noon; end;
		new_key = function () made = made + 1; return "key-"..made; end;
		stanza_mt = st.stanza_mt; to_json = json.encode; from_json = json.decode;
	});
	local store = driver:open("audit", "archive");
	store.path = path;
	function store:names()
		local names = {};
		for name in self:users() do table.insert(names, name); end
		return table.concat(names, " ");
	end
	return store;
end

local function new_store(kind)
	return kind == "native" and native_store() or support.new_store(nil, kind);
end

-- damage(store, event_type) -> repair(): makes entries of this type unreadable until repair() is called
local function damage(store, event_type)
	if not store.path then
		return pruning.damage(store, event_type);
	end
	local function sql(text)
		local status, out, err = process.capture { "sqlite3", store.path, text };
		assert(status == 0, err);
		return (out:gsub("\n$", ""));
	end
	for user in store:users() do
		for _, row in ipairs(rows_of(store, user)) do
			if row.value.attr.type == event_type then
				local value = sql(("SELECT hex(value) FROM item WHERE key = '%s'"):format(row.key));
				sql(("UPDATE item SET value = x'0178' WHERE key = '%s'"):format(row.key));
				return function () sql(("UPDATE item SET value = x'%s' WHERE key = '%s'"):format(value, row.key)); end;
			end
		end
	end
end

for _, kind in ipairs({ "embedded", "sql", "other", "native" }) do
	describe("addresses in a store of the kind "..kind, function ()
		local function new(options)
			return new_log(options, nil, nil, new_store(kind));
		end

		it("cuts addresses that have expired, and keeps the rest of the entry", function ()
			local log = new { audit_log_classes = {
				events = { ips_expire_after = "7d" };
				bare = { types = { "bare*" }, ips_expire_after = "7d", ips_expire_to = "none" };
			} };
			for _, class in ipairs({ "events", "bare" }) do
				for _, back in ipairs({ 20, 8, 7, 1 }) do
					local time = noon - back * day;
					local event = entry(class..back, "203.0.113.80");
					event:tag("actor", { xmlns = NAMESPACE, kind = "user" }):text_tag("remote-ip", "2001:db8:1:2::5"):up();
					event:tag("repeated", { xmlns = NAMESPACE }):tag("sample", { ip = "203.0.113.81", name = "203.0.113.81" }):up():up();
					event:text_tag("note", "203.0.113.80");
					event:tag("query", { filter = "--client=203.0.113.80 --limit=5" }):up();
					log.store:append(name_of(class, time), nil, event, time, "@");
				end
			end
			log.store:append(name_of("events", noon - 20 * day), nil, entry("hashed"):tag("session"):tag("ip-hash", { key = "k" }):text("0a"):reset(),
				noon - 20 * day, "@");
			local before = shown(log);
			assert.equal("bare addresses 2 in 2, events addresses 3 in 2", (done(log)));
			assert.equal(before, shown(log));
			assert.equal("@bare.2026-11-17 @bare.2026-11-23 @cut-bare.2026-11-04 @cut-bare.2026-11-16 @cut-events.2026-11-04 @cut-events.2026-11-16 "
				.."@events.2026-11-17 @events.2026-11-23 @events.2026-11-24", log.store:names());
			local cut = rows_of(log.store, "@cut-events.2026-11-04");
			assert.equal([[<audit-event source='mod_test' type='events20'><session xmlns='xmpp:prosody.im/audit'>]]
				..[[<remote-ip>203.0.113.0/24</remote-ip><location country='DE'/></session>]]
				..[[<actor kind='user' xmlns='xmpp:prosody.im/audit'><remote-ip>2001:db8:1::/48</remote-ip></actor>]]
				..[[<repeated xmlns='xmpp:prosody.im/audit'><sample ip='203.0.113.0/24' name='203.0.113.81'/></repeated>]]
				..[[<note>203.0.113.80</note>]]
				..[[<query filter='--client=203.0.113.0/24 --limit=5'/></audit-event>]],
				tostring(cut[1].value):gsub("<([%w-]+) ([^>]-)(/?)>", function (name, attr, slash)
					local list = {};
					for one in attr:gmatch("[%w-]+='[^']*'") do list[#list + 1] = one; end
					table.sort(list);
					return "<"..name.." "..table.concat(list, " ")..slash..">";
				end));
			assert.same({ noon - 20 * day, "@", nil }, { cut[1].when, cut[1].with, cut[2].value:find("session/ip-hash#") });
			local bare = tostring(rows_of(log.store, "@cut-bare.2026-11-16")[1].value);
			assert.is_nil(bare:find("remote%-ip") or bare:find("ip=", 1, true));
			assert.is_truthy(bare:find("country='DE'", 1, true));
			assert.is_truthy(bare:find("filter='--client=*** --limit=5'", 1, true), bare);
			assert.equal("", (done(log)));
			log.time = noon + 30 * day;
			done(log);
			assert.is_nil(log.store:names():find("@cut-events.2026-11-04", 1, true), "a copy expires as its original would have");
		end);

		it("does not cut a day for which entries still wait", function ()
			local path = os.tmpname();
			local log = new_log({ audit_log_ips_expire_after = "1d" }, nil, path, new_store(kind));
			local append, hand_over = log.store.append, log.store.hand_over;
			log.store:append("@events.2026-11-24", nil, entry("first", "203.0.113.80"), noon, "@");
			log.store.append = function (self, user, ...)
				if log.locked then return nil, "locked"; end
				return append(self, user, ...);
			end;
			function log.store.hand_over(...)
				if log.locked then return nil, "locked"; end
				return hand_over(...);
			end
			log.store.hand_over = hand_over and log.store.hand_over;
			log.locked = true;
			log.log.open(host);
			log.audit(host, nil, "mod_test", "second", { session = { ip = "203.0.113.81" } });
			log.time = noon + 3 * day;
			assert.equal("", (done(log)));
			log.locked = false;
			log:pass(100);
			assert.equal(2, #rows_of(log.store, "@events.2026-11-24"));
			assert.equal("events addresses 2 in 1", (done(log)));
			log.log.close();
			os.execute("rm -f '"..path.."'*");
		end);

		it("leaves what can't be read where it is", function ()
			local log = new { audit_log_ips_expire_after = "1d" };
			for _, back in ipairs({ 3, 2 }) do
				for i = 1, 3 do
					local time = noon - back * day + i;
					log.store:append(name_of("events", time), nil, entry("e"..back..i, "203.0.113.80"), time, "@");
				end
			end
			local mend = damage(log.store, "e32");
			assert.equal("events addresses 3 in 1", (done(log)));
			mend();
			assert.equal("@cut-events.2026-11-22 @events.2026-11-21 @events.2026-11-24", log.store:names());
			assert.is_truthy(log.lines[#log.lines]:find("@events.2026-11-21 were not removed: 1 damaged entries", 1, true));
			assert.equal("e21 e22 e23 e31 e32 e33", shown(log));
		end);
	end);
end

describe("the driver \"audit\"", function ()
	local function plain(node)
		if type(node) == "string" then return node; end
		local copy = { name = node.name, attr = node.attr, tags = #node.tags };
		for i, child in ipairs(node) do copy[i] = plain(child); end
		return copy;
	end

	it("makes the same entries as the way that other drivers take", function ()
		math.randomseed(11);
		local addresses = { "203.0.113.80", "203.0.113.0/24", "2001:db8:1:2::5", "", "unknown" };
		local names = { "session", "actor", "query", "sample", "remote-ip", "ip-hash", "note" };
		local attributes = { "ip", "network", "filter", "user", "remote-ip", "urn:x\1ip" };
		local function of(list) return list[math.random(#list)]; end
		local function fill(stanza, depth)
			for _ = 1, math.random(0, 3) do
				if depth < 4 and math.random() < 0.6 then
					local attr = { xmlns = NAMESPACE };
					for _ = 1, math.random(0, 2) do attr[of(attributes)] = of(addresses); end
					stanza:tag(of(names), attr);
					fill(stanza, depth + 1);
					stanza:up();
				else
					stanza:text(of(addresses));
				end
			end
			return stanza;
		end
		for _, to in ipairs({ "none", "prefix" }) do
			local options = { audit_log_ips_expire_after = "1d", audit_log_ips_expire_to = to == "none" and to or nil };
			local native, generic = new_log(options, nil, nil, native_store()), new_log(options, "sql");
			for back = 2, 4 do
				for i = 1, 260 do
					local time = noon - back * day + i;
					local stanza = fill(st.stanza("audit-event", { type = "e"..i, source = "mod_test" }), 1);
					for _, log in ipairs { native, generic } do
						assert(log.store:append(name_of("events", time), nil, st.clone(stanza), time, i % 2 == 0 and "@" or "a@"..host));
					end
				end
			end
			local result = done(native);
			assert.equal("events addresses 780 in 3", result);
			assert.equal(result, (done(generic)));
			assert.equal(generic.store:names(), native.store:names());
			for name in generic.store:names():gmatch("%S+") do
				local expected, found = rows_of(generic.store, name), rows_of(native.store, name);
				assert.equal(#expected, #found);
				if name:find("@cut-", 1, true) then
					for i, row in ipairs(expected) do
						assert.same({ plain(row.value), row.when, row.with }, { plain(found[i].value), found[i].when, found[i].with });
					end
				end
			end
		end
	end);
end);
