-- Verifying a log: src/lua/read/verify.lua. Entries are recorded, handed over and changed as somebody with access to the store would.

local core = require "audit_core";
local support = require "support.log";
local journals = require "support.journal";
local process = require "support.process";

local host, noon, NAMESPACE = support.host, support.noon, support.NAMESPACE;
local MOVED = "moved: it lies under another time, account, day or class than it was recorded with";
local TODAY = "@events.2026-11-24";

local function link_of(stanza)
	return stanza:get_child("chain", NAMESPACE).attr;
end

describe("verifying a log", function ()
	local journal = journals.new("verify");
	before_each(journal.begin);
	after_each(journal.finish);

	-- A log whose store has the entries 1 to `count`.
	local function stored(count, options, kind)
		local log = journal:log(options, support.new_store(nil, kind));
		log.log.open(host);
		for i = 1, count do
			journal:audit(log, i, i);
			log:pass(1);
		end
		return log;
	end

	local function verify(log)
		local result, problem = log.log.verify(host);
		assert.is_nil(problem);
		return result;
	end

	-- The first finding, without the key | nil
	local function found(log)
		local result = verify(log);
		local line = result.lines[2];
		assert.equal(result.intact and 0 or 3, result.status);
		return line and (line:gsub(" %(key [^)]+%)", "")) or nil, result.faults;
	end

	it("says that nobody has changed it, wherever its entries are", function ()
		local log = stored(0);
		journal:audit(log, 1, 3);
		assert.same({ "example.com: intact: 3 entries verified in 1 chain" }, verify(log).lines);
		log:pass(1);
		journal:audit(log, 4, 5);
		assert.same({ "example.com: intact: 5 entries verified in 1 chain" }, verify(log).lines);
		log:pass(1);
		assert.same({ "example.com: intact: 5 entries verified in 1 chain" }, verify(log).lines);
		assert.equal(5, #log.store:rows(TODAY));
	end);

	it("links the entries of each class, with what proves them", function ()
		local log = stored(2);
		log.audit(host, "romeo@example.com", "mod_test", "authentication-failure", {});
		log:pass(1);
		local first, second = link_of(log.store:rows(TODAY)[1].value), link_of(log.store:rows(TODAY)[2].value);
		local failure = link_of(log.store:rows("@failures.2026-11-24")[1].value);
		assert.same({ "1", "2", "1" }, { first.n, second.n, failure.n });
		assert.equal(first.id, second.id);
		assert.is_not.equal(first.id, failure.id);
		assert.equal(first.run, failure.run);
		assert.same({ 22, 22, 43, 22, ("%d"):format((noon + 0.5) * 1000) }, { #first.id, #first.run, #first.hash, #first.salt, first.at });
		assert.equal("example.com: intact: 3 entries verified in 2 chains", verify(log).lines[1]);
	end);

	-- What somebody does to the rows of today's partition, and what is found.
	local attacks = {
		{ "a field", function (rows) rows[2].value.tags[2].attr.v = "9"; end, "events 2: altered: it is not what was recorded" };
		{ "an account", function (rows)
			rows[2].value.attr.user, rows[2].with = "tybalt@example.com", "tybalt@example.com";
		end, "events 2: altered: it is not what was recorded" };
		{ "an address", function (rows)
			rows[2].value.tags[1].tags[1][1] = "203.0.113.81";
		end, "events 2: altered: it is not what was recorded" };
		{ "an address, removed", function (rows)
			rows[2].value.tags[1] = rows[2].value.tags[1]:maptags(function () end);
			rows[2].value[1] = rows[2].value.tags[1];
		end, "events 2: altered: it is not what was recorded" };
		{ "the time", function (rows) rows[2].when = rows[2].when + 1; end, "events 2: "..MOVED };
		{ "the account of the row", function (rows) rows[2].with = "@"; end, "events 2: "..MOVED };
		{ "an entry, removed", function (rows) table.remove(rows, 2); end, "events 2: removed: no rule has removed it" };
		{ "the first entries, removed", function (rows) table.remove(rows, 1); table.remove(rows, 1); end,
			"events 1 to 2: removed: no rule has removed it" };
		{ "the last entries, removed", function (rows) table.remove(rows); table.remove(rows); end,
			"events 3 to 4: removed: no rule has removed it" };
		{ "an entry twice", function (rows) rows[5] = rows[4]; end, "events 4: inserted: another entry has the same number" };
		{ "the class", function (_, store)
			store.partitions["@failures.2026-11-24"] = { table.remove(store.partitions[TODAY]) };
		end, "events 4: "..MOVED };
		{ "the order within a second", function (rows)
			rows[2].when = rows[3].when;
			rows[2], rows[3] = rows[3], rows[2];
		end, "events 2: "..MOVED };
		{ "the order", function (rows) rows[2].value, rows[3].value = rows[3].value, rows[2].value; end,
			"events 3: "..MOVED };
		{ "the link, removed", function (rows)
			rows[4].value:maptags(function (tag) return tag.name ~= "chain" and tag or nil; end);
		end, "events -: inserted: it has no link" };
		{ "the link of another chain", function (rows) link_of(rows[4].value).id = ("A"):rep(22); end,
			"events 4: inserted: this server does not know its chain" };
		{ "the number of another entry", function (rows) link_of(rows[4].value).n = "7"; end, "events 4 to 6: removed: no rule has removed it" };
	};
	for _, attack in ipairs(attacks) do
		local name, change, expected = attack[1], attack[2], attack[3];
		it("finds a change: "..name, function ()
			local log = stored(4);
			assert.is_nil(found(log));
			change(log.store:rows(TODAY), log.store);
			local line = found(log);
			if line ~= expected then
				-- An entry at the end may be named after what is missing because of it.
				local lines = table.concat(verify(log).lines, "\n"):gsub(" %(key [^)]+%)", "");
				assert.is_truthy(lines:find(expected, 1, true), lines);
			end
		end);
	end

	it("goes on after a restart, a kill and a reload", function ()
		local log = stored(2);
		log.log.close();
		local second = journal:log(nil, log.store);
		second.time = log.time;
		second.log.open(host);
		journal:audit(second, 3, 4);
		journal:kill(second);
		local third = journal:log(nil, log.store);
		third.time = log.time + 5;
		third.log.open(host);
		journal:audit(third, 5, 5);
		third:pass(1);
		assert.same({ "example.com: intact: 5 entries verified in 1 chain" }, verify(third).lines);
		local numbers = {};
		for i, row in ipairs(third.store:rows(TODAY)) do numbers[i] = link_of(row.value).n; end
		assert.equal("1 2 3 4 5", table.concat(numbers, " "));
	end);

	it("goes on if entries are written directly", function ()
		local log = stored(3, { audit_log_write = "direct" });
		assert.equal(3, #log.store:rows(TODAY));
		journal:kill(log);
		local again = journal:log({ audit_log_write = "direct" }, log.store);
		again.time = log.time;
		again.log.open(host);
		for i = 1, 600 do journal:audit(again, i, i); end
		assert.same({ "example.com: intact: 603 entries verified in 1 chain" }, verify(again).lines);
		assert.equal(1, #journal:segments());
	end);

	it("keeps the link of an entry that the store refused at first", function ()
		local log = stored(1);
		local append = log.store.append;
		log.store.append = function () return nil, "down"; end;
		journal:audit(log, 2, 3);
		log:pass(1);
		log.store.append = append;
		log:pass(600);
		assert.same({ "example.com: intact: 3 entries verified in 1 chain" }, verify(log).lines);
	end);

	-- Under another start of the machine the journal may have lost its end with the power. A kill loses nothing of it.
	describe("after the machine has stopped", function ()
		local function log_under(boot, before)
			local log = journal:log(nil, before and before.store);
			log.log.close();
			log.environment.uptime = function (at) return at - noon + 1000, boot; end;
			log.environment.heartbeat = function () end;
			log.environment.clock_files = function () return {}; end;
			log.environment.written_elsewhere = function () end;
			log.log = core.new(log.environment);
			log.audit, log.time = log.log.audit, before and before.time or log.time;
			log.log.open(host);
			return log;
		end

		-- A log whose journal has lost three entries, and its store, too, if `is_lost`; what is known of one of them; the next process.
		local function stopped(boot, is_lost)
			local log = log_under("same");
			journal:audit(log, 1, 3);
			log:pass(2);
			local kept = {};
			for _, path in ipairs(journal:files()) do kept[path] = process.read(path); end
			journal:audit(log, 4, 6);
			log:pass(2);
			local rows = log.store:rows(TODAY);
			local link = link_of(rows[5].value);
			local anchor = ("audit-anchor:%s:%s:%s:%s"):format(link.id, link.run, link.n, link.hash);
			for _ = 1, is_lost and 3 or 0 do table.remove(rows); end
			journal:kill(log);
			for _, path in ipairs(journal:files()) do os.remove(path); end
			for path, content in pairs(kept) do process.write(path, content); end
			local after = log_under(boot, log);
			journal:audit(after, 7, 9);
			after:pass(2);
			return after, anchor;
		end

		for boot, is_intact in pairs { another = true; same = false } do
			it("goes on from the store under "..boot.." start", function ()
				local result = verify((stopped(boot, false)));
				assert.equal(is_intact, result.intact, table.concat(result.lines, "\n"));
			end);

			it("excuses that an anchor is of a lost entry under "..boot.." start: "..tostring(is_intact), function ()
				local log, anchor = stopped(boot, true);
				local result = log.log.verify(host, nil, { anchors = { anchor } });
				assert.equal(is_intact, result.intact, table.concat(result.lines, "\n"));
				local line = is_intact and "unattested: 1 entry with anchors, which may have been lost when the machine stopped"
					or "events 5 (key k8): forked: an anchor that was kept is of another entry";
				assert.is_truthy(table.concat(result.lines, "\n"):find(line, 1, true), table.concat(result.lines, "\n"));
			end);
		end

		it("is not needed for an entry that the journal does not know: a person must judge that", function ()
			local log = log_under("same");
			journal:audit(log, 1, 3);
			log:pass(2);
			local kept = {};
			for _, path in ipairs(journal:files()) do kept[path] = process.read(path); end
			journal:audit(log, 4, 5);
			log:pass(2);
			journal:kill(log);
			-- What somebody adds behind the last entry, with a link that fits, looks like this.
			for _, path in ipairs(journal:files()) do os.remove(path); end
			for path, content in pairs(kept) do process.write(path, content); end
			local function seen_under(boot)
				local other = support.new(log.options, log.store);
				other.environment.readable_path = function () return journal.path; end;
				other.environment.uptime = function (at) return at - noon + 1000, boot; end;
				return core.new(other.environment).verify(host);
			end
			local result = seen_under("same");
			assert.same({ 4, true }, { result.status, result.intact });
			assert.equal("behind the journal: events 4 to 5: added, or recorded while the journal could not be written", result.lines[2]);
			-- After another start of the machine the journal may have lost its end.
			assert.equal(0, seen_under("another").status);
		end);

		it("says how far the chains had got", function ()
			local log = stopped("another", true);
			local opened;
			for _, row in ipairs(log.store:rows(TODAY)) do
				if row.value.attr.type == "audit-opened" then opened = row.value:get_child("opened", NAMESPACE); end
			end
			assert.equal("3", opened:get_child("head", NAMESPACE).attr.n);
		end);
	end);

	it("decodes what a database without some characters has in ASCII", function ()
		local log = stored(1);
		local append = log.store.append;
		function log.store:append(user, key, stanza, when, with)
			if tostring(stanza):find("[\128-\255]") or with:find("[\128-\255]") then return nil, "invalid byte sequence"; end
			return append(self, user, key, stanza, when, with);
		end
		local text = core.detail("note", { name = "\u{e9}t\u{e9}" }, "e\u{301} is no \\u{e9}");
		log.audit(host, "r\u{f6}meo@example.com", "mod_test", "t", { custom = { text }, session = { ip = "203.0.113.80" } });
		log:pass(5);
		local row = log.store:rows(TODAY)[2];
		assert.same({ "r\\u{f6}meo@example.com", "1" }, { row.with, link_of(row.value).ascii });
		assert.is_true(verify(log).intact, table.concat(verify(log).lines, "\n"));
		-- Without the mark, or with another text, it is something else.
		row.value:get_child("note", NAMESPACE)[1] = "e\\u{301} is no \\u{e9}";
		assert.is_false(verify(log).intact);
	end);

	for _, kind in ipairs { "embedded", "sql", "other" } do
		it("is content with what rules have removed, with a driver like "..kind, function ()
			local log = stored(3, { audit_log_expires_after = "2d" }, kind);
			log.time = log.time + 2 * 86400;
			journal:audit(log, 4, 5);
			log:pass(1);
			log.time = log.time + 1.5 * 86400;
			assert.is_table(log.log.prune(host));
			log:pass(1);
			assert.same({}, log.store:rows(TODAY));
			local result = verify(log);
			assert.same({ true, 3 }, { result.intact, result.removed }, table.concat(result.lines, "\n"));
			-- What was removed is known after a restart too, and nothing else is excused.
			log.log.close();
			local again = journal:log({ audit_log_expires_after = "2d" }, log.store);
			again.time = log.time;
			again.log.open(host);
			assert.is_true(verify(again).intact);
			table.remove(again.store:rows("@events.2026-11-26"), 1);
			assert.equal("events 4: removed: no rule has removed it", verify(again).lines[3]:gsub(" %(key [^)]+%)", ""), nil);
		end);
	end

	it("is content with addresses that have expired", function ()
		local log = stored(3, { audit_log_ips_expire_after = "1d"; audit_log_expires_after = "9d" });
		log.time = log.time + 3 * 86400;
		assert.is_table(log.log.prune(host));
		log:pass(1);
		local ips = {};
		for name in pairs(log.store.partitions) do
			for _, row in ipairs(log.store:rows(name)) do
				local session = row.value:get_child("session", NAMESPACE);
				ips[#ips + 1] = session and session:get_child_text("remote-ip") or nil;
			end
		end
		assert.same({ "203.0.113.0/24", "203.0.113.0/24", "203.0.113.0/24" }, ips);
		local result = verify(log);
		assert.is_true(result.intact, table.concat(result.lines, "\n"));
	end);

	it("counts what is not linked", function ()
		local store = support.new_store();
		local before = journal:log({ audit_log_chain = false }, store);
		before.log.open(host);
		journal:audit(before, 1, 2);
		before:pass(2);
		before.log.close();
		local log = journal:log(nil, store);
		log.time = before.time + 2;
		log.log.open(host);
		journal:audit(log, 3, 3);
		log:pass(2);
		local unlinked = "not protected: %d entries that were recorded without a link";
		assert.same({ "example.com: intact: 1 entry verified in 1 chain"; unlinked:format(2) }, verify(log).lines);
		-- Turned off and on again.
		log.options.audit_log_chain = false;
		log.log.configure(host);
		log:pass(2);
		journal:audit(log, 4, 5);
		log:pass(2);
		log.options.audit_log_chain = nil;
		log.log.configure(host);
		journal:audit(log, 6, 6);
		log:pass(2);
		assert.same({ "example.com: intact: 2 entries verified in 2 chains"; unlinked:format(4) }, verify(log).lines);
	end);

	it("does not trust a log without its journal", function ()
		local log = stored(2);
		log.log.close();
		for _, path in ipairs(journal:files()) do os.remove(path); end
		local again = journal:log(nil, log.store);
		again.time = log.time;
		again.log.open(host);
		assert.equal("events 1: inserted: this server does not know its chain", (found(again)));
	end);

	it("says so if the store can't be read", function ()
		local log = stored(1);
		log.store.find = function () return nil, "broken"; end;
		local result, problem = log.log.verify(host);
		assert.is_nil(result);
		assert.equal("broken", problem);
	end);
end);
