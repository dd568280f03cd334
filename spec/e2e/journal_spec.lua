-- From an event to its store: no event for which audit() has returned is lost or duplicated, whatever happens to the server, the store
-- or the disk. Nobody waits for it.

local crash = require "support.crash";
local mariadb = require "support.mariadb";
local outage = require "support.outage";
local postgres = require "support.postgres";
local process = require "support.process";
local produced = require "support.produced";
local raw = require "support.raw_client";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;

local no_faults = {};

local databases = { postgresql = postgres, mariadb = mariadb };

-- Logs in a few times -> the time of the slowest login
local function login(prosody, count)
	local slowest = 0;
	for _ = 1, count or 3 do
		local before = socket.gettime();
		assert.is_true((raw.login(prosody, "romeo", "secret")));
		slowest = math.max(slowest, socket.gettime() - before);
	end
	assert.is_true(slowest < 1, ("a login took %.2f s"):format(slowest));
	return slowest;
end

-- What an operator was told of trouble, and of its end.
local function told(prosody, text)
	local lines = {};
	for line in prosody:log():gmatch("[^\n]+") do
		if line:find("Audit events of ", 1, true) and line:find(text, 1, true) then
			table.insert(lines, line);
		end
	end
	return lines;
end

local function assert_told_once(prosody, text)
	local lines = told(prosody, text);
	assert.equal(1, #lines, table.concat(lines, "\n"));
end

local function set_mode(prosody, mode)
	prosody:eval("module:shared('/*/storage_broken/state').mode = ...;", mode);
end

-- Every entry of the stream is in the store, once and in order, and there are no errors.
local function assert_complete(prosody, expected)
	assert.is_truthy(crash.settle(prosody), "entries still wait");
	local entries, lost = crash.stored(prosody);
	assert.same(no_faults, crash.faults(entries, crash.returned(prosody)));
	assert.same({ expected or #entries, 0 }, { #entries, lost });
	assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
	return entries;
end

-- As if the server was killed in between: entries are in the store already, and still in the journal.
local function copy_of_journal(prosody)
	local copies = {};
	for _, file in ipairs((crash.journal(prosody))) do
		copies[file.path] = process.read(file.path);
	end
	assert(next(copies), "there is no journal");
	return copies;
end

local function put_back(prosody, copies)
	for _, file in ipairs((crash.journal(prosody))) do
		os.remove(file.path);
	end
	for path, content in pairs(copies) do
		process.write(path, content);
	end
end

server.each_series(describe, pending, function (series)
	local prosody, cleanup;

	-- A server with a stream of events; storage and config as for server.start.
	local function start(options)
		options = options or {};
		options.series = series;
		options.modules = options.modules or { "audit", "audit_auth", "test_stream" };
		prosody = server.start(options);
		prosody:adduser("romeo@"..host, "secret");
		return prosody;
	end

	local function start_broken(mode)
		return start { storage = { audit = "broken" }, config = { broken_storage = mode } };
	end

	after_each(function ()
		server.stop_all();
		if cleanup then cleanup(); end
		cleanup = nil;
	end);

	local function each_store(define)
		for _, store in ipairs({ "internal", "sqlite", "native", "postgresql", "mariadb" }) do
			if databases[store] and not databases[store].available() then
				pending((select(2, databases[store].available())));
			else
				define(store);
			end
		end
	end

	each_store(function (store)
		it("kill -9 in the middle of a stream, on "..store, function ()
			for _, way in ipairs({ "journal", "direct" }) do
				-- A few kills: make soak-crash has 200.
				local result = crash.run {
					series = series; storage = store; kills = way == "journal" and 3 or 1; seed = 7; least = 12; config = { audit_log_write = way };
				};
				assert.same(no_faults, result.faults, "audit_log_write = "..way..", "..result.folder);
				assert.is_true(result.events > 10, "only "..result.events.." events");
			end
		end);

		it("entries that are in both the store and the journal, on "..store, function ()
			start { storage = { audit = store == "internal" and "internal" or "sql" };
				config = { sql = store == "sqlite" and { driver = "SQLite3", database = "audit.sqlite" }
					or databases[store] and databases[store].shared():database() or nil } };
			crash.stream(prosody, { from = 1, count = 1, burst = 1 });
			assert_complete(prosody, 1);
			local copies;
			-- The hand-over begins a moment after the event: the files are as after a crash right then.
			for first = 2, 4002, 1000 do
				crash.stream(prosody, { from = first, count = 100, burst = 100 });
				if crash.waiting(prosody) == 100 then
					copies = copy_of_journal(prosody);
					if crash.waiting(prosody) == 100 then break; end
					copies = nil;
				end
			end
			assert.is_table(copies, "nothing was ever seen to wait");
			assert.is_truthy(crash.settle(prosody));
			local before = #crash.stored(prosody);
			prosody:kill();
			put_back(prosody, copies);
			-- All of them are known already; none is shown twice either.
			local shown, status = crash.shown(prosody);
			assert.same({ no_faults, 0 }, { crash.faults_of_numbers(shown, crash.returned(prosody)), status });
			prosody:start();
			assert_complete(prosody, before);
		end);
	end);

	it("entries that are in both an SQLite file and the journal, while the file is locked", function ()
		start { storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
		crash.stream(prosody, { from = 1, count = 5, burst = 5 });
		assert_complete(prosody, 5);
		local lock = outage.lock_sqlite(prosody.data.."/audit.sqlite");
		cleanup = function () lock:finish("KILL"); end;
		crash.stream(prosody, { from = 6, count = 50, burst = 50 });
		assert.equal(50, (crash.waiting(prosody)));
		local copies = copy_of_journal(prosody);
		lock:finish("KILL");
		crash.flush(prosody);
		assert_complete(prosody, 55);
		prosody:kill();
		put_back(prosody, copies);
		lock = outage.lock_sqlite(prosody.data.."/audit.sqlite");
		prosody:start();
		socket.sleep(1.5);
		lock:finish("KILL");
		crash.flush(prosody);
		assert_complete(prosody, 55);
	end);

	describe("a store that", function ()
		for _, mode in ipairs({ "refuses", "refuses_as_sql", "refuses_silently", "throws", "throws_a_table", "yields_and_refuses" }) do
			it((mode:gsub("_", " ")), function ()
				start_broken(mode);
				login(prosody);
				crash.stream(prosody, { from = 1, count = 300, burst = 300 });
				socket.sleep(0.5);
				login(prosody);
				assert.equal(306, (crash.waiting(prosody)));
				assert_told_once(prosody, "can't be stored");
				-- Another process sees what waits, though it can't read the store either.
				local returned = crash.returned(prosody);
				local shown = crash.shown(prosody);
				assert.same(no_faults, crash.faults_of_numbers(shown, returned));
				set_mode(prosody, "works");
				crash.flush(prosody);
				assert_complete(prosody, 300);
				local _, _, others = crash.stored(prosody);
				assert.equal(6, others["authentication-success"]);
				assert_told_once(prosody, "can't be stored");
			end);
		end

		it("refuses for a while", function ()
			start_broken("refuses");
			crash.stream(prosody, { from = 1, count = 1000, interval = 0.01, burst = 2 });
			socket.sleep(2.5);
			set_mode(prosody, "works");
			-- Without help: the pauses are 1, 2 and 4 seconds.
			assert.is_truthy(process.wait_until(function () return crash.waiting(prosody) < 50; end, 15, 0.1), "not within 15 seconds");
			socket.sleep(3.5);
			assert_complete(prosody, 1000);
			assert_told_once(prosody, "can't be stored");
			assert_told_once(prosody, "stored again");
		end);

		for _, mode in ipairs({ "refuses_some", "takes_and_refuses", "takes_and_throws" }) do
			it((mode:gsub("_", " ")), function ()
				start_broken("works");
				crash.stream(prosody, { from = 1, count = 10, burst = 10 });
				assert.is_truthy(crash.settle(prosody));
				set_mode(prosody, mode);
				crash.stream(prosody, { from = 11, count = 100, burst = 100 });
				socket.sleep(0.5);
				for _ = 1, 5 do crash.flush(prosody); end
				set_mode(prosody, "works");
				crash.flush(prosody);
				assert_complete(prosody, 110);
			end);
		end

		it("yields", function ()
			start_broken("yields");
			crash.stream(prosody, { from = 1, count = 60, interval = 0.02, burst = 2 });
			login(prosody, 5);
			assert_complete(prosody, 60);
		end);

		it("yields while the module is reloaded", function ()
			start_broken("yields");
			crash.stream(prosody, { from = 1, count = 40, burst = 40 });
			for _ = 1, 3 do
				socket.sleep(0.4);
				prosody:eval([[
					local modulemanager = require "core.modulemanager";
					assert(modulemanager.reload("*", "audit"));
					assert(modulemanager.reload(..., "audit"));
				]], host);
			end
			assert_complete(prosody, 40);
		end);

		-- What an append does that was begun before a reload, and ends after the next log could have handed over the entry.
		it("answers an append only after the module was reloaded", function ()
			start_broken("waits");
			crash.stream(prosody, { from = 1, count = 5, burst = 5 });
			assert.is_truthy(process.wait_until(function ()
				return prosody:eval("return module:shared('/*/storage_broken/state').answer ~= nil");
			end));
			prosody:eval([[
				module:shared("/*/storage_broken/state").mode = "works";
				local modulemanager = require "core.modulemanager";
				assert(modulemanager.reload("*", "audit"));
				assert(modulemanager.reload(..., "audit"));
			]], host);
			crash.stream(prosody, { from = 6, count = 5, burst = 5 });
			socket.sleep(1);
			assert.equal(10, (crash.waiting(prosody)), "the next log waits for the answer");
			prosody:eval("module:shared('/*/storage_broken/state').answer();");
			assert_complete(prosody, 10);
		end);

		it("never answers", function ()
			start_broken("works");
			crash.stream(prosody, { from = 1, count = 5, burst = 5 });
			assert.is_truthy(crash.settle(prosody));
			set_mode(prosody, "hangs");
			crash.stream(prosody, { from = 6, count = 100, burst = 100 });
			socket.sleep(0.5);
			login(prosody);
			local before = socket.gettime();
			assert.is_true(prosody:stop());
			assert.is_true(socket.gettime() - before < 10);
			-- The driver kept its rows in memory: the first five went with the process.
			prosody:start();
			assert.is_truthy(crash.settle(prosody));
			local entries = crash.stored(prosody);
			assert.same({ 100, 6, 105 }, { #entries, entries[1].number, entries[#entries].number });
		end);

		it("is the null driver", function ()
			start { storage = { audit = "null" } };
			login(prosody);
			crash.stream(prosody, { from = 1, count = 10, burst = 10 });
			socket.sleep(0.5);
			assert.equal(13, (crash.waiting(prosody)));
			assert_told_once(prosody, "can't be stored");
			assert.same(no_faults, crash.faults_of_numbers(crash.shown(prosody), crash.returned(prosody)));
			-- The operator sees to it.
			prosody:stop();
			prosody:start { storage = "internal" };
			assert_complete(prosody, 10);
		end);

		it("is broken when the server is started again, too", function ()
			start_broken("refuses");
			crash.stream(prosody, { from = 1, count = 20, burst = 20 });
			for round = 1, 3 do
				if round == 2 then prosody:kill(); else assert.is_true(prosody:stop()); end
				assert.same(no_faults, crash.faults_of_numbers(crash.shown(prosody), crash.returned(prosody)));
				prosody:start();
				crash.stream(prosody, { from = round * 100, count = 20, burst = 20 });
				socket.sleep(0.4);
				assert.equal(20 + 20 * round, (crash.waiting(prosody)));
			end
			set_mode(prosody, "works");
			crash.flush(prosody);
			assert_complete(prosody, 80);
		end);

		it("is an SQLite file that another process holds for some seconds", function ()
			start { storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
			crash.stream(prosody, { from = 1, count = 1500, interval = 0.01, burst = 5 });
			socket.sleep(0.5);
			local lock = outage.lock_sqlite(prosody.data.."/audit.sqlite");
			cleanup = function () lock:finish("KILL"); end;
			for _ = 1, 6 do
				login(prosody, 1);
				socket.sleep(0.3);
			end
			assert.is_true(crash.waiting(prosody) > 100);
			lock:finish("KILL");
			local _, slowest = crash.stop(prosody);
			assert.is_true(slowest < 0.5, ("audit() took %.3f s"):format(slowest));
			assert_complete(prosody);
			assert_told_once(prosody, "can't be stored");
		end);

		it("is an SQLite file that another process reads for some seconds, which prevents commits", function ()
			for _, way in ipairs({ "journal", "direct" }) do
				start { storage = { audit = "sql" }, config = {
					sql = { driver = "SQLite3", database = "audit.sqlite" }; audit_log_write = way;
				} };
				crash.stream(prosody, { from = 1, count = 5, burst = 5 });
				assert_complete(prosody, 5);
				local lock = outage.lock_sqlite(prosody.data.."/audit.sqlite", "read");
				cleanup = function () lock:finish("KILL"); end;
				crash.stream(prosody, { from = 6, count = 50, burst = 50 });
				for _ = 1, 3 do
					socket.sleep(0.3);
					crash.flush(prosody);
					assert.equal(50, (crash.waiting(prosody)));
				end
				login(prosody, 1);
				lock:finish("KILL");
				crash.flush(prosody);
				assert_complete(prosody, 55);
				prosody:stop();
			end
		end);

		it("is a new SQLite file that another process holds when it is first used", function ()
			start();
			prosody:stop();
			local lock = outage.lock_sqlite(prosody.data.."/audit.sqlite");
			cleanup = function () lock:finish("KILL"); end;
			prosody:start { storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
			crash.stream(prosody, { from = 1, count = 20, burst = 20 });
			socket.sleep(0.5);
			login(prosody, 1);
			assert.equal(21, (crash.waiting(prosody)));
			lock:finish("KILL");
			-- Prosody makes the tables when it connects, and never again.
			for _ = 1, 2 do crash.flush(prosody); end
			assert_complete(prosody, 20);
		end);

		for name, database in pairs(databases) do it("is a server of "..name.." that is stopped and started", function ()
			if not database.available() then
				return pending((select(2, database.available())));
			end
			local pg = database.shared();
			cleanup = function () if not pg:alive() then pg:start(); end end;
			start { storage = { audit = "sql" }, config = { sql = pg:database() } };
			crash.stream(prosody, { from = 1, interval = 0.01, burst = 5 });
			socket.sleep(0.6);
			for _, how in ipairs({ "fast", "immediate" }) do
				pg:stop(how);
				for _ = 1, 5 do
					login(prosody, 1);
					socket.sleep(0.2);
				end
				local _, slowest = crash.stop(prosody);
				assert.is_true(slowest < 0.5, ("audit() took %.3f s"):format(slowest));
				assert.is_true(crash.waiting(prosody) > 100);
				pg:start();
				local _, highest = crash.returned(prosody);
				crash.stream(prosody, { from = highest + 1, interval = 0.01, burst = 5 });
				socket.sleep(0.3);
			end
			crash.stop(prosody);
			assert_complete(prosody);
		end); end

		it("is on a disk that is full, as is the journal", function ()
			start();
			assert.is_truthy(crash.settle(prosody));
			prosody:stop();
			local disk, why = outage.small_disk(prosody, "48m");
			if not disk then
				produced.cannot(series, "audit-entries-lost", why);
				return pending(why);
			end
			cleanup = function () disk:unmount(); end;
			prosody:start();
			crash.stream(prosody, { from = 1, count = 100, burst = 100 });
			assert.is_truthy(crash.settle(prosody));
			disk:fill();
			local total = 30000;
			crash.stream(prosody, { from = 101, count = total - 100, interval = 0.001, burst = 1000 });
			local returned;
			assert.is_truthy(process.wait_until(function ()
				local highest;
				returned, highest = crash.returned(prosody);
				return highest == total;
			end, 30, 0.1));
			login(prosody);
			local _, slowest = crash.stop(prosody);
			assert.is_true(slowest < 0.5, ("audit() took %.3f s"):format(slowest));
			assert.is_true(#told(prosody, "can't be stored") >= 1);
			disk:free();
			crash.flush(prosody);
			crash.stream(prosody, { from = total + 1, count = 1, burst = 1 });
			assert.is_truthy(crash.settle(prosody, 90), "entries still wait");
			local entries, lost, others;
			process.wait_until(function ()
				entries, lost, others = crash.stored(prosody);
				return lost > 0;
			end, 5, 0.2);
			returned = crash.returned(prosody);
			local refused = 0;
			for _, id in pairs(returned) do
				if id:sub(1, 1) == "-" then refused = refused + 1; end
			end
			assert.same(no_faults, crash.faults(entries, returned));
			assert.is_true(refused > 0, "everything found room: the test needs more events");
			local logins = math.max(0, 3 - (others["authentication-success"] or 0));
			assert.same({ total + 1 - refused, refused + logins }, { #entries, lost });
			assert.is_true((others["audit-entries-lost"] or 0) >= 1);
			-- It works as usual afterwards, and after a crash.
			prosody:kill();
			prosody:start();
			crash.stream(prosody, { from = total + 2, count = 10, burst = 10 });
			assert.is_truthy(crash.settle(prosody));
			assert.same(no_faults, crash.faults((crash.stored(prosody)), crash.returned(prosody)));
			prosody:stop();
		end);
	end);

	it("a journal that can't note what the store has taken, as its disk is full, and then a crash", function ()
		start { storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
		crash.stream(prosody, { from = 1, count = 5, burst = 5 });
		assert_complete(prosody, 5);
		prosody:stop();
		local disk, why = outage.small_disk(prosody, "16m");
		if not disk then
			return pending(why);
		end
		local lock;
		cleanup = function ()
			if lock then lock:finish("KILL"); end
			disk:unmount();
		end;
		prosody:start();
		lock = outage.lock_sqlite(prosody.data.."/audit.sqlite");
		crash.stream(prosody, { from = 6, count = 3000, burst = 3000 });
		assert.equal(3000, (crash.waiting(prosody)));
		disk:fill();
		lock:finish("KILL");
		crash.flush(prosody);
		assert.is_truthy(crash.settle(prosody));
		assert.equal(3005, #crash.stored(prosody));
		prosody:kill();
		assert.same(no_faults, crash.faults_of_numbers(crash.shown(prosody), crash.returned(prosody)));
		prosody:start();
		assert_complete(prosody, 3005);
		disk:free();
		prosody:stop();
	end);

	it("the module is reloaded during a stream", function ()
		start { storage = "sqlite" };
		crash.stream(prosody, { from = 1, interval = 0.003, burst = 3 });
		for round = 1, 15 do
			socket.sleep(0.1);
			prosody:eval([[
				local host, round = ...;
				local modulemanager = require "core.modulemanager";
				if round % 3 == 0 then
					modulemanager.unload(host, "test_stream");
					modulemanager.unload(host, "audit");
					modulemanager.unload("*", "audit");
					assert(modulemanager.load("*", "audit"));
					assert(modulemanager.load(host, "audit"));
					assert(modulemanager.load(host, "test_stream"));
				else
					assert(modulemanager.reload("*", "audit"));
					assert(modulemanager.reload(host, "audit"));
				end
			]], host, round);
		end
		-- It has continued, and still does.
		assert.is_truthy(process.wait_until(function () return select(2, crash.returned(prosody)) > 300; end, 20));
		crash.stop(prosody);
		assert_complete(prosody);
	end);

	it("what waits when the server stops is handed over", function ()
		start { log_level = "info" };
		crash.stream(prosody, { from = 1, count = 1000, burst = 1000 });
		local before = socket.gettime();
		assert.is_true(prosody:stop());
		assert.is_true(socket.gettime() - before < 10);
		-- Read from the store itself: without the journal, no entry is missing.
		for _, file in ipairs((crash.journal(prosody))) do
			os.remove(file.path);
		end
		prosody:start();
		assert_complete(prosody, 1000);
	end);

	for _, mode in ipairs({ "works", "yields", "hangs", "throws" }) do
		it("what is recorded at the start is handed over before anybody is connected, to a store that "..mode, function ()
			start { modules = { "audit", "audit_status", "test_stream", "storage_broken" }, storage = { audit = "broken" };
				config = { broken_storage = mode } };
			assert.is_truthy(prosody:alive());
			if mode == "works" then
				assert.equal("0 server-started", prosody:eval([[
					local waiting = module:shared("/*/audit/log").log.waiting("example.test");
					local _, rows = next(module:shared("/*/storage_broken/state").rows);
					return waiting.." "..tostring(rows and rows[1].value.attr.type);
				]]));
			else
				socket.sleep(0.4);
				login(prosody);
				crash.stream(prosody, { from = 1, count = 5, burst = 5 });
				assert.equal(mode == "yields", crash.settle(prosody, mode == "yields" and 30 or 0.5));
			end
			assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
		end);
	end

	for _, store in ipairs({ "internal", "sqlite" }) do
		it("prosodyctl reads while the server writes, on "..store, function ()
			start { storage = { audit = store == "sqlite" and "sql" or "internal" };
				config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
			crash.stream(prosody, { from = 1, interval = 0.02, burst = 4 });
			local most = 0;
			for _ = 1, 8 do
				local returned = crash.returned(prosody);
				local numbers, status, err = crash.shown(prosody);
				-- On a slow machine it says how far it is.
				assert.same({ 0, "" }, { status, (err:gsub("%d+ entries …\n", "")) });
				assert.same(no_faults, crash.faults_of_numbers(numbers, returned));
				assert.is_true(#numbers > most);
				most = #numbers;
			end
			crash.stop(prosody);
			assert_complete(prosody);
		end);
	end

	it("the journal is for nobody else, and gets small again", function ()
		start_broken("refuses");
		crash.stream(prosody, { from = 1, count = 3000, burst = 3000 });
		local files, most = crash.journal(prosody);
		assert.is_true(#files > 0 and most > 3000 * 100, most.." bytes");
		for _, file in ipairs(files) do
			assert.equal("rw-------", file.permissions, file.path);
		end
		set_mode(prosody, "works");
		crash.flush(prosody);
		assert.is_truthy(crash.settle(prosody));
		crash.stream(prosody, { from = 3001, count = 1, burst = 1 });
		assert_complete(prosody, 3001);
		local _, left = crash.journal(prosody);
		assert.is_true(left < most / 5, ("%d of %d bytes are left"):format(left, most));
	end);

	describe("a journal", function ()
		local function damage(change)
			start_broken("refuses");
			crash.stream(prosody, { from = 1, count = 50, burst = 50 });
			prosody:stop();
			local changed = 0;
			for _, file in ipairs((crash.journal(prosody))) do
				local content = process.read(file.path);
				local other = change(content);
				if other ~= content then
					process.write(file.path, other);
					changed = changed + 1;
				end
			end
			assert.equal(1, changed, "the journal is not as this test thinks");
			prosody:start();
			crash.stream(prosody, { from = 51, count = 10, burst = 10 });
			set_mode(prosody, "works");
			crash.flush(prosody);
			assert.is_truthy(crash.settle(prosody));
			local entries, lost;
			process.wait_until(function () entries, lost = crash.stored(prosody); return lost > 0; end, 3, 0.1);
			local missing = {};
			local seen = {};
			for i, entry in ipairs(entries) do
				seen[entry.number] = true;
				assert.is_true(i == 1 or entry.number > entries[i - 1].number);
			end
			for number = 1, 60 do
				if not seen[number] then missing[#missing + 1] = number; end
			end
			local lines = 0;
			for line in prosody:log():gmatch("[^\n]+") do
				if line:find("damaged", 1, true) and line:find("udit", 1, true) then lines = lines + 1; end
			end
			return missing, lost, lines;
		end

		it("in which a byte is another", function ()
			local missing, lost, lines = damage(function (content)
				local at = content:find("n25@", 1, true);
				if not at then return content; end
				return content:sub(1, at - 1)..string.char(content:byte(at) ~ 1)..content:sub(at + 1);
			end);
			assert.same({ { 25 }, 1, 1 }, { missing, lost, lines });
		end);

		it("that ends in the middle of a record", function ()
			local missing, lost, lines = damage(function (content)
				local at = content:find("n50@", 1, true);
				return at and content:sub(1, at) or content;
			end);
			assert.same({ { 50 }, 1, 1 }, { missing, lost, lines });
		end);

		it("with zeros where a record began", function ()
			-- As some file systems leave a file after a power cut.
			local missing = damage(function (content)
				local at = content:find("n30@", 1, true);
				return at and content:sub(1, at - 1)..("\0"):rep(200)..content:sub(at + 200) or content;
			end);
			assert.is_true(#missing >= 1 and #missing <= 3, #missing.." are missing");
		end);

		it("that is another kind of file", function ()
			start_broken("refuses");
			crash.stream(prosody, { from = 1, count = 5, burst = 5 });
			prosody:stop();
			for _, file in ipairs((crash.journal(prosody))) do
				process.write(file.path, ("nothing of the kind\n"):rep(1000));
			end
			prosody:start();
			login(prosody);
			crash.stream(prosody, { from = 6, count = 5, burst = 5 });
			set_mode(prosody, "works");
			crash.flush(prosody);
			assert.is_truthy(crash.settle(prosody));
			local entries = crash.stored(prosody);
			assert.same({ 5, 6, 10 }, { #entries, entries[1] and entries[1].number, entries[5] and entries[5].number });
		end);
	end);

	it("one transaction for many entries, on SQLite, which was opened before the first of them", function ()
		start { storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
		local tables = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT name FROM sqlite_schema'))";
		local _, opened = process.capture({ "/usr/bin/python3", "-c", tables, prosody.data.."/audit.sqlite" });
		assert.is_truthy(opened:find("prosodyarchive", 1, true), opened);
		crash.stream(prosody, { from = 1, count = 5, burst = 5 });
		assert.is_truthy(crash.settle(prosody));
		local before = #prosody:log();
		crash.stream(prosody, { from = 6, count = 600, burst = 600 });
		assert.is_truthy(crash.settle(prosody));
		local _, transactions = prosody:log():sub(before + 1):gsub("SQL transaction success", "");
		assert.is_true(transactions >= 1 and transactions <= 80, transactions.." transactions");
		assert_complete(prosody, 605);
	end);

	it("one transaction for many entries, on PostgreSQL", function ()
		if not postgres.available() then
			return pending((select(2, postgres.available())));
		end
		local pg = postgres.shared();
		local database = pg:database();
		start { storage = { audit = "sql" }, config = { sql = database } };
		crash.stream(prosody, { from = 1, count = 600, burst = 600 });
		assert_complete(prosody, 600);
		local transactions, rows = pg:query("SELECT count(DISTINCT xmin::text), count(*) FROM prosodyarchive WHERE \"user\" LIKE '@%'",
			database):match("(%d+)|(%d+)");
		assert.equal(600, tonumber(rows));
		assert.is_true(tonumber(transactions) <= 60, transactions.." transactions");
	end);

	it("a batch that fails in the middle leaves nothing half-written", function ()
		start { storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
		crash.stream(prosody, { from = 1, count = 5, burst = 5 });
		assert.is_truthy(crash.settle(prosody));
		-- The database refuses one entry, as a constraint of an operator's would.
		local script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=10)\nc.execute(sys.argv[2])\nc.commit()";
		local function sql(text)
			assert.equal(0, (process.capture({ "/usr/bin/python3", "-c", script, prosody.data.."/audit.sqlite", text })));
		end
		sql("CREATE TRIGGER refuse BEFORE INSERT ON prosodyarchive WHEN NEW.\"with\" LIKE 'n70@%' BEGIN SELECT RAISE(ABORT, 'not this one'); END");
		crash.stream(prosody, { from = 6, count = 100, burst = 100 });
		socket.sleep(0.6);
		login(prosody);
		crash.flush(prosody);
		local entries = crash.stored(prosody);
		assert.equal(69, #entries);
		assert.same(no_faults, crash.faults_of_numbers(crash.shown(prosody), crash.returned(prosody)));
		sql("DROP TRIGGER refuse");
		crash.flush(prosody);
		assert_complete(prosody, 105);
	end);

	each_store(function (store)
		it("audit_log_write = \"direct\", on "..store, function ()
			start { storage = store, config = { audit_log_write = "direct" } };
			for first = 1, 41, 10 do
				crash.stream(prosody, { from = first, count = 10, burst = 10 });
				-- No entry ever waits.
				assert.equal(0, (crash.waiting(prosody)));
				assert.equal(first + 9, #crash.stored(prosody));
			end
			assert_complete(prosody, 50);
		end);
	end);

	it("audit_log_write = \"direct\" with a store that refuses for a while", function ()
		start { storage = { audit = "broken" }, config = { broken_storage = "works", audit_log_write = "direct" } };
		crash.stream(prosody, { from = 1, count = 5, burst = 5 });
		assert.equal(5, #crash.stored(prosody));
		set_mode(prosody, "refuses");
		crash.stream(prosody, { from = 6, count = 5, burst = 5 });
		login(prosody);
		assert.equal(8, (crash.waiting(prosody)));
		set_mode(prosody, "works");
		-- These may not overtake those that wait.
		crash.stream(prosody, { from = 11, count = 5, burst = 5 });
		crash.flush(prosody);
		assert_complete(prosody, 15);
		crash.stream(prosody, { from = 16, count = 5, burst = 5 });
		assert.equal(20, #crash.stored(prosody));
	end);

	it("audit_log_write = \"direct\" with a driver that yields", function ()
		start { storage = { audit = "broken" }, config = { broken_storage = "yields", audit_log_write = "direct" } };
		crash.stream(prosody, { from = 1, count = 20, interval = 0.01, burst = 1 });
		login(prosody);
		assert_complete(prosody, 20);
	end);

	it("hosts have journals of their own", function ()
		start { hosts = { host, "other.test" }, storage = { audit = "broken" }, config = { broken_storage = "refuses" } };
		crash.stream(prosody, { from = 1, count = 10, burst = 10 });
		prosody:eval([[module:context("other.test"):audit(nil, "other-event");]]);
		socket.sleep(0.4);
		assert.equal(10, (crash.waiting(prosody)));
		for _, name in ipairs({ host, "other.test" }) do
			local files, size = crash.journal(prosody, name);
			assert.is_true(#files > 0 and size > 0, name);
		end
		local _, out = prosody:ctl("mod_audit", "other.test");
		assert.is_truthy(out:find("other-event", 1, true) and not out:find("test-event", 1, true), out);
		set_mode(prosody, "works");
		crash.flush(prosody);
		assert_complete(prosody, 10);
	end);
end);
