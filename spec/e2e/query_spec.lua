-- Reading the log with filters, on every store, with the server running and stopped.

local dump = require "support.dump";
local json = require "dkjson";
local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

-- Entries of three days, the last of them today; the clock of the log is set for each.
local fill = [[
	local host = ...;
	local core, log = require "audit_core", module:shared("/*/audit/log").log;
	local context = module:context(host);
	local function entry(user, event_type, extra)
		assert(context:audit(user and user.."@"..host, event_type, extra));
	end
	for i = 1, 20 do
		entry("romeo", "test-failure", { session = { ip = "203.0.113."..i, client_id = "laptop" } });
	end
	entry("juliet", "authentication-success", { session = { ip = "2001:db8:0:1::7", client_id = "phone" } });
	entry("juliet", "user-role-changed", {
		actor = { kind = "adhoc", jid = "nurse@"..host.."/desk" };
		custom = { core.detail("role", { before = "prosody:registered", after = "Prosody:Admin" }) };
	});
	entry(nil, "server-started");
	flush_audit_log();
	-- Entries of an older module, and entries in the journal.
	local store = context:open_store("audit", "archive");
	local st = require "util.stanza";
	store:append(nil, nil, st.stanza("audit-event", { source = "mod_audit_register", type = "user-registered", user = "juliet" }),
		os.time() - 3 * 86400, "juliet");
	store:append("@events."..os.date("!%Y-%m-%d", os.time() - 86400), nil,
		st.stanza("audit-event", { source = "mod_audit_auth", type = "new-client", user = "juliet@"..host }), os.time() - 86400, "juliet@"..host);
]];

-- Reads everything, and counts the statements that list archive users as Prosody does, by reading every row of the host.
local read_all = [[
	local host = ...;
	local core, log = require "audit_core", module:shared("/*/audit/log").log;
	local append, engine = log.stores[host].append, nil;
	for i = 1, 60 do
		local name, value = debug.getupvalue(append, i);
		if name == "engine" then engine = value; end
	end
	local original, listings = engine.select, 0;
	function engine.select(self, sql, ...)
		if sql:find("DISTINCT", 1, true) then listings = listings + 1; end
		return original(self, sql, ...);
	end
	local result = log.read(core.command({ host }, os.time()).asked, function () return true; end, {});
	engine.select = nil;
	return (result.problem or result.shown >= 25 and "all" or "not all").." with "..listings;
]];

local function count(text, pattern)
	return (select(2, text:gsub(pattern, "")));
end

