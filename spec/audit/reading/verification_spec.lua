-- Verifying logs by prosodyctl: lua/audit/reading/verification.lib.lua.

local core = require "audit_core";
local module_api = require "support.module_api";
local process = require "support.process";

describe("prosodyctl mod_audit --verify", function ()
	local host, verify, printed, said, folder;
	local real_print = print;

	before_each(function ()
		host = module_api.host();
		local audit = host:load("audit");
		verify = audit.module:depends("audit").library "reading/verification";
		for i = 1, 3 do audit.module:audit("romeo@"..host.name, "event-"..i); end
		folder = process.new_folder("verification");
		printed, said = {}, {};
		_G.print = function (text) table.insert(printed, text); end; -- luacheck: ignore 122
	end);

	after_each(function ()
		_G.print = real_print; -- luacheck: ignore 122
	end);

	local function run(names, files)
		return verify(names, { anchors = files or {} }, function (...)
			table.insert(said, (string.format(...)));
			return 1;
		end);
	end

	-- A file with the anchors of all entries, as an export has them.
	local function export(name)
		local text = {};
		local log = module_api.host and host:load("audit").module:shared("/*/audit/log").log;
		log.read(core.command({ "--format=json", "--all", host.name }, os.time()).asked, function (lines) table.insert(text, lines); end, {});
		process.write(folder.."/"..name, table.concat(text));
		return folder.."/"..name;
	end

	it("says that a log is intact, and 3 if it is not", function ()
		assert.equal(0, run { host.name });
		assert.is_truthy(printed[1]:find("intact: 3 entries verified in 1 chain", 1, true), printed[1]);
		host.appended[2].value.attr.type = "other";
		assert.equal(3, run { host.name });
		assert.is_truthy(printed[2]:find("TAMPERED", 1, true), printed[2]);
	end);

	it("compares with anchors that were kept", function ()
		local path = export "kept.json";
		assert.equal(0, run({ host.name }, { path }));
		assert.is_truthy(printed[1]:find("\nanchors: 3 entries compared", 1, true), printed[1]);
		-- Of an entry that the log does not have any more, and of another log.
		local anchor = process.read(path):match("audit%-anchor:[%w_:-]+");
		process.write(folder.."/later", (anchor:gsub(":%d+:", ":99:")).."\n");
		assert.equal(3, run({ host.name }, { folder.."/later" }));
		assert.is_truthy(printed[2]:find("99: rolled back: an anchor was kept of it, and the log ends before it", 1, true), printed[2]);
		process.write(folder.."/other", (anchor:gsub(":[%w_-]+$", ":"..("A"):rep(43))).."\n");
		assert.equal(3, run({ host.name }, { folder.."/other" }));
		assert.is_truthy(printed[3]:find("3 (key key-3): forked: an anchor that was kept is of another entry", 1, true), printed[3]);
		process.write(folder.."/foreign", (anchor:gsub("^audit%-anchor:[%w_-]+", "audit-anchor:"..("A"):rep(22))).."\n");
		assert.equal(3, run({ host.name }, { folder.."/foreign" }));
		assert.is_truthy(printed[4]:find("this server does not know its chain", 1, true), printed[4]);
	end);

	it("refuses a file that has no anchors, in one line", function ()
		process.write(folder.."/empty", "nothing\n");
		for _, row in ipairs {
			{ folder.."/empty", folder.."/empty: there is no anchor in it, which begins with audit-anchor:" };
			{ folder.."/missing", "No such file or directory" };
			{ folder, "Is a directory" };
		} do
			assert.equal(2, run({ host.name }, { row[1] }));
			assert.is_truthy(said[#said]:find("--anchor: ", 1, true) and said[#said]:find(row[2], 1, true), said[#said]);
		end
		assert.same({}, printed);
	end);

	it("says which log can't be verified, and goes on with the next", function ()
		assert.equal(1, run { "other.test", host.name });
		assert.equal(1, #said);
		assert.equal(1, #printed);
	end);
end);
