-- What an operator meets who reads the log for the first time: what is hidden.

local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

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

server.each_series(describe, pending, function (series)
	local prosody;

	local function start(options, things)
		options.series, options.modules = series, { "audit" };
		prosody = server.start(options);
		prosody:eval(fill, host, things or 3);
	end

	-- ctl({ PWD = … }, …) -> status, out, err. For names of files, PWD is what the caller's shell has set.
	local function ctl(env, ...)
		return prosody:ctl({ env = env, user = prosody.options.user }, "mod_audit", ...);
	end

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
			assert.same({ 3, 0 }, { count(out, "\n"), count(out, "audit%-") });
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
			assert.same({ 3, 0, 2 }, { count(child:output(), "\n"), count(child:output(), "audit%-"), count(child:output(), "\"thing%-") });
		end);
	end);
end);
