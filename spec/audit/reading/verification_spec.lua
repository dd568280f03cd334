-- Verifying logs by prosodyctl: lua/audit/reading/verification.lib.lua.

local core = require "audit_core";
local module_api = require "support.module_api";
local process = require "support.process";

describe("prosodyctl mod_audit --verify", function ()
	local host, verification, printed, said, folder;
	local real_print = print;

	before_each(function ()
		host = module_api.host();
		local audit = host:load("audit");
		verification = audit.module:depends("audit").library "reading/verification";
		for i = 1, 3 do audit.module:audit("romeo@"..host.name, "event-"..i); end
		folder = process.new_folder("verification");
		printed, said = {}, {};
		_G.print = function (text) table.insert(printed, text); end; -- luacheck: ignore 122
	end);

	after_each(function ()
		_G.print = real_print; -- luacheck: ignore 122
	end);

	local function fail(...)
		table.insert(said, (string.format(...)));
		return 1;
	end

	local function run(names, files)
		return verification.verify(names, { anchors = files or {} }, fail);
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

	-- Exports to a file of that name, or to standard output: status, what was written, what was recorded
	local function export_evidence(name, to_stdout)
		local recorded, written = {}, {};
		local output = name and core.command({ "--export-evidence", folder.."/"..name, host.name }, os.time()).output;
		local status = verification.export(host.name, output, {
			fail = fail;
			to_stdout = to_stdout or function (text) table.insert(written, text); return true; end;
			record = function (entries, file) table.insert(recorded, { entries, file and file.path }); end;
		});
		return status, table.concat(written), recorded;
	end

	local function run_file(name, of, files)
		return verification.verify_file({ file = folder.."/"..name; host = of; anchors = files or {} }, fail);
	end

	it("verifies a file as it verifies the log", function ()
		local path = export "kept.json";
		local status, _, recorded = export_evidence "a.jsonl";
		assert.same({ 0, { { 3, folder.."/a.jsonl" } } }, { status, recorded });
		assert.equal("rw-------", require "lfs".attributes(folder.."/a.jsonl", "permissions"));
		run({ host.name }, { path });
		assert.equal(0, run_file("a.jsonl", nil, { path }));
		assert.equal(0, run_file("a.jsonl", host.name, { path }));
		assert.same({ printed[1], printed[1] }, { printed[2], printed[3] });
		-- The same on standard output, but for the time.
		local second, text = export_evidence();
		assert.same({ 0, 5 }, { second, select(2, text:gsub("\n", "")) });
		host.appended[2].value.attr.type = "other";
		export_evidence "b.jsonl";
		run { host.name };
		assert.equal(3, run_file "b.jsonl");
		assert.equal(printed[4], printed[5]);
		assert.same({}, said);
	end);

	it("refuses a file that is not what was exported, in one line", function ()
		export_evidence "a.jsonl";
		local text = process.read(folder.."/a.jsonl");
		process.write(folder.."/cut", text:sub(1, -3));
		process.write(folder.."/changed", (text:gsub("event%-2", "event-9")));
		for _, row in ipairs {
			{ "cut", nil, 1, "cut off" };
			{ "changed", nil, 1, "its checksum does not fit" };
			{ "missing", nil, 1, "No such file" };
			{ "a.jsonl", "other.test", 1, "it is the log of "..host.name };
		} do
			assert.equal(row[3], run_file(row[1], row[2]));
			assert.is_truthy(said[#said]:find(row[4], 1, true), said[#said]);
			assert.is_nil(said[#said]:find("\n", 1, true));
		end
		assert.equal(2, run_file("a.jsonl", nil, { folder.."/cut" }));
		assert.same({}, printed);
	end);

	it("leaves no file behind, and records nothing, if the export fails", function ()
		process.write(folder.."/there", "x");
		local status, _, recorded = export_evidence "there";
		assert.same({ 1, {} }, { status, recorded });
		local log = host:load("audit").module:shared("/*/audit/log").log;
		local real = log.export_evidence;
		log.export_evidence = function (_, out) out("some"); return nil, "broken"; end;
		local second, _, also = export_evidence "new";
		log.export_evidence = real;
		assert.same({ 1, {} }, { second, also });
		assert.is_nil(require "lfs".attributes(folder.."/new", "mode"));
		assert.is_truthy(said[2]:find("can't be exported: broken", 1, true), said[2]);
		-- Nobody reads the pipe any more: what it got may have been read.
		local third, _, seen = export_evidence(nil, function () return nil; end);
		assert.same({ 0, { { 0 } } }, { third, seen });
		assert.equal(1, (export_evidence(nil, function () return nil, "disk full"; end)));
		assert.is_truthy(said[3]:find("disk full", 1, true), said[3]);
	end);

	it("prints the last entry of each chain", function ()
		assert.equal(0, verification.anchors({ host.name }, fail));
		assert.is_truthy(printed[1]:find("^audit%-anchor:[%w_-]+:[%w_-]+:3:[%w_-]+$"), printed[1]);
		-- It is the one that the export has.
		assert.is_truthy(process.read(export "kept.json"):find(printed[1], 1, true));
		assert.equal(1, verification.anchors({ "other.test" }, fail));
		assert.equal(1, verification.anchors({}, fail));
		assert.is_truthy(said[2]:find("There are no anchors", 1, true), said[2]);
	end);

	it("says which log can't be verified, and goes on with the next", function ()
		assert.equal(1, run { "other.test", host.name });
		assert.equal(1, #said);
		assert.equal(1, #printed);
	end);
end);
