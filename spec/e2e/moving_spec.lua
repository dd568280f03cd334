-- Entries that are moved from one storage driver to another while the server runs, is killed, and is read beside.

local lfs = require "lfs";
local moving = require "support.moving";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;

-- The lines of the server's log about a move, without their beginnings.
local function told(prosody)
	local found = {};
	for _, line in ipairs(moving.lines(prosody, "moved from the storage driver")) do
		table.insert(found, line:match("mod_audit\t(.*)"));
	end
	return found;
end

server.each_series(describe, pending, function (series)
	local prosody;

	local function start(storage, config)
		config = config or {};
		prosody = server.start { series = series; storage = storage; modules = { "audit", "audit_auth" }; config = config; eval_timeout = 120 };
		return prosody;
	end

	after_each(server.stop_all);

	local function lists()
		local found = {};
		local folder = prosody.data.."/example%2etest";
		for _, path in ipairs { folder, folder.."/audit" } do
			for name in lfs.dir(path) do
				if name:find("%.list$") then table.insert(found, name); end
			end
		end
		return #found;
	end

	local function record(event_type)
		prosody:eval("local name, event_type = ...; module:context(name):audit(nil, event_type); flush_audit_log();", host, event_type);
	end

	it("moves what the embedded driver holds, whenever it is killed, and shows it meanwhile", function ()
		start("internal", { audit_log_expires_after = "1y" });
		moving.fill(prosody, { partitions = 91, each = 12, older = 300 });
		local expected = moving.shown(prosody);
		assert.equal(91 * 12 + 300, select(2, expected:gsub("%S+", "")));
		assert.is_true(lists() >= 92); -- readings are recorded too
		prosody:kill();
		moving.use(prosody, "native");
		prosody:start();
		assert.equal(expected, moving.shown(prosody));
		local _, _, err = prosody:ctl("mod_audit", host, "--limit=1");
		local told_left = "Entries are being moved from the storage driver internal to audit: %d+ were moved, %d+ partitions are left\n$";
		assert.is_truthy(err:find(told_left), err);
		record("p-new");
		expected = expected.." p-new";
		local kills = 0;
		for i = 1, 8 do
			-- The first round begins after three seconds, and takes a bit more than one.
			socket.sleep(2.9 + i * 0.17);
			assert.equal(expected, moving.shown(prosody));
			if moving.state(prosody) == nil then break; end
			prosody:kill();
			kills = kills + 1;
			assert.equal(expected, moving.shown(prosody), "with the server stopped");
			prosody:start();
		end
		assert.is_true(kills >= 3, kills);
		assert.is_truthy(moving.finish(prosody));
		assert.equal(expected, moving.shown(prosody));
		assert.equal(0, lists());
		local lines = told(prosody);
		local from = "from the storage driver internal to audit";
		assert.equal("info\tThe audit events of example.test are being moved "..from..":", lines[1]:match("^(.-:) %d+ partitions and the older log$"));
		assert.is_truthy(lines[#lines]:find("^info\t%d+ audit events of example.test were moved "..from.."$"), lines[#lines]);
		-- Nothing is moved or said at the next start.
		prosody:restart();
		assert.is_nil(moving.state(prosody));
		assert.equal(expected, moving.shown(prosody));
		assert.equal(#lines, #told(prosody));
	end);

	it("removes what has expired from both drivers, with the server running or stopped in the middle", function ()
		start "internal";
		moving.fill(prosody, { partitions = 41, each = 10, older = 20 });
		prosody:kill();
		moving.use(prosody, "native", { audit_log_expires_after = "8d" });
		prosody:start();
		local expected = moving.shown(prosody);
		assert.equal(160, (select(2, expected:gsub("%S+", ""))) // 20 * 20);
		local status, out, err = prosody:ctl("mod_audit", "--prune", "--trust-clock", host);
		assert.equal(0, status, err);
		assert.equal(expected, moving.shown(prosody), out);
		socket.sleep(2);
		prosody:kill();
		status, out, err = prosody:ctl("mod_audit", "--prune", "--trust-clock", host);
		assert.equal(0, status, err);
		assert.equal(expected, moving.shown(prosody), out);
		prosody:start();
		assert.is_truthy(moving.finish(prosody));
		assert.equal(expected, moving.shown(prosody));
	end);

	it("moves what an SQL driver holds", function ()
		local database = { sql = { driver = "SQLite3", database = "prosody.sqlite" }, default_storage = "sql" };
		start("sqlite", { default_storage = "sql" });
		moving.fill(prosody, { partitions = 25, each = 8, older = 60 });
		local expected = moving.shown(prosody);
		prosody:kill();
		moving.use(prosody, { audit = "audit" }, database);
		prosody:start();
		assert.equal(expected, moving.shown(prosody));
		socket.sleep(3.5);
		prosody:kill();
		assert.equal(expected, moving.shown(prosody));
		prosody:start();
		assert.is_truthy(moving.finish(prosody));
		assert.equal(expected, moving.shown(prosody));
		local _, left = process.capture { "sqlite3", prosody.data.."/prosody.sqlite", "SELECT count(*) FROM prosodyarchive" };
		assert.equal("0\n", left);
	end);

	it("moves entries back to the embedded driver if it is told to, and otherwise says that they stay", function ()
		start "native";
		moving.fill(prosody, { partitions = 11, each = 20, older = 30 });
		local expected = moving.shown(prosody);
		prosody:kill();
		moving.use(prosody, "internal");
		prosody:start();
		assert.equal("", moving.shown(prosody));
		assert.is_truthy(prosody:wait_log("%d+ audit events of example%.test are in audit%.sqlite3, which is not used any more, and are not shown", 5));
		record("p-new");
		expected = expected.." p-new";
		prosody:stop();
		moving.use(prosody, "internal", { audit_log_move_from = "audit" });
		prosody:start();
		assert.equal(expected, moving.shown(prosody));
		socket.sleep(4.5);
		prosody:kill();
		assert.equal(expected, moving.shown(prosody));
		prosody:start();
		assert.is_truthy(moving.finish(prosody, 90));
		assert.equal(expected, moving.shown(prosody));
		local _, left = process.capture { "sqlite3", prosody.data.."/audit.sqlite3", "SELECT count(*) FROM item" };
		assert.equal("0\n", left);
		assert.is_truthy(lists() > 11);
	end);

	for mode, answer in pairs { refuses = "resource-constraint", hangs = false } do
		it("delays nobody if the former driver "..mode, function ()
			start("native", { broken_storage = mode, audit_log_move_from = "broken" });
			prosody:eval([[
				local state = module:shared("/*/storage_broken/state");
				local mode = state.mode;
				state.mode = "works";
				local store = require "core.storagemanager".load_driver((...), "broken"):open("audit", "archive");
				for i = 1, 9 do
					local entry = require "util.stanza".stanza("audit-event", { source = "mod_test", type = "p-"..i });
					assert(store:append("@events.2020-01-0"..i, nil, entry, os.time(), "@"));
				end
				state.mode = mode;
			]], host);
			prosody:adduser("romeo@"..host, "secret");
			local began = socket.gettime();
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			assert.is_true(socket.gettime() - began < 2);
			record("thing");
			assert.equal(0, prosody:eval("return module:shared('/*/audit/log').log.waiting(...)", host));
			if answer then
				assert.is_truthy(prosody:wait_log("can't be moved from the storage driver broken to audit now: "..answer:gsub("%-", "%%-"), 20));
				local text = prosody:log();
				assert.equal(1, select(2, text:gsub("can't be moved from the storage driver", "")));
				prosody:eval("module:shared('/*/storage_broken/state').mode = 'works'");
				assert.is_truthy(moving.finish(prosody, 60));
				assert.equal(1, #moving.lines(prosody, "are being moved from the storage driver broken again"));
			end
		end);
	end
end);
