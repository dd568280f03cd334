-- The log in MariaDB: text of any alphabet, pruning, a shared connection. Other specs use MariaDB too.

local client = require "support.client";
local crash = require "support.crash";
local mariadb = require "support.mariadb";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

-- Characters of 1 to 4 bytes; the last is composed of two.
local TEXT = "a ü 漢 😀 𝔄 👩🏽";

server.each_series(describe, pending, function (series)
	describe("MariaDB", function ()
		local prosody;

		after_each(server.stop_all);

		local function test(title, define)
			it(title, function ()
				local here, why = mariadb.available();
				if not here then return pending(why); end
				define();
			end);
		end

		local function start(options)
			options.series, options.storage = series, options.storage or "mariadb";
			prosody = server.start(options);
		end

		local function entries(filter)
			local status, out = prosody:ctl("mod_audit", "--format=json", "--no-global", filter, host);
			assert.equal(0, status);
			return out;
		end

		for _, way in ipairs({ "journal", "direct" }) do
			test("keeps text as it is, audit_log_write = "..way, function ()
				start { modules = { "audit", "audit_auth", "test_stream" }, config = { audit_log_write = way } };
				prosody:eval([[
					local st, text = require "util.stanza", ...;
					module:context("example.test"):audit("😀ü@example.test", "test-event", {
						custom = { st.stanza("note", { xmlns = "urn:test", title = text }):text(text) };
					});
				]], TEXT);
				assert.is_truthy(crash.settle(prosody));
				local entry = entries("--type=test-event");
				local _, count = entry:gsub(TEXT, "");
				assert.equal(2, count, entry);
				assert.is_truthy(entry:find("😀ü@example.test", 1, true), entry);
				assert.equal(entry, entries("--user=😀ü@example.test"), "it is not found by the name");
				assert.equal("", entries("--user=😀u@example.test"), "another name is found");
				-- The text was stored unchanged.
				assert.is_nil(prosody:log():find("can't be stored", 1, true));
			end);
		end

		test("removes what has expired and cuts addresses", function ()
			start { modules = { "audit", "test_stream" }, config = { audit_log_expires_after = "never" } };
			crash.stream(prosody, { from = 1, count = 1200, burst = 1200 });
			assert.is_truthy(crash.settle(prosody));
			prosody:stop();
			local database = prosody.database;
			local query = mariadb.shared();
			local names = query:query("SELECT DISTINCT user FROM prosodyarchive WHERE user LIKE '@events%' ORDER BY user", database);
			local day = names:match("@events%.(%S+)");
			-- Written long ago, as their names say.
			assert(query:query(("UPDATE prosodyarchive SET user = REPLACE(user, '%s', '2020-01-01'), `when` = 1577880000")
				:format(day), database));
			prosody:start { config = { audit_log_expires_after = "1d" } };
			local status, out = prosody:ctl("mod_audit", "--prune", host);
			assert.equal(0, status);
			prosody:stop();
			assert.equal("0", query:query("SELECT COUNT(*) FROM prosodyarchive WHERE user LIKE '@events.2020%'", database), out);
			assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
		end);

		test("is shared with accounts, and with a server that prosodyctl reads beside", function ()
			start { modules = { "audit", "audit_auth", "test_stream" } };
			prosody:adduser("romeo@"..host, "secret");
			crash.stream(prosody, { from = 1, interval = 0.02, burst = 4 });
			for _ = 1, 4 do
				assert.is_true((raw.login(prosody, "romeo", "secret")));
				assert.is_true(client.login(prosody, "romeo@"..host, "secret").ok);
				local returned = crash.returned(prosody);
				local numbers, status = crash.shown(prosody);
				assert.equal(0, status);
				assert.same({}, crash.faults_of_numbers(numbers, returned));
			end
			crash.stop(prosody);
			assert.is_truthy(crash.settle(prosody));
			local stored, lost = crash.stored(prosody);
			assert.same({}, crash.faults(stored, crash.returned(prosody)));
			assert.equal(0, lost);
		end);
	end);
end);
