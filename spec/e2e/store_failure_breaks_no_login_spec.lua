-- Things are broken on purpose. After each, whoever has the right password gets in, who has not does not, and the server
-- answers: a fault in the audit log never reaches a login.

local lfs = require "lfs";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local modules = { "audit", "audit_auth", "audit_register", "audit_user_accounts", "audit_tokens", "audit_status" };
local host = server.default_host;

local function start(options)
	options.modules = options.modules or modules;
	local prosody = server.start(options);
	prosody:adduser("romeo@"..host, "secret");
	return prosody;
end

local function assert_logins_work(prosody)
	assert.is_true((raw.login(prosody, "romeo", "secret")));
	assert.same({ false, "not-authorized" }, { (raw.login(prosody, "romeo", "wrong")), (select(2, raw.login(prosody, "romeo", "wrong"))) });
	assert.equal("alive", prosody:eval("return 'alive'"));
	assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
end

-- Lines of the log at this level or above that are ours. The checkout may be named after us too.
local function complaints(prosody)
	local lines = {};
	for line in prosody:log():gsub(process.root:gsub("%p", "%%%0"), ""):gmatch("[^\n]+") do
		if line:find("%serror%s") and line:find("udit") then
			table.insert(lines, line);
		end
	end
	return lines;
end

local function audit(prosody, user, event_type)
	return prosody:eval("local host, user, event_type = ...; return module:context(host):audit(user, event_type);", host, user, event_type);
end

-- { waiting, lost, … } of the host
local function state(prosody)
	return prosody:eval("return module:shared('/*/audit/log').log.state(...)", host);
end

local function stored_in_broken(prosody)
	return prosody:eval([[
		local count = 0;
		for _, rows in pairs(module:shared("/*/storage_broken/state").rows) do count = count + #rows; end
		return count;
	]]);
