-- A store that fails, in any way, breaks no login: a client with the right password gets in, one with a wrong password does
-- not, and the server answers. When the store works again, it has all entries. Other faults: faults_break_no_login_spec.lua.

local logins = require "support.logins";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

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
	after_each(server.stop_all);

	describe("a store that", function ()
		for _, mode in ipairs({ "refuses", "refuses_as_sql", "refuses_silently", "throws", "throws_a_table" }) do
			for _, way in ipairs({ "journal", "direct" }) do
				it((mode:gsub("_", " "))..", written by "..way, function ()
					prosody = logins.start { series = series, storage = { audit = "broken" }, config = { broken_storage = mode, audit_log_write = way } };
					logins.assert_work(prosody);
					logins.assert_work(prosody);
					assert.is_string((logins.audit(prosody, nil, "test")));
					assert.is_truthy(process.wait_until(function () return #logins.complaints(prosody) > 0; end, 10));
					assert.equal(1, #logins.complaints(prosody), table.concat(logins.complaints(prosody), "\n"));
					assert.is_truthy(logins.complaints(prosody)[1]:find("Audit events of "..host.." can't be stored: ", 1, true));
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
			prosody = logins.start { series = series, storage = { audit = "broken" }, config = { broken_storage = "yields" } };
			logins.assert_work(prosody);
			assert.is_truthy(process.wait_until(function () return state(prosody).waiting == 0; end, 10));
			assert.same({}, logins.complaints(prosody));
			assert.equal(4, stored_in_broken(prosody));
		end);

		for name, driver in pairs({ ["is the null driver"] = "null"; ["is missing"] = "of_nobody"; ["has no archives"] = "none" }) do
			it(name, function ()
				prosody = logins.start { series = series, storage = { audit = driver } };
				logins.assert_work(prosody);
				assert.is_truthy(process.wait_until(function () return #logins.complaints(prosody) > 0; end, 10));
				logins.assert_work(prosody);
				assert.equal(1, #logins.complaints(prosody), table.concat(logins.complaints(prosody), "\n"));
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
			prosody = logins.start { series = series, storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } } };
			logins.assert_work(prosody);
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
			logins.assert_work(prosody);
			assert.is_string((logins.audit(prosody, nil, "test")));
			assert.is_truthy(process.wait_until(function () return #logins.complaints(prosody) > 0; end, 10));
			-- 0.12 meets the lock when it counts entries.
			assert.is_truthy(logins.complaints(prosody)[1]:find("locked", 1, true) or logins.complaints(prosody)[1]:find("checking quota", 1, true));
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
				prosody = logins.start { series = series, modules = { "audit", "audit_auth" }, files = { [encoded.."/x"] = "" } };
				assert(os.execute(("ln -s %s %s"):format(process.quote(folder), process.quote(prosody.data.."/"..encoded.."/audit"))));
				logins.assert_work(prosody);
				assert.is_string((logins.audit(prosody, nil, "before")));
				os.execute(("dd if=/dev/zero of=%s bs=1k count=10000 2>/dev/null"):format(process.quote(folder.."/full")));
				-- The last block of the disk has room for a few more entries.
				assert.is_truthy(process.wait_until(function ()
					logins.audit(prosody, nil, "full");
					return #logins.complaints(prosody) > 0;
				end, 20));
				logins.assert_work(prosody);
				assert.is_true(state(prosody).waiting > 0);
				os.remove(folder.."/full");
				assert.is_string((logins.audit(prosody, nil, "after")));
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

	it("a daily task whose store is broken", function ()
		prosody = logins.start { series = series, storage = { audit = "broken" }, config = { broken_storage = "throws" } };
		prosody:eval([[
			for _, task in ipairs(module:context(...):get_host_items("task")) do
				if task.name == "Remove expired audit events" then task:run(os.time()); end
			end
		]], host);
		logins.assert_work(prosody);
		assert.is_truthy(process.wait_until(function () return #logins.complaints(prosody) > 0; end, 10));
		-- The broken store is reported once, and the other tasks are not affected.
		assert.equal(1, #logins.complaints(prosody), table.concat(logins.complaints(prosody), "\n"));
		assert.is_nil(prosody:log():find("[Tt]raceback"));
	end);
end);
