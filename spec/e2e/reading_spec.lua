-- What an operator meets who reads the log for the first time: where files go, who is recorded as reader, what is hidden, pipes, help.

local json = require "dkjson";
local lfs = require "lfs";
local dump = require "support.dump";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local FORMATS = { "table", "json", "csv", "xml", "ocsf", "ecs", "cef", "syslog" };

-- Many entries, so that a pipe is full before all are written.
local fill = [[
	local host, count = ...;
	local context = module:context(host);
	for i = 1, count do
		context:audit("juliet@"..host, "thing-"..i % 7, { session = { ip = "203.0.113."..i % 250; client_id = ("x"):rep(200) } });
	end
	flush_audit_log();
]];

local function count(text, pattern)
	return (select(2, text:gsub(pattern, "")));
end

-- The last line of a file of entries as JSON is the oldest.
local function newest(text)
	return (json.decode((text:match("^[^\n]+"))));
end

-- On a busy machine a reading takes longer than a second, and its progress is shown.
local function without_progress(err)
	return (err:gsub("%d+ entries …\n", ""));
end

server.each_series(describe, pending, function (series)
	local prosody;

	local function start(options, things)
		options.series, options.modules = series, { "audit" };
		prosody = server.start(options);
		prosody:eval(fill, host, things or 3);
	end

	-- ctl({ PWD = … }, …) -> status, out, err. For names of files, PWD is what the caller's shell has set.
	local function ctl(env, ...)
		local status, out, err = prosody:ctl({ env = env, user = prosody.options.user }, "mod_audit", ...);
		return status, out, without_progress(err);
	end

	local function reading()
		local _, out = prosody:ctl("mod_audit", "--type=audit-*", "--limit=1", "--format=json", host);
		return newest(out);
	end

	describe("a file of prosodyctl mod_audit", function ()
		after_each(server.stop_all);

		it("is made where the caller is, and its place and size are told", function ()
			start {};
			local folder = process.new_folder("caller");
			for name, arguments in pairs {
				["log.jsonl"] = { host, "--output=log.jsonl", "--format=json" };
				["stats.txt"] = { host, "--stats", "--output", "./stats.txt" };
				["week.html"] = { host, "--report", "week.html" };
			} do
				local status, out, err = ctl({ PWD = folder }, table.unpack(arguments));
				assert.same({ 0, "" }, { status, out }, err);
				local path = folder.."/"..name;
				local told, entries, bytes = err:match("Wrote ([^\n]+): (%d+) entries, ([%d,]+) bytes\n");
				assert.same({ path, "3", tostring(#process.read(path)) }, { told, entries, ((bytes or ""):gsub(",", "")) }, err);
				assert.equal(path, reading()["query.file"]);
			end
			for name in lfs.dir(prosody.data) do assert.is_nil(name:find("log.jsonl", 1, true) or name:find("week", 1, true), name); end
		end);

		it("is not made if it is not known where the caller is", function ()
			start {};
			for pwd, why in pairs { [false] = "PWD is not set", ["somewhere"] = "PWD is \"somewhere\"" } do
				for _, flag in ipairs { "--output", "--report" } do
					local status, out, err = ctl({ PWD = pwd }, flag, "log.txt", host);
					assert.same({ 1, "", 1 }, { status, out, count(err, "\n") }, err);
					assert.is_truthy(err:find(flag..": \"log.txt\" is relative", 1, true) and err:find(why, 1, true), err);
				end
			end
			local path = process.new_folder("caller").."/log.txt";
			assert.equal(0, (ctl({ PWD = false }, "--output", path, host)));
			assert.is_truthy(lfs.attributes(path, "size") > 0);
			for name in lfs.dir(prosody.data) do assert.is_nil(name:find("log.txt", 1, true), name); end
		end);

		it("that can't be made is an error that names the flag and the user who must be allowed to", function ()
			local can, why = server.can_run_as("nobody");
			if not can then return pending(why); end
			start { user = "nobody" };
			local folder = process.new_folder("caller"); -- which only the caller may open
			for _, case in ipairs { { folder, "Permission denied" }, { folder.."/missing", "Permission denied" }, { "/missing", "No such file" } } do
				for _, flag in ipairs { "--output", "--report" } do
					local status, out, err = ctl({ PWD = case[1] }, flag, "log.txt", host);
					assert.same({ 1, "", 1 }, { status, out, count(err, "\n") }, err);
					assert.is_truthy(err:find(("%s: %s/log.txt: %s"):format(flag, case[1], case[2]), 1, true), err);
					assert.is_truthy(err:find("prosodyctl runs as the user nobody", 1, true), err);
				end
			end
			assert.same({ ".", ".." }, (function ()
				local names = {};
				for name in lfs.dir(folder) do table.insert(names, name); end
				table.sort(names);
				return names;
			end)());
		end);

		it("of the name - is standard output", function ()
			start {};
			local status, out, err = ctl({ PWD = false }, "--output=-", "--format=json", "--all", host);
			assert.same({ 0, 3, "" }, { status, count(out, "\n"), err });
			status, out = ctl({ PWD = false }, "--report", "-", host);
			assert.is_true(status == 0 and out:find("^<!DOCTYPE html>") ~= nil and out:find("</html>\n?$") ~= nil, out:sub(1, 200));
			assert.same({ "report", nil }, { reading()["query.format"], reading()["query.file"] });
		end);
	end);

	describe("who reads the log", function ()
		after_each(server.stop_all);

		local function who()
			local entry = reading();
			return { entry["query.by"], entry["query.by-source"], entry["query.claimed"] };
		end

		local environments = {
			{ { SUDO_USER = "alice"; USER = "root"; LOGNAME = "root" }, "alice" };
			{ { SUDO_USER = false; USER = "bob"; LOGNAME = "bob" }, "bob" };
			{ { SUDO_USER = false; USER = false; LOGNAME = false } };
		};

		-- As a login of the user number 1 would.
		local function ctl_of_login(...)
			local command = { "sh", "-c", "echo 1 > /proc/self/loginuid && exec \"$@\"", "sh", "lua5.4", prosody.program_folder.."/prosodyctl",
				"--config", prosody.config_file, "mod_audit", ... };
			return process.capture(command, { env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false;
				SUDO_USER = "mallory" } });
		end

		local function has_login()
			return (process.read("/proc/self/loginuid") or ""):match("^%d+") ~= "4294967295";
		end

		it("is a claim if it is taken from the environment, and unknown otherwise", function ()
			if has_login() then return pending("these tests run in a login, which comes before the environment"); end
			start {};
			for _, state in ipairs { "runs", "stopped" } do
				if state == "stopped" then prosody:stop(); end
				for _, case in ipairs(environments) do
					assert.equal(0, (ctl(case[1], host)));
					assert.same(case[2] and { case[2], "environment", "true" } or { "unknown" }, who(), state);
				end
			end
		end);

		it("is what the kernel remembers of the login, which is a claim only on the way through the admin socket", function ()
			local may_set = process.capture { "sh", "-c", "echo 1 > /proc/self/loginuid" } == 0;
			if has_login() or not may_set then return pending("the login uid can't be set here"); end
			start {};
			assert.equal(0, (ctl_of_login(host)));
			assert.same({ "daemon", "login", "true" }, who());
			prosody:stop();
			assert.equal(0, (ctl_of_login(host)));
			assert.same({ "daemon", "login" }, who());
		end);

		it("is unknown in the shell", function ()
			start {};
			prosody:shell(("audit:show(%q)"):format(host));
			assert.same({ "unknown" }, who());
			assert.equal("unknown", dump.of_type(prosody, host, "audit-queried")[1]:child("query").attr.by);
		end);
	end);

	describe("the log of readings", function ()
		after_each(server.stop_all);

		it("is hidden unless it is asked for, and a line says how much", function ()
			start {};
			for _ = 1, 4 do ctl({}, host); end
			local status, out, err, _ = ctl({}, host);
			assert.same({ 0, 3, 0 }, { status, count(out, "thing%-"), count(out, "audit%-queried") });
			assert.equal("4 entries about who read the log and what was removed from it are hidden; --all shows them\n", err);
			-- A limit counts what is shown.
			_, out, err = ctl({}, "--limit=2", host);
			assert.same({ 2, 0 }, { count(out, "thing%-"), count(out, "audit%-") });
			assert.matches("^5 entries about", err);
			_, out, err = ctl({}, "--format=json", host);
			assert.same({ 3, 0 }, { count(out, "\n"), count(out, "\"type\":\"audit%-") });
			assert.matches("^6 entries about", err);
			_, out, err = ctl({}, "--stats", host);
			assert.is_nil(out:find("audit-", 1, true));
			assert.is_truthy(out:find("3 events", 1, true), out);
			assert.matches("^7 entries about", err);
			local page = prosody.folder.."/page.html";
			ctl({}, "--report", page, host);
			out = process.read(page);
			assert.is_nil(out:find("audit-queried", 1, true));
			assert.is_truthy(out:find("8 entries about who read the log", 1, true));
			_, out, err = ctl({}, "--type=!audit-*", host);
			assert.same({ 3, 0, "" }, { count(out, "thing%-"), count(out, "audit%-"), err });
			_, out, err = ctl({}, "--type=!thing-1,!thing-2", "--format=json", host);
			assert.equal(1, count(out, "\n"));
			assert.matches("^10 entries about", err);
			_, out, err = ctl({}, "--type=audit-*,!audit-exported", host);
			assert.same({ "", 0 }, { err, count(out, "audit%-exported") });
			assert.is_true(count(out, "audit%-queried") >= 8, out);
			_, out, err = ctl({}, "--all", "--limit=4", "--oldest-first", "--format=json", host);
			assert.same({ 4, 1, "" }, { count(out, "\n"), count(out, "\"audit%-queried\""), err });
		end);

		it("does not hide what happened to the log", function ()
			start {};
			prosody:eval([[
				for _, name in ipairs { "audit-entries-lost", "audit-options-changed", "audit-started", "audit-pruned" } do
					module:context(...):audit(nil, name);
				end
				flush_audit_log();
			]], host);
			local _, out, err = ctl({}, "--global", host);
			for _, name in ipairs { "audit-entries-lost", "audit-options-changed", "audit-started" } do
				assert.is_truthy(out:find(name, 1, true), out);
			end
			assert.is_nil(out:find("audit-pruned", 1, true));
			assert.matches("^1 entry about .* is hidden", err);
		end);

		it("is hidden while new entries are followed", function ()
			start {};
			ctl({}, host);
			local child = process.start {
				folder = process.new_folder("follow");
				env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false };
				command = { "lua5.4", prosody.program_folder.."/prosodyctl", "--config", prosody.config_file, "mod_audit", "--follow", "--limit=2",
					"--format=json", host };
			};
			assert.is_truthy(process.wait_until(function () return count(child:output(), "\n") >= 2; end, 15), child:output());
			ctl({}, host);
			prosody:eval("module:context(...):audit(nil, 'at-last'); flush_audit_log();", host);
			assert.is_truthy(process.wait_until(function () return child:output():find("at-last", 1, true); end, 10), child:output());
			child:finish("INT");
			assert.same({ 3, 0, 2 }, { count(child:output(), "\n"), count(child:output(), "\"type\":\"audit%-"), count(child:output(), "\"thing%-") });
		end);
	end);

	describe("a pipe whose reader goes away", function ()
		lazy_setup(function () start({}, 2000); end);
		lazy_teardown(server.stop_all);

		-- `prosodyctl mod_audit … | READER` -> what the reader wrote, the status and standard error of prosodyctl, seconds
		local function piped(reader, ...)
			local command = process.quote_all { "lua5.4", prosody.program_folder.."/prosodyctl", "--config", prosody.config_file, "mod_audit", ... };
			local env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false };
			local _, out, err = process.capture({ "sh", "-c", ("{ %s; echo \"status $?\" >&2; } | %s"):format(command, reader) }, { env = env });
			return out, without_progress(err);
		end

		for _, format in ipairs(FORMATS) do
			it("is no error in the format "..format, function ()
				local out, err = piped("head -1", "--format="..format, host);
				assert.same({ 1, "status 0\n" }, { count(out, "\n"), err });
			end);
		end

		it("is no error of totals, of a page, of help, nor if nothing is read at all", function ()
			for _, arguments in ipairs { { "--stats", host }, { "--report=-", host }, { "--help" }, { "--events" } } do
				assert.equal("status 0\n", (select(2, piped("true", table.unpack(arguments)))):match("[^\n]*\n$"));
			end
			local _, err = piped("true", "--format=json", host);
			assert.equal("status 0\n", err);
		end);

		it("ends a reading that follows, although there is nothing new to write", function ()
			for _, format in ipairs { "table", "json" } do
				local out, err = piped("head -1", "--follow", "--limit=5", "--format="..format, host);
				assert.same({ 1, "status 0\n" }, { count(out, "\n"), err });
			end
		end);

		it("leaves an entry about the reading nevertheless", function ()
			piped("head -1", "--format=json", "--type=thing-3", host);
			local entry = reading();
			assert.same({ "audit-exported", "--type=thing-3" }, { entry.type, entry["query.filter"] });
		end);
	end);

	describe("the shell's help", function ()
		lazy_setup(function () start {}; end);
		lazy_teardown(server.stop_all);

		it("has words for each flag, and only flags that make sense", function ()
			local _, out = prosody:shell(series == "0.12" and "audit:help()" or "help audit");
			local show, stats = out:match("(audit[: ]show.*)(audit[: ]stats.*)");
			assert.is_truthy(show, out);
			assert.is_truthy(show:find("%-%-limit N +at most N entries"), out);
			assert.is_truthy(stats:find("%-%-since TIME +not before this time"), out);
			assert.equal(count(out, "%-%-all +also entries about who read"), 2, out);
			for _, flag in ipairs { "output", "report", "follow", "prune", "host-data", "bom", "new-key" } do
				assert.is_nil(out:find("--"..flag.." ", 1, true), out);
			end
			for _, flag in ipairs { "columns", "format" } do
				assert.equal(1, count(out, "%-%-"..flag.." "), out);
			end
			-- Nothing is a flag without words.
			for line in out:gmatch("[^\n]+") do
				assert.is_nil(line:find("^[| ]*%-%-%a[%w-]* *$") or line:find("^[| ]*%-%-[%w-]+ <[%w_]+>[, .]*$"), line);
			end
		end);

		if series ~= "0.12" then
			it("is right: flags are taken as they are typed", function ()
				local status, out, err, _ = prosody:ctl("shell", "audit", "show", host, "--limit", "2", "--type", "thing-1,thing-2", "--utc", "--no-show-ip");
				assert.equal(0, status, err);
				assert.same({ 2, 0 }, { count(out, "thing%-"), count(out, "ADDRESS") }, out);
				_, out, err = prosody:ctl("shell", "audit", "show", host, "--limt", "2");
				assert.is_truthy((out..err):find("Unknown flag \"--limt\"", 1, true), out..err);
				_, out, err = prosody:ctl("shell", "audit", "show", host, "--output", "x");
				assert.is_truthy((out..err):find("--output is for prosodyctl mod_audit", 1, true), out..err);
			end);
		end
	end);
end);
