-- What a reading leaves in the log, and what happens if a driver never answers: lua/audit/reading/readings.lib.lua.

local async = require "util.async";
local module_api = require "support.module_api";

local NAMESPACE = "xmpp:prosody.im/audit";

describe("a reading", function ()
	local host, readings;

	local function new_host(options)
		host = module_api.host(options);
		host:load("audit");
		readings = readings or host:library "audit/reading/readings";
		module_api.complaints();
	end

	before_each(function () new_host(); end);

	local function query()
		local entry = host:entries()[#host:entries()];
		return entry.attr.type, entry:get_child("query", NAMESPACE).attr;
	end

	it("leaves an entry that says who read what and how much", function ()
		local id = readings.record(host.name, {
			through = "prosodyctl", filter = "--user=romeo --limit=5", entries = 3, by = "root", actor = { kind = "admin-shell" };
		});
		assert.is_string(id);
		local event_type, attr = query();
		assert.equal("audit-queried", event_type);
		assert.same({ "prosodyctl", "--user=romeo --limit=5", "3", "root" }, { attr.through, attr.filter, attr.entries, attr.by });
	end);

	it("says how it is known who reads, and what is only claimed", function ()
		for _, case in ipairs {
			{ { by = "alice", by_source = "login" }, { "alice", "login", nil } };
			{ { by = "alice", by_source = "login", claimed = true }, { "alice", "login", "true" } };
			{ { by = "alice", by_source = "environment" }, { "alice", "environment", "true" } };
			{ { by = "unknown", by_source = "login", claimed = true }, { "unknown", nil, nil } };
			{ {}, { "unknown", nil, nil } };
			{ { actor = { kind = "admin-shell" } }, { "unknown", nil, nil } };
			-- The actor says who it is.
			{ { actor = { kind = "adhoc", jid = "admin@example.com/phone" } }, { nil, nil, nil } };
		} do
			case[1].through, case[1].entries = "prosodyctl", 0;
			assert.is_string(readings.record(host.name, case[1]));
			local _, attr = query();
			assert.same(case[2], { attr.by, attr["by-source"], attr.claimed });
		end
	end);

	it("tells how many entries are hidden, if any are", function ()
		assert.is_nil(readings.hidden(0));
		assert.equal("1 entry about who read the log and what was removed from it is hidden; --all shows it", readings.hidden(1));
		assert.matches("^3 entries .* are hidden; %-%-all shows them$", readings.hidden(3));
	end);

	it("that leaves the terminal is an export, with its format and file", function ()
		readings.record(host.name, { through = "prosodyctl", entries = 3, exported = true, format = "csv", file = "/tmp/log.csv" });
		local event_type, attr = query();
		assert.same({ "audit-exported", "csv", "/tmp/log.csv", nil }, { event_type, attr.format, attr.file, attr.filter });
	end);

	it("that asked for an address has it as the options allow", function ()
		new_host { audit_log_ipv4_prefix = 24 };
		readings.record(host.name, { through = "shell", filter = "--ip=203.0.113.80", entries = 0 });
		assert.equal("--ip=203.0.113.0/24", select(2, query()).filter);
	end);

	-- Runs f in an async context, until it returns or that many seconds are over.
	local function run(f, seconds)
		local results;
		async.runner(function () results = { f() }; end):run(true);
		for _ = 1, seconds do
			if results then break; end
			module_api.pass(1);
		end
		return results;
	end

	it("returns what it found", function ()
		assert.same({ true, "a", nil, "c" }, run(function ()
			return readings.read(readings.pause, function (pause)
				pause();
				return "a", nil, "c";
			end);
		end, 3));
	end);

	it("that fails is false, with the reason", function ()
		assert.same({ false, "broken" }, run(function ()
			return readings.read(readings.pause, function () error("broken", 0); end);
		end, 3));
	end);

	it("that gets no answer is given up after ten seconds, and goes no further if the answer comes after all", function ()
		local answer, went_on;
		local function read()
			return readings.read(readings.pause, function (pause)
				local wait, done = async.waiter();
				answer = done;
				wait();
				pause();
				went_on = true;
			end);
		end
		assert.is_nil(run(read, 9));
		assert.same({ false, "the storage driver has not answered for 10 seconds" }, run(read, 11));
		answer();
		module_api.pass(1);
		assert.is_nil(went_on);
	end);

	it("is not given up as long as it goes on to pause", function ()
		assert.same({ true, "done" }, run(function ()
			return readings.read(function () async.sleep(6); end, function (pause)
				for _ = 1, 5 do pause(); end
				return "done";
			end);
		end, 60));
	end);

	it("is told in words what pruning did", function ()
		local results = {
			moved = 4;
			{ reason = "expired", count = 3, class = "events", from = 0, till = 86400 };
			{ reason = "limit", count = 2, class = "few", from = -math.huge, till = math.huge };
			{ reason = "addresses", count = 1, class = "events", from = 0, till = 0 };
		};
		assert.same({
			"removed 3 entries of class events that have expired, from 1970-01-01 to 1970-01-02";
			"removed 2 entries of class few beyond its limit, from an unknown day to an unknown day";
			"cut the addresses in 1 entries of class events, from 1970-01-01 to 1970-01-01";
			"moved 4 entries of an older log to partitions";
		}, readings.pruned(results));
		assert.equal("h: nothing has expired", readings.describe("h", { moved = 0 }));
		assert.is_truthy(readings.describe("h", { moved = 0, held = "the clock has jumped" }):find("--trust-clock", 1, true));
	end);
end);
