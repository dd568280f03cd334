-- The section "audit" of Prosody's shell: lua/audit/reading/shell.lib.lua.

local module_api = require "support.module_api";
local web_host = require "support.web_host";

describe("the shell's section audit", function ()
	local host, module, printed;

	before_each(function ()
		host = module_api.host();
		module = host:load("audit").module;
		printed = {};
		module_api.complaints();
	end);

	-- run("show", host.name, "--limit=1") -> what the command returns
	local function run(name, ...)
		local session = { print = function (text) table.insert(printed, text); end; width = 120 };
		local global = require "core.modulemanager".get_module("*", "audit").module;
		local command;
		if module.may then
			for _, item in ipairs(global:get_host_items("shell-command")) do
				if item.section == "audit" and item.name == name then command = item.handler; end
			end
		else
			command = global:shared("/*/admin_shell/env").audit[name];
		end
		local results, arguments = nil, { ... };
		require "util.async".runner(function ()
			results = { command({ session = session }, table.unpack(arguments)) };
		end):run(true);
		for _ = 1, 100 do
			if results then break; end
			module_api.pass(0);
		end
		return table.unpack(results);
	end

	local function record(count)
		for i = 1, count do module:audit("user"..i.."@"..host.name, "thing"); end
	end

	it("shows entries, and the reading is recorded", function ()
		record(3);
		assert.same({ true, "3 entries" }, { run("show", host.name) });
		assert.is_truthy(table.concat(printed, "\n"):find("user3@", 1, true));
		local last = host:entries()[4];
		assert.equal("audit-queried", last.attr.type);
		assert.is_truthy(tostring(last):find("through='shell'", 1, true) and tostring(last):find("kind='admin-shell'", 1, true), tostring(last));
	end);

	it("takes flags as text and as a table", function ()
		record(5);
		assert.matches("^2 entries; older ones: %-%-after=%x+%-", (select(2, run("show", host.name, "--limit=2"))));
		-- The first reading is an entry, too, which is hidden.
		assert.matches("^2 entries; 1 entry about .* is hidden; %-%-all shows it; older ones: %-%-after=%x+%-",
			(select(2, run("show", host.name, { limit = 2, utc = true }))));
		assert.matches("^2 entries; older", (select(2, run("show", host.name, { limit = 2, utc = true, all = true }))));
		assert.same({ true, "5 entries" }, { run("show", host.name, { type = { "thing", "other" }, oldest_first = true }) });
		-- As the shell of 13 passes on what was typed.
		assert.same({ true, "5 entries" }, { run("show", host.name, "--type", "thing,other", "--oldest-first") });
		assert.same({ true, "0 entries" }, { run("show", "user9@"..host.name) });
	end);

	it("shows at most 100 entries unless a limit is given", function ()
		record(150);
		assert.matches("^100 entries; older", (select(2, run("show", host.name))));
	end);

	it("shows totals", function ()
		record(3);
		assert.is_true((run("stats", host.name)));
		assert.is_truthy(table.concat(printed, "\n"):find("thing%s+3"));
	end);

	it("makes a link for an administrator, and says why there is none", function ()
		local at_web = web_host.new();
		local function link(...) return run("link", ...); end
		local ok, url = link("nurse@"..at_web.name);
		assert.is_true(ok, url);
		assert.is_truthy(url:find("^https://"..at_web.name:gsub("%p", "%%%0").."[^\n]*/sign%-in%?link=[%w_-]+$"), url);
		for target, words in pairs { ["romeo@"..at_web.name] = "is not an administrator", [at_web.name] = "Name the administrator",
			["nurse@"..host.name] = "mod_audit_http is not loaded" } do
			local refused, why = link(target);
			assert.is_nil(refused);
			assert.is_truthy(why:find(words, 1, true), why);
		end
		assert.same({ nil, "This takes only an administrator's account" }, { link("nurse@"..at_web.name, "--limit=5") });
		at_web:finish();
	end);

	it("describes each command with the flags that it takes, in words", function ()
		local function help(name)
			local global = require "core.modulemanager".get_module("*", "audit").module;
			for _, item in ipairs(module.may and global:get_host_items("shell-command") or {}) do
				if item.section == "audit" and item.name == name then
					assert.is_nil(item.flags);
					return item.desc;
				end
			end
			run("help");
			local all = table.concat(printed, "\n");
			local from = assert(all:find("audit:"..name.."(", 1, true), all);
			return all:sub(from, (all:find("audit:", from + 1, true) or 0) - 1);
		end
		local show, stats, prune = help("show"), help("stats"), help("prune");
		for _, text in ipairs { show, stats } do
			assert.is_truthy(text:find("%-%-limit N +at most N entries\n"), text);
			assert.is_truthy(text:find("%-%-%[no%-%]global +only events of the whole host"), text);
			for _, name in ipairs { "output", "report", "follow", "colour", "bom", "stats", "prune", "help" } do
				assert.is_nil(text:find("--"..name.." ", 1, true) or text:find("]"..name.." ", 1, true), name);
			end
		end
		assert.is_truthy(show:find("--columns A,B", 1, true) and show:find("--format FORMAT", 1, true), show);
		assert.is_nil(stats:find("--columns", 1, true) or stats:find("--format", 1, true) or stats:find("show-ip", 1, true), stats);
		assert.is_nil(prune:find("--", 1, true), prune);
	end);

	it("hides the log of readings, and counts it, unless it is asked for", function ()
		record(2);
		run("show", host.name);
		run("show", host.name, "--format=json");
		local hidden = "2 entries; 2 entries about who read the log and what was removed from it are hidden; --all shows them";
		assert.same({ true, hidden }, { run("show", host.name) });
		assert.same({ true, "2 entries" }, { run("show", host.name, "--type=!audit-*") });
		assert.same({ true, "4 entries" }, { run("show", host.name, "--type=audit-*") });
		printed = {};
		assert.is_true((run("stats", host.name)));
		assert.is_nil(table.concat(printed):find("audit-", 1, true));
		assert.is_true((run("stats", host.name, "--all")));
		assert.is_truthy(table.concat(printed):find("audit-queried", 1, true));
	end);

	it("records that the reader is unknown", function ()
		run("show", host.name);
		local query = host:entries()[1]:get_child("query", "xmpp:prosody.im/audit");
		assert.same({ "unknown", nil, nil }, { query.attr.by, query.attr["by-source"], query.attr.claimed });
	end);

	it("refuses flags that are for prosodyctl, by name", function ()
		for _, flag in ipairs { "--output=/tmp/x", "--report", "--follow", "--no-colour", "--no_colour", "--bom" } do
			local ok, problem = run("show", host.name, flag);
			assert.is_nil(ok);
			assert.is_truthy(problem:find(" is for prosodyctl mod_audit", 1, true), problem);
		end
		assert.is_nil((run("show", host.name, "--prune")));
		assert.is_nil((run("show", host.name, "--nonsense")));
	end);

	it("names the host that was meant if there is no such host", function ()
		local ok, problem = run("show", host.name.."x");
		assert.is_nil(ok);
		assert.is_truthy(problem:find("Unknown host: ", 1, true) and problem:find("did you mean "..host.name.."?", 1, true), problem);
	end);

	it("verifies the log of a host, and takes nothing else", function ()
		record(2);
		assert.same({ true, host.name..": intact: 2 entries verified in 1 chain" }, { run("verify", host.name) });
		host.appended[1].value.attr.type = "other";
		printed = {};
		local ok, line = run("verify", host.name);
		assert.is_false(ok);
		assert.is_truthy(line:find("TAMPERED", 1, true) and table.concat(printed):find("altered: it is not what was recorded", 1, true), line);
		assert.is_nil((run("verify", host.name, "--anchor=x")));
		assert.is_nil((run("verify", "nowhere.test")));
	end);

	it("prunes a host, and takes nothing else", function ()
		assert.same({ true, host.name..": nothing has expired" }, { run("prune", host.name) });
		local ok, problem = run("prune", host.name, "--since=2d");
		assert.is_nil(ok);
		assert.matches("^This takes only a host", problem);
		assert.is_nil((run("prune", "nowhere.test")));
	end);
end);
