-- Whether somebody has changed the log, on real servers and stores: what nobody touched verifies, and what was edited in the store while
-- the server was stopped is found.

local dump = require "support.dump";
local native_store = require "support.native_store";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

local function verify(prosody)
	local status, out, err = prosody:ctl("mod_audit", "--verify", host);
	return status, out, err;
end

local function is_intact(prosody)
	local status, out, err = verify(prosody);
	assert.equal(0, status, out..err);
	assert.is_truthy(out:find("^"..host:gsub("%p", "%%%0")..": intact: %d+ entries verified in %d chains?\n"), out);
	return tonumber(out:match("intact: (%d+)"));
end

-- How to edit each store without the server: change(prosody), an edit of one entry, and remove(prosody), the removal of one.
local function files_of(prosody)
	local _, text = process.capture { "find", prosody.data, "-name", "*.list", "-path", "*audit*events*" };
	return text:match("[^\n]+");
end

local function edit_file(prosody, edit)
	local path = files_of(prosody);
	local text = process.read(path);
	local changed = edit(text);
	assert.is_not.equal(text, changed);
	local file = assert(io.open(path, "w"));
	file:write(changed);
	file:close();
	os.remove((path:gsub("%.list$", ".lidx")));
end

local function sqlite(prosody, text)
	local status, out, err = process.capture { "sqlite3", prosody.data.."/prosody.sqlite", text };
	assert(status == 0, err);
	return out;
end

local function postgres_query(prosody, text)
	assert(require "support.postgres".shared():query(text, prosody.database));
end

local ONE = "\"sort_id\" = (SELECT max(\"sort_id\") - 1 FROM \"prosodyarchive\" WHERE \"store\" = 'audit' AND \"user\" LIKE '@events%')";

local stores = {
	internal = {
		change = function (prosody)
			edit_file(prosody, function (text) return (text:gsub("thing%-happened", "thing-imagined", 1)); end);
		end;
		remove = function (prosody)
			edit_file(prosody, function (text)
				local begin = text:find("\nitem%(", 2);
				return text:sub(1, begin)..text:sub(select(2, text:find("\n}%);", begin)) + 2);
			end);
		end;
	};
	sqlite = {
		change = function (prosody)
			sqlite(prosody, "UPDATE prosodyarchive SET value = replace(value, 'thing-happened', 'thing-imagined') WHERE "..ONE);
		end;
		remove = function (prosody) sqlite(prosody, "DELETE FROM prosodyarchive WHERE "..ONE); end;
	};
	postgresql = {
		change = function (prosody)
			postgres_query(prosody, "UPDATE prosodyarchive SET value = replace(value, 'thing-happened', 'thing-imagined') WHERE "..ONE);
		end;
		remove = function (prosody) postgres_query(prosody, "DELETE FROM prosodyarchive WHERE "..ONE); end;
	};
	native = {
		change = function (prosody)
			-- Its entries are in a form of its own: the time is what can be edited as it is.
			native_store.sql(prosody, "UPDATE item SET \"when\" = \"when\" + 1 WHERE id = (SELECT id FROM item ORDER BY id DESC LIMIT 1 OFFSET 1)");
		end;
		remove = function (prosody) native_store.sql(prosody, "DELETE FROM item WHERE id = (SELECT id FROM item ORDER BY id DESC LIMIT 1 OFFSET 1)"); end;
	};
};

