-- The storage driver "audit" on real servers: one file for all hosts, what becomes of a file that can't be used, other modules' archives.

local dump = require "support.dump";
local lfs = require "lfs";
local native_store = require "support.native_store";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host, other = server.default_host, "other.test";
local file_of, sql = native_store.file_of, native_store.sql;

local function audit(prosody, name, event_type)
	prosody:eval("local name, event_type = ...; module:context(name):audit(nil, event_type); flush_audit_log();", name, event_type);
end

local function waiting(prosody)
	return prosody:eval("return module:shared('/*/audit/log').log.state(...)", host).waiting;
end

local function count(prosody, event_type)
	local status, out, err = prosody:ctl("mod_audit", "--format=json", "--type="..event_type, host);
	assert.equal(0, status, err);
	return select(2, out:gsub("\n", "\n"));
end

-- prosodyctl says it in one line.
local function refuses(prosody, text)
	local status, out, err = prosody:ctl("mod_audit", "--format=json", host);
	assert.equal(1, status, out);
	assert.is_truthy(err:find(text, 1, true), err);
	assert.equal(1, select(2, err:gsub("\n", "")), err);
end

server.each_series(describe, pending, function (series)
	local prosody;

	local function start(options)
		options = options or {};
		options.series, options.storage = series, options.storage or "native";
		options.modules = options.modules or { "audit", "audit_auth" };
		prosody = server.start(options);
		return prosody;
	end

	after_each(server.stop_all);

	it("keeps all hosts in one file, which belongs to the server alone", function ()
		start { hosts = { host, other } };
		audit(prosody, host, "here");
		audit(prosody, other, "there");
		assert.equal(other.." "..host, (sql(prosody, "SELECT DISTINCT host FROM archive WHERE store = 'audit' ORDER BY host DESC"):gsub("\n", " ")));
		for _, ending in ipairs { "", "-wal", "-shm" } do
			assert.equal("rw-------", lfs.attributes(file_of(prosody)..ending, "permissions"));
		end
		-- Logins are recorded, and one process has the file open once, whatever the number of hosts.
		prosody:adduser("romeo@"..host, "secret");
		assert.is_true((raw.login(prosody, "romeo", "secret")));
		assert.is_false((raw.login(prosody, "romeo", "wrong")));
		prosody:eval("flush_audit_log()");
		assert.same({ 1, 1, 1 }, { count(prosody, "here"), count(prosody, "authentication-success"), count(prosody, "authentication-failure") });
		prosody:stop();
		assert.equal(1, count(prosody, "here"));
	end);

	it("has lost nothing after kill -9, and has one thread that waits for the disk", function ()
		start();
		for i = 1, 20 do audit(prosody, host, "before-"..i); end
		prosody:kill();
		prosody:start();
		assert.equal(20, count(prosody, "before-*"));
		assert.equal("2", process.read("/proc/"..prosody.pid.."/status"):match("Threads:%s*(%d+)"));
	end);

	for what, damage in pairs {
		["a file of a newer version"] = { "PRAGMA user_version = 99", "was made by a newer version", "PRAGMA user_version = $format" };
		["a database of another program"] = { "PRAGMA application_id = 7", "is a database of another program", "PRAGMA application_id = 1346467172" };
	} do
		it("leaves "..what.." alone: entries wait, and are stored when it can be used", function ()
			start();
			audit(prosody, host, "before");
			prosody:stop();
			local format = sql(prosody, "PRAGMA user_version"):match("%d+");
			sql(prosody, damage[1]);
			prosody:start();
			audit(prosody, host, "meanwhile");
			assert.is_true(waiting(prosody) >= 1);
			assert.equal(1, #prosody:lines_with("audit.sqlite3 can't be used: "), prosody:log());
			assert.is_true(#prosody:lines_with(damage[2]) >= 1, prosody:log());
			refuses(prosody, damage[2]);
			local size = lfs.attributes(file_of(prosody), "size");
			sql(prosody, (damage[3]:gsub("%$format", format)));
			assert.is_truthy(process.wait_until(function ()
				prosody:eval("flush_audit_log()");
				return waiting(prosody) == 0;
			end, 20, 0.5));
			assert.is_true(lfs.attributes(file_of(prosody), "size") >= size);
			assert.same({ 1, 1 }, { count(prosody, "before"), count(prosody, "meanwhile") });
		end);
	end

	it("keeps the archive of another module", function ()
		start { storage = { audit = "audit"; archive = "audit" }; modules = { "audit", "mam" } };
		local found = prosody:eval([[
			local host = ...;
			local st = require "util.stanza";
			local store = module:context(host):open_store("archive", "archive");
			for i = 1, 5 do
				assert(store:append("romeo", nil, st.message({ to = "a@b" }):body("message "..i):reset(), 1000 + i, "juliet@"..host));
			end
			assert(store:delete(true, { ["end"] = 1002 }) == 2);
			local texts = {};
			for _, message in store:find("romeo", { with = "juliet@"..host }) do texts[#texts + 1] = message:get_child_text("body"); end
			require "core.storagemanager".purge("romeo", host);
			return texts, (store:find("romeo", {})()) == nil;
		]], host);
		assert.same({ "message 3", "message 4", "message 5" }, found);
	end);

	it("is pruned while the server runs", function ()
		start { config = { audit_log_expires_after = "7d" } };
		prosody:eval([[
			local host = ...;
			local st = require "util.stanza";
			local store = module:context(host):open_store("audit", "archive");
			for ago = 0, 20 do
				local when = os.time() - ago * 86400;
				for _ = 1, 10 do
					local entry = st.stanza("audit-event", { source = "mod_test", type = "thing" });
					assert(store:append("@events."..os.date("!%Y-%m-%d", when), nil, entry, when, "@"));
				end
			end
		]], host);
		local status, out, err = prosody:ctl("mod_audit", "--prune", "--trust-clock", host);
		assert.equal(0, status, err);
		assert.is_truthy(out:find("130 entries", 1, true) or out:find("12", 1, true), out);
		local days = {};
		for _, entry in ipairs(dump.entries(prosody)) do
			if entry.source == "mod_test" then days[entry.partition] = (days[entry.partition] or 0) + 1; end
		end
		local partitions = 0;
		for _, entries in pairs(days) do
			partitions = partitions + 1;
			assert.equal(10, entries);
		end
		assert.equal(8, partitions);
	end);
end);
