-- What nobody has touched verifies, whatever the log has been through: here, as a file on another machine, and by a verifier that was
-- written from the documents alone. src/lua/read/verify.lua, src/chain/exported.rs, tests/verifier/verify.py

local core = require "audit_core";
local journals = require "support.journal";
local process = require "support.process";
local support = require "support.log";

local host = support.host;
local DAY = 86400;

describe("a log that nobody has touched", function ()
	local journal = journals.new("untouched");
	local folder;
	before_each(function ()
		journal.begin();
		folder = process.new_folder("untouched");
	end);
	after_each(journal.finish);

	local function new(options, kind, quota)
		local log = journal:log(options, support.new_store(quota, kind));
		log.log.open(host);
		return log;
	end

	local function export(log)
		local text = {};
		local count, problem = log.log.export_evidence(host, function (piece) table.insert(text, piece); return true; end);
		assert.is_nil(problem);
		process.write(folder.."/evidence", table.concat(text));
		return count;
	end

	local function is_intact(log, count)
		local result, problem = log.log.verify(host);
		assert.is_nil(problem);
		local lines = table.concat(result.lines, "\n");
		assert.is_true(result.intact, lines);
		assert.equal(count, result.verified, lines);
		export(log);
		local elsewhere, wrong = core.verify_evidence { path = folder.."/evidence" };
		assert.is_nil(wrong);
		assert.equal(lines, table.concat(elsewhere.lines, "\n"));
		local status, out, err = process.capture { "python3", process.root.."/tests/verifier/verify.py", folder.."/evidence" };
		assert.equal(("%s: %d verified\n"):format(host, count), out..err);
		assert.equal(0, status);
	end

	it("verifies in partitions that continue others", function ()
		for _, kind in ipairs { "embedded", "sql", "other" } do
			local log = new(nil, kind, 7);
			for i = 1, 30 do
				journal:audit(log, i, i);
				if i % 4 == 0 then log:pass(1); end
			end
			is_intact(log, 30);
			log:pass(1);
			assert.is_truthy(log.store:names():find("2026-11-24.2", 1, true), log.store:names());
			is_intact(log, 30);
			log.log.close();
			journal.finish();
			journal.begin();
		end
	end);

	it("verifies after its classes were changed, with entries that waited meanwhile", function ()
		local log = new();
		journal:audit(log, 1, 3);
		log:pass(1);
		local append = log.store.append;
		log.store.append = function () return nil, "down"; end;
		journal:audit(log, 4, 6);
		log:pass(1);
		log.options.audit_log_classes = { mine = { types = { "t" } } };
		log.log.forget(host);
		log.log.configure(host);
		log:pass(1);
		log.store.append = append;
		log:pass(60);
		journal:audit(log, 7, 9);
		log:pass(2);
		is_intact(log, 9);
	end);

	it("verifies in the layout of the community's modules, and after that was changed", function ()
		local log = new { audit_log_layout = "single" };
		journal:audit(log, 1, 3);
		log:pass(1);
		is_intact(log, 3);
		log.options.audit_log_layout = nil;
		log.log.forget(host);
		log.log.configure(host);
		log:pass(1);
		journal:audit(log, 4, 6);
		log:pass(1);
		is_intact(log, 6);
	end);

	it("verifies after the clock has jumped by a year, ahead and back", function ()
		local log = new();
		for i, days in ipairs { 0, 365, -365, -365, 365, 0 } do
			log.time = log.time + days * DAY;
			journal:audit(log, i * 10, i * 10 + 2);
			log:pass(1);
			journal:audit(log, i * 10 + 3, i * 10 + 3);
		end
		log:pass(1);
		is_intact(log, 24);
	end);

	local texts = {
		"line\r\nfeed\rand\ttab\n", "e\u{301} and \u{e9}", "a literal \\u{e9} and \\u{5c}", "<&>'\"]]>", " two  spaces ", "\u{1F600}\u{FFFD}",
		"203.0.113.7, 2001:db8::1 and ::ffff:203.0.113.9.",
	};
	for _, is_ascii in ipairs { false, true } do
		it("verifies with any characters, "..(is_ascii and "in a database that has few of them" or "as they are"), function ()
			local log = new();
			local append = log.store.append;
			if is_ascii then
				function log.store:append(user, key, stanza, when, with)
					if tostring(stanza):find("[\128-\255]") or with:find("[\128-\255]") then return nil, "invalid byte sequence"; end
					return append(self, user, key, stanza, when, with);
				end
			end
			for _, text in ipairs(texts) do
				local custom = { core.detail("note", { name = text }, text), core.detail("authentication", { condition = text }, text) };
				log.audit(host, "r\u{f6}meo@example.com", "mod_test", "t", { custom = custom, session = { ip = "203.0.113.80", client = text } });
			end
			is_intact(log, #texts);
			for _ = 1, #texts do log:pass(5); end
			assert.equal(#texts, #log.store:rows("@events.2026-11-24"));
			is_intact(log, #texts);
		end);
	end

	it("verifies after two erasures that overlap", function ()
		local log = new();
		journal:audit(log, 1, 4);
		log.audit(host, "juliet@example.com", "mod_test", "t", { actor = { kind = "user", jid = "romeo@example.com/x" } });
		log:pass(1);
		log.time = log.time + DAY;
		journal:audit(log, 5, 8);
		log:pass(1);
		assert.is_true(log.log.erase(host, { person = "romeo@example.com", before = log.time - 1, receipt = "R-1" }).count > 0);
		is_intact(log, 9);
		-- Of the second one the store takes nothing at first.
		local set = log.store.set;
		log.store.set = function () return nil, "disk full"; end;
		assert.is_nil((log.log.erase(host, { person = "romeo@example.com", acted = true, receipt = "R-2" })));
		log.store.set = set;
		is_intact(log, 9);
		assert.equal(0, log.log.verify(host).status);
		journal:audit(log, 9, 10);
		assert.is_true(log.log.erase(host, { person = "romeo@example.com", acted = true, receipt = "R-2" }).count > 0);
		log:pass(1);
		is_intact(log, 11);
		assert.equal(0, log.log.verify(host).status);
	end);

	it("verifies a month of daily prunes, with limits and addresses that expire", function ()
		local log = new { audit_log_expires_after = "9d"; audit_log_ips_expire_after = "2d";
			audit_log_classes = { failures = { limit = 200 } } };
		local function audit(day)
			journal:audit(log, day * 3, day * 3 + 2);
			for i = 1, 30 do log.audit(host, "u"..i.."@example.com", "mod_test", "login-refused", { session = { ip = "203.0.113."..i } }); end
		end
		for day = 1, 30 do
			audit(day);
			log:pass(5);
			log.time = log.time + DAY;
			assert.is_table(log.log.prune(host));
			log:pass(5);
		end
		local result = log.log.verify(host);
		assert.is_true(result.intact, table.concat(result.lines, "\n"));
		assert.is_true(result.removed > 0);
		is_intact(log, result.verified);
	end);
end);

describe("the anchors of a log", function ()
	local journal = journals.new("anchors");
	before_each(journal.begin);
	after_each(journal.finish);

	it("are the last entries of its chains, whether they wait or not", function ()
		local log = journal:log(nil, support.new_store());
		log.log.open(host);
		assert.same({}, log.log.anchors(host));
		journal:audit(log, 1, 2);
		log.audit(host, nil, "mod_test", "authentication-failure", {});
		local waiting = log.log.anchors(host);
		assert.equal(2, #waiting);
		log:pass(1);
		assert.same(waiting, log.log.anchors(host));
		local attr = log.store:rows("@events.2026-11-24")[2].value:get_child("chain", support.NAMESPACE).attr;
		assert.equal(("audit-anchor:%s:%s:2:%s"):format(attr.id, attr.run, attr.hash), waiting[1]);
		assert.is_true(log.log.verify(host, nil, { anchors = waiting }).intact);
		-- Without the store the run is not known, which does not matter.
		log.store.users = function () error("down"); end;
		local unknown = log.log.anchors(host);
		assert.equal((waiting[1]:gsub(":[%w_-]+:2:", ":"..("A"):rep(22)..":2:")), unknown[1]);
	end);

	it("show that a log has been forked", function ()
		local log = journal:log(nil, support.new_store());
		log.log.open(host);
		journal:audit(log, 1, 2);
		log:pass(1);
		log.log.close();
		-- Two machines go on from the same copy.
		local kept, store = {}, {};
		for _, path in ipairs(journal:files()) do kept[path] = process.read(path); end
		for user, rows in pairs(log.store.partitions) do store[user] = table.move(rows, 1, #rows, 1, {}); end
		local function go_on(first, last)
			for _, path in ipairs(journal:files()) do os.remove(path); end
			for path, content in pairs(kept) do process.write(path, content); end
			local again = journal:log(nil, support.new_store());
			for user, rows in pairs(store) do again.store.partitions[user] = table.move(rows, 1, #rows, 1, {}); end
			again.time = log.time + 1;
			again.log.open(host);
			journal:audit(again, first, last);
			again:pass(1);
			return again;
		end
		local one = go_on(3, 4);
		local of_one = one.log.anchors(host);
		assert.is_true(one.log.verify(host, nil, { anchors = of_one }).intact);
		one.log.close();
		local other = go_on(5, 6);
		local of_other = other.log.anchors(host);
		assert.is_true(other.log.verify(host, nil, { anchors = of_other }).intact);
		local result = other.log.verify(host, nil, { anchors = of_one });
		assert.equal(3, result.status);
		assert.is_truthy(table.concat(result.lines, "\n"):find("events 4 %(key [^)]+%): forked: an anchor that was kept is of another entry"));
		-- The anchors of both machines contradict each other on any log.
		result = other.log.verify(host, nil, { anchors = { of_one[1], of_other[1] } });
		assert.is_truthy(table.concat(result.lines, "\n"):find("-: forked: an anchor that was kept is of another entry", 1, true));
	end);
end);
