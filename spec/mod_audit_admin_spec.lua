local module_api = require "support.module_api";
local st = require "util.stanza";

local NAMESPACE = "xmpp:prosody.im/audit";

local config = require "core.configmanager";

describe("mod_audit_admin", function ()
	local host, other;

	setup(function ()
		package.loaded["core.certmanager"] = package.loaded["core.certmanager"] or { find_host_cert = function () end };
	end);

	before_each(function ()
		host, other = module_api.host { audit_user_history = false }, module_api.host { audit_user_history = false };
		host:load("audit_admin");
		module_api.prosody.state = "running";
		module_api.fire_global("server-started");
		module_api.complaints();
	end);

	after_each(function ()
		require "core.modulemanager".unload("*", "audit_admin");
		module_api.prosody.state = nil;
	end);

	-- The entries after those of the start.
	local function news()
		local found = {};
		for _, entry in ipairs(host:entries()) do
			if entry.attr.type ~= "audit-started" then table.insert(found, entry); end
		end
		return found;
	end

	local function types()
		local found = {};
		for i, entry in ipairs(news()) do found[i] = entry.attr.type; end
		return table.concat(found, " ");
	end

	local function last_line(entry)
		local lines = module_api.lines(entry);
		return lines[#lines];
	end

	-- A line that is typed in the shell; run() stands for the command.
	local function shell(line, run, origin)
		origin = origin or { id = "admin1", type = "admin", send = function () end };
		host:hook("x", function () end);
		local function handle() if run then run(origin); end end
		module_api.prosody.events.add_handler("admin/repl-input", handle);
		module_api.fire_global("admin/repl-input", { origin = origin, stanza = st.stanza("repl-input"):text(line) });
		module_api.prosody.events.remove_handler("admin/repl-input", handle);
		return origin;
	end

	it("records that the log begins on a host", function ()
		assert.equal("audit-started", host:entries()[1].attr.type);
		assert.equal("mod_audit", host:entries()[1].attr.source);
		assert.equal("", other:types());
	end);

	it("records a command of the shell before it runs, without its secrets", function ()
		local before;
		shell(('user:create("juliet@%s", "hunter2")'):format(host.name), function () before = types(); end);
		assert.equal("shell-command", before);
		assert.equal(('<command>user:create("juliet@%s", ***)</command>'):format(host.name), last_line(news()[1]));
		assert.is_nil(tostring(news()[1]):find("hunter2", 1, true));
		assert.is_nil(news()[1].attr.user);
	end);

	it("links a command with the events that it causes", function ()
		host:load("audit_user_accounts");
		local function change()
			module_api.fire_global("user-password-changed", { username = "romeo", host = host.name });
		end
		shell("user:password(...)", change);
		change();
		local found = {};
		for _, entry in ipairs(news()) do
			if entry.attr.type == "user-password-changed" then
				local actor = entry:get_child("actor", NAMESPACE);
				table.insert(found, { actor.attr.kind, actor.attr["caused-by"] });
			elseif entry.attr.type == "shell-command" then
				table.insert(found, entry.attr[NAMESPACE.."\1id"]);
			end
		end
		assert.same({ found[1], { "admin-shell", found[1] }, { "unknown" } }, found);
	end);

	it("links the answer to a command's question with the events that it causes", function ()
		host:load("audit_user_accounts");
		local origin = shell("user:password(...)", function (session)
			session.send(st.stanza("repl-request-input", { id = "q1" }));
		end);
		local function answer()
			module_api.fire_global("user-password-changed", { username = "romeo", host = host.name });
		end
		module_api.prosody.events.add_handler("admin/repl-requested-input", answer);
		for _, id in ipairs { "q1", "q1" } do
			module_api.fire_global("admin/repl-requested-input", { origin = origin, stanza = st.stanza("repl-requested-input", { id = id }) });
		end
		module_api.prosody.events.remove_handler("admin/repl-requested-input", answer);
		local kinds = {};
		for _, entry in ipairs(news()) do
			local actor = entry:get_child("actor", NAMESPACE);
			if entry.attr.type == "user-password-changed" then table.insert(kinds, actor.attr.kind); end
		end
		assert.same({ "admin-shell", "unknown" }, kinds);
	end);

	it("has the address of the telnet console, and none of the admin socket", function ()
		shell("server:version()", nil, { type = "admin", conn = { ip = function () return "127.0.0.1"; end } });
		shell("server:version()", nil, { type = "admin", conn = { ip = function () error("closed"); end } });
		assert.is_truthy(module_api.lines(news()[1])[1]:find("<remote-ip>127.0.0.1</remote-ip>", 1, true));
		assert.is_nil(tostring(news()[2]):find("remote-ip", 1, true));
	end);

	it("records which options changed when the configuration is read again, and those of the log apart", function ()
		local current = config.getconfig();
		stub(config, "getconfig", function () return current; end);
		finally(function () config.getconfig:revert(); end);
		host:unload("audit_admin");
		require "core.modulemanager".unload("*", "audit_admin");
		host:load("audit_admin");
		host.appended = {};
		module_api.fire_global("reloading-config");
		-- Reading the file again makes a new table of each section.
		local before = current;
		current = setmetatable({}, getmetatable(before));
		for section, options in next, before do
			current[section] = setmetatable({}, getmetatable(options));
			for name, value in next, options do current[section][name] = value; end
		end
		rawset(current[host.name], "audit_log_ipv4_prefix", 24);
		rawset(current[host.name], "some_secret", "hunter2");
		module_api.fire_global("config-reloaded");
		assert.equal("config-reloaded audit-options-changed", types());
		assert.equal('<options><option change="added" name="audit_log_ipv4_prefix" scope="host"/><option change="added" name="some_secret"'
			..' scope="host"/></options>', last_line(news()[1]));
		assert.equal('<options><option change="added" name="audit_log_ipv4_prefix"/></options>', last_line(news()[2]));
	end);

	it("records modules that come and go while the server runs, and not at its start", function ()
		host:load("audit_reports");
		host:reload("audit_reports");
		host:unload("audit_reports");
		assert.equal("module-loaded module-reloaded module-unloaded", types());
		assert.equal('<module name="audit_reports"/>', last_line(news()[1]));
		module_api.fire_global("server-stopping");
		host:load("audit_reports");
		assert.equal("module-loaded module-reloaded module-unloaded", types());
	end);

	it("records hosts that come and go, on the hosts that are there", function ()
		module_api.fire_global("host-activated", other.name);
		module_api.fire_global("host-deactivating", { host = other.name });
		-- With a new host modules may be loaded that are loaded once for all.
		assert.matches("host%-activated host%-deactivated$", types());
		for _, entry in ipairs(news()) do
			if entry.attr.type:find("^host") then assert.equal(('<host name="%s"/>'):format(other.name), last_line(entry)); end
		end
		assert.equal("", other:types());
	end);

	it("records its own end, and that of the log", function ()
		host:unload("audit_admin");
		assert.equal("module-unloaded", types());
		assert.equal('<module name="audit_admin"/>', last_line(news()[1]));
		host:load("audit_admin");
		host.appended = {};
		require "core.modulemanager".unload("*", "audit");
		local found = {};
		for i, entry in ipairs(news()) do found[i] = entry.attr.type..last_line(entry); end
		assert.is_truthy(table.concat(found, " "):find('module-unloaded<module name="audit"/>', 1, true), table.concat(found, " "));
	end);

	it("lets a command run if it can't be recorded, and says so once", function ()
		local ran = 0;
		local broken = setmetatable({ get_text = function () error("broken"); end }, getmetatable(st.stanza("x")));
		module_api.prosody.events.add_handler("admin/repl-input", function () ran = ran + 1; end);
		for _ = 1, 2 do
			module_api.fire_global("admin/repl-input", { origin = { send = function () end }, stanza = broken });
		end
		assert.equal(2, ran);
		assert.equal(1, #module_api.complaints("Fault while handling a command of the shell (logged once)"));
	end);
end);
