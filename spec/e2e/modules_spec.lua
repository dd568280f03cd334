-- Reading the log from other modules, on real servers: in an async context and with a callback, with entries in the store and in the
-- journal, and if the store fails in the middle.

local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

-- 500 entries of yesterday, 120 of today, and 20 in the journal. Returns how many wait there.
local fill = [[
	local host = ...;
	local context, core, st = module:context(host), require "audit_core", require "util.stanza";
	local store, yesterday = context:open_store("audit", "archive"), os.time() - 86400;
	local day, romeo = os.date("!%Y-%m-%d", yesterday), "romeo@"..host;
	local midnight = yesterday - yesterday % 86400;
	for i = 1, 500 do
		local entry = st.stanza("audit-event", { source = "mod_test", type = "test-event", user = romeo })
			:tag("session", { xmlns = "xmpp:prosody.im/audit" }):text_tag("remote-ip", "203.0.113.80"):up()
			:text_tag("note", tostring(i), { xmlns = "xmpp:prosody.im/audit" });
		assert(store:append("@events."..day, nil, entry, midnight + i, romeo));
	end
	local function record(user, i)
		assert(context:audit(user, "test-event", { session = { ip = "203.0.113.80" }, custom = { core.detail("note", nil, tostring(i)) } }));
	end
	for i = 501, 620 do record(romeo, i); end
	flush_audit_log();
	for i = 621, 640 do record("juliet@"..host, i); end
	return module:shared("/*/audit/log").log.waiting(host);
]];

-- Counts the turns of the loop until stop() is called.
local count_turns = [[
	local turns, stopped = 0, false;
	require "util.timer".add_task(0, function ()
		turns = turns + 1;
		return not stopped and 0 or nil;
	end);
	local function stop() stopped = true; return turns; end
	local function work()
		local enough = os.clock() + 0.0001;
		repeat until os.clock() > enough;
	end
]];

local in_async_context = count_turns..[[
	local host = ...;
	local count, last, in_order, romeo = 0, nil, true, 0;
	for entry, condition, text in module:depends("audit").log(host):query { types = { "test-*" } } do
		if not entry then return condition, text; end
		work();
		local number = tonumber(entry["note.text"]);
		in_order = in_order and number == (last or 641) - 1;
		count, last = count + 1, number;
		if entry.user == "romeo@"..host and entry.ip == "203.0.113.80" then romeo = romeo + 1; end
	end
	return count, romeo, in_order, stop();
]];

-- A timer has no async context.
local with_callback = count_turns..[[
	local host = ...;
	local state = module:shared("reading");
	state.done = nil;
	module:context(host):add_timer(0, function ()
		local count, first = 0, nil;
		state.returned = module:depends("audit").log(host):query({ user = "romeo", limit = 600, oldest_first = true }, function (entry, condition)
			if entry then
				work();
				first = first or entry["note.text"];
				count = count + 1;
			else
				state.done = { count, first, entry == nil and "end" or condition, stop() };
			end
		end);
		state.without = select(2, pcall(function () return module:depends("audit").log(host):query {}; end));
	end);
]];

-- Begins to read, and keeps the iterator.
local begin = [[
	local host = ...;
	local state = module:shared("reading");
	state.entries = module:depends("audit").log(host):query { types = "test-*" };
	return state.entries().type;
]];

local go_on = [[
	local count = 1;
	for entry, condition, text in module:shared("reading").entries do
		if not entry then return count, condition, text; end
		count = count + 1;
	end
	return count;
]];

-- How a store is made to fail, and mended.
local faults = {
	sqlite = function (prosody)
		local function rename(from, to)
			local status, _, err = process.capture { "sqlite3", prosody.data.."/prosody.sqlite", ("ALTER TABLE %s RENAME TO %s"):format(from, to) };
			assert.equal(0, status, err);
		end
		rename("prosodyarchive", "elsewhere");
		return function () rename("elsewhere", "prosodyarchive"); end;
	end;
	-- Instead of the file of yesterday there is a folder.
	internal = function (prosody)
		local path = prosody:eval([[
			return require "util.datamanager".getpath("@events."..os.date("!%Y-%m-%d", os.time() - 86400), ..., "audit", "list");
		]], host);
		process.run(("mv %s %s.kept && mkdir %s && rm -f %s"):format(path, path, path, (path:gsub("list$", "lidx"))));
		return function () process.run(("rmdir %s && mv %s.kept %s"):format(path, path, path)); end;
	end;
};

server.each_series(describe, pending, function (series)
	for _, storage in ipairs { "internal", "sqlite" } do
		describe("reading from another module, on "..storage, function ()
			local prosody;

			setup(function ()
				prosody = server.start { series = series; storage = storage; modules = { "audit" } };
				assert.equal(20, prosody:eval(fill, host));
			end);

			teardown(function () prosody:stop(); end);

			it("in an async context has all entries in order, and the server goes on meanwhile", function ()
				local count, romeo, in_order, turns = prosody:eval(in_async_context, host);
				assert.same({ 640, 620, true }, { count, romeo, in_order });
				assert.is_true(turns > 5, turns.." turns");
			end);

			it("with a callback has them too, anywhere", function ()
				prosody:eval(with_callback, host);
				local done = process.wait_until(function () return prosody:eval("return module:shared('reading').done"); end, 20);
				assert.same({ 600, "1", "end" }, { done[1], done[2], done[3] });
				assert.is_true(done[4] > 5, done[4].." turns");
				local returned, without = prosody:eval("local state = module:shared('reading'); return state.returned, state.without");
				assert.is_true(returned);
				assert.matches("needs an async context", without);
			end);

			it("says if the store fails in the middle, and works when it does again", function ()
				assert.equal("test-event", prosody:eval(begin, host));
				local mend = faults[storage](prosody);
				local count, condition, text = prosody:eval(go_on);
				mend();
				assert.is_true(count >= 20 and count < 640, count.." entries");
				assert.equal("internal-server-error", condition);
				assert.matches("^The store can't be read: .", text);
				assert.equal(640, (prosody:eval(in_async_context, host)));
			end);

			it("records who reads if it says so", function ()
				prosody:eval([[
					local host = ...;
					local reader = { kind = "http"; jid = "admin@"..host };
					module:depends("audit").log(host):query { user = "juliet", limit = 1, reader = reader }();
				]], host);
				local _, out = prosody:ctl("mod_audit", "--type=audit-queried", "--actor=admin@"..host, "--format=json", host);
				assert.is_truthy(out:find('"query.filter":"--user=juliet --limit=1"', 1, true), out);
				assert.is_truthy(out:find('"query.through":"module"', 1, true), out);
			end);
		end);
	end
end);