end

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(function ()
		if prosody then prosody:stop(); end
		prosody = nil;
	end);

	describe("a store that", function ()
		for _, mode in ipairs({ "refuses", "refuses_as_sql", "refuses_silently", "throws", "throws_a_table" }) do
			for _, way in ipairs({ "journal", "direct" }) do
				it((mode:gsub("_", " "))..", written by "..way, function ()
					prosody = start { series = series, storage = { audit = "broken" }, config = { broken_storage = mode, audit_log_write = way } };
					assert_logins_work(prosody);
					assert_logins_work(prosody);
					assert.is_string((audit(prosody, nil, "test")));
					assert.is_truthy(process.wait_until(function () return #complaints(prosody) > 0; end, 10));
					assert.equal(1, #complaints(prosody), table.concat(complaints(prosody), "\n"));
					assert.is_truthy(complaints(prosody)[1]:find("Audit events of "..host.." can't be stored: ", 1, true));
					-- It works again, and so does the log, without a restart and with all that waited.
					local waiting = state(prosody).waiting;
					assert.equal(8, waiting);
					prosody:eval("module:shared('/*/storage_broken/state').mode = 'works'; flush_audit_log();");
					assert.same({ 0, 0 }, { state(prosody).waiting, state(prosody).lost });
					assert.equal(waiting, stored_in_broken(prosody));
					assert.is_truthy(prosody:log():find("Audit events of "..host.." are stored again; none was lost.", 1, true));
				end);
			end
		end

		it("yields", function ()
			prosody = start { series = series, storage = { audit = "broken" }, config = { broken_storage = "yields" } };
			assert_logins_work(prosody);
			assert.is_truthy(process.wait_until(function () return state(prosody).waiting == 0; end, 10));
			assert.same({}, complaints(prosody));
			assert.equal(4, stored_in_broken(prosody));
		end);

		for name, driver in pairs({ ["is the null driver"] = "null"; ["is missing"] = "of_nobody"; ["has no archives"] = "none" }) do
			it(name, function ()
				prosody = start { series = series, storage = { audit = driver } };
				assert_logins_work(prosody);
				assert.is_truthy(process.wait_until(function () return #complaints(prosody) > 0; end, 10));
				assert_logins_work(prosody);
				assert.equal(1, #complaints(prosody), table.concat(complaints(prosody), "\n"));
				assert.equal(7, state(prosody).waiting);
				if driver ~= "none" then
					local status, _, err = prosody:ctl("mod_audit", host);
					assert.equal(1, status);
					assert.is_truthy(err:find("The audit log of "..host.." can't be read: no storage driver", 1, true), err);
				end
				-- A store that works takes it all.
				prosody:restart { storage = "internal" };
				assert.is_truthy(process.wait_until(function () return state(prosody).waiting == 0; end, 10));
				local _, out = prosody:ctl("mod_audit", host);
				assert.equal(6, (select(2, out:gsub("authentication%-", ""))), out);
			end);
		end

		it("is an SQLite file that another process has locked", function ()
			prosody = start { series = series, storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
			assert_logins_work(prosody);
			-- The driver makes its tables when it is first used; a lock that is there before is Prosody's own trouble.
			prosody:eval("flush_audit_log()");
			assert.equal(0, state(prosody).waiting);
			local lock = process.start {
				folder = process.new_folder("lock");
				command = { "/usr/bin/python3", "-c", [[
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(60)]], prosody.data.."/audit.sqlite" };
			};
			assert.is_truthy(process.wait_until(function () return lock:output():find("locked"); end, 10));
			assert_logins_work(prosody);
			assert.is_string((audit(prosody, nil, "test")));
			assert.is_truthy(process.wait_until(function () return #complaints(prosody) > 0; end, 10));
			-- 0.12 stumbles over the lock where it counts.
			assert.is_truthy(complaints(prosody)[1]:find("locked", 1, true) or complaints(prosody)[1]:find("checking quota", 1, true));
			lock:finish("KILL");
			-- At the latest a minute later it would try by itself.
			assert.is_truthy(process.wait_until(function ()
				prosody:eval("flush_audit_log()");
				return state(prosody).waiting == 0;
			end, 10, 0.5));
			assert.equal(0, state(prosody).lost);
		end);

		it("is on a disk that is full", function ()
			local folder = process.new_folder("disk");
			if os.execute("mount -t tmpfs -o size=256k audit-test "..process.quote(folder).." 2>/dev/null") ~= true then
				return pending("only root can mount a small disk");
			end
			local ok, err = pcall(function ()
				local encoded = host:gsub("%W", function (c) return ("%%%02x"):format(c:byte()); end);
				prosody = start { series = series, modules = { "audit", "audit_auth" }, files = { [encoded.."/x"] = "" } };
				assert(os.execute(("ln -s %s %s"):format(process.quote(folder), process.quote(prosody.data.."/"..encoded.."/audit"))));
				assert_logins_work(prosody);
				assert.is_string((audit(prosody, nil, "before")));
				os.execute(("dd if=/dev/zero of=%s bs=1k count=10000 2>/dev/null"):format(process.quote(folder.."/full")));
				-- What is left of the last block takes a few entries.
				assert.is_truthy(process.wait_until(function ()
					audit(prosody, nil, "full");
					return #complaints(prosody) > 0;
				end, 20));
				assert_logins_work(prosody);
				assert.is_true(state(prosody).waiting > 0);
				os.remove(folder.."/full");
				assert.is_string((audit(prosody, nil, "after")));
				prosody:eval("flush_audit_log()");
				assert.equal(0, state(prosody).waiting);
				prosody:stop();
				local status, out = prosody:ctl("mod_audit", host);
				assert.equal(0, status);
				assert.is_truthy(out:find("after") and out:find("before"));
			end);
			if prosody then prosody:stop(); end
			os.execute("umount "..process.quote(folder));
			assert(ok, err);
		end);
	end);

	it("a database of places that was cut in half", function ()
		local whole = process.read(process.target.."/places.mmdb");
		local config = { audit_log_location_database = "data/half.mmdb" };
		prosody = start { series = series, files = { ["half.mmdb"] = whole:sub(1, #whole // 2) }, config = config };
		assert_logins_work(prosody);
		local _, warnings = prosody:log():gsub("half%.mmdb: ", "");
		assert.equal(1, warnings);
	end);

	it("sessions that lack what a session has", function ()
		prosody = start { series = series };
		local fired = prosody:eval([[
			local host = ...;
			local context = module:context(host);
			local sessions = {
				{};
				{ ip = "127.0.0.1" };
				{ sasl_handler = {} };
				{ ip = "/var/lib/prosody/prosody.sock", sasl_handler = { username = "juliet", selected = "PLAIN" } };
				{ ip = "not an address", conn = {}, secure = true };
				{ ip = {}, id = 5, type = false, client_id = {} };
			};
			local count = 0;
			for _, event in ipairs({ "authentication-failure", "authentication-success" }) do
				for _, session in ipairs(sessions) do
					if context:fire_event(event, { session = session, condition = "not-authorized" }) == nil then
						count = count + 1;
					end
				end
			end
			if context:fire_event("authentication-failure", {}) == nil then count = count + 1; end
			return count;
		]], host);
		assert.equal(13, fired);
		assert_logins_work(prosody);
		assert.same({}, complaints(prosody));
	end);

	it("a client that calls itself something hostile", function ()
		for _, storage in ipairs({ "internal", "sqlite" }) do
			prosody = start { series = series, storage = storage };
			local stored = prosody:eval([=[
				local host = ...;
				local controls = {};
				for byte = 0, 31 do table.insert(controls, string.char(byte)); end
				local names = {
					"\255\254\253"; ("x"):rep(100000); table.concat(controls); "\239\191\190"; "]]>"; "<x>&amp;"; "\27[2J"; "\226\128\174"; "";
				};
				local context = module:context(host);
				for _, name in ipairs(names) do
					context:fire_event("authentication-failure", {
						session = { id = name, type = "c2s_unauthed", ip = "127.0.0.1", client_id = name, sasl_handler = { username = name, selected = name } };
						condition = name; text = name;
					});
				end
				return #names;
			]=], host);
			assert.equal(9, stored);
			assert_logins_work(prosody);
			prosody:stop();
			local status, out, err = prosody:ctl("mod_audit", host);
			assert.same({ 0, "" }, { status, err });
			local _, failures = out:gsub("authentication%-failure", "");
			assert.equal(9 + 2, failures);
			assert.is_nil(out:match("[\0-\8\11-\31\127]"));
		end
	end);

	it("a user name of 3,000 bytes", function ()
		prosody = start { series = series };
		for _, name in ipairs({ ("x"):rep(3000), ("é"):rep(500), "a@b@c", "\255", " " }) do
			local stream = assert(raw.connect(prosody));
			assert.is_false((stream:plain(name, "wrong")));
			stream:close();
		end
		assert.is_string((audit(prosody, ("x"):rep(3000).."@"..host, "test")));
		assert_logins_work(prosody);
		assert.same({}, complaints(prosody));
	end);

	for _, value in ipairs({ "\"never\"", "\"soon\"", "-1", "{}" }) do
		it("audit_log_expires_after = "..value, function ()
			prosody = start { series = series, config = "audit_log_expires_after = "..value };
			assert_logins_work(prosody);
			-- mod_cron runs a task with no protection: one that raises stops all tasks of the server.
			local ran = prosody:eval([[
				local ran = 0;
				for _, task in ipairs(module:context(...):get_host_items("task")) do
					if task.name == "Remove expired audit events" then
						task:run(os.time());
						ran = ran + 1;
					end
				end
				return ran;
			]], host);
			assert.equal(1, ran);
			local _, refused = prosody:log():gsub("Option audit_log_expires_after is", "");
			assert.equal(value == "\"never\"" and 0 or 1, refused);
			local status, out = prosody:ctl("mod_audit", host);
			assert.equal(0, status);
			assert.is_truthy(out:find("authentication-success", 1, true), out);
		end);
	end

	it("a daily task whose store is broken", function ()
		prosody = start { series = series, storage = { audit = "broken" }, config = { broken_storage = "throws" } };
		prosody:eval([[
			for _, task in ipairs(module:context(...):get_host_items("task")) do
				if task.name == "Remove expired audit events" then task:run(os.time()); end
			end
		]], host);
		assert_logins_work(prosody);
		assert.is_truthy(process.wait_until(function () return #complaints(prosody) > 0; end, 10));
		-- That the store is broken is said once, and nothing of it gets to the other tasks.
		assert.equal(1, #complaints(prosody), table.concat(complaints(prosody), "\n"));
		assert.is_nil(prosody:log():find("[Tt]raceback"));
	end);

	it("the modules are reloaded during logins", function ()
		prosody = start { series = series };
		for round = 1, 6 do
			local stream = assert(raw.connect(prosody));
			prosody:eval([[
				local host, round = ...;
				local modulemanager = require "core.modulemanager";
				if round % 2 == 1 then
					assert(modulemanager.reload("*", "audit"));
				end
				for _, name in ipairs { "audit", "audit_auth", "audit_register", "audit_user_accounts", "audit_status" } do
					assert(modulemanager.reload(host, name));
				end
			]], host, round);
			assert.is_false((stream:plain("romeo", "wrong")));
			assert.is_true((stream:plain("romeo", "secret")));
			stream:close();
		end
		assert_logins_work(prosody);
		prosody:stop();
		local _, out = prosody:ctl("mod_audit", "romeo@"..host);
		local _, successes = out:gsub("authentication%-success", "");
		local _, failures = out:gsub("authentication%-failure", "");
		assert.same({ 7, 8 }, { successes, failures });
	end);

	it("the module is unloaded and a third party calls it", function ()
		prosody = start { series = series };
		assert.is_true(prosody:eval([[
			local modulemanager = require "core.modulemanager";
			for _, name in ipairs { "audit_auth", "audit_register", "audit_user_accounts", "audit_status", "audit_tokens", "audit" } do
				modulemanager.unload(..., name);
			end
			modulemanager.unload("*", "audit");
			return rawget(require "core.moduleapi", "audit") == nil;
		]], host));
		assert_logins_work(prosody);
	end);

	it("the library", function ()
		local installed = process.new_folder("modules");
		process.run(("cp -r lua/. %s"):format(process.quote(installed)));
		prosody = start { series = series, plugin_paths = { installed }, library = "beside" };
		assert_logins_work(prosody);
		local missing = prosody:log():match("error\t(Error initializing module 'audit' on '%*': [^\n]*)") or prosody:log():match("[^\n]*audit_core[^\n]*");
		assert.is_truthy(missing:find("audit_core.so is not installed", 1, true) and missing:find("make install LUA=5.4", 1, true), missing);
		prosody:stop();

		process.write(installed.."/audit_core.so", "not a library");
		prosody = start { series = series, plugin_paths = { installed }, library = "beside" };
		assert_logins_work(prosody);
		assert.is_truthy(prosody:log():find("audit_core can't be used by Lua 5.4: ", 1, true));
		prosody:stop();

		process.run(("install -m 644 target/lua5.4/audit_core.so %s"):format(process.quote(installed)));
		prosody = start { series = series, plugin_paths = { installed }, library = "beside" };
		assert.is_string((audit(prosody, nil, "test")));
	end);
end);

assert(lfs.attributes(process.target.."/places.mmdb"), "target/places.mmdb is missing: cargo run --example places makes it");
