-- The archive driver "audit": src/lua/store/database.lua, without Prosody's storage manager. spec/mod_storage_audit_spec.lua has the
-- whole of Prosody's API.

local core = require "audit_core";
local json = require "util.json";
local process = require "support.process";
local st = require "util.stanza";

local made = 0;

local function environment(path, host)
	return {
		host = host or "example.test"; path = path; is_server = false; patience = 0.05; shared = {};
		now = function () return 1764072000.25; end;
		new_key = function () made = made + 1; return "key-"..made; end;
		stanza_mt = st.stanza_mt; to_json = json.encode; from_json = json.decode;
	};
end

local function sql(path, text)
	local status, out, err = process.capture { "sqlite3", path, text };
	assert(status == 0, err);
	return (out:gsub("\n$", ""));
end

describe("the native store", function ()
	local path, driver, archive;

	before_each(function ()
		path = process.new_folder("store").."/audit.sqlite3";
		driver = assert(core.storage(environment(path)));
		archive = driver:open("audit", "archive");
	end);

	it("takes the key and the time that it is given, or its own", function ()
		local before = made;
		assert.equal("own", archive:append("a", "own", st.stanza("x"), 5.5, "w"));
		assert.equal(before, made);
		local key = archive:append("a", nil, st.stanza("x"));
		assert.equal("key-"..made, key);
		assert.same({ 5.5, "w" }, { select(2, archive:get("a", "own")) });
		assert.same({ 1764072000.25, "" }, { select(2, archive:get("a", key)) });
		archive:set("a", "own", nil, 7);
		assert.equal("integer", math.type((select(2, archive:get("a", "own")))));
	end);

	it("reads pages of a log without making stanzas of them", function ()
		archive:append("a", "1", st.stanza("x"), 1, "w");
		archive:append("a", "2", { plain = true }, 2, "w");
		archive:append("a", "3", st.stanza("x"), 3, "v");
		local queries = { [0] = { limit = 9, after = "3" }, { limit = 1, reverse = true }, { limit = 9, with = "w" }, { limit = 9 } };
		for expected, query in pairs(queries) do
			local rows = archive:rows("a", query);
			assert.equal("userdata", type(rows));
			assert.equal(expected, #rows);
			assert.is_nil(rows.gone);
		end
		assert.same({ nil, "item-not-found" }, { archive:rows("a", { after = "nothing", limit = 1 }) });
	end);

	it("gives every stanza back as it was, whatever it is made of", function ()
		math.randomseed(7);
		local texts = {
			"c2s55904800b230", "203.0.113.7", "203.0.113.0/24", "203.0.113.0/024", "2001:db8::1", "2001:DB8::1", "Germany", "", "<&>'\"", "Grüße\n\t",
			"01a20e7e-d2b8-75d1-8370-6296c154b976", "01A20E7E-D2B8-75D1-8370-6296C154B976", ("long "):rep(2000), "authentication-success";
		};
		local names = { "audit-event", "session", "remote-ip", "x", "authentication", "message" };
		local attributes = { "xmlns", "type", "id", "xmpp:prosody.im/audit\1id", "urn:x\1lang", "source", "user" };
		local function of(list) return list[math.random(#list)]; end
		local function fill(stanza, depth)
			for _ = 1, math.random(0, 4) do
				if depth < 5 and math.random() < 0.4 then
					local attr = {};
					for _ = 1, math.random(0, 3) do attr[of(attributes)] = of(texts); end
					stanza:tag(of(names), attr);
					fill(stanza, depth + 1);
					stanza:up();
				else
					stanza:text(of(texts));
				end
			end
			return stanza;
		end
		local function plain(node)
			if type(node) == "string" then return node; end
			local copy = { name = node.name, attr = node.attr, tags = #node.tags };
			for i, child in ipairs(node) do copy[i] = plain(child); end
			return copy;
		end
		for i = 1, 200 do
			local stanza = fill(st.stanza(of(names), { type = of(texts), [of(attributes)] = of(texts) }), 1);
			archive:append("a", "s"..i, stanza, i, "w");
			local found = archive:get("a", "s"..i);
			assert.equal(getmetatable(stanza), getmetatable(found));
			assert.same(plain(stanza), plain(found));
		end
	end);

	it("keeps an entry in a fraction of its bytes", function ()
		local entry = st.stanza("audit-event", { source = "mod_audit_auth", type = "authentication-success", user = "juliet@example.com" })
			:tag("session", { xmlns = "xmpp:prosody.im/audit", id = "c2s55904800b230", type = "c2s" }):text_tag("remote-ip", "203.0.113.80"):up();
		archive:append("a", "1", entry, 1, "juliet@example.com");
		assert.is_true(tonumber(sql(path, "SELECT length(value) FROM item")) < #tostring(entry) / 3);
	end);

	it("raises at an item that it can't read, and goes on behind it", function ()
		for i = 1, 3 do archive:append("a", tostring(i), st.stanza("x"), i, ""); end
		sql(path, [[UPDATE item SET value = x'0178' WHERE key = '2']]);
		local rows = archive:find("a");
		assert.equal("1", (rows()));
		assert.has_error(rows, "the item 2 in "..path.." can't be read");
		assert.equal("3", (rows()));
		assert.same({ nil, "the item 2 in "..path.." can't be read" }, { archive:get("a", "2") });
	end);

	it("returns why it can't write while another process does", function ()
		archive:append("a", nil, st.stanza("x"));
		local holder = process.start {
			folder = process.new_folder("holder");
			command = { "/usr/bin/python3", "-c", [[
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(60)]], path };
		};
		local done <close> = setmetatable({}, { __close = function () holder:finish("KILL"); end }); -- luacheck: ignore 211
		assert.is_truthy(process.wait_until(function () return holder:output():find("locked"); end, 10));
		assert.same({ nil, "the database is locked by another process" }, { archive:append("a", "new", st.stanza("x")) });
		assert.same({ false, "the database is locked by another process" }, { archive:batch(function () end) });
		-- Reading does not wait.
		assert.equal(1, select(2, archive:find("a", { total = true })));
		holder:finish("KILL");
		assert.equal("new", archive:append("a", "new", st.stanza("x")));
	end);

	it("says what is wrong with its file, and works when that is mended", function ()
		assert.is_nil(driver:trouble());
		local other = process.new_folder("store").."/missing/audit.sqlite3";
		driver = core.storage(environment(other));
		assert.matches("missing/audit%.sqlite3: No such file or directory", driver:trouble());
		local key, err = driver:open("audit", "archive"):append("a", nil, st.stanza("x"));
		assert.is_nil(key);
		assert.matches("No such file or directory", err);
		assert.has_error(function () driver:open("audit", "archive"):users(); end);
		process.run("mkdir "..process.quote(other:match("^(.*)/")));
		assert.is_nil(driver:trouble());
		assert.is_string(driver:open("audit", "archive"):append("a", nil, st.stanza("x")));
	end);

	it("has what can be read of a damaged file copied, and says so once", function ()
		local set = environment(path);
		set.is_server = true;
		driver = core.storage(set);
		archive = driver:open("audit", "archive");
		for i = 1, 100 do archive:append("a", "k"..i, st.stanza("x"), i, "w"); end
		local items = archive:find("a");
		assert.equal("k1", (items()));
		for _ = 2, 32 do items(); end
		process.run("rm "..process.quote(path));
		assert.same({ nil, "what can be read of a damaged database is being copied by the server" }, { archive:append("a", "late", st.stanza("x")) });
		assert.is_truthy(process.wait_until(function () return not driver:trouble(); end, 10, 0.01));
		local news = driver:recovered();
		assert.same({ "deleted", 100, 0, { ["example.test"] = { copied = 100; missing = 0 } } }, { news.cause, news.copied, news.missing, news.hosts });
		assert.is_nil(news.path);
		assert.is_nil(news.reason);
		assert.equal(path.." was deleted while it was in use. 100 entries were copied to a new file, nothing is missing", news.text);
		assert.is_nil(driver:recovered());
		assert.equal("late", archive:append("a", "late", st.stanza("x")));
		assert.equal(101, select(2, archive:find("a", { total = true })));
		-- A reading of the old file does not go on in the new one.
		assert.has_error(items, "the database was replaced while it was read; try again");
	end);

	it("leaves a damaged file alone in another program", function ()
		process.write(path, ("no database\n"):rep(1000));
		assert.matches("the database is damaged", driver:trouble());
		assert.is_nil(driver:recovered());
		assert.equal(12000, #process.read(path));
	end);

	it("works on in a process that has become a daemon", function ()
		local folder = process.new_folder("daemon");
		process.write(folder.."/daemon.lua", [[
			package.path, package.cpath = arg[2], arg[3];
			table.insert(package.searchers, 2, function (name)
				local short = name:match("^prosody%.(.*)$");
				return short and function () return require(short); end;
			end);
			local core, st = require "audit_core", require "util.stanza";
			local driver = core.storage {
				host = "example.test"; path = arg[1]; is_server = true; patience = 1; shared = {};
				now = os.time; new_key = function () return "key"; end; stanza_mt = st.stanza_mt;
			};
			local archive = driver:open("audit", "archive");
			assert(archive:append("a", "before", st.stanza("x")));
			assert(require "util.pposix".daemonize());
			assert(archive:append("a", "after", st.stanza("x")));
			local threads = io.open("/proc/self/status"):read("a"):match("Threads:%s*(%d+)");
			io.open(arg[1]..".threads", "w"):write(threads):close();]]);
		local status, _, err = process.capture { "lua5.4", folder.."/daemon.lua", path, package.path, package.cpath };
		assert.equal(0, status, err);
		assert.is_truthy(process.wait_until(function () return process.read(path..".threads") == "2"; end, 10, 0.05));
		assert.equal("1", (archive:find("a", { key = "after" })()) and "1");
		assert.equal(2, select(2, archive:find("a", { total = true })));
	end);

	it("has only archives", function ()
		for _, kind in ipairs { "keyval", "map", "keyval+" } do
			assert.same({ nil, "unsupported-store" }, { driver:open("accounts", kind) });
		end
	end);

	it("lists the stores of a user, and forgets the user", function ()
		archive:append("a", nil, st.stanza("x"));
		driver:open("archive", "archive"):append("a", nil, st.stanza("x"));
		driver:open("archive", "archive"):append("b", nil, st.stanza("x"));
		local function stores(user)
			local list = {};
			for store in driver:stores(user) do table.insert(list, store); end
			return table.concat(list, " ");
		end
		assert.same({ "archive audit", "archive", "archive audit" }, { stores("a"), stores("b"), stores() });
		assert.is_true(driver:purge("a"));
		assert.same({ "", "archive" }, { stores("a"), stores() });
	end);
end);
