-- A person's data: what --person finds, and that nothing is left of it in the files of the server after --erase. On real servers and stores.

local dump = require "support.dump";
local json = require "dkjson";
local lfs = require "lfs";
local mariadb = require "support.mariadb";
local postgres = require "support.postgres";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local rooms = "rooms."..host;
-- Another host of the same server, and one without the module, which has a log from earlier.
local second, third = "second.test", "third.test";
-- Every value of the person has this in it.
local MARK = "markq";
local person, other = MARK.."name@"..host, "juliet@"..host;

-- Elements that tell of nobody, according to the core (src/entry/personal.rs).
local public = { "tls", "certificate", "s2s", "configuration", "pending", "options", "module", "host", "pruned", "lost", "clock", "key" };

-- Records an event of each type of the catalogue, with a value of the person in every place where there may be one.
local record = [[
	local host, user, mark, ip, public = ...;
	local is_public = {};
	for _, name in ipairs(public) do is_public[name] = true; end
	local core = require "audit_core";
	local log = module:shared("/*/audit/log").log;
	local count = 0;
	for _, event in ipairs(core.event_types()) do
		local custom = {};
		for _, name in ipairs(event.details) do
			local detail = core.detail(name);
			if not is_public[name] then
				local inner = { core.detail("comment", { jid = user }, mark.."comment "..user) };
				detail = core.detail(name, { by = user; jid = mark.."jid"; filter = "--user="..user }, mark.."text", inner);
			end
			table.insert(custom, detail);
		end
		local session = { id = mark.."session"; type = "c2s"; ip = ip; client_id = mark.."client" };
		-- About the person; by the person, about nobody; by the person, about somebody else.
		local by = { kind = "user"; jid = user.."/"..mark.."resource"; session = { ip = ip } };
		for n, about in ipairs { user, false, "tybalt@"..host } do
			-- The client is that of the account.
			if n == 3 and event.details[1] == "client-info" then custom = {}; end
			local id, problem = log.audit(host, about or nil, event.module, event.name,
				{ session = n == 1 and session or nil; actor = by; custom = custom }, true);
			count = count + (id and 1 or 0);
			if not id then error(event.name.." "..tostring(problem)); end
		end
	end
	-- Failures that are counted.
	for n = 1, 40 do
		log.audit(host, n % 2 == 0 and user or nil, "mod_audit_auth", "authentication-failure",
			{ session = { ip = ip }; actor = { kind = "user"; jid = user } });
	end
	return count;
]];

local addresses = { [person] = "203.0.113.201", [other] = "198.51.100.7" };

local function fill(prosody, of_host, jid)
	local mark = jid == person and MARK or "capulet";
	return prosody:eval(record, of_host, jid, mark, addresses[jid], public);
end

-- The files of the server that have something of the person in them.
local function files_of(prosody)
	local _, found = process.capture { "sh", "-c",
		("grep -rlaE '%s|203\\.0\\.113\\.201' %s"):format(MARK, process.quote(prosody.data)) };
	return found;
end

-- The files of a database with something of the person in its tables and indexes.
local pages = {};

function pages.postgresql(database)
	local server_of = postgres.shared();
	assert(server_of:query("CHECKPOINT", database));
	local oid = assert(server_of:query(("SELECT oid FROM pg_database WHERE datname = '%s'"):format(database.database), database));
	return ("%s/base/%s"):format(server_of.data, oid);
end

function pages.mariadb(database)
	local server_of = mariadb.shared();
	assert(server_of:query("FLUSH TABLES prosodyarchive FOR EXPORT; UNLOCK TABLES", database));
	return ("%s/%s"):format(server_of.data, database.database);
end

local function pages_of(storage, database)
	local _, found = process.capture { "grep", "-rlaE", MARK.."|203\\.0\\.113\\.201", pages[storage](database) };
	return found;
end

