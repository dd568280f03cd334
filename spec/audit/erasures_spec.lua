-- The erasure of a person's data from all hosts, and the file of what is not done yet: lua/audit/erasures.lib.lua.

local lfs = require "lfs";
local module_api = require "support.module_api";

describe("erasures", function ()
	local host, erasures, folder;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		erasures = host:library "audit/erasures";
		folder = module_api.prosody.paths.data;
		module_api.complaints();
	end);

	local function files()
		local found = {};
		for name in lfs.dir(folder) do
			if name:find("^audit%.erasure") then table.insert(found, name); end
		end
		return found;
	end

	after_each(function ()
		for _, name in ipairs(files()) do os.remove(folder.."/"..name); end
	end);

	local function result(count, more)
		local found = { count = count; held = 0; kept = 0; damaged = 0; totals = {} };
		if count > 0 then found.totals[1] = { class = "events"; type = "x"; count = count }; end
		for name, value in pairs(more or {}) do found[name] = value; end
		return found;
	end

	it("go over all hosts, are recorded where something changed and at home, and leave no file", function ()
		local request = assert(erasures.new { person = "romeo@a.test"; by = "root" });
		assert.equal(1, #files());
		local recorded, wishes = {}, {};
		local results = erasures.erase(request, { "a.test", "b.test", "c.test" }, function (name, wish)
			wishes[name] = wish;
			return result(name == "b.test" and 3 or 0);
		end, function (name, of, found) table.insert(recorded, ("%s %s %d"):format(name, of.by, found.count)); end);
		assert.same({ "a.test root 0", "b.test root 3" }, recorded);
		assert.equal(3, results.count);
		assert.same({ { host = "b.test"; class = "events"; type = "x"; count = 3 } }, results.totals);
		assert.same({ request.receipt, true }, { wishes["c.test"].receipt, wishes["c.test"].all });
		assert.same({}, files());
	end);

	it("go on where they were interrupted", function ()
		local request = assert(erasures.new { person = "romeo@a.test"; acted = true; reason = "asked"; before = 5 });
		local results = erasures.erase(request, { "a.test", "b.test" }, function (name)
			if name == "b.test" then return nil, "no database"; end
			return result(1);
		end, function () end);
		assert.same({ { host = "b.test"; problem = "no database" } }, results.problems);
		local pending, problems = erasures.pending();
		assert.same({ 1, 0 }, { #pending, #problems });
		local again = pending[1];
		assert.same({ request.receipt, "romeo@a.test", true, "asked", 5, false, true },
			{ again.receipt, again.person, again.acted, again.reason, again.before, again.all, again.resumed });
		local hosts = {};
		erasures.erase(again, { "a.test", "b.test" }, function (name) table.insert(hosts, name); return result(0); end, function () end);
		assert.same({ "b.test" }, hosts);
		assert.same({}, files());
	end);

	it("wait for what is held if they are due as an account was deleted", function ()
		local request = assert(erasures.new { person = "romeo@a.test"; due = 7; before = 5 });
		erasures.erase(request, { "a.test" }, function () return result(0, { held = 2 }); end, function () end);
		local again = erasures.pending()[1];
		assert.is_true(again.due > 86400 and #again.done == 0);
		erasures.erase(again, { "a.test" }, function () return result(2); end, function () end);
		assert.same({}, files());
	end);

	it("are not forgotten if a file can't be read", function ()
		local file = assert(io.open(folder.."/audit.erasure-X", "w"));
		file:write("{}");
		file:close();
		local pending, problems = erasures.pending();
		assert.same({ 0, 1 }, { #pending, #problems });
		assert.is_truthy(problems[1]:find("audit.erasure-X: it is damaged", 1, true));
	end);

	it("are recorded without the name", function ()
		assert.equal("*** asked, *** that is", erasures.masked("romeo@a.test asked, romeo that is", "romeo@a.test"));
		assert.is_nil(erasures.masked(nil, "romeo@a.test"));
		local recorded = erasures.recorded { receipt = "R"; person = "romeo@a.test"; before = 0 };
		assert.is_nil(recorded.person);
		assert.equal("1970-01-01T00:00:00Z", recorded.before);
	end);

	it("are described line by line, with what was not reached", function ()
		local lines = erasures.describe({ receipt = "R"; count = 1; held = 2; kept = 0; damaged = 0; problems = { { host = "b.test"; problem = "x" } };
			totals = { { host = "a.test"; class = "events"; type = ""; count = 1 } } }, false);
		assert.same({
			"a.test: 1 entry of type (none) in class events";
			"2 entries held by audit_log_hold: unchanged";
			"b.test: x";
			"Erased data of one person from 1 entry, receipt R";
			"Not reached: the database's own log and free pages, backups, sinks and exports, and Prosody's log";
		}, lines);
	end);
end);
