-- Work on the engine of an SQL store: src/lua/store/sql.lua, with Prosody's SQL driver.

local module_api = require "support.module_api";
local sqlite = require "support.sqlite";

describe("an SQL store", function ()
	local log;

	before_each(function () log = sqlite.new(); end);

	it("has its partitions listed among the archives of many other users, and of other hosts", function ()
		log.module:audit("romeo@"..log.host.name, "thing");
		log:sql(([[WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
			INSERT INTO prosodyarchive ("host","user","store","key","when","with","type","value")
			SELECT '%s', CASE WHEN i %% 3 = 0 THEN '@events.2020-01-01' ELSE 'user' || i END, 'audit', 'k' || i, 1, '', 'xml', '<x/>' FROM n
			UNION ALL SELECT 'other.test', '@events.2021-01-01', 'audit', 'o' || i, 1, '', 'xml', '<x/>' FROM n]]):format(log.host.name));
		-- At first the years since the last entry look like a wrong clock.
		log:prune({});
		local pruned = log:prune({ trust_clock = true });
		assert.same({ 1, 100, 1 }, { #pruned, pruned[1].count, pruned[1].partitions });
		assert.equal("300", log:sql("SELECT count(*) FROM prosodyarchive WHERE host = 'other.test'"));
		assert.equal("200", log:sql([[SELECT count(*) FROM prosodyarchive WHERE "user" LIKE 'user%']]));
	end);

	it("gets what waited in one transaction for many entries", function ()
		log:use_journal();
		log.module:audit(nil, "thing");
		module_api.pass(1);
		local connection = log:engine().conn;
		local class = getmetatable(connection).__index or connection;
		local commits, commit = 0, connection.commit;
		stub(class, "commit", function (...)
			commits = commits + 1;
			return commit(...);
		end);
		for _ = 1, 25 do log.module:audit(nil, "thing"); end
		module_api.pass(1);
		class.commit:revert();
		assert.equal("26", log:sql("SELECT count(*) FROM prosodyarchive"));
		assert.is_true(commits >= 1 and commits <= 6, commits.." commits");
	end);

	it("has each entry once and in order, though a transaction failed in the middle", function ()
		log.module:audit("user0@"..log.host.name, "thing");
		log:use_journal();
		log:sql([[CREATE TRIGGER refuse BEFORE INSERT ON prosodyarchive WHEN NEW.value LIKE '%user7@%' BEGIN SELECT RAISE(ABORT, 'no user 7'); END]]);
		for i = 1, 10 do log.module:audit("user"..i.."@"..log.host.name, "thing"); end
		module_api.pass(30);
		assert.equal("0", log:sql("SELECT count(*) FROM prosodyarchive WHERE value LIKE '%user7@%' OR value LIKE '%user8@%'"));
		assert.equal(1, #module_api.complaints("can't be stored"));
		log:sql("DROP TRIGGER refuse");
		module_api.pass(61);
		local expected = {};
		for i = 0, 10 do expected[i + 1] = "user"..i; end
		assert.equal(table.concat(expected, "\n"), log:sql([[SELECT substr("with", 1, instr("with", '@') - 1) FROM prosodyarchive ORDER BY sort_id]]));
	end);

	it("leaves no transaction open after one that failed", function ()
		log.module:audit(nil, "thing");
		log:sql([[CREATE TRIGGER refuse BEFORE INSERT ON prosodyarchive BEGIN SELECT RAISE(ABORT, 'no'); END]]);
		log:use_journal();
		for _ = 1, 3 do log.module:audit(nil, "thing"); end
		module_api.pass(5);
		-- Another program can write.
		log:sql("DROP TRIGGER refuse; DELETE FROM prosodyarchive");
		module_api.pass(61);
		assert.equal("3", log:sql("SELECT count(*) FROM prosodyarchive"));
	end);
end);
