-- The archive driver "audit" through Prosody's storage manager: mod_storage_audit, and src/lua/store/database.lua.

local module_api = require "support.module_api";
local process = require "support.process";
local st = require "util.stanza";
local storagemanager = require "core.storagemanager";

local path = prosody.paths.data.."/audit.sqlite3";
local noon = 1764072000;

-- Runs SQL in another process: its rows as text.
local function sql(text)
	local status, out, err = process.capture { "sqlite3", path, text };
	assert(status == 0, err);
	return (out:gsub("\n$", ""));
end

local function note(text)
	return st.stanza("note", { xmlns = "urn:example:note" }):text(text or "");
end

-- The items that a query selects, as "key=text with" in one line each.
local function found(archive, user, query)
	local items, total = archive:find(user, query);
	if not items then return nil, total; end
	local list = {};
	for key, stanza, when, with in items do
		assert.is_true(st.is_stanza(stanza));
		table.insert(list, ("%s=%s %s %s"):format(key, stanza:get_text(), when - noon, with));
	end
	return list, total;
end

local function fill(archive, user, count)
	for i = 1, count do
		assert.equal("k"..i, archive:append(user, "k"..i, note("n"..i), noon + i, i % 2 == 0 and "even" or "odd"));
	end
end

describe("the archive driver \"audit\"", function ()
	local host, archive;

	before_each(function ()
		host = module_api.host { storage = { ["test"] = "audit"; ["audit"] = "audit" } };
		archive = host:load("ping").module:open_store("test", "archive");
	end);

	it("is what Prosody opens, and says what it can do", function ()
		assert.same({ total = true, truncate = true, full_id_range = true, ids = true, wildcard_delete = true, filters = true }, archive.caps);
		assert.is_nil(archive.caps.quota);
	end);

	it("returns what was appended", function ()
		fill(archive, "romeo", 3);
		assert.same({ "k1=n1 1 odd", "k2=n2 2 even", "k3=n3 3 odd" }, (found(archive, "romeo")));
		assert.same({}, (found(archive, "juliet")));
		-- Without a key, a time and a connection.
		local key = archive:append("juliet", nil, note("x"));
		local stanza, when, with = archive:get("juliet", key);
		assert.same({ 36, "x", "" }, { #key, stanza:get_text(), with });
		assert.is_true(math.abs(when - os.time()) < 5);
	end);

	it("replaces the item of a key", function ()
		fill(archive, "romeo", 3);
		assert.equal("k1", archive:append("romeo", "k1", note("again"), noon, "x"));
		assert.same({ "k2=n2 2 even", "k3=n3 3 odd", "k1=again 0 x" }, (found(archive, "romeo")));
	end);

	it("selects by each criterion, and by all of them", function ()
		fill(archive, "romeo", 6);
		local function keys(query)
			local list = assert(found(archive, "romeo", query));
			for i, line in ipairs(list) do list[i] = line:match("^k(%d)"); end
			return table.concat(list);
		end
		for wanted, query in pairs {
			["3"] = { key = "k3" };
			["25"] = { ids = { "k5", "k2", "nothing" } };
			["246"] = { with = "even" };
			["456"] = { start = noon + 4 };
			["12"] = { ["end"] = noon + 2 };
			["34"] = { after = "k2", before = "k5" };
			["654"] = { reverse = true, limit = 3 };
			["43"] = { reverse = true, after = "k2", before = "k5" };
			["46"] = { start = noon + 2.5, with = "even" };
			["56"] = { after = "k4", limit = 5 };
		} do
			assert.equal(wanted, keys(query));
		end
		assert.same({ nil, "item-not-found" }, { found(archive, "romeo", { after = "nothing" }) });
		assert.same({ nil, "item-not-found" }, { found(archive, "romeo", { before = "nothing" }) });
		assert.equal(3, select(2, archive:find("romeo", { with = "odd", total = true, limit = 1 })));
		assert.equal(6, select(2, archive:find("romeo", { total = true, limit = 0 })));
		assert.equal(0, select(2, archive:find("nobody", { total = true })));
	end);

	it("leaves the caller's query as it is", function ()
		fill(archive, "romeo", 3);
		local query = { before = "k3", reverse = true, limit = 1 };
		archive:find("romeo", query);
		assert.same({ before = "k3", reverse = true, limit = 1 }, query);
	end);

	it("changes an item in its place", function ()
		fill(archive, "romeo", 3);
		assert.is_true(archive:set("romeo", "k2", note("other"), noon + 9));
		assert.is_true(archive:set("romeo", "k3", nil, nil, "with"));
		assert.same({ "k1=n1 1 odd", "k2=other 9 even", "k3=n3 3 with" }, (found(archive, "romeo")));
		assert.same({ nil, "item-not-found" }, { archive:set("romeo", "nothing", note()) });
		assert.same({ nil, "item-not-found" }, { archive:set("nobody", "k1", note()) });
		assert.same({ nil, "item-not-found" }, { archive:get("nobody", "k1") });
	end);

	it("removes what meets all criteria, and says how much", function ()
		fill(archive, "romeo", 8);
		fill(archive, "juliet", 2);
		assert.equal(1, archive:delete("romeo", { key = "k8" }));
		assert.equal(2, archive:delete("romeo", { with = "odd", ["end"] = noon + 3 }));
		assert.equal(0, archive:delete("romeo", { with = "odd", ["end"] = noon + 3 }));
		assert.equal(3, archive:delete("romeo", { truncate = 2 }));
		assert.same({ "k6=n6 6 even", "k7=n7 7 odd" }, (found(archive, "romeo")));
		assert.equal(1, archive:delete("romeo", { truncate = 1, reverse = true }));
		assert.same({ "k6=n6 6 even" }, (found(archive, "romeo")));
		-- Of all users: mod_mam does that.
		assert.equal(2, archive:delete(true, { ["end"] = noon + 2 }));
		assert.equal(1, archive:delete("romeo"));
		assert.same({}, (found(archive, "romeo")));
	end);

	it("counts by connection, and lists days and users", function ()
		fill(archive, "romeo", 3);
		assert.same({ counts = { odd = 2, even = 1 }, earliest = { odd = noon + 1, even = noon + 2 }, latest = { odd = noon + 3, even = noon + 2 } },
			archive:summary("romeo"));
		assert.same({ counts = {}, earliest = {}, latest = {} }, archive:summary("nobody"));
		archive:append("romeo", nil, note(), noon + 86400);
		assert.same({ "2025-11-25", "2025-11-26" }, archive:dates("romeo"));
		archive:append(nil, nil, note("host"), noon, "");
		local users = {};
		for user in archive:users() do table.insert(users, user); end
		assert.same({ "romeo" }, users);
		assert.equal("host", select(2, archive:find(nil)()):get_text());
	end);

	it("forgets a user whose account is removed", function ()
		fill(archive, "romeo", 3);
		fill(archive, "juliet", 1);
		require "core.storagemanager".purge("romeo", host.name);
		assert.same({}, (found(archive, "romeo")));
		assert.equal(1, #found(archive, "juliet"));
	end);

	it("keeps what a stanza has in it", function ()
		local stanza = st.message({ ["urn:x\1id"] = "'\"<&>" }):tag("body"):text("ü\n\t<>&"):up()
			:tag("x", { xmlns = "urn:y" }):text(""):tag("z"):up():text("tail"):up():text("end");
		local key = archive:append("romeo", nil, stanza, noon, "x");
		assert.equal(tostring(stanza), tostring((archive:get("romeo", key))));
		-- One that is no XML, which Prosody could not read back.
		local child = setmetatable({ name = "c"; attr = {}; tags = {}; "\31" }, st.stanza_mt);
		stanza = setmetatable({ name = "a"; attr = { b = "\5" }; tags = { child }; "\1\2\3"; child }, st.stanza_mt);
		assert.same({ nil, "a stanza that is no XML can't be stored" }, { archive:append("romeo", nil, stanza, noon, "x") });
	end);

	it("keeps values that are no stanzas", function ()
		for _, value in ipairs { "text", 7, true, { list = { 1, 2 }, name = "x" } } do
			local key = archive:append("romeo", nil, value, noon, "x");
			assert.same(value, (archive:get("romeo", key)));
		end
		local key, err = archive:append("romeo", nil, print, noon, "x");
		assert.is_nil(key);
		assert.is_truthy(err:find("a value of the type function can't be stored", 1, true), err);
	end);

	it("has nothing but archives", function ()
		assert.same({ nil, "unsupported-store" }, { require "core.storagemanager".load_driver(host.name, "audit"):open("test", "keyval") });
	end);

	it("keeps the hosts and the stores apart", function ()
		local other = module_api.host { storage = "audit" }:load("ping").module;
		fill(archive, "romeo", 2);
		fill(other:open_store("test", "archive"), "romeo", 1);
		fill(other:open_store("more", "archive"), "romeo", 4);
		local counts = {};
		for i, each in ipairs { archive, other:open_store("test", "archive"), other:open_store("more", "archive") } do
			counts[i] = #found(each, "romeo");
		end
		assert.same({ 2, 1, 4 }, counts);
		assert.equal("1", sql("SELECT count(DISTINCT host) FROM archive WHERE host = '"..host.name.."'"));
	end);

	it("writes a batch as one, or not at all", function ()
		assert.same({ true, "done" }, { archive:batch(function () fill(archive, "romeo", 2); return "done"; end) });
		local ok, err = archive:batch(function () archive:append("romeo", "k3", note(), noon, ""); error("no more", 0); end);
		assert.same({ false, "no more", 2 }, { ok, err, #found(archive, "romeo") });
		-- The transaction is over.
		assert.is_string(archive:append("romeo", nil, note(), noon, ""));
		assert.equal("3", sql("SELECT count(*) FROM item JOIN archive ON archive.id = item.id >> 32 WHERE host = '"..host.name.."'"));
	end);

	it("is a store of the log", function ()
		local audit = host:load("audit").module;
		audit:audit("romeo@"..host.name, "thing");
		module_api.pass(1);
		local store = audit:open_store("audit", "archive");
		local partition = sql("SELECT user FROM archive WHERE store = 'audit' AND host = '"..host.name.."'");
		assert.is_truthy(partition:find("^@events%.%d+%-%d+%-%d+$"), partition);
		local _, entry = store:find(partition)();
		assert.same({ "thing", "romeo@"..host.name }, { entry.attr.type, entry.attr.user });
	end);

	it("says once that entries can't be brought to the disk, and that it is over", function ()
		local methods = getmetatable((storagemanager.get_driver(host.name, "test"))).__index;
		local problem, real = nil, methods.sync_problem;
		local done <close> = setmetatable({}, { __close = function () methods.sync_problem = real; end }); -- luacheck: ignore 211
		function methods.sync_problem() return problem; end
		local function status()
			local loaded = host:load("storage_audit").module;
			return loaded.status_type..": "..loaded.status_message;
		end
		module_api.complaints();
		problem = "Input/output error (os error 5)";
		module_api.pass(3);
		local lines = module_api.complaints();
		assert.equal(1, #lines);
		assert.is_truthy(lines[1]:find("audit.sqlite3 can't be synced to the disk", 1, true) and lines[1]:find(problem, 1, true), lines[1]);
		assert.equal("error: what was written can't be synced to the disk: "..problem, status());
		problem = nil;
		module_api.pass(3);
		assert.same({}, module_api.complaints());
		assert.equal("info: the file can be used", status());
	end);
end);
