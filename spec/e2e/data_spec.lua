-- Moving, copying and restoring a server's data: the log is complete afterwards, each entry is there once, and the server keeps running.

local crash = require "support.crash";
local postgres = require "support.postgres";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;
local quote = process.quote;

server.each_series(describe, pending, function (series)
	local prosody, other;

	local function start(options)
		options.series = series;
		options.modules = options.modules or { "audit", "audit_auth", "test_stream" };
		return server.start(options);
	end

	after_each(function ()
		if prosody then prosody:stop(); end
		if other then other:stop(); end
		prosody, other = nil, nil;
	end);

	-- Numbers from..from+count-1 are recorded, and stored.
	local function record(to, from, count)
		crash.stream(to, { from = from, count = count, burst = count });
		assert.is_truthy(crash.settle(to));
	end

	-- The store has exactly these numbers, each once and in order, and so has what prosodyctl shows.
	local function assert_numbers(of, from, to)
		assert.is_truthy(crash.settle(of));
		local entries, lost = crash.stored(of);
		assert.same({ {}, 0 }, { crash.faults(entries, {}), lost });
		local shown = crash.shown(of);
		assert.same({}, crash.faults_of_numbers(shown, {}));
		assert.same({ to - from + 1, to - from + 1 }, { #entries, #shown });
		for i = from, to do
			assert.equal(i, entries[i - from + 1].number);
			assert.equal(i, shown[i - from + 1]);
		end
		return entries;
	end

	for _, way in ipairs({ { "internal", "sqlite" }, { "sqlite", "internal" } }) do
		it(("prosody-migrator takes the log along, from %s to %s"):format(way[1], way[2]), function ()
			prosody = start { storage = way[1] };
			record(prosody, 1, 30);
			local before = assert_numbers(prosody, 1, 30);
			prosody:stop();
			local text = {};
			for i, store in ipairs(way) do
				text[i] = ("%s { hosts = { [%q] = { \"audit-archive\" } }; %s }\n"):format(i == 1 and "input" or "output", host,
					store == "internal" and ("type = \"internal\"; path = %q"):format(prosody.data)
					or ("type = \"sql\"; driver = \"SQLite3\"; database = %q"):format(prosody.data.."/prosody.sqlite"));
			end
			local config = prosody.folder.."/migrator.cfg.lua";
			process.write(config, table.concat(text));
			local status, out, err = process.capture { "lua5.4", prosody.program_folder.."/prosody-migrator", "--config", config };
			assert.equal(0, status, out..err);
			prosody:start { storage = way[2] };
			local after = assert_numbers(prosody, 1, 30);
			for i, entry in ipairs(before) do
				assert.same({ entry.id, entry.when }, { after[i].id, after[i].when });
			end
			record(prosody, 31, 10);
			assert_numbers(prosody, 1, 40);
		end);
	end

	for _, storage in ipairs({ "internal", "sqlite" }) do
		it("a copy of the data folder that was made while the server wrote can be put back, on "..storage, function ()
			prosody = start { storage = storage };
			record(prosody, 1, 50);
			crash.stream(prosody, { from = 51, interval = 0.005 });
			socket.sleep(0.1);
			local copy = prosody.folder.."/copy";
			if storage == "sqlite" then
				-- As one copies a database that is in use.
				process.run(("cp -a %s %s && rm -f %s/prosody.sqlite*"):format(quote(prosody.data), quote(copy), quote(copy)));
				local ok = process.wait_until(function ()
					return process.capture { "sqlite3", prosody.data.."/prosody.sqlite", ".backup "..copy.."/prosody.sqlite" } == 0;
				end, 10);
				assert.is_true(ok);
			else
				process.run(("cp -a %s %s"):format(quote(prosody.data), quote(copy)));
			end
			socket.sleep(0.1);
			prosody:kill();
			process.run(("rm -rf %s && mv %s %s"):format(quote(prosody.data), quote(copy), quote(prosody.data)));
			prosody:start();
			assert.is_truthy(crash.settle(prosody));
			local entries = crash.stored(prosody);
			local returned = {};
			for i = 1, 50 do returned[i] = entries[i] and entries[i].id or "missing"; end
			assert.same({}, crash.faults(entries, returned));
			assert.is_true(#entries >= 50 and entries[50].number == 50, #entries.." entries");
			record(prosody, 10001, 5);
			local shown = crash.shown(prosody);
			assert.same({ {}, #entries + 5 }, { crash.faults_of_numbers(shown, {}), #shown });
			assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
		end);
	end

	it("an SQLite file that is moved away gets no more entries, and new entries wait until it is back", function ()
		prosody = start { storage = { audit = "sql" }; config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
		prosody:adduser("romeo@"..host, "secret");
		record(prosody, 1, 20);
		local file = prosody.data.."/audit.sqlite";
		assert(os.rename(file, file..".away"));
		crash.stream(prosody, { from = 21, count = 20, burst = 20 });
		assert.is_true((raw.login(prosody, "romeo", "secret")));
		socket.sleep(0.5);
		prosody:stop();
		os.remove(file);
		assert(os.rename(file..".away", file));
		prosody:start();
		assert_numbers(prosody, 1, 40);
	end);

	for _, case in ipairs({
		{ "two servers share a database, each for a host of its own", { "one.test", "two.test" } };
		{ "two servers share a database for one host, as in a changeover", { "one.test", "one.test" } };
	}) do
		for _, store in ipairs({ "sqlite", "postgresql" }) do
			it(case[1]..", on "..store, function ()
				if store == "postgresql" and not postgres.available() then
					pending((select(2, postgres.available())));
					return;
				end
				local database = store == "postgresql" and postgres.shared():database()
					or { driver = "SQLite3"; database = process.new_folder("shared").."/shared.sqlite" };
				local hosts = case[2];
				prosody = start { hosts = { hosts[1] }; storage = { audit = "sql" }; config = { sql = database } };
				other = start { hosts = { hosts[2] }; storage = { audit = "sql" }; config = { sql = database } };
				crash.stream(prosody, { from = 1, count = 300, interval = 0.01, burst = 10 });
				crash.stream(other, { from = 1001, count = 300, interval = 0.01, burst = 10 });
				local function done()
					return crash.waiting(prosody) == 0 and crash.waiting(other) == 0 and select(2, crash.returned(prosody)) == 300
						and select(2, crash.returned(other)) == 1300;
				end
				assert.is_truthy(process.wait_until(done, 30, 0.1));
				local seen = {};
				for _, entry in ipairs((crash.stored(prosody))) do
					assert.is_nil(seen[entry.number]);
					seen[entry.number] = entry.id;
				end
				if hosts[1] ~= hosts[2] then
					for _, entry in ipairs((crash.stored(other))) do
						assert.is_nil(seen[entry.number]);
						seen[entry.number] = entry.id;
					end
				end
				for _, returned in ipairs({ (crash.returned(prosody)), (crash.returned(other)) }) do
					for number, id in pairs(returned) do assert.equal(id, seen[number]); end
				end
				local shown, status, err = crash.shown(prosody);
				assert.same({ hosts[1] == hosts[2] and 600 or 300, 0 }, { #shown, status }, err);
			end);
		end
	end

	it("a data folder that can't be written delays no login, is reported in few lines, and stored entries are kept", function ()
		prosody = start { storage = "internal"; log_level = "info" };
		prosody:adduser("romeo@"..host, "secret");
		record(prosody, 1, 20);
		prosody:stop();
		process.run("find "..quote(prosody.data).." -exec chmod a-w {} +");
		finally(function () process.run("chmod -R u+w "..quote(prosody.data)); end);
		-- Root can write everywhere, unless it gives that right up.
		local log_start = #prosody:log();
		prosody:start {
			prefix = "if [ $(id -u) = 0 ]; then set -- setpriv --bounding-set=-dac_override,-dac_read_search,-fowner -- \"$@\"; fi";
			config = { admin_socket = prosody.folder.."/prosody.sock"; test_stream_file = prosody.folder.."/returned.txt" };
		};
		for _ = 1, 5 do
			local before = socket.gettime();
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			assert.is_true(socket.gettime() - before < 1);
		end
		crash.stream(prosody, { from = 21, count = 20, burst = 20 });
		socket.sleep(0.5);
		-- What Prosody's own storage has to say is not ours.
		local lines = {};
		for line in prosody:log():sub(log_start):gmatch("[^\n]+") do
			if line:find("Traceback", 1, true) or line:find("mod_audit", 1, true) and line:find("\terror\t", 1, true) then
				table.insert(lines, line);
			end
		end
		assert.is_true(#lines >= 1 and #lines <= 3, table.concat(lines, "\n"));
		for _, line in ipairs(lines) do assert.is_truthy(line:find("Permission denied", 1, true), line); end
		prosody:stop();
		process.run("chmod -R u+w "..quote(prosody.data));
		prosody:start { prefix = false };
		local numbers = {};
		for _, entry in ipairs((crash.stored(prosody))) do numbers[entry.number] = true; end
		for i = 1, 20 do assert.is_true(numbers[i], i.." is gone"); end
	end);
end);