server.each_series(describe, pending, function (series)
	describe("a filtered reading", function ()
		local prosody;
		after_each(server.stop_all);

		local function start(options)
			options.series = series;
			options.modules = { "audit" };
			prosody = server.start(options);
			prosody:eval(fill, host);
			return prosody;
		end

		local function ctl(...)
			return prosody:ctl({ env = { TZ = "UTC"; NO_COLOR = "1" } }, "mod_audit", host, ...);
		end

		-- The event types of the entries that are found, without those of readings.
		local function types(...)
			local status, out, err = ctl("--format=json", ...);
			assert.equal(0, status, err);
			local found = {};
			for line in out:gmatch("[^\n]+") do
				local entry = assert(json.decode(line), line);
				if not entry.type:find("^audit%-") then table.insert(found, entry.type); end
			end
			return found, err;
		end

		local function assert_order()
			local all = types();
			assert.equal(25, #all);
			assert.same({ "server-started", "user-role-changed", "authentication-success", "test-failure" }, { table.unpack(all, 1, 4) });
			assert.same({ "test-failure", "new-client", "user-registered" }, { table.unpack(all, 23) });
			local oldest = types("--oldest-first");
			for i = 1, #all do assert.equal(all[#all + 1 - i], oldest[i]); end
			assert.same({ "user-role-changed", "user-registered" }, (types("--user=juliet", "--type=user-*")));
		end

		local function assert_filters()
			for arguments, expected in pairs({
				["--type=user-*,server-started"] = { "server-started", "user-role-changed", "user-registered" };
				["--user=j*,nobody --since=2d"] = { "user-role-changed", "authentication-success", "new-client" };
				["--until=2d"] = { "user-registered" };
				["--ip=203.0.113.4/31"] = { "test-failure", "test-failure" };
				["--ip=2001:db8::/32"] = { "authentication-success" };
				["--client=phone"] = { "authentication-success" };
				["--actor=nurse@*"] = { "user-role-changed" };
				["--actor=adhoc"] = { "user-role-changed" };
				["--source=mod_audit_*"] = { "new-client", "user-registered" };
				["--text=prosody:admin"] = { "user-role-changed" };
				["--text=REGISTERED"] = { "user-role-changed", "user-registered" };
				["--type=test-failure --limit=2 --oldest-first"] = { "test-failure", "test-failure" };
				["--country=DE"] = {};
				["--global --type=server-*"] = { "server-started" };
			}) do
				local list = {};
				for argument in arguments:gmatch("%S+") do table.insert(list, argument); end
				assert.same(expected, (types(table.unpack(list))), arguments);
			end
			-- Page after page, by the ids that are shown.
			local seen, after = {}, nil;
			repeat
				local _, out = ctl("--columns=id,user", "--type=test-*,authentication-*", "--limit=8", after and "--after="..after or "--no-global");
				local page = 0;
				for id in out:gmatch("\n(%x+%-%S+)") do
					page, after = page + 1, id;
					assert.is_nil(seen[id]);
					seen[id] = true;
				end
			until page < 8;
			local total = 0;
			for _ in pairs(seen) do total = total + 1; end
			assert.equal(21, total);
		end

		for _, storage in ipairs({ "internal", "sqlite", "native", "postgresql", "mariadb" }) do
			it("finds the right entries in "..storage..", with the server running and stopped", function ()
				start { storage = storage };
				assert_order();
				if storage == "internal" or storage == "sqlite" then assert_filters(); end
				assert.equal("alive", prosody:eval("return 'alive'"));
				-- MariaDB has no index for it.
				if storage == "sqlite" or storage == "postgresql" then
					assert.equal("all with 0", prosody:eval(read_all, host));
				end
				prosody:stop();
				assert_order();
			end);
		end

		it("finds a network if a prefix is stored, and entries that wait in the journal", function ()
			start { storage = "broken"; config = "audit_log_ipv4_prefix = 24\nbroken_storage = \"refuses\"" };
			local status, out, err = ctl("--ip=203.0.113.200", "--limit=3", "--format=json");
			assert.equal(3, count(out, "\"test%-failure\""), out);
			assert.equal(3, count(out, "203.0.113.0/24"), out);
			assert.equal(1, status);
			assert.is_truthy(err:find("what is shown is incomplete", 1, true), err);
		end);

		it("is itself an entry, whether the server runs or not", function ()
			start {};
			ctl("--type=user-*", "--since=2d", "--limit=7");
			prosody:stop();
			local file = prosody.folder.."/export.csv";
			assert.equal(0, (ctl("--format=csv", "--output="..file)));
			local _, out = ctl("--type=audit-*", "--format=json");
			local exported, queried = out:match("^([^\n]+)\n([^\n]+)\n$");
			exported, queried = json.decode(exported), json.decode(queried);
			assert.same({ "audit-queried", "mod_audit", "--type=user-* --since=2d --limit=7", "1", "prosodyctl", "admin-shell" }, {
				queried.type, queried.source, queried["query.filter"], tostring(queried["query.entries"]), queried["query.through"],
				queried["actor_kind"] or queried["actor.kind"],
			});
			assert.same({ "audit-exported", "csv", file }, { exported.type, exported["query.format"], exported["query.file"] });
			-- As in the store.
			prosody:start();
			assert.equal(exported.id, dump.of_type(prosody, host, "audit-exported")[1].id);
			assert.equal(queried.id, dump.of_type(prosody, host, "audit-queried")[1].id);
		end);

		it("is written atomically to a new file that only its owner can read", function ()
			start {};
			local file = prosody.folder.."/log.jsonl";
			local written, shown, said = ctl("--format=json", "--output", file, "--type=user-*");
			assert.same({ 0, "", ("Wrote %s: 2 entries, %d bytes\n"):format(file, #process.read(file)) }, { written, shown, said });
			assert.equal("rw-------", lfs.attributes(file, "permissions"));
			assert.equal(2, count(process.read(file), "\n"));
			local status, _, err = ctl("--output", file);
			assert.same({ 1, "--output: "..file.." exists already\n" }, { status, err });
			status, _, err = ctl("--output", "/no/such/folder/x");
			assert.equal(1, status);
			assert.is_truthy(err:find("^%-%-output: /no/such/folder/x: No such file"), err);
			-- A full disk, as far as a process can have one of its own.
			local full = prosody.folder.."/full.jsonl";
			local command = { "sh", "-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", "lua5.4", prosody.program_folder.."/prosodyctl", "--config",
				prosody.config_file, "mod_audit", host, "--format=json", "--output", full };
			local env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false };
			status, _, err = process.capture(command, { env = env });
			assert.equal(1, status, err);
			assert.is_truthy(err:find("^%-%-output: "..full:gsub("%p", "%%%0")..": File too large"), err);
			for name in lfs.dir(prosody.folder) do assert.is_nil(name:find("full.jsonl", 1, true), name); end
		end);

		it("says in one line that its output can't be written", function ()
			start {};
			local line = ("{ lua5.4 %s --config %s mod_audit %s %s; echo \"status $?\" >&2; }"):format(
				process.quote(prosody.program_folder.."/prosodyctl"), process.quote(prosody.config_file), host, "%s");
			local env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false };
			local _, _, err = process.capture({ "sh", "-c", line:format("> /dev/full") }, { env = env });
			assert.equal("Standard output can't be written: No space left on device\nstatus 1\n", err);
			_, _, err = process.capture({ "sh", "-c", line:format("").." | true" }, { env = env });
			assert.equal("status 0\n", err);
		end);

		it("follows new entries", function ()
			start {};
			local child = process.start {
				folder = process.new_folder("follow");
				env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false; TZ = "UTC" };
				command = { "lua5.4", prosody.program_folder.."/prosodyctl", "--config", prosody.config_file, "mod_audit", "--follow", "--limit", "1",
					"--type", "server-started,later-*", host };
			};
			assert.is_truthy(process.wait_until(function () return child:output():find("server-started", 1, true); end, 15), child:output());
			for i = 1, 3 do
				prosody:eval("local host, i = ...; module:context(host):audit(nil, 'later-'..i); module:context(host):audit(nil, 'other')", host, i);
				assert.is_truthy(process.wait_until(function () return child:output():find("later%-"..i); end, 10), child:output());
			end
			child:signal("INT");
			assert.is_true(process.wait_until(function () return not child:alive(); end, 5) and true);
			local output = child:output();
			child:finish("KILL");
			for word, times in pairs({ ["server%-started"] = 1; ["later%-1"] = 1; ["later%-2"] = 1; ["later%-3"] = 1; other = 0; TIME = 1 }) do
				assert.equal(times, count(output, word), output);
			end
		end);

		it("leaves pruning to the server as long as it runs", function ()
			start { config = "audit_log_expires_after = 3600\ncron_initial_delay = 3600" };
			prosody:eval([[
				local store = module:context(...):open_store("audit", "archive");
				store:append("@events.2020-01-01", nil, require "util.stanza".stanza("audit-event", { type = "expired" }), 1577880000, "@");
			]], host);
			local status, out, err = ctl("--prune");
			assert.equal(0, status, err);
			assert.is_truthy(out:find("of class events that have expired, from 2020-01-01", 1, true), out);
			assert.is_truthy(prosody:log():find("admin/xmpp:prosody.im/audit:request", 1, true));
			prosody:eval("require 'core.modulemanager'.unload('*', 'admin_shell'); require 'core.modulemanager'.unload('*', 'admin_socket')");
			status, out, err = ctl("--prune");
			assert.same({ 1, "", 1 }, { status, out, count(err, "\n") });
			assert.is_truthy(err:find("enable admin_socket", 1, true), err);
			-- Reading continues without it.
			assert.equal(0, (ctl("--limit=1")));
		end);

		it("refuses wrong arguments with status 2", function ()
			start {};
			for arguments, message in pairs({
				["--since=soon"] = "--since is \"soon\"";
				["--since=1d --until=2d"] = "nothing is between";
				["--ip=203.0.113"] = "not an address or a network";
				["--format=yaml"] = "is not a format";
				["--columns=size"] = "is not a column";
				["--after=x"] = "--after is \"x\"";
				["--follow --output=x"] = "do not go together";
			}) do
				local list = {};
				for argument in arguments:gmatch("%S+") do table.insert(list, argument); end
				local status, out, err = ctl(table.unpack(list));
				assert.same({ 2, "", 1 }, { status, out, count(err, "\n") }, err);
				assert.is_truthy(err:find(message, 1, true), err);
			end
		end);
	end);
end);
