-- The storage driver "audit" when its file can't be used for a while, and when several processes use it, on real servers: entries wait in
-- the journal, all of them are stored afterwards, none twice and in order, and prosodyctl says what is wrong in one line.

local crash = require "support.crash";
local outage = require "support.outage";
local native_store = require "support.native_store";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local file_of = native_store.file_of;
local quote = process.quote;

local function waiting(prosody)
	return (crash.waiting(prosody));
end

-- Hands over what waits, without the pause after a failure, until all is stored.
local function all_stored(prosody)
	return process.wait_until(function ()
		crash.flush(prosody);
		return waiting(prosody) == 0;
	end, 30, 0.2);
end

-- Nothing is missing, none is there twice, all in order.
local function assert_complete(prosody)
	assert.is_truthy(all_stored(prosody), prosody:log():sub(-2000));
	assert.same({}, crash.faults((crash.stored(prosody)), (crash.returned(prosody))));
	assert.same({ 0, 0 }, { crash.waiting(prosody) });
end

server.each_series(describe, pending, function (series)
	local prosody, disk;

	local function start(options)
		options = options or {};
		options.series, options.storage, options.modules = series, "native", options.modules or crash.modules;
		prosody = server.start(options);
		return prosody;
	end

	after_each(function ()
		server.stop_all();
		if disk then disk:unmount(); end
		disk = nil;
	end);

	local function record(from, count)
		crash.stream(prosody, { from = from; count = count; burst = count });
		assert.is_truthy(process.wait_until(function () return crash.returned(prosody)[from + count - 1]; end, 20, 0.01));
	end

	-- prosodyctl ends with status 1, and says why in one line.
	local function refuses(text, ...)
		local status, out, err = prosody:ctl({ user = prosody.options.user }, "mod_audit", ...);
		assert.equal(1, status, out..err);
		assert.is_truthy(err:find(text, 1, true), err);
		assert.equal(1, select(2, err:gsub("\n", "")), err);
	end

	it("keeps entries in the journal while the disk is full", function ()
		start();
		record(1, 50);
		assert.is_truthy(all_stored(prosody));
		prosody:stop();
		local why;
		disk, why = outage.small_data_disk(prosody, "24m");
		if not disk then return pending(why); end
		prosody:start();
		disk:fill();
		record(101, 800);
		assert.is_truthy(process.wait_until(function ()
			crash.flush(prosody);
			return #prosody:lines_with("the disk is full") > 0;
		end, 20, 0.2), prosody:log():sub(-2000));
		assert.is_true(waiting(prosody) > 0);
		-- What is stored and what waits can be read.
		local shown, status = crash.shown(prosody);
		assert.equal(0, status);
		assert.same({}, crash.faults_of_numbers(shown, (crash.returned(prosody))));
		disk:free();
		assert_complete(prosody);
	end);

	it("keeps entries in memory while nothing can be written to the folder, not even the journals' lock", function ()
		start();
		record(1, 50);
		assert.is_truthy(all_stored(prosody));
		prosody:stop();
		local why;
		disk, why = outage.small_data_disk(prosody, "24m");
		if not disk then return pending(why); end
		disk:read_only(true);
		local text = "the file or its folder can't be written to by this user";
		refuses(text, host);
		prosody:start();
		record(101, 100);
		crash.flush(prosody);
		assert.equal(100, waiting(prosody));
		local lines = prosody:lines_with("audit.sqlite3 can't be used: "..text);
		assert.equal(1, #lines, table.concat(lines, "\n"));
		refuses(text, host);
		disk:read_only(false);
		assert_complete(prosody);
		assert.is_truthy(process.wait_until(function () return #prosody:lines_with("audit.sqlite3 can be used now") == 1; end, 10, 0.1));
	end);

	it("keeps entries in the journal while the file belongs to another user", function ()
		local can, why = server.can_run_as("nobody");
		if not can then return pending(why); end
		start { user = "nobody" };
		record(1, 50);
		assert.is_truthy(all_stored(prosody));
		prosody:stop();
		process.run(("chown root: %s && chmod 600 %s"):format(quote(file_of(prosody)), quote(file_of(prosody))));
		local text = "the file or its folder can't be written to by this user";
		refuses(text, host);
		prosody:start();
		record(101, 100);
		crash.flush(prosody);
		assert.equal(100, waiting(prosody));
		assert.equal(1, #prosody:lines_with("audit.sqlite3 can't be used: "..text), prosody:log():sub(-2000));
		process.run(("chown nobody: %s"):format(quote(file_of(prosody))));
		assert_complete(prosody);
	end);

	-- Writes old entries: as many on each of the last 30 days.
	local function fill_old(count)
		return prosody:eval([[
			local host, count = ...;
			local st = require "util.stanza";
			local store = module:context(host):open_store("audit", "archive");
			assert(store:batch(function ()
				for ago = 0, 29 do
					local when = os.time() - ago * 86400;
					for _ = 1, count do
						local entry = st.stanza("audit-event", { source = "mod_test", type = "old" });
						assert(store:append("@events."..os.date("!%Y-%m-%d", when), nil, entry, when, "@"));
					end
				end
			end));
		]], host, count);
	end

	local expiry = { audit_log_expires_after = "7d" };

	-- prosodyctl mod_audit --prune in the background.
	local function prune()
		return process.start {
			folder = process.new_folder("prune");
			env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;" };
			command = { "lua5.4", prosody.program_folder.."/prosodyctl", "--config", prosody.config_file, "mod_audit", "--prune", "--trust-clock", host };
		};
	end

	local function ended(child)
		return process.wait_until(function () return not child:alive(); end, 60, 0.05);
	end

	local function old_entries()
		local _, _, others = crash.stored(prosody);
		return others.old;
	end

	it("loses nothing while prosodyctl prunes, and a second prosodyctl, and the server starts", function ()
		start { config = expiry };
		fill_old(400);
		record(1, 100);
		assert.is_truthy(all_stored(prosody));
		-- Two at once, beside the server.
		local first, second = prune(), prune();
		crash.stream(prosody, { from = 101; count = 400; interval = 0.005; burst = 1 });
		assert.is_truthy(ended(first) and ended(second));
		assert.is_truthy(process.wait_until(function () return crash.returned(prosody)[500]; end, 20, 0.05));
		assert_complete(prosody);
		-- The server may have been faster. Seven days are left, and what is left of the eighth.
		local left = old_entries();
		assert.is_true(left >= 7 * 400 and left <= 8 * 400, left);
		-- A server that starts meanwhile.
		fill_old(400);
		record(501, 50);
		prosody:kill();
		local third = prune();
		prosody:start();
		crash.stream(prosody, { from = 601; count = 200; interval = 0.005; burst = 1 });
		assert.is_truthy(ended(third));
		assert.is_truthy(process.wait_until(function () return crash.returned(prosody)[800]; end, 20, 0.05));
		assert_complete(prosody);
		assert.is_true(old_entries() >= 14 * 400 and old_entries() <= 16 * 400, old_entries());
	end);

	it("waits for another process that writes, and holds nobody meanwhile", function ()
		start();
		record(1, 50);
		assert.is_truthy(all_stored(prosody));
		local lock = outage.lock_sqlite(file_of(prosody), "wal");
		crash.stream(prosody, { from = 101; count = 200; interval = 0.01; burst = 1 });
		assert.is_truthy(process.wait_until(function () return crash.returned(prosody)[300]; end, 20, 0.05));
		assert.is_true(waiting(prosody) > 0);
		-- Reading does not wait, and shows what waits.
		local shown, status, err = crash.shown(prosody);
		assert.equal(0, status, err);
		assert.same({}, crash.faults_of_numbers(shown, (crash.returned(prosody))));
		lock:finish("KILL");
		assert_complete(prosody);
	end);
end);
