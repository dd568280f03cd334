-- Calls to archive stores, and what their drivers answer: src/lua/store/driver.lua. With Prosody's real SQL driver on
-- SQLite, and with drivers that answer in odd ways.

local core = require "audit_core";
local module_api = require "support.module_api";
local process = require "support.process";
local support = require "support.log";

local new_log = support.new;

describe("a storage driver that fails", function ()
	-- What audit() returns, and the one line that says why.
	local function failure(answer)
		local log = new_log { audit_log_write = "direct" };
		function log.store.append() return answer(); end
		local condition;
		for _ = 1, 3 do condition = select(2, log.audit("example.com", nil, "mod_test", "t")); end
		assert.equal(1, #log.lines);
		return condition, log.lines[1];
	end

	for what, row in pairs {
		["a condition"] = { function () return nil, "resource-constraint"; end, "resource-constraint", "resource-constraint" };
		["a text"] = { function () return nil, "disk full"; end, "internal-server-error", "disk full" };
		["nothing"] = { function () end, "internal-server-error", "the storage driver refused without saying why" };
		["an object of util.error"] = {
			function () return nil, { condition = "policy-violation", text = "No." }; end, "policy-violation", "policy-violation: No.";
		};
		["an error"] = { function () error("broken"); end, "internal-server-error", "broken" };
		["an error that is a table"] = { function () error(setmetatable({}, { __tostring = function () return "odd"; end })); end,
			"internal-server-error", "odd" };
	} do
		it("with "..what.." is one line with the cause", function ()
			local condition, line = failure(row[1]);
			assert.equal(row[2], condition);
			assert.is_truthy(line:find(row[3], 1, true), line);
		end);
	end

	it("at different lines and with different addresses in its message has one cause", function ()
		local n = 0;
		local _, line = failure(function ()
			n = n + 1;
			error(("/usr/lib/x.lua:%d: no table: 0x%08x"):format(n, n * 4096), 0);
		end);
		assert.is_truthy(line:find("no table: 0x…", 1, true), line);
		assert.is_nil(line:find("x.lua", 1, true));
	end);
end);

describe("the SQL driver", function ()
	local host, module, path;

	before_each(function ()
		path = process.new_folder("sql").."/audit.sqlite";
		host = module_api.host { storage = "sql", sql = { driver = "SQLite3", database = path }, audit_user_history = false };
		module = host:load("audit").module;
		module_api.complaints();
	end);

	local function sql(text)
		local status, out, err = process.capture { "sqlite3", path, text };
		assert.equal(0, status, err);
		return (out:gsub("\n$", ""));
	end

	local function read(...)
		local asked = assert(core.command({ host.name, "--columns=user", ... }, require "util.time".now())).asked;
		local result, text = nil, {};
		require "util.async".runner(function ()
			result = module_api.log().log.read(asked, function (part) table.insert(text, part); end, {});
		end):run(true);
		for _ = 1, 5 do module_api.pass(0); end
		return result.shown, result.damaged, table.concat(text);
	end

	it("stores entries in partitions, which are listed and read", function ()
		for i = 1, 5 do assert.is_string(module:audit("user"..i.."@"..host.name, "thing")); end
		assert.equal("@events."..os.date("!%Y-%m-%d").."|5", sql([[SELECT "user", count(*) FROM prosodyarchive GROUP BY "user"]]));
		assert.same({ 5, 0, "USER\nuser5@" }, { (read()), select(2, read()), (select(3, read())):sub(1, 11) });
		assert.same({}, module_api.complaints());
	end);

	it("lists partitions among the archives of many other users, and of other hosts", function ()
		module:audit("romeo@"..host.name, "thing");
		sql(([[WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
			INSERT INTO prosodyarchive ("host","user","store","key","when","with","type","value")
			SELECT '%s', CASE WHEN i %% 3 = 0 THEN '@events.2020-01-01' ELSE 'user' || i END, 'audit', 'k' || i, 1, '', 'xml', '<x/>' FROM n
			UNION ALL SELECT 'other.test', '@events.2021-01-01', 'audit', 'o' || i, 1, '', 'xml', '<x/>' FROM n]]):format(host.name));
		local pruned;
		for _, wish in ipairs { {}, { trust_clock = true } } do
			-- At first the years since the last entry look like a wrong clock.
			require "util.async".runner(function () pruned = module_api.log().log.prune(host.name, wish); end):run(true);
			for _ = 1, 20 do module_api.pass(1); end
		end
		assert.same({ 1, 100, 1 }, { #pruned, pruned[1].count, pruned[1].partitions });
		assert.equal("300", sql("SELECT count(*) FROM prosodyarchive WHERE host = 'other.test'"));
		assert.equal("200", sql([[SELECT count(*) FROM prosodyarchive WHERE "user" LIKE 'user%']]));
	end);

	it("has rows that are no XML counted as damaged, and the others read", function ()
		for i = 1, 5 do module:audit("user"..i.."@"..host.name, "thing"); end
		sql([[UPDATE prosodyarchive SET value = '<audit-event' WHERE sort_id IN (SELECT sort_id FROM prosodyarchive ORDER BY sort_id LIMIT 2)]]);
		sql([[UPDATE prosodyarchive SET type = 'json' WHERE sort_id = (SELECT max(sort_id) FROM prosodyarchive)]]);
		local shown, damaged, text = read();
		assert.same({ 2, 3 }, { shown, damaged });
		assert.is_truthy(text:find("user4@", 1, true) and text:find("user3@", 1, true), text);
	end);

	it("gets what waited in one transaction for many entries", function ()
		require "core.configmanager".set(host.name, "audit_log_write", nil);
		module_api.log().log.forget(host.name);
		module:audit(nil, "thing");
		module_api.pass(1);
		local engine;
		for i = 1, 60 do
			local name, value = debug.getupvalue(getmetatable(module:open_store("audit", "archive")).__index.append, i);
			if name == "engine" then engine = value; end
		end
		local commits, commit = 0, engine.conn.commit;
		stub(getmetatable(engine.conn).__index or engine.conn, "commit", function (...)
			commits = commits + 1;
			return commit(...);
		end);
		for _ = 1, 25 do module:audit(nil, "thing"); end
		module_api.pass(1);
		(getmetatable(engine.conn).__index or engine.conn).commit:revert();
		assert.equal(26, (read()));
		assert.is_true(commits >= 1 and commits <= 6, commits.." commits");
	end);

	it("stores each entry once and in order, though a transaction failed in the middle", function ()
		module:audit("user0@"..host.name, "thing");
		require "core.configmanager".set(host.name, "audit_log_write", nil);
		module_api.log().log.forget(host.name);
		sql([[CREATE TRIGGER refuse BEFORE INSERT ON prosodyarchive WHEN NEW.value LIKE '%user7@%' BEGIN SELECT RAISE(ABORT, 'no user 7'); END]]);
		for i = 1, 10 do module:audit("user"..i.."@"..host.name, "thing"); end
		module_api.pass(30);
		assert.equal("0", sql("SELECT count(*) FROM prosodyarchive WHERE value LIKE '%user7@%' OR value LIKE '%user8@%'"));
		assert.equal(1, #module_api.complaints("can't be stored"));
		sql("DROP TRIGGER refuse");
		module_api.pass(61);
		local expected = {};
		for i = 0, 10 do expected[i + 1] = "user"..i; end
		assert.equal(table.concat(expected, "\n"), sql([[SELECT substr("with", 1, instr("with", '@') - 1) FROM prosodyarchive ORDER BY sort_id]]));
	end);
end);
