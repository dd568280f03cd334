-- prosodyctl mod_audit, with the server running and stopped, on every store.

local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host, other = server.default_host, "other.test";

local function start(options)
	options.hosts = { host, other };
	options.modules = { "audit", "audit_auth", "audit_status" };
	local prosody = server.start(options);
	prosody:adduser("romeo@"..host, "secret");
	raw.login(prosody, "romeo", "wrong");
	raw.login(prosody, "romeo", "secret");
	prosody:eval([[
		local host = ...;
		local context = module:context(host);
		context:audit("juliet@"..host, "test-event", { session = { ip = "203.0.113.80", client_id = "phone" } });
		context:audit(nil, "hostile", { custom = { require "audit_core".detail("note", nil, "\27[2J\194\155\226\128\174 done") } });
		-- Prosody writes on standard output what it has to say of a lock that it met.
		flush_audit_log();
	]], host);
	return prosody;
end

local function count(text, pattern)
	return (select(2, text:gsub(pattern, "")));
end

server.each_series(describe, pending, function (series)
	describe("prosodyctl mod_audit", function ()
		local prosody;
		after_each(server.stop_all);

		local function ctl(...)
			return prosody:ctl({ env = { TZ = "Etc/GMT-2"; COLUMNS = "120" } }, "mod_audit", ...);
		end

		local function assert_shows_the_log()
			local status, out, err = ctl(host);
			assert.equal(0, status, err);
			assert.equal("TIME (UTC+02:00)", out:match("^[^\n]-%)"));
			for line in out:gmatch("[^\n]+") do
				assert.is_true(utf8.len(line) <= 120, line);
			end
			local order = {};
			for event in out:gmatch("\n%S+ [%d:]+[* ] +([%w-]+)") do table.insert(order, event); end
			-- Readings are entries too.
			while order[1] == "audit-queried" or order[1] == "server-stopped" do table.remove(order, 1); end
			assert.same({ "hostile", "test-event", "authentication-success", "authentication-failure", "server-started" }, order);
			assert.is_nil(out:match("[\1-\9\11-\31\127]") or out:match("\194[\128-\159]") or out:match("\226\128\174"));
			-- Escape is no character of XML, the others are.
			assert.is_truthy(out:find("\239\191\189[2J\\u{9b}\\u{202e} done", 1, true), out);

			out = select(2, ctl("romeo@"..host));
			assert.same({ 1, 1, 3 }, { count(out, "authentication%-success"), count(out, "authentication%-failure"), count(out, "\n") });
			out = select(2, ctl("romeo@"..host.."/phone", "--show-user", "--limit", "1"));
			assert.same({ 1, 2 }, { count(out, "romeo@"), count(out, "\n") });
			out = select(2, ctl("--global", "--type=server-*,test-event", host));
			assert.is_true(count(out, "server%-started") == 1 and count(out, "romeo") == 0);
			out = select(2, ctl(host, "--no-global", "--no-show-ip", "--no_show_note"));
			assert.is_true(count(out, "server%-") == 0 and count(out, "romeo") == 2);
			assert.is_nil(out:find("ADDRESS") or out:find("NOTE") or out:find("203.0.113.80", 1, true));
			out = select(2, ctl(other));
			assert.same({ 0, 1 }, { count(out, "romeo"), count(out, "server%-started") });
			status, out = ctl("--prune");
			assert.same({ 0, host..": nothing has expired\n"..other..": nothing has expired\n" }, { status, out });
		end

		for _, storage in ipairs({ "internal", "sqlite", "native", "postgresql", "mariadb" }) do
			it("shows the log of a server that runs or has stopped, from "..storage, function ()
				prosody = start { series = series, storage = storage };
				assert_shows_the_log();
				assert.equal("alive", prosody:eval("return 'alive'"));
				prosody:stop();
				assert_shows_the_log();
			end);
		end

		it("has nothing to show of a store in memory", function ()
			prosody = start { series = series, storage = "memory" };
			assert.same({ 0, "", "No audit events found.\n" }, { ctl(host) });
			-- Inside the server they are.
			assert.is_truthy(prosody:eval("return module:context(...):audit(nil, 'test')", host));
		end);

		it("refuses wrong arguments with one line on standard error", function ()
			prosody = start { series = series };
			for arguments, message in pairs({
				["nowhere.test"] = "Unknown host \"nowhere.test\"; the configuration has example.test, other.test";
				["*"] = "Unknown host \"*\"";
				["romeo@nowhere.test"] = "Unknown host \"nowhere.test\"";
				["--prune nowhere.test"] = "Unknown host \"nowhere.test\"";
				[""] = { "Name a host or an account" };
				["--limt 5 "..host] = { "Unknown flag \"--limt\"" };
				["--limit 0 "..host] = { "--limit is \"0\"" };
				["--limit"] = { "--limit needs a value" };
				[host.." "..other] = { "Name one host or account" };
			}) do
				local list = {};
				for argument in arguments:gmatch("%S+") do table.insert(list, argument); end
				local status, out, err = ctl(table.unpack(list));
				-- What makes no sense whatever the server is like has another status.
				assert.same({ type(message) == "table" and 2 or 1, "" }, { status, out }, arguments);
				message = type(message) == "table" and message[1] or message;
				assert.is_truthy(err:find(message, 1, true), err);
				assert.equal(1, count(err, "\n"), err);
			end
			local status, out = ctl("--help");
			assert.is_true(status == 0 and out:find("--limit N", 1, true) ~= nil);
		end);

		it("reports why a store can't be read", function ()
			prosody = start { series = series, storage = "sqlite" };
			prosody:stop();
			process.write(prosody.data.."/prosody.sqlite", ("no database "):rep(1000));
			local status, out, err = ctl(host);
			assert.equal(1, status);
			assert.equal("", out);
			assert.equal(1, count(err, "\n"), err);
			assert.is_truthy(err:find("The audit log of "..host.." can't be read: ", 1, true), err);
		end);

		it("removes what has expired", function ()
			prosody = start { series = series, config = "audit_log_expires_after = 3600\ncron_initial_delay = 3600" };
			prosody:eval([[
				local store = module:context(...):open_store("audit", "archive");
				local st = require "util.stanza";
				store:append("@events.2020-01-01", nil, st.stanza("audit-event", { type = "expired" }), 1577880000, "@");
				store:append(nil, nil, st.stanza("audit-event", { type = "expired" }), 1577880000, "@");
				store:append(nil, nil, st.stanza("audit-event", { type = "of-an-older-log" }), os.time(), "@");
			]], host);
			-- Or its daily task may be faster.
			prosody:stop();
			local _, out = ctl(host);
			assert.same({ 0, 1 }, { count(out, "expired"), count(out, "of%-an%-older%-log") });
			assert.equal(host..": removed 2 entries of class events that have expired, from 2020-01-01 to 2020-01-01\n"
				..host..": moved 1 entries of an older log to partitions\n", (select(2, ctl("--prune", host))));
			assert.equal(host..": nothing has expired\n", (select(2, ctl("--prune", host))));
			assert.equal(1, count(select(2, ctl(host)), "of%-an%-older%-log"));
			-- The server's own daily task does the same.
			prosody:start();
			prosody:eval([[
				local store = module:context(...):open_store("audit", "archive");
				store:append("@events.2020-01-02", nil, require "util.stanza".stanza("audit-event", { type = "expired" }), 1577966400, "@");
				for _, task in ipairs(module:context(...):get_host_items("task")) do
					if task.name == "Remove expired audit events" then task:run(os.time()); end
				end
			]], host);
			assert.is_truthy(process.wait_until(function ()
				return prosody:log():find("Audit events of example.test: removed 1 entries of class events that have expired, from 2020-01-02", 1, true);
			end, 10));
		end);

		it("skips a damaged entry, counts it and fails", function ()
			for _, storage in ipairs({ "internal", "sqlite" }) do
				prosody = start { series = series, storage = storage };
				if storage == "sqlite" then
					prosody:stop();
					assert(os.execute(("sqlite3 %s \"UPDATE prosodyarchive SET value = '<audit-event' WHERE value LIKE '%%test-event%%'\""):format(
						process.quote(prosody.data.."/prosody.sqlite"))));
				else
					prosody:eval([[
						local store = module:context(...):open_store("audit", "archive");
						store:append(os.date("!@events.%Y-%m-%d"), nil, require "util.stanza".stanza("message"), os.time(), "@");
					]], host);
				end
				local status, out, err = ctl(host);
				assert.equal(1, status);
				assert.is_truthy(err:find("^1 entry is damaged and is not shown: @events%.%d%d%d%d%-%d%d%-%d%d[^\n]*\n$"), err);
				assert.is_true(count(out, "authentication%-success") == 1);
				-- The driver does not parse these rows: it would not report which entry is damaged.
				assert.is_truthy(storage ~= "sqlite" or err:find(", key \"[%w-]+\"\n$"), err);
				prosody:stop();
			end
		end);
	end);
end);
