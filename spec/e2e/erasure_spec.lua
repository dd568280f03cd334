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
				components = { [rooms] = { module = "muc"; modules_enabled = { "audit" } } };
				config = { audit_log_classes = { accounts = { types = { "user-*" } } } }, invents_events = true;
			};
			local types = prosody:eval("return #require \"audit_core\".event_types();");
			fill(prosody, host, other);
			local others = content(prosody, host);
			assert.equal(3 * types, fill(prosody, host, person));
			fill(prosody, rooms, person);

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

			-- Who acted on others stays at first.
			local out;
			status, out, err = prosody:ctl("mod_audit", "--erase", person, "--yes", "--reason", person.." asked");
			assert.equal(0, status, out:sub(-300)..err);
			assert.is_truthy(out:find(rooms, 1, true) and out:find("receipt ", 1, true) and out:find("Not reached", 1, true), out:sub(-300));
			local _, all = content(prosody, host);
			assert.is_truthy(all:find(person, 1, true));
			assert.is_truthy(all:find("tybalt", 1, true));
			status, out, err = prosody:ctl("mod_audit", "--erase", person, "--yes", "--acted");
			assert.equal(0, status, out:sub(-300)..err);

			for _, of_host in ipairs { host, rooms } do
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
			status, out, err = prosody:ctl("mod_audit", "--verify", host);
			assert.equal(0, status, out..err);
			if storage ~= "sqlite" then
				assert.equal("", files_of(prosody), "while it runs");
			end
			prosody:stop();
			if storage == "sqlite" then
				-- As docs/privacy.md says: Prosody's driver leaves pieces of what it has moved in unused room.
				assert.equal(0, (process.capture { "sqlite3", prosody.data.."/prosody.sqlite", "VACUUM" }));
			end
			assert.equal("", files_of(prosody), "after the stop");
		end);
	end

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

	it("that are held stay, whatever removes the others", function ()
		local prosody = server.start { series = series; storage = "internal"; modules = { "audit" };
			config = { audit_log_hold = { person }; audit_log_expires_after = "2d" } };
		prosody:eval([[
			local host, held, other = ...;
			local st = require "util.stanza";
			local store = module:context(host):open_store("audit", "archive");
			local time = os.time() - 20 * 86400;
			for n = 1, 6 do
				local user = n % 3 == 0 and held or other;
				store:append("@events."..os.date("!%Y-%m-%d", time), nil, st.stanza("audit-event", { type = "old-"..n; user = user }), time + n, user);
			end
		]], host, person, other);
		assert.equal(0, (prosody:ctl("mod_audit", "--prune", host)));
		local left = {};
		for _, entry in ipairs(dump.entries(prosody, host)) do
			if entry.type:find("^old") then table.insert(left, entry.type); end
		end
		assert.equal("old-3 old-6", table.concat(left, " "));
		local status, out = prosody:ctl("mod_audit", "--erase", person, "--yes");
		assert.equal(1, status, out);
		assert.is_truthy(out:find("2 entries held", 1, true), out);
	end);
end);
