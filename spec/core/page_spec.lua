-- Reading from a store: src/lua/store/page.lua, with Prosody's SQL driver.

local module_api = require "support.module_api";
local sqlite = require "support.sqlite";

describe("a page of an SQL store", function ()
	local log;

	before_each(function () log = sqlite.new(); end);

	local function audit(from, to)
		for i = from, to do assert.is_string(log.module:audit("user"..i.."@"..log.host.name, "thing")); end
	end

	it("has the entries of its partition", function ()
		audit(1, 5);
		local shown, damaged, text = log:read();
		assert.same({ 5, 0 }, { shown, damaged });
		local order = {};
		for number in text:gmatch("user(%d)@") do table.insert(order, number); end
		assert.equal("5 4 3 2 1", table.concat(order, " "));
		assert.same({}, module_api.complaints());
	end);

	it("has rows that are no XML counted as damaged, and the others read", function ()
		audit(1, 5);
		log:sql([[UPDATE prosodyarchive SET value = '<audit-event' WHERE sort_id IN (SELECT sort_id FROM prosodyarchive ORDER BY sort_id LIMIT 2)]]);
		log:sql([[UPDATE prosodyarchive SET type = 'json' WHERE sort_id = (SELECT max(sort_id) FROM prosodyarchive)]]);
		local shown, damaged, text = log:read();
		assert.same({ 2, 3 }, { shown, damaged });
		assert.is_truthy(text:find("user4@", 1, true) and text:find("user3@", 1, true), text);
	end);

	it("begins behind the one before it, over many pages", function ()
		audit(1, 700);
		assert.same({ 700, 0 }, { log:read() , (select(2, log:read())) });
	end);

	it("can't be read if the table is gone, which is said", function ()
		audit(1, 1);
		log:sql("DROP TABLE prosodyarchive");
		local asked = require "audit_core".command({ log.host.name }, require "util.time".now()).asked;
		local result = module_api.log().log.read(asked, function () end, {});
		assert.same({ 0, true }, { result.shown, result.problem:find("no such table", 1, true) ~= nil });
	end);
end);
