-- prosodyctl mod_audit while a server runs: lua/audit/reading/command.lib.lua. Its output is tested in the end-to-end
-- specs (command, output, report), with real servers.

local module_api = require "support.module_api";

-- It looks for a terminal when it is loaded.
require "core.loggingmanager";
require "core.configmanager".set("*", "log", {});

local real_io, real_print = io, print;

describe("prosodyctl mod_audit", function ()
	local host, out, err, refusal;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		-- What standard output says to a write.
		refusal = nil;
	end);

	-- Runs the command: its exit status. out and err are what it wrote.
	local function run(...)
		local function sink(list)
			return {
				write = function (self, ...)
					if refusal and list.is_stdout then return nil, table.unpack(refusal); end
					for i = 1, select("#", ...) do table.insert(list, (select(i, ...))); end
					return self;
				end;
				flush = function (self) return self; end;
			};
		end
		local printed, complained = { is_stdout = true }, {};
		_G.io = setmetatable({ stdout = sink(printed), stderr = sink(complained) }, { __index = real_io });
		_G.print = function (text) table.insert(printed, tostring(text).."\n"); end
		local ok, status = pcall(require "core.modulemanager".get_module("*", "audit").module.command, { ... });
		_G.io, _G.print = real_io, real_print;
		assert(ok, status);
		out, err = table.concat(printed), table.concat(complained);
		return status;
	end

	it("shows its help", function ()
		assert.equal(0, run("--help"));
		assert.is_truthy(out:find("--since", 1, true) and out:find("--prune", 1, true));
	end);

	it("shows which event types there are, for a host with its classes", function ()
		assert.equal(0, run("--events"));
		assert.is_truthy(out:find("authentication-failure", 1, true));
		assert.equal(0, run("--events", host.name));
		assert.equal(1, run("--events", "nowhere.test"));
		assert.is_truthy(err:find("Unknown host \"nowhere.test\"", 1, true), err);
	end);

	it("lists the rules of alerts, and says what is wrong with their configuration", function ()
		assert.equal(0, run("--alerts"));
		assert.is_truthy(out:find("^RULE ") and out:find("\nguessing ", 1, false), out);
		assert.equal("", err);
		require "core.configmanager".set(host.name, "audit_alerts", { rules = { guessed = false; guesing = false } });
		assert.equal(0, run("--alerts", host.name));
		assert.is_nil(out:find("\nguessed ", 1, true));
		assert.is_truthy(err:find('audit_alerts.rules["guesing"] is false', 1, true), err);
		assert.equal(1, run("--alerts", "nowhere.test"));
	end);

	it("ends with status 2 and a message if the arguments are wrong", function ()
		assert.equal(2, run("--nonsense", host.name));
		assert.is_truthy(err:find("nonsense", 1, true));
		assert.equal("", out);
	end);

	it("ends with status 1 if the host is unknown, and names the one that was meant", function ()
		assert.equal(1, run((host.name:gsub("test$", "tset"))));
		assert.is_truthy(err:find("did you mean "..host.name.."?", 1, true), err);
	end);

	it("shows entries, and says if there are none", function ()
		assert.equal(0, run(host.name, "--utc"));
		assert.equal("No audit events found.\n", err);
		host:load("audit").module:audit("romeo@"..host.name, "test-event");
		assert.equal(0, run(host.name, "--utc", "--no-colour", "--format=csv"));
		assert.is_truthy(out:find("test-event", 1, true) and out:find("romeo@"..host.name, 1, true), out);
		assert.equal("", err);
	end);

	it("says how many entries are hidden, on standard error", function ()
		host:load("audit").module:audit(nil, "audit-queried");
		assert.equal(0, run(host.name, "--utc"));
		local hidden = "1 entry about who read the log and what was removed from it is hidden; --all shows it\n";
		assert.same({ "", "No audit events found.\n"..hidden }, { out, err });
		assert.equal(0, run(host.name, "--utc", "--stats"));
		assert.equal("No audit events found.\n"..hidden, err);
		assert.equal(0, run(host.name, "--utc", "--all", "--format=json"));
		assert.is_truthy(out:find("audit-queried", 1, true) and err == "", err);
		assert.equal(0, run(host.name, "--utc", "--type=!audit-*"));
		assert.equal("No audit events found.\n", err);
	end);

	it("is silent if nobody reads a pipe any more, and fails if it can't be written", function ()
		host:load("audit").module:audit(nil, "test-event");
		host:load("audit").module:audit(nil, "audit-queried");
		refusal = { "Broken pipe", 32 };
		for _, flag in ipairs { "--format=json", "--format=table", "--format=csv", "--stats", "--report=-", "--oldest-first" } do
			assert.same({ 0, "" }, { run(host.name, flag), err }, flag);
		end
		refusal = { "No space left on device", 28 };
		assert.same({ 1, "Standard output can't be written: No space left on device\n" }, { run(host.name), err });
	end);

	it("writes a new file, and nothing to standard output", function ()
		host:load("audit").module:audit(nil, "test-event");
		local path = require "support.process".new_folder("command").."/log.json";
		assert.equal(0, run(host.name, "--output="..path, "--format=json"));
		assert.equal("", out);
		local content = require "support.process".read(path);
		assert.is_truthy(content:find("test-event", 1, true));
		assert.equal(("Wrote %s: 1 entry, %d bytes\n"):format(path, #content), err);
		-- An existing file is not replaced.
		assert.equal(1, run(host.name, "--output="..path, "--format=json"));
		assert.is_truthy(err:find(path, 1, true), err);
	end);

	it("says if the store can't be read, with status 1", function ()
		host:load("audit").module:audit(nil, "test-event");
		local store = module_api.log().log.stores[host.name];
		local find = store.find;
		store.find = function () return nil, "no permission"; end;
		assert.equal(1, run(host.name));
		store.find = find;
		assert.is_truthy(err:find("The audit log of "..host.name.." can't be read: no permission", 1, true), err);
	end);

	it("does not prune the log of a server that it can't reach", function ()
		require "core.configmanager".set(host.name, "audit_log_write", nil);
		assert.equal(1, run("--prune", host.name));
		assert.is_truthy(err:find("only it may prune its log: enable admin_socket", 1, true), err);
	end);

	it("makes a new key for hashes of addresses, and names the old one", function ()
		assert.equal(0, run("--new-key", host.name));
		local first = out:match("the new key (%x+)");
		assert.equal(0, run("--new-key", host.name));
		assert.is_truthy(first and out:find("(key "..first..")", 1, true), out);
	end);
end);