server.each_series(describe, pending, function (series)
	local prosody;

	local function start(options)
		options.series, options.modules = series, options.modules or { "audit", "audit_auth", "audit_status" };
		prosody = server.start(options);
		return prosody;
	end

	local function audit(count, event_type)
		prosody:eval([[
			local host, count, event_type = ...;
			for i = 1, count do
				module:context(host):audit("user"..i.."@"..host, event_type, { session = { id = "c2s"..i, ip = "203.0.113."..i } });
			end
		]], host, count, event_type or "thing-happened");
	end

	after_each(server.stop_all);

	for _, storage in ipairs { "internal", "sqlite", "native", "postgresql" } do
		it("verifies an untouched log and finds an edit, in "..storage, function ()
			start { storage = storage };
			prosody:adduser("romeo@"..host, "secret");
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			assert.is_false((raw.login(prosody, "romeo", "wrong")));
			audit(20);
			local before = is_intact(prosody);
			assert.is_true(before >= 22);
			prosody:eval("flush_audit_log()");
			assert.equal(before, is_intact(prosody));
			-- After a kill, while it does not run, and after the next start.
			audit(5);
			prosody:kill();
			assert.equal(before + 5, is_intact(prosody));
			prosody:start();
			audit(5);
			prosody:eval("flush_audit_log()");
			prosody:stop();
			is_intact(prosody);
			stores[storage].change(prosody);
			local status, out = verify(prosody);
			assert.equal(3, status, out);
			assert.is_truthy(out:find("TAMPERED", 1, true) and (out:find("altered", 1, true) or out:find("moved", 1, true)), out);
			stores[storage].remove(prosody);
			status, out = verify(prosody);
			assert.equal(3, status, out);
			assert.is_truthy(out:find("removed: no rule has removed it", 1, true), out);
		end);
	end

	for _, storage in ipairs { "internal", "sqlite", "native" } do
		it("reads each host's own store when one process has several hosts, in "..storage, function ()
			local hosts = { host, "other.test", "third.test" };
			start { storage = storage, hosts = hosts };
			for i, name in ipairs(hosts) do
				prosody:eval([[
					local name, count = ...;
					for i = 1, count do module:context(name):audit("romeo@"..name, "thing-happened", { session = { id = "c2s"..i, ip = "203.0.113."..i } }); end
				]], name, 10 * i);
			end
			prosody:stop();
			local status, out, err = prosody:ctl("mod_audit", "--verify");
			assert.equal(0, status, out..err);
			for i, name in ipairs(hosts) do
				assert.is_true(tonumber(("\n"..out):match("\n"..name:gsub("%p", "%%%0")..": intact: (%d+)") or 0) >= 10 * i, out);
			end
			status, out, err = prosody:ctl("mod_audit", "--erase", "romeo@third.test", "--yes");
			assert.equal(0, status, out..err);
			for i, name in ipairs(hosts) do
				status, out, err = prosody:ctl("mod_audit", "--format=json", "--user=romeo", name);
				assert.equal(0, status, out..err);
				assert.equal(i < 3 and 10 * i or 0, select(2, out:gsub("\n", "")), name.."\n"..out);
			end
			status, out, err = prosody:ctl("mod_audit", "--verify");
			assert.equal(0, status, out..err);
		end);
	end

	it("is content after prosodyctl has pruned beside the server, and while it was stopped", function ()
		start { config = { audit_log_flood = false, audit_log_classes = { events = { limit = 1 } } } };
		local function removed()
			local status, out, err = verify(prosody);
			assert.equal(0, status, out..err);
			return tonumber(out:match("\nremoved by rule: (%d+) entries") or 0);
		end
		local before = 0;
		for _, is_running in ipairs { true, false } do
			-- A partition has 500 entries, and is removed whole. The server may be the first to do that, soon after its start.
			local status, out, err;
			for attempt = 1, 3 do
				audit(520);
				prosody:eval("flush_audit_log()");
				audit(2);
				if not is_running then prosody:stop(); end
				status, out, err = prosody:ctl("mod_audit", "--prune", host);
				assert.equal(0, status, out..err);
				if out:find("removed %d+ entries of class events") then break; end
				assert.is_true(attempt < 3, out);
				if not is_running then prosody:start(); end
			end
			local now = removed();
			assert.is_true(now >= before + 500, now.." after "..before);
			before = now;
			if is_running then
				audit(1);
				prosody:kill();
				assert.equal(before, removed());
				prosody:start();
			end
		end
		prosody:start();
		audit(1);
		prosody:stop();
		assert.equal(before, removed());
	end);

	it("is content after reloads and kills, with direct writes", function ()
		start { config = "audit_log_write = \"direct\"" };
		audit(10);
		prosody:reload();
		audit(10);
		prosody:kill();
		prosody:start();
		audit(3);
		is_intact(prosody);
		prosody:stop();
		assert.is_true(is_intact(prosody) >= 23);
	end);

	it("finds that everything was restored by the anchors that were kept", function ()
		start {};
		audit(5);
		prosody:stop();
		process.run("cp -a "..process.quote(prosody.data).." "..process.quote(prosody.folder.."/kept"));
		prosody:start();
		audit(5);
		local status, out, err = prosody:ctl("mod_audit", "--format=csv", "--all", host);
		assert.equal(0, status, err);
		process.write(prosody.folder.."/export.csv", out);
		prosody:stop();
		process.run("rm -rf "..process.quote(prosody.data).." && mv "..process.quote(prosody.folder.."/kept").." "..process.quote(prosody.data));
		prosody:start();
		audit(1);
		is_intact(prosody);
		status, out, err = prosody:ctl("mod_audit", "--verify", "--anchor", prosody.folder.."/export.csv", host);
		assert.equal(3, status, out..err);
		assert.is_truthy(out:find("rolled back: an anchor was kept of it", 1, true) or out:find("forked: an anchor", 1, true), out);
	end);

	it("is verified by the server too, which says what was changed", function ()
		start { storage = "sqlite" };
		audit(20);
		prosody:eval("flush_audit_log()");
		local function run()
			return prosody:eval([[
				local verifying = module:shared("/*/audit/log").verifying;
				local result = assert(verifying.run(...));
				return result.intact, result.faults;
			]], host);
		end
		assert.same({ true, 0 }, { run() });
		assert.is_nil(prosody:log():find("was changed", 1, true));
		prosody:stop();
		stores.sqlite.change(prosody);
		prosody:start();
		for _ = 1, 2 do
			local intact, faults = run();
			assert.is_false(intact);
			assert.is_true(faults >= 1);
		end
		assert.is_truthy(prosody:wait_log("error%s+The audit log was changed: "..host:gsub("%p", "%%%0")..": TAMPERED"));
		assert.equal(1, #dump.of_type(prosody, host, "audit-tampered"));
		local status, out = prosody:ctl("mod_audit", "--format=json", "--type=audit-tampered", host);
		assert.equal(0, status);
		assert.equal(1, select(2, out:gsub("\n", "")), out);
		assert.is_truthy(out:find('"verification.faults":"', 1, true), out);
	end);

	it("says how far the log had got when the machine was started", function ()
		-- The machine can't be started anew, so another name of its start is read.
		local env = { BOOT = "one"; LUA_INIT = [[
			local real = require;
			function require(name)
				local library = real(name);
				if name == "audit_core" and not library.real_uptime then
					library.real_uptime = library.uptime;
					library.uptime = function (now) return library.real_uptime(now), os.getenv("BOOT"); end;
				end
				return library;
			end
		]] };
		start { env = env };
		audit(3);
		prosody:stop();
		env.BOOT = "two";
		prosody:start();
		audit(1);
		is_intact(prosody);
		assert.equal(1, #dump.of_type(prosody, host, "audit-opened"));
		local _, out = prosody:ctl("mod_audit", "--format=json", "--type=audit-opened", host);
		assert.equal(1, select(2, out:gsub("\n", "")), out);
		assert.is_truthy(out:find('"opened.head.chain":"', 1, true) or out:find("opened%.head"), out);
	end);

	it("says in one line what is wrong with the request", function ()
		start {};
		for _, row in ipairs {
			{ { "--verify", "nobody.example" }, 1, "nobody.example" };
			{ { "--verify", "romeo@"..host }, 2, "--verify is for a whole host: --verify "..host };
			{ { "--verify", "--limit=5", host }, 2, "--verify and --limit do not go together" };
		} do
			local status, out, err = prosody:ctl("mod_audit", table.unpack(row[1]));
			assert.equal(row[2], status, out..err);
			assert.is_truthy(err:find(row[3], 1, true), err);
			assert.equal(1, select(2, err:gsub("\n", "")), err);
		end
	end);
end);