-- What docs/privacy.md says that an operator does afterwards.
local tidy = {
	postgresql = function (database)
		assert(postgres.shared():query("ANALYZE", database));
		assert(postgres.shared():query("VACUUM FULL", database));
	end;
	mariadb = function (database) assert(mariadb.shared():query("OPTIMIZE TABLE prosodyarchive", database)); end;
};

local rows_with = "SELECT count(*) FROM prosodyarchive WHERE value LIKE '%%%s%%' OR %swith%s LIKE '%%%s%%'";

-- How many rows of a database have something of the person
local function rows_of(storage, database)
	local quote = storage == "mariadb" and "`" or '"';
	local query = rows_with:format(MARK, quote, quote, MARK);
	return assert((storage == "mariadb" and mariadb or postgres).shared():query(query, database));
end

-- Entries by id, as text
local function content(prosody, of_host)
	local found, list = {}, {};
	for _, entry in ipairs(dump.entries(prosody, of_host)) do
		local text = ("%s %s %s"):format(entry.partition or "nil", entry.with or "", entry:line());
		found[entry.id or entry.key] = text;
		table.insert(list, text);
	end
	return found, table.concat(list, "\n");
end

-- The stores to look into. ERASURE_STORE chooses one. A database is tried with one series: what is looked for is the same.
local function stores(series)
	if os.getenv("ERASURE_STORE") then return { os.getenv("ERASURE_STORE") }; end
	local list = { "internal", "native" };
	if series ~= "0.12" then return list; end
	table.insert(list, "sqlite");
	for name, database in pairs { postgresql = postgres, mariadb = mariadb } do
		if database.available() then table.insert(list, name); end
	end
	return list;
end

