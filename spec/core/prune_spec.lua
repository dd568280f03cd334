-- What is removed from a log, and when: src/lua/prune/prune.lua.

local pruning = require "support.pruning";
local support = require "support.log";

local noon, day, host = support.noon, 86400, support.host;
local new_log, entry, name_of, done, shown, records = pruning.new_log, pruning.entry, pruning.name_of, pruning.done, pruning.shown, pruning.records;

for _, kind in ipairs({ "embedded", "sql", "other" }) do
	describe("pruning of a store of the kind "..kind, function ()
		local function new(options)
			return new_log(options, kind);
		end

		local function filled(options)
			local log = new(options);
			for back = 40, 0, -1 do
				local time = noon - back * day;
				log.store:append(name_of("events", time), nil, entry("t"..back), time, "@");
				log.store:append(nil, nil, entry("old"..back), time, "@");
			end
			return log;
		end

		it("removes what has expired, and nothing else", function ()
			local log = filled();
			log.store:append("juliet", nil, entry("x"), 0, "@");
			local before = shown(log);
			local _, results = done(log);
			local count = 0;
			for _, result in ipairs(results) do count = count + result.count; end
			assert.equal(12 + 12, count);
			assert.equal(1, #log.store:rows("juliet"));
			assert.equal(1, #log.store:rows("@events.2026-10-27"));
			assert.equal(0, #log.store:rows("@events.2026-10-26"));
			assert.equal(before, shown(log));
			assert.equal("", (done(log)));
			assert.equal(before, shown(log));
		end);

		it("is recorded with the class, the number of entries and their first and last time", function ()
			local log = new { audit_log_classes = { failures = { expires_after = "1d" } } };
			for _, class in ipairs({ "events", "failures", "former" }) do
				for _, back in ipairs({ 40, 35, 2 }) do
					local time = noon - back * day;
					for i = 1, 3 do
						log.store:append(name_of(class, time), nil, entry(class..back.."-"..i), time + i, "@");
					end
				end
			end
			assert.equal("events expired 6 in 2, failures expired 9 in 3, former expired 6 in 2", (done(log)));
			assert.same({
				"events expired 6 2026-10-15T12:00:01Z..2026-10-20T12:00:03Z";
				"failures expired 9 2026-10-15T12:00:01Z..2026-11-22T12:00:03Z";
				"former expired 6 2026-10-15T12:00:01Z..2026-10-20T12:00:03Z";
			}, records(log));
			assert.is_truthy(log.lines[1]:find("The class former of audit events of example.com is configured no more", 1, true));
		end);

		it("removes nothing that never expires", function ()
			assert.equal("", (done(filled { audit_log_expires_after = "never" })));
		end);

		it("hides an expired entry before it is removed", function ()
			local _, count = filled():shown();
			assert.equal(58, count);
		end);

		it("reports what went wrong, and what was done before", function ()
			local log = filled();
			local delete, calls = log.store.delete, 0;
			log.store.delete = function (...)
				calls = calls + 1;
				if calls > 3 then return false, "database is locked"; end
				return delete(...);
			end;
			assert.same({ nil, "database is locked" }, { log.log.prune(host) });
			assert.equal("events expired 3 2026-10-15T12:00:00Z..2026-10-17T12:00:00Z", records(log)[1]);
			log.store.delete = function () error("no connection"); end;
			assert.is_truthy(select(2, log.log.prune(host)):find("no connection", 1, true));
			log.store.delete = delete;
			assert.is_truthy(log.log.prune(host));
		end);

		it("removes the oldest entries of a class with a limit, and keeps as many as the limit says", function ()
			local log = new { audit_log_classes = { few = { types = { "few*" }, limit = 250, expires_after = "never" } } };
			for i = 1, 1234 do
				log.time = noon + i;
				assert.is_string(log.audit(host, nil, "mod_test", "few"..i));
			end
			assert.equal("few limit 900 in 9", (done(log)));
			local left = {};
			for number in shown(log):gmatch("few(%d+)") do left[#left + 1] = tonumber(number); end
			table.sort(left);
			assert.same({ 334, 901, 1234 }, { #left, left[1], left[#left] });
			assert.equal("", (done(log)));
		end);

		it("can be interrupted anywhere and continued, and each entry is shown once meanwhile", function ()
			local options = { audit_log_classes = {
				events = { ips_expire_after = "2d", expires_after = "5d" };
				few = { types = { "few*" }, limit = 100, expires_after = "never" };
			} };
			local function fill()
				local store = support.new_store(nil, kind);
				for back = 7, 0, -1 do
					for i = 1, 3 do
						local time = noon - back * day + i;
						store:append(name_of("events", time), nil, entry("e"..back..i, "203.0.113.80"), time, "@");
						store:append(nil, nil, entry((i == 1 and "few" or "o")..back..i, "203.0.113.80"), time, "@");
					end
				end
				return store;
			end
			local whole = new_log(options, nil, nil, fill());
			local expected = shown(whole);
			done(whole);
			local names = whole.store:names();
			local moments = 0;
			repeat
				moments = moments + 1;
				local log = new_log(options, nil, nil, fill());
				local changes, interrupted = 0, false;
				local originals, engine = {}, nil;
				for _, method in ipairs({ "append", "delete" }) do
					local original = log.store[method];
					originals[method] = original;
					local function count(...)
						changes = changes + 1;
						if changes > moments then interrupted = true; error("killed"); end
						return original(...);
					end
					-- An upvalue is what the core knows a driver by.
					local datamanager = { call = count };
					engine = engine or { call = count, transaction = function (_, run, ...) return pcall(run, ...); end };
					local of_kind = {
						embedded = function (...) return datamanager.call(...); end;
						sql = method == "append" and function (...) return engine.call(...); end or count;
						other = count;
					};
					log.store[method] = of_kind[kind];
				end
				log.log.prune(host);
				for method, original in pairs(originals) do log.store[method] = original; end
				local again = new_log(options, nil, nil, log.store);
				assert.equal(expected, shown(again), "killed after "..moments.." changes");
				again.log.prune(host);
				assert.equal(expected, shown(again), "killed after "..moments.." changes and taken up again");
				-- A move that was begun again is another generation.
				assert.equal(names, (again.store:names():gsub("%.%d00001", ".100001")), "killed after "..moments.." changes");
			until not interrupted;
			assert.is_true(moments >= 15, moments.." moments");
		end);
	end);
end
