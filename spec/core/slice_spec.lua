-- One slice of the hand-over, src/lua/hand_over/slice.lua: appends waiting entries to the store, and recognises entries that the
-- store has already. Uses real journal files.

local st = require "util.stanza";
local support = require "support.log";
local journals = require "support.journal";

local new_store, noon, NAMESPACE = support.new_store, support.noon, support.NAMESPACE;
local numbers, count_to = journals.numbers, journals.count_to;

describe("a slice of the hand-over", function ()
	local journal = journals.new("slice");
	before_each(journal.begin);
	after_each(journal.finish);

	local function journaled(options, store)
		return journal:log(options, store);
	end

	local function audit(log, first, last)
		journal:audit(log, first, last);
	end

	it("stores an entry in ASCII if the store can't hold its characters", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (self, user, key, value, ...)
			if tostring(value):find("[\128-\255]") then return nil, "invalid byte sequence for this encoding"; end
			return append(self, user, key, value, ...);
		end;
		log.log.audit("example.com", "r\195\182meo@example.com", "mod_test", "t");
		log.log.audit("example.com", nil, "mod_test", "t");
		log:pass(0.3);
		local rows = log.store:rows("@events.2026-11-24");
		assert.same({ 2, "r\\u{f6}meo@example.com", "r\\u{f6}meo@example.com" }, { #rows, rows[1].with, rows[1].value.attr.user });
	end);

	it("recognises what the store took although it reported a failure", function ()
		local log = journaled();
		local append = log.store.append;
		log.store.append = function (...) append(...); return nil, "connection lost"; end;
		audit(log, 1, 1);
		log:pass(0.3);
		log.store.append = append;
		audit(log, 2, 3);
		log:pass(5);
		assert.equal("1 2 3", numbers(log));
	end);

	it("recognises that also for entries that were written directly", function ()
		local log = journaled({ audit_log_write = "direct" });
		local append = log.store.append;
		log.store.append = function (...) append(...); error("connection lost"); end;
		audit(log, 1, 1);
		log.store.append = append;
		audit(log, 2, 2);
		log:pass(5);
		assert.equal("1 2", numbers(log));
	end);

	it("waits as long as it is unknown what the store has already", function ()
		local log = journaled();
		audit(log, 1, 3);
		log:pass(0.3);
		audit(log, 4, 4);
		log.log.close();
		local again = journaled(nil, log.store);
		local find = again.store.find;
		again.store.find = function () return nil, "database is locked"; end;
		again.log.open("example.com");
		again:pass(10);
		assert.equal("1 2 3", numbers(again));
		again.store.find = find;
		again:pass(60);
		assert.equal("1 2 3 4", numbers(again));
	end);

	it("reads only the last partitions to recognise what the store has already", function ()
		local store = new_store();
		local function append(part, id, when)
			local stanza = st.stanza("audit-event", { type = "t", [NAMESPACE.."\1id"] = id });
			store:append("@events.2026-11-24"..(part > 1 and "."..part or ""), nil, stanza, when or noon, "@");
		end
		for part = 1, 20 do
			for _ = 1, 500 do append(part, nil, noon - 1); end
		end
		local log = journaled(nil, store);
		audit(log, 1, 400);
		log:pass(60);
		-- As if the server had been killed before the journal let go of what the store has taken.
		for i = 1, 150 do
			append(i <= 100 and 21 or 22, (assert(log.audit("example.com", nil, "mod_test", "t"))));
		end
		log.log.close();
		local read, find = {}, store.find;
		function store.find(self, user, query)
			read[tostring(user)] = true;
			return find(self, user, query);
		end
		local again = journaled(nil, store);
		again.log.open("example.com");
		again.audit("example.com", nil, "mod_test", "last");
		again:pass(60);
		assert.equal(0, again.log.waiting("example.com"));
		assert.same({ 500, 51 }, { #store:rows("@events.2026-11-24.21"), #store:rows("@events.2026-11-24.22") });
		read["nil"] = nil;
		-- What is older than all that waits ends the search.
		assert.same({ ["@events.2026-11-24.20"] = true, ["@events.2026-11-24.21"] = true, ["@events.2026-11-24.22"] = true }, read);
	end);

	it("uses large transactions, with pauses, if a commit takes long", function ()
		local log = journaled();
		local engine, append = { transactions = 0 }, log.store.append;
		function engine:transaction(run)
			self.transactions = self.transactions + 1;
			run();
			log.time = log.time + 0.05; -- the commit
			return true;
		end
		log.store.append = function (...) return engine and append(...); end;
		audit(log, 1, 1000);
		local began = log.time;
		local last = 1000;
		while log.log.waiting("example.com") > 0 do
			log:pass(0.01);
			-- New events do not shorten a pause.
			if last < 1050 then
				last = last + 1;
				audit(log, last, last);
			end
		end
		assert.equal(count_to(last), numbers(log));
		assert.is_true(engine.transactions >= 5 and engine.transactions <= 12, engine.transactions.." transactions");
		assert.is_true(log.time - began > engine.transactions * 0.2 - 0.3, ("only %.2f s"):format(log.time - began));
	end);

	it("uses small transactions if appending takes long", function ()
		local log = journaled();
		local engine, append = { longest = 0 }, log.store.append;
		function engine:transaction(run)
			local began = log.time;
			run();
			self.longest = math.max(self.longest, log.time - began);
			return true;
		end
		log.store.append = function (...)
			log.time = log.time + (engine and 0.001);
			return append(...);
		end;
		audit(log, 1, 100);
		while log.log.waiting("example.com") > 0 do log:pass(0.01); end
		assert.equal(count_to(100), numbers(log));
		assert.is_true(engine.longest < 0.0105, engine.longest.." seconds");
	end);

	-- What was appended in it counted, so a partition was taken for full too early, and a limit kept less than it says.
	it("counts entries again after a transaction has failed", function ()
		local few = { types = { "t" }, limit = 150, expires_after = "never" };
		local log = journaled({ audit_log_flood = false, audit_log_classes = { few = few } });
		local engine, append = { fails = false }, log.store.append;
		function engine:transaction(run)
			local before = {};
			for user, list in pairs(log.store.partitions) do before[user] = table.move(list, 1, #list, 1, {}); end
			local ok = pcall(run);
			if self.fails then
				log.store.partitions, self.fails = before, false;
				return false, "the disk is full";
			end
			return ok;
		end
		log.store.append = function (...) return engine and append(...); end;
		local function sizes()
			local found = {};
			for part = 1, 4 do found[part] = #log.store:rows("@few.2026-11-24"..(part > 1 and "."..part or "")); end
			return table.concat(found, " ");
		end
		engine.fails = true;
		audit(log, 1, 60);
		log:pass(5);
		assert.equal("60 0 0 0", sizes());
		audit(log, 61, 160);
		log:pass(5);
		assert.equal("100 60 0 0", sizes());
		-- The second partition is full within the transaction that fails.
		engine.fails = true;
		audit(log, 161, 210);
		log:pass(7200);
		assert.equal("100 60 50 0", sizes());
		audit(log, 211, 260);
		log:pass(7200);
		audit(log, 261, 262);
		log:pass(7200);
		assert.equal("0 60 100 2", sizes());
	end);

	it("stores nothing twice if the answer to a commit was lost", function ()
		local log = journaled();
		local engine, append = { lose = true }, log.store.append;
		-- As Prosody's engine does with a connection that is gone: it begins again.
		function engine:transaction(run)
			local ok = pcall(run);
			if self.lose then
				self.lose = false;
				ok = pcall(run);
			end
			return ok, not ok and "failed" or nil;
		end
		log.store.append = function (...) return engine and append(...); end;
		audit(log, 1, 30);
		log:pass(5);
		assert.equal(count_to(30), numbers(log));
		assert.equal("the connection was lost", log.lines[1]:match("the connection was lost"));
	end);
end);
