-- What is left in the files of a store of what was erased: src/lua/person/remains.lua. The end-to-end spec (erasure) looks into the files
-- of real stores.

local support = require "support.log";

local host, romeo = support.host, "romeo@"..support.host;

describe("the files of a store", function ()
	it("are told to overwrite what is removed, if they are SQLite's", function ()
		local log = support.new({}, support.new_store(nil, "sql"));
		local store, statements = log.store, {};
		-- The engine, as the driver keeps it.
		local engine = { params = { driver = "SQLite3" }; conn = {} };
		function engine.conn.exec(_, text) table.insert(statements, text); end
		function engine.conn.prepare() end
		function engine.transaction(_, run, ...) return pcall(run, ...); end
		function engine.execute(_, text) table.insert(statements, text); end
		function engine.select() return function () end; end
		local append = store.append;
		function store.append(...)
			local _, key = engine:transaction(append, ...);
			return key;
		end
		assert(log.log.erase(host, { person = romeo; receipt = "R" }));
		assert.same({ "PRAGMA secure_delete=ON;", "PRAGMA wal_checkpoint(TRUNCATE);" }, statements);
		statements = {};
		assert(log.log.erase(host, { person = romeo; preview = true }));
		assert.same({}, statements);
	end);
end);
