-- Reading the log from another module: lua/audit/reading/query.lib.lua, and log() of mod_audit.

local async = require "util.async";
local core = require "audit_core";
local json = require "util.json";
local module_api = require "support.module_api";
local modulemanager = require "core.modulemanager";

local NAMESPACE = "xmpp:prosody.im/audit";

describe("the log for other modules", function ()
	local host, module, log;

	local function new_host(options)
		host = module_api.host(options);
		module = host:load("audit").module;
		log = assert(module:depends("audit").log(host.name));
		module_api.complaints();
	end

	before_each(function () new_host(); end);

	-- Runs f in an async context, until it returns or that many seconds are over -> what it returned | nothing
	local function run(f, seconds)
		local results;
		async.runner(function () results = table.pack(f()); end):run(true);
		for _ = 1, 40 do
			if not results then module_api.pass(0); end
		end
		for _ = 1, seconds or 0 do
			if not results then module_api.pass(1); end
		end
		return table.unpack(results or {}, 1, results and results.n);
	end

	local function joined(found)
		return table.concat(found, " ");
	end

	-- The types of entries that the iterator returns, and what it returns at the end if it fails
	local function types(query)
		return run(function ()
			local found = {};
			for entry, condition, text in log:query(query) do
				if not entry then return joined(found), condition, text; end
				found[#found + 1] = entry.type;
			end
			return joined(found);
		end);
	end

	-- The same with a callback. "." is the end.
	local function called_with(query, stop_at)
		local found = {};
		local result = log:query(query, function (entry, condition)
			found[#found + 1] = entry and entry.type or condition or entry == nil and "." or "?";
			if #found == stop_at then return false; end
		end);
		for _ = 1, 40 do module_api.pass(0); end
		return joined(found), result;
	end

	local function record(event_type, user, extra)
		return module:audit(user and user.."@"..host.name, event_type, extra);
	end

	describe("returns entries", function ()
		before_each(function ()
			record("first-event", "romeo", { session = { ip = "203.0.113.80", type = "c2s", id = "c2s1" } });
			record("second-event", "juliet", { session = { ip = "198.51.100.7" } });
			record("third-happened", nil, { custom = { core.detail("note", nil, "Rose garden") } });
		end);

		it("newest first, to a loop in an async context", function ()
			assert.equal("third-happened second-event first-event", (types {}));
		end);

		it("newest first, to a callback, which is called once more at the end", function ()
			assert.same({ "third-happened second-event first-event .", true }, { called_with {} });
		end);

		it("until the callback returns false", function ()
			assert.equal("third-happened second-event", (called_with({}, 2)));
		end);

		it("as tables with the fields of the schema", function ()
			local entries = run(function ()
				local found = {};
				for entry in log:query {} do found[#found + 1] = entry; end
				return found;
			end);
			assert.same({ "203.0.113.80", "c2s", "c2s1", "romeo@"..host.name, host.name }, {
				entries[3].ip, entries[3]["session.type"], entries[3]["session.id"], entries[3].user, entries[3].host;
			});
			assert.same({ "Rose garden", nil }, { entries[1]["note.text"], entries[1].user });
			-- All of them are what JSON has.
			local asked = core.command({ "--format=json"; host.name }, os.time()).asked;
			local text = {};
			run(function () module_api.log().log.read(asked, function (part) text[#text + 1] = part; end, {}); end);
			local count = 0;
			for line in table.concat(text):gmatch("[^\n]+") do
				count = count + 1;
				assert.same(json.decode(line), entries[count]);
			end
			assert.equal(3, count);
		end);

		it("that are asked for", function ()
			local time = os.time();
			for _, case in ipairs {
				{ "first-event", { user = "romeo" } };
				{ "second-event first-event", { user = { "romeo", "juliet@"..host.name } } };
				{ "second-event first-event", { user = "*" } };
				{ "second-event first-event", { types = "*-event" } };
				{ "third-happened first-event", { types = { "first-event", "third-*" } } };
				{ "second-event", { ip = "198.51.100.0/24" } };
				{ "second-event first-event", { ip = { "198.51.100.7", "203.0.113.0/24" } } };
				{ "third-happened", { text = "rose GARDEN" } };
				{ "third-happened", { global = true } };
				{ "second-event first-event", { global = false } };
				{ "third-happened second-event", { limit = 2 } };
				{ "first-event second-event third-happened", { oldest_first = true } };
				{ "third-happened second-event first-event", { oldest_first = false } };
				{ "third-happened second-event first-event", { since = "1h" } };
				{ "", { until_ = "1h" } };
				{ "third-happened second-event first-event", { since = time - 60, until_ = time + 60 } };
				{ "", { since = time + 60.5 } };
				{ "third-happened second-event first-event", { classes = { "events" } } };
				{ "", { classes = "failures" } };
				{ "", { actors = "admin-shell" } };
				{ "third-happened second-event first-event", { sources = "mod_audit" } };
				{ "", { clients = "x", countries = "DE" } };
			} do
				local query = case[2];
				query["until"], query.until_ = query.until_, nil;
				assert.equal(case[1], (types(query)));
				assert.equal(case[1] == "" and "." or case[1].." .", (called_with(query)));
			end
		end);

		it("without those about readings, unless they are asked for", function ()
			host:load("audit").module:audit(nil, "audit-queried");
			local all = "third-happened second-event first-event";
			assert.equal(all, (types {}));
			assert.equal(all, (types { all = false }));
			assert.equal("audit-queried "..all, (types { all = true }));
			assert.equal("audit-queried", (types { types = "audit-*" }));
			assert.equal("third-happened", (types { types = { "!*-event" } }));
		end);

		it("by times in fractions of a second, though entries have whole seconds", function ()
			local when = host.appended[1].when;
			assert.equal("first-event", (types { types = "first-event", ["until"] = when + 0.5 }));
			assert.equal("", (types { types = "first-event", since = when + 0.5 }));
		end);

		it("after one of them: the next page", function ()
			local id = host:entries()[2].attr[NAMESPACE.."\1id"];
			assert.equal("first-event", (types { after = id }));
		end);

		it("page by page, without holding the loop until the end", function ()
			for _ = 1, 700 do record("one-of-many"); end
			local turns, reached_end = 0, nil;
			async.runner(function ()
				local count = 0;
				for _ in log:query { types = "one-of-many" } do
					count = count + 1;
					local enough = os.clock() + 0.0001;
					while os.clock() < enough do end
				end
				reached_end = count;
			end):run(true);
			while not reached_end and turns < 1000 do
				turns = turns + 1;
				module_api.pass(0);
			end
			assert.equal(700, reached_end);
			assert.is_true(turns >= 7, turns.." turns");
		end);

		it("from a store that waits for its answers", function ()
			local store = getmetatable(module:open_store("audit", "archive")).__index;
			local find = store.find;
			finally(function () store.find = find; end);
			function store.find(...)
				async.sleep(0);
				return find(...);
			end
			assert.equal("third-happened second-event first-event", (types {}));
			assert.equal("third-happened second-event first-event .", (called_with {}));
		end);

		it("once: after the end there is nothing", function ()
			assert.same({ "third-happened", nil, nil }, { run(function ()
				local entries = log:query { limit = 1 };
				return entries().type, entries(), entries();
			end) });
		end);
	end);

	it("has a field for each flag that says which entries are wanted", function ()
		local count = 0;
		for _, flag in ipairs(core.flags()) do
			assert.equal(flag.group == "filter" or flag.group == "page", flag.field ~= nil, flag.name);
			if flag.field then
				count = count + 1;
				local _, err = pcall(log.query, log, { [flag.field] = print }, print);
				assert.matches(flag.field.." is function: %S+, but takes ", err);
			end
		end
		assert.is_true(count > 10);
	end);

	describe("raises where the program is wrong, at the place of its call:", function ()
		local function nothing() end

		for expected, call in pairs {
			["the query is a table, not string"] = function () log:query("romeo", nothing); end;
			["unknown field usr; did you mean user?"] = function () log:query({ usr = "romeo" }, nothing); end;
			["unknown field 1; known are since, until, types"] = function () log:query({ "romeo" }, nothing); end;
			['limit is "many", but takes a whole number from 1'] = function () log:query({ limit = "many" }, nothing); end;
			["limit is 0, but takes"] = function () log:query({ limit = 0 }, nothing); end;
			["limit is 1.5, but takes"] = function () log:query({ limit = 1.5 }, nothing); end;
			["since is true, but takes a time: UNIX seconds, or a text"] = function () log:query({ since = true }, nothing); end;
			["since is %-1, but takes"] = function () log:query({ since = -1 }, nothing); end;
			["user is 5, but takes a text or a list of texts"] = function () log:query({ user = 5 }, nothing); end;
			["types is table: 0x%x+, but takes a text or a list of texts"] = function () log:query({ types = { 5 } }, nothing); end;
			["ip is table: 0x%x+, but takes a text or a list of texts"] = function () log:query({ ip = { ip = "::1" } }, nothing); end;
			['global is "yes", but takes true or false'] = function () log:query({ global = "yes" }, nothing); end;
			["text is table: 0x%x+, but takes a text"] = function () log:query({ text = {} }, nothing); end;
			["reader is a table that describes an actor, not string"] = function () log:query({ reader = "admin" }, nothing); end;
			["the callback is a function, not table"] = function () log:query({}, {}); end;
			["without a callback it needs an async context"] = function () log:query({}); end;
			["log:query%(%) is called with a colon"] = function () log.query({}, nothing); end;
			["log%(%) takes the name of a host, not nil"] = function () module:depends("audit").log(); end;
			["log%(%) takes the name of a host, not %*"] = function () module:depends("audit").log("*"); end;
		} do
			it(expected, function ()
				local ok, err = pcall(call);
				assert.is_false(ok);
				assert.matches(expected, err);
				assert.matches("query_spec.lua:%d+: log", err);
			end);
		end
	end);

	describe("says what it can't do", function ()
		it("for a host whose log is not there", function ()
			assert.same({ nil, "item-not-found" }, { module:depends("audit").log("elsewhere.test") });
		end);

		it("for values that are not right, named as the query names them", function ()
			for expected, query in pairs {
				['ip has "example.com", which is not an address'] = { ip = "example.com" };
				['since is "yesterdayish", but takes'] = { since = "yesterdayish" };
				["types is empty"] = { types = {} };
				["user is empty"] = { user = "" };
				['after is "x", but takes'] = { after = "x" };
				["since is .+, and until is .+: nothing is between"] = { since = 20, ["until"] = 10 };
			} do
				local found, condition, text = types(query);
				assert.same({ "", "bad-request" }, { found, condition }, expected);
				assert.matches("^"..expected, text);
				assert.equal("bad-request", (called_with(query)));
			end
		end);

		it("if the store fails in the middle, after what was read", function ()
			for _ = 1, 600 do record("one-event"); end
			local store = getmetatable(module:open_store("audit", "archive")).__index;
			local find, calls = store.find, 0;
			finally(function () store.find = find; end);
			function store.find(...)
				calls = calls + 1;
				if calls > 3 then return nil, "database is locked"; end
				return find(...);
			end
			local found, condition, text = types {};
			assert.is_true(#found > 0 and select(2, found:gsub("one%-event", "")) < 600, found);
			assert.same({ "internal-server-error", "The store can't be read: database is locked" }, { condition, text });
			calls = 0;
			local seen = called_with {};
			assert.matches("one%-event internal%-server%-error$", seen);
		end);

		it("if the driver never answers", function ()
			record("one-event");
			host.behaviour.open = function () async.waiter()(); end;
			module_api.log().log.forget(host.name);
			local results = { run(function ()
				return log:query {}();
			end, 12) };
			assert.same({ false, "remote-server-timeout", "the storage driver has not answered for 10 seconds" }, results);
		end);

		it("if entries are damaged, after the others", function ()
			record("one-event");
			record("two-event");
			host.appended[1].value = setmetatable({ name = "x<"; attr = {}; tags = {} }, getmetatable(host.appended[1].value));
			local found, condition, text = types {};
			assert.same({ "two-event", "damaged-entries" }, { found, condition });
			assert.matches("^1 damaged entries were left out", text);
		end);
	end);

	it("logs if a callback raises, and stops there", function ()
		record("one-event");
		record("two-event");
		local calls = 0;
		log:query({}, function ()
			calls = calls + 1;
			error("a mistake in the callback");
		end);
		for _ = 1, 10 do module_api.pass(0); end
		assert.equal(1, calls);
		local lines = module_api.complaints("a mistake in the callback");
		assert.equal(1, #lines);
		assert.matches("The callback of log:query%(%) has failed: .*query_spec.lua:%d+", lines[1]);
	end);

	it("records who reads if the module says so, also if it does not read to the end", function ()
		record("one-event");
		record("two-event", "romeo");
		run(function ()
			log:query { types = { "one-*", "two-*" }, limit = 9, reader = { kind = "http", jid = "admin@"..host.name } }();
		end);
		local entry = host:entries()[3];
		assert.equal("audit-queried", entry.attr.type);
		assert.equal(('<actor jid="admin@%s" kind="http"/>'):format(host.name), module_api.lines(entry)[1]);
		assert.same({ "module", "--type=one-* --type=two-* --limit=9" }, {
			entry:get_child("query", NAMESPACE).attr.through, entry:get_child("query", NAMESPACE).attr.filter;
		});
		types {};
		assert.equal(3, #host:entries(), "without a reader nothing is recorded");
	end);

	it("can be kept while mod_audit is reloaded, and tells if it is gone", function ()
		record("one-event");
		module_api.reload("audit");
		module = modulemanager.get_module(host.name, "audit").module;
		record("two-event");
		assert.equal("two-event one-event", (types { types = "*-event" }));
		modulemanager.unload("*", "audit");
		assert.has_error(function () log:query({}, print); end);
		assert(modulemanager.load("*", "audit"));
		host:load("audit");
	end);
end);
