-- Entries that are moved from one store to another: src/lua/transfer/rounds.lua.

local pruning = require "support.pruning";
local support = require "support.log";
local transfers = require "support.transfers";

local noon, day = support.noon, 86400;
local fill, names, shown = transfers.fill, transfers.names, transfers.shown;

for direction, options in pairs {
	["from the embedded driver"] = { kind = "embedded" };
	["from an SQL driver"] = { kind = "sql" };
	["to the embedded driver"] = { kind = "embedded"; out = true };
	["to an SQL driver"] = { kind = "sql"; out = true };
} do
	describe("moving "..direction, function ()
		local log, source, target;

		before_each(function ()
			log = transfers.new(options);
			source, target = options.out and log.native or log.other, options.out and log.other or log.native;
			fill(log, source);
		end);

		it("leaves nothing behind, and keeps the order and the names of partitions", function ()
			local before = shown(log);
			assert.equal(31, select(2, before:gsub("t", "")));
			local all = names(source);
			log:start();
			log:pass(300);
			assert.equal(before, shown(log));
			assert.equal("", names(source));
			assert.is_nil((source:find(nil, {}) or function () end)());
			assert.equal(all.." @old-events.2026-11-15.100001", names(target));
			assert.is_nil((log.marks:find(nil, {}))());
			local last = 0;
			for _, _, when in target:find("@old-events.2026-11-15.100001", {}) do
				assert.is_true(when > last);
				last = when;
			end
			assert.equal(noon - 9 * day + 7, last);
		end);

		it("is resumed wherever it was interrupted, and each entry is there once", function ()
			local before, crashes, steps = shown(log), 0, 0;
			-- Every write to a store, or to the marks, may be the last one. Some of a round have failed in the middle of a copy.
			local function crash_after(count)
				local left = count;
				local function failing(store, method)
					local own = rawget(store, method);
					store[method] = function (self, ...)
						left = left - 1;
						if left < 0 then error("killed", 0); end
						return (own or getmetatable(store).__index[method])(self, ...);
					end
					return function () store[method] = own; end
				end
				local undo = {};
				for _, store in ipairs { source, target } do
					for _, method in ipairs { "append", "delete" } do table.insert(undo, failing(store, method)); end
				end
				log:restart();
				log:pass(4);
				for _, restore in ipairs(undo) do restore(); end
				return left < 0;
			end
			while crash_after(steps % 23) do
				crashes, steps = crashes + 1, steps + 3;
				assert.equal(before, shown(log));
				if crashes > 200 then break; end
			end
			log:restart();
			log:pass(300);
			assert.is_true(crashes >= 5, crashes);
			assert.equal(before, shown(log));
			assert.equal("", names(source));
		end);

		it("gives another name to a partition that both have", function ()
			target:append("@events.2026-11-24", nil, pruning.entry("t900"), noon - 200, "@");
			local before = shown(log);
			assert.is_truthy(before:find("t900", 1, true));
			log:start();
			log:pass(300);
			assert.equal(before, shown(log));
			assert.is_truthy(names(target):find("@old-events.2026-11-24.", 1, true), names(target));
			assert.equal("", names(source));
		end);
	end);
end

describe("what is moved", function ()
	it("keeps its keys, so that a reader goes on where it was", function ()
		local log = transfers.new { kind = "embedded" };
		fill(log, log.other);
		local keys = {};
		for _, row in ipairs(log.other:rows("@events.2026-11-24")) do table.insert(keys, row.key); end
		log:start();
		log:pass(300);
		for key in log.native:find("@events.2026-11-24") do assert.equal(table.remove(keys, 1), key); end
		assert.equal(0, #keys);
	end);

	it("is sorted by time if it was the older log, which need not be", function ()
		local log = transfers.new { kind = "embedded" };
		for i, ago in ipairs { 5, 9, 3 } do
			log.other:append(nil, nil, pruning.entry("t00"..i), noon - ago, i == 3 and "romeo" or "@");
		end
		log:start();
		log:pass(300);
		local found = {};
		for _, entry, when, with in log.native:find("@old-events.2026-11-24.100001") do
			table.insert(found, { entry.attr.type, when - noon, entry.attr[support.NAMESPACE.."\1occurred"], with });
		end
		assert.same({
			{ "t001", -5, nil, "@" }, { "t002", -5, "2026-11-24T11:59:51Z", "@" }, { "t003", -3, nil, "romeo@example.com" },
		}, found);
	end);

	it("stays if some of it can't be read, and is shown", function ()
		local log = transfers.new { kind = "embedded" };
		fill(log, log.other);
		pruning.damage(log.other, "t010");
		log:start();
		log:pass(300);
		assert.equal("@events.2026-11-22", names(log.other));
		assert.is_nil(names(log.native):find("@events.2026-11-22 ", 1, true));
		assert.equal(30, select(2, shown(log):gsub("t", "")));
		local lines = table.concat(log.lines, "\n");
		assert.is_truthy(lines:find("warn: @events.2026-11-22 of example.com was not moved from the storage driver internal: 1 damaged", 1, true), lines);
		assert.is_truthy(lines:find("26 audit events of example.com were moved", 1, true), lines);
		assert.is_truthy(lines:find("The entries of 1 partition of example.com stay in the storage driver internal", 1, true), lines);
	end);
end);
