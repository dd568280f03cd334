-- Two stores as one while entries are moved: src/lua/transfer/joined.lua.

local pruning = require "support.pruning";
local support = require "support.log";
local transfers = require "support.transfers";

local host, noon, day = support.host, support.noon, 86400;
local fill, names, shown = transfers.fill, transfers.names, transfers.shown;

describe("two stores", function ()
	it("are one store if there is nothing to move", function ()
		local log = transfers.new();
		assert.equal(log.native, log.log.stores[host]);
		log.options.audit_log_move_from = false;
		fill(log, log.other);
		log.log.forget();
		assert.equal(log.native, log.log.stores[host]);
		assert.equal("", shown(log));
	end);

	for _, options in ipairs { { kind = "embedded" }, { kind = "sql" }, { kind = "embedded"; out = true } } do
		it("show each entry once at every moment of a move"..(options.out and " back" or " from "..options.kind), function ()
			local log = transfers.new(options);
			fill(log, options.out and log.native or log.other);
			local before = shown(log);
			log:tick();
			log:restart();
			local pauses, is_looking = 0, false;
			log.on_pause = function ()
				if is_looking then return; end
				is_looking = true;
				pauses = pauses + 1;
				assert.equal(before, shown(log));
				is_looking = false;
			end;
			log:pass(400);
			assert.is_true(pauses > 20, pauses);
			assert.equal(before, shown(log));
			assert.equal(31, select(2, before:gsub("t", "")));
		end);
	end

	it("go on showing what was not shown yet when it is moved in the middle of a reading", function ()
		local log = transfers.new { kind = "embedded" };
		fill(log, log.other, 150);
		local expected, backwards = shown(log), {};
		for event_type in expected:gmatch("%S+") do table.insert(backwards, 1, event_type); end
		for pages = 1, 8 do
			log = transfers.new { kind = "embedded" };
			fill(log, log.other, 150);
			log:start();
			local order = pages % 2 == 0 and "--oldest-first" or nil;
			local asked = assert(require "audit_core".command({ host, "--all", order }, log.time)).asked;
			local text, page = {}, 0;
			log.log.read(asked, function (lines)
				table.insert(text, lines);
				page = page + 1;
				if page == pages then log:pass(300); end
			end, { pause = function () end });
			local types = {};
			for event_type in table.concat(text):gmatch("%f[%w](t%d%d%d)%f[%W]") do table.insert(types, event_type); end
			assert.equal(order and expected or table.concat(backwards, " "), table.concat(types, " "), "moved after page "..pages);
		end
	end);

	it("take new entries behind those that are in the source, under a later time", function ()
		local log = transfers.new { kind = "embedded" };
		fill(log, log.other);
		log.other:append("@events.2026-11-24.2", nil, pruning.entry("t800"), noon + 3600, "@");
		log.audit(host, nil, "mod_test", "t900");
		assert.equal("@events.2026-11-24.3", names(log.native));
		local _, _, when = log.native:find("@events.2026-11-24.3")();
		assert.equal(noon + 3600, when);
		assert.is_truthy(shown(log):find("t800 t900$"));
		log:start();
		log:pass(300);
		log.audit(host, nil, "mod_test", "t901");
		assert.is_truthy(shown(log):find("t800 t900 t901$"));
	end);

	it("lose what has expired from both", function ()
		local log = transfers.new { kind = "embedded"; options = { audit_log_expires_after = "1d" } };
		fill(log, log.other);
		log.native:append("@events.2026-11-20", nil, pruning.entry("t900"), noon - 4 * day, "@");
		assert.is_nil(shown(log):find("t900", 1, true));
		local line = pruning.done(log);
		assert.equal("events expired 9 in 3", line);
		assert.equal("@events.2026-11-23 @events.2026-11-23.2 @events.2026-11-24 @events.2026-11-24.2", names(log.other));
		log:start();
		log:pass(300);
		assert.equal("", names(log.other));
		assert.is_truthy(names(log.native):find("@events.2026-11-24 @events.2026-11-24.2", 1, true), names(log.native));
	end);

	it("have the addresses of both shortened", function ()
		local log = transfers.new { kind = "embedded"; options = { audit_log_ips_expire_after = "1d" } };
		log.other:append("@events.2026-11-20", nil, pruning.entry("t001", "203.0.113.80"), noon - 4 * day, "@");
		log.other:append("@events.2026-11-24", nil, pruning.entry("t002", "203.0.113.81"), noon, "@");
		pruning.done(log);
		assert.equal("t001 t002", shown(log));
		assert.equal("@events.2026-11-24", names(log.other));
		assert.is_truthy(names(log.native):find("@cut-events.2026-11-20", 1, true));
		log:start();
		log:pass(300);
		assert.equal("t001 t002", shown(log));
		assert.is_nil((log:shown("--all", "--show-ip")):find("203.0.113.80", 1, true));
	end);

	it("say that entries are missing if the source can't be read, and show and take the others", function ()
		local log = transfers.new { kind = "embedded" };
		fill(log, log.other);
		log.native:append("@events.2026-11-20", nil, pruning.entry("t900"), noon - 4 * day, "@");
		log.log.open(host);
		local users = log.other.users;
		log.other.users = function () error("the disk is gone", 0); end;
		local text = {};
		local result = log:read(function (lines) table.insert(text, lines); end, "--all");
		assert.equal("what the storage driver internal holds can't be read: the disk is gone", result.problem);
		assert.is_truthy(table.concat(text):find("t900", 1, true));
		assert.is_string(log.audit(host, nil, "mod_test", "t901"));
		assert.equal("@events.2026-11-20 @events.2026-11-24.3", names(log.native));
		log.other.users = users;
		local find = log.other.find;
		log.other.find = function () return nil, "the disk is gone"; end;
		assert.equal("the disk is gone", log:read(function () end, "--all").problem);
		log.other.find = find;
		assert.is_nil(log:read(function () end, "--all").problem);
		log:restart();
		log:pass(300);
		assert.equal(33, select(2, shown(log):gsub("t", "")));
	end);

	it("take new entries though nothing is known of the source, even under a name that it has", function ()
		local log = transfers.new { kind = "embedded" };
		fill(log, log.other);
		local users = log.other.users;
		log.other.users = function () coroutine.yield(); end; -- as a driver that waits for an answer
		assert.is_string(log.audit(host, nil, "mod_test", "t901"));
		assert.equal("@events.2026-11-24", names(log.native));
		log.other.users = users;
		log:start();
		log:pass(300);
		assert.is_truthy(shown(log):find("t901$"));
		assert.equal(32, select(2, shown(log):gsub("t", "")));
		assert.equal("", names(log.other));
	end);
end);