server.each_series(describe, pending, function (series)
	after_each(server.stop_all);

	for _, storage in ipairs(stores(series)) do
		it("are found, and erased without a trace, on the store "..storage, function ()
			local prosody = server.start {
				series = series; storage = storage; modules = { "audit" }; eval_timeout = 120;
				hosts = { [host] = ""; [second] = ""; [third] = "modules_disabled = { \"audit\" }\n" };
				components = { [rooms] = { module = "muc"; modules_enabled = { "audit" } } };
				config = { audit_log_classes = { accounts = { types = { "user-*" } } } }, invents_events = true;
			};
			local types = prosody:eval("return #require \"audit_core\".event_types();");
			fill(prosody, host, other);
			local others = content(prosody, host);
			assert.equal(3 * types, fill(prosody, host, person));
			fill(prosody, rooms, person);
			fill(prosody, second, person);
			prosody:eval([[
				local host, user = ...;
				local store = module:context(host):open_store("audit", "archive");
				assert(store:append(nil, nil, require "util.stanza".stanza("audit-event", { type = "old"; user = user }), os.time() - 60, user));
			]], third, person);

			-- It is found.
			local file = prosody.data.."/../person.json";
			local status, _, err = prosody:ctl("mod_audit", "--person", person, "--output", file);
			assert.equal(0, status, err);
			local seen = {};
			for line in io.lines(file) do
				local event = line:match("^%s*{") and json.decode((line:gsub(",%s*$", "")));
				if event then seen[event.event or event.type or ""] = true; end
				assert.is_nil(line:find("tybalt", 1, true), line);
				assert.is_nil(line:find("juliet", 1, true), line);
			end
			local missing = prosody:eval([[
				local seen, missing = ..., {};
				for _, event in ipairs(require "audit_core".event_types()) do
					if not seen[event.name] then table.insert(missing, event.name); end
				end
				return table.concat(missing, " ");
			]], seen);
			assert.equal("", missing);
			os.remove(file);

			-- Nothing happens without a confirmation, or for a pattern.
			local before = content(prosody, host);
			status, _, err = prosody:ctl("mod_audit", "--erase", person);
			assert.equal(2, status, err);
			status, _, err = prosody:ctl("mod_audit", "--erase", "*@"..host, "--yes");
			assert.equal(2, status, err);
			assert.is_truthy(err:find("not the name of one account", 1, true), err);
			local unchanged = content(prosody, host);
			for id, text in pairs(before) do assert.equal(text, unchanged[id]); end
			if tidy[storage] then assert.is_not.equal("", pages_of(storage, prosody.database)); end

			-- Who acted on others stays at first.
			local out;
			status, out, err = prosody:ctl({ timeout = 300 }, "mod_audit", "--erase", person, "--yes", "--reason", person.." asked");
			assert.equal(0, status, out:sub(-300)..err);
			assert.is_truthy(out:find(rooms, 1, true) and out:find("receipt ", 1, true) and out:find("Not reached", 1, true), out:sub(-300));
			assert.is_truthy(out:find(third..": 1 entry of type old in class events\n", 1, true), out:sub(-300));
			local _, all = content(prosody, host);
			assert.is_truthy(all:find(person, 1, true));
			assert.is_truthy(all:find("tybalt", 1, true));
			status, out, err = prosody:ctl({ timeout = 300 }, "mod_audit", "--erase", person, "--yes", "--acted");
			assert.equal(0, status, out:sub(-300)..err);

			for _, of_host in ipairs { host, rooms, second, third } do
				local _, left = content(prosody, of_host);
				for _, text in ipairs { MARK, "203.0.113.201" } do
					local at = left:find(text, 1, true);
					assert.is_nil(at, at and left:sub(at - 300, at + 100));
				end
				assert.is_truthy(left:find("audit-erased", 1, true));
			end
			local after = content(prosody, host);
			for id, text in pairs(others) do
				assert.equal(text, after[id]);
			end
			for _, of_host in ipairs { host, rooms, second } do
				status, out, err = prosody:ctl("mod_audit", "--verify", of_host);
				assert.equal(0, status, out..err);
				assert.equal(2, select(2, out:gsub("\nerased: %d+ entries, receipt %w+%-%w+ of %d", "")), out);
			end
			if storage ~= "sqlite" then
				assert.equal("", files_of(prosody), "while it runs");
			end
			prosody:stop();
			if storage == "sqlite" then
				-- As docs/privacy.md says: Prosody's driver leaves pieces of what it has moved in unused room.
				assert.equal(0, (process.capture { "sqlite3", prosody.data.."/prosody.sqlite", "VACUUM" }));
			end
			assert.equal("", files_of(prosody), "after the stop");
			if tidy[storage] then
				assert.equal("0", rows_of(storage, prosody.database));
				tidy[storage](prosody.database);
				assert.equal("", pages_of(storage, prosody.database));
			end
		end);
	end

	-- What a backup brings back: the partitions of a class.
	local function partitions_of_accounts(from, to)
		local _, names = process.capture { "sh", "-c", ("cd %s && find . -path '*audit*' -name '*accounts*'"):format(process.quote(from)) };
		assert.is_truthy(names:find("accounts", 1, true));
		for name in names:gmatch("[^\n]+") do
			process.run(("cp -a %s %s"):format(process.quote(from.."/"..name), process.quote(to.."/"..name)));
		end
	end

	local restore = {
		internal = partitions_of_accounts;
		native = function (from, to)
			process.run(("rm -f %s/audit.sqlite3*; cp -a %s/audit.sqlite3* %s/"):format(process.quote(to), process.quote(from), process.quote(to)));
		end;
	};

	for storage, put_back in pairs(restore) do
		it("are erased again if a backup brings them back, on the store "..storage, function ()
			local prosody = server.start { series = series; storage = storage; modules = { "audit" };
				config = { audit_log_classes = { accounts = { types = { "user-*" } } } } };
			prosody:eval([[
				local host, user = ...;
				for _ = 1, 5 do
					module:context(host):audit(user, "user-registered", { session = { id = "markqs"; ip = "203.0.113.201" } });
				end
				flush_audit_log();
			]], host, person);
			prosody:stop();
			local backup = prosody.folder.."/backup";
			process.run(("cp -a %s %s"):format(process.quote(prosody.data), process.quote(backup)));
			prosody:start();
			local status, out, err = prosody:ctl("mod_audit", "--erase", person, "--yes");
			assert.equal(0, status, out..err);
			prosody:stop();
			status, out, err = prosody:ctl("mod_audit", "--verify", host);
			assert.equal(0, status, out..err);
			assert.is_nil(out:find("and there again", 1, true), out);
			-- Nothing in the data folder tells whose they were.
			assert.equal("", files_of(prosody));
			assert.is_truthy(lfs.attributes(prosody.data.."/"..host:gsub("%.", "%%2e").."/audit.erased", "size"));

			put_back(backup, prosody.data);
			assert.is_not.equal("", files_of(prosody));
			status, out, err = prosody:ctl("mod_audit", "--verify", host);
			-- A whole store that is older lacks entries, too.
			assert.equal(storage == "native" and 3 or 4, status, out..err);
			assert.is_truthy(out:find("\nerased, and there again: accounts 1 to 5: the store was restored", 1, true), out);
			prosody:start();
			prosody:eval("module:shared('/*/audit/log').verifying.run(...); flush_audit_log();", host);
			assert.is_truthy(prosody:log():find("had been erased were in the audit log of "..host.." again", 1, true));
			local entries = dump.of_type(prosody, host, "audit-erased");
			assert.same({ "true", "5" }, { entries[#entries]:child("erasure").attr.again, entries[#entries]:child("erasure").attr.count });
			assert.equal("", files_of(prosody));
			status, out = prosody:ctl("mod_audit", "--verify", host);
			assert.is_nil(out:find("and there again", 1, true), out);
			assert.equal(storage == "native" and 3 or 0, status, out);
			-- Once is enough.
			prosody:eval("module:shared('/*/audit/log').verifying.run(...); flush_audit_log();", host);
			assert.equal(#entries, #dump.of_type(prosody, host, "audit-erased"));
		end);
	end

	it("are erased after a question on a terminal, if the answer is yes", function ()
		local prosody = server.start { series = series; storage = "internal"; modules = { "audit" } };
		prosody:eval("local host, user = ...; module:context(host):audit(user, 'test-event'); flush_audit_log();", host, person);
		for _, is_stopped in ipairs { false, true } do
			if is_stopped then prosody:stop(); end
			local question = "Erase the data of "..person.." from 1 entry for ever? [y/N] ";
			for _, answer in ipairs { "n\n", "\n", "" } do
				local status, out = prosody:ctl({ terminal = true; stdin = answer }, "mod_audit", "--erase", person);
				assert.equal(1, status, out);
				assert.is_truthy(out:find(question, 1, true), out);
				assert.is_truthy(out:find("Nothing was erased", 1, true), out);
			end
			assert.is_not.equal("", files_of(prosody));
		end
		local status, out = prosody:ctl({ terminal = true; stdin = "y\n" }, "mod_audit", "--erase", person);
		assert.equal(0, status, out);
		assert.is_truthy(out:find("Erased data of one person from 1 entry, receipt ", 1, true), out);
		assert.equal("", files_of(prosody));
		-- Nothing is left to be asked about.
		status, out = prosody:ctl({ terminal = true }, "mod_audit", "--erase", person);
		assert.equal(0, status, out);
		assert.is_truthy(out:find("No entry has to be changed", 1, true), out);
	end);

	it("are erased while the server is stopped, with what waits in the journal", function ()
		local prosody = server.start { series = series; storage = "internal"; modules = { "audit" } };
		prosody:eval("local host, user = ...; flush_audit_log(); module:context(host):audit(user, 'test-event');", host, person);
		prosody:kill();
		assert.is_not.equal("", files_of(prosody));
		local status, out, err = prosody:ctl("mod_audit", "--erase", person, "--yes");
		assert.equal(0, status, out..err);
		assert.equal("", files_of(prosody));
		prosody:start();
		assert.equal(1, #dump.of_type(prosody, host, "audit-erased"));
		assert.is_nil(dump.of_type(prosody, host, "test-event")[1].user);
		-- An erasure that was interrupted goes on after the start.
		prosody:eval("local host, user = ...; module:context(host):audit(user, 'test-event'); flush_audit_log();", host, person);
		prosody:eval([[
			local erasures = require "core.modulemanager".get_module("*", "audit").library "erasures";
			assert(erasures.new { person = ... });
		]], person);
		prosody:kill();
		prosody:start();
		assert.is_true(process.wait_until(function () return files_of(prosody) == ""; end, 20));
		for name in lfs.dir(prosody.data) do assert.is_nil(name:find("audit.erasure", 1, true)); end
		assert.equal("true", dump.of_type(prosody, host, "audit-erased")[2]:child("erasure").attr["at-least"]);
	end);

	describe("that are held", function ()
		local prosody;

		-- Appends entries of six accounts, the third and the sixth of which are the person's, to an archive user, as of some days ago.
		local function append(days, is_single)
			prosody:eval([[
				local host, held, other, days, is_single = ...;
				local st = require "util.stanza";
				local store = module:context(host):open_store("audit", "archive");
				local time = os.time() - days * 86400;
				local user = not is_single and "@events."..os.date("!%Y-%m-%d", time) or nil;
				for n = 1, 6 do
					local with = n % 3 == 0 and held or other;
					store:append(user, nil, st.stanza("audit-event", { type = "old-"..days.."-"..n; user = with }), time + n, with);
				end
			]], host, person, other, days, is_single or false);
		end

		local function left()
			local found = {};
			for _, entry in ipairs(dump.entries(prosody, host)) do
				if entry.type:find("^old") then table.insert(found, entry.type:sub(5)); end
			end
			table.sort(found);
			return table.concat(found, " ");
		end

		local function start(storage, config)
			config.audit_log_hold = { person };
			prosody = server.start { series = series; storage = storage; modules = { "audit" }; config = config };
		end

		local function prune()
			local status, out, err = prosody:ctl("mod_audit", "--prune", host);
			assert.equal(0, status, out..err);
		end

		local function is_held(count)
			local status, out = prosody:ctl("mod_audit", "--erase", person, "--yes");
			assert.equal(1, status, out);
			assert.is_truthy(out:find(count.." entries held", 1, true), out);
		end

		for _, storage in ipairs { "internal", "sqlite", "native" } do
			it("stay when the others expire, in "..storage, function ()
				start(storage, { audit_log_expires_after = "2d" });
				append(20);
				prune();
				assert.equal("20-3 20-6", left());
				is_held(2);
			end);

			it("stay when the others expire with the layout \"single\", in "..storage, function ()
				start(storage, { audit_log_expires_after = "2d"; audit_log_layout = "single" });
				append(20, true);
				append(1, true);
				prune();
				assert.equal("1-1 1-2 1-3 1-4 1-5 1-6 20-3 20-6", left());
				is_held(4);
			end);

			it("stay when a limit removes the others, in "..storage, function ()
				start(storage, { audit_log_expires_after = "never"; audit_log_classes = { events = { limit = 5 } } });
				for _, days in ipairs { 4, 3, 2 } do append(days); end
				for _ = 1, 2 do
					prune();
					assert.equal("2-1 2-2 2-3 2-4 2-5 2-6 3-3 3-6 4-3 4-6", left());
				end
				is_held(6);
				-- The partition has those and nothing else.
				assert.equal(2, prosody:eval([[
					local host, days = ...;
					local count = 0;
					local store = module:context(host):open_store("audit", "archive");
					for _ in store:find("@events."..os.date("!%Y-%m-%d", os.time() - days * 86400), {}) do count = count + 1; end
					return count;
				]], host, 3));
			end);
		end
	end);
end);
