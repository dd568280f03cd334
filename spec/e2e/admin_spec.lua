-- What administrators do on real servers: by the shell, by ad-hoc commands, by the configuration.

local admin_socket = require "support.admin_socket";
local client = require "support.client";
local dump = require "support.dump";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local host, other = "example.test", "other.test";
local admin, user = "admin@"..host, "romeo@"..host;
local admin_node = "http://jabber.org/protocol/admin#";

local function new_certificate(folder, name)
	process.run(("mkdir -p %s && cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=%s"
		.." -addext subjectAltName=DNS:%s -keyout %s.key -out %s.crt 2>/dev/null"):format(
		process.quote(folder), process.quote(folder), name, name, name, name));
end

server.each_series(describe, pending, function (series)
	describe("mod_audit_admin", function ()
		local prosody, seen, console_port;

		setup(function ()
			console_port = process.free_ports(1)[1];
			prosody = server.start {
				series = series, hosts = { host, other };
				modules = { "audit", "audit_admin", "adhoc", "admin_adhoc", "admin_telnet", "uptime" };
				config = { admins = { admin }, console_ports = { console_port } };
			};
			prosody:adduser(admin, "secret");
			prosody:adduser(user, "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		-- The entries since the last look, on a host; the first look is at the start.
		before_each(function ()
			seen = { [host] = #dump.entries(prosody, host), [other] = #dump.entries(prosody, other) };
		end);
		local function news(of_host)
			local entries = dump.entries(prosody, of_host or host);
			return { table.unpack(entries, seen[of_host or host] + 1) };
		end

		local function lines(entries, ...)
			local found = {};
			for i, entry in ipairs(entries) do
				found[i] = entry.type;
				for _, name in ipairs { ... } do
					found[i] = found[i].." "..(entry:line(name) or "-");
				end
			end
			return found;
		end

		local function actor_of(entry)
			return entry:child("actor").attr;
		end

		it("records that the log begins", function ()
			for _, name in ipairs { host, other } do
				local first = dump.entries(prosody, name)[1];
				assert.equal("audit-started mod_audit server", ("%s %s %s"):format(first.type, first.source, actor_of(first).kind));
			end
		end);

		it("records commands of prosodyctl shell on every host, without their secrets", function ()
			assert.equal(0, (prosody:shell(('user:create("juliet@%s", "hunter2")'):format(host))));
			assert.equal(0, (prosody:ctl("shell", "user", "password", "juliet@"..host, "hunter2")));
			for _, name in ipairs { host, other } do
				assert.same({
					('shell-command <actor kind="admin-shell"/> <command>user:create("juliet@%s", ***)</command>'):format(host);
					series == "0.12" and ('shell-command <actor kind="admin-shell"/> <command>user:password("juliet@%s", ***)</command>'):format(host)
						or ('shell-command <actor kind="admin-shell"/> <command>user password juliet@%s ***</command>'):format(host);
				}, lines(news(name), "actor", "command"));
			end
			local entry = news()[1];
			assert.equal("admin", entry:child("session").attr.type);
			assert.is_nil(entry.user);
		end);

		it("records commands of the telnet console, with its address", function ()
			local console = assert(socket.connect("127.0.0.1", console_port));
			console:settimeout(5);
			console:send(('user:password("nobody@%s", "hunter2")\n'):format(host));
			repeat
				local line = assert(console:receive("*l"));
			until line:find("No such user", 1, true);
			console:close();
			assert.same({ ('shell-command <session><remote-ip>127.0.0.1</remote-ip></session> '
				..'<command>user:password("nobody@%s", ***)</command>'):format(host) }, lines(news(), "session", "command"));
		end);

		it("links a command with the events that it causes, also in a later turn of the loop and after a question", function ()
			prosody:adduser("tybalt@"..host, "secret");
			prosody:eval([[
				local get_module = require "core.modulemanager".get_module;
				local audit = get_module("*", "audit").library "audit" (get_module(..., "audit_admin").module);
				local seen = module:shared("actors");
				module:hook_global("user-password-changed", function (event)
					table.insert(seen, audit:acting(event.host) or { kind = "nobody" });
				end);
			]], host);
			local shell = admin_socket.connect(prosody);
			assert.matches("^OK", (shell:run(('user:password("tybalt@%s", "hunter2")'):format(host))));
			if series ~= "0.12" then
				assert.matches("^OK", (shell:run(('user:password("tybalt@%s")'):format(host), "hunter2")));
			end
			assert.matches("^Result", (shell:run(('>require"core.usermanager".set_password("tybalt", "hunter2", "%s")'):format(host))));
			shell:close();
			local changed = client.command(prosody, admin, "secret", admin_node.."change-user-password",
				{ forms = { { accountjid = "tybalt@"..host, password = "hunter2" } } });
			assert.equal("completed", changed.status);
			prosody:eval([[require "core.usermanager".set_password("tybalt", "secret", (...))]], host);

			local expected = {};
			for _, entry in ipairs(news()) do
				if entry.type == "shell-command" then
					table.insert(expected, "admin-shell "..entry.id);
				elseif entry.type == "adhoc-command" then
					table.insert(expected, "adhoc "..actor_of(entry).jid);
				end
			end
			assert.equal(series == "0.12" and 3 or 4, #expected);
			table.insert(expected, "nobody");
			local found = {};
			for i, actor in ipairs((select(2, prosody:eval("return 1, module:shared('actors')")))) do
				found[i] = actor.kind..(actor.caused_by and " "..actor.caused_by or actor.jid and " "..actor.jid or "");
			end
			assert.same(expected, found);
		end);

		it("records ad-hoc commands with their outcome", function ()
			local function run(jid, node, options)
				return client.command(prosody, jid, "secret", node, options);
			end
			local account = { accountjid = "paris@"..host, password = "hunter2", ["password-verify"] = "hunter2" };
			assert.equal("completed", run(admin, admin_node.."add-user", { forms = { account } }).status);
			assert.equal("completed", run(admin, admin_node.."add-user", { forms = { account } }).status); -- but there is an account
			assert.equal("canceled", run(admin, admin_node.."add-user", { forms = { account }, action = "cancel" }).status);
			assert.equal("executing", run(admin, admin_node.."add-user").status);
			assert.equal("forbidden", run(user, admin_node.."delete-user", { forms = { { accountjids = { admin } } } }).condition);
			assert.equal("completed", run(user, "uptime").status); -- anybody may
			assert.is_false(run(admin, "no-such-command").ok);
			assert.equal("completed", run(admin, admin_node.."delete-user", { forms = { { accountjids = { "paris@"..host } } } }).status);

			local found = {};
			for _, entry in ipairs(news()) do
				local command, fields = entry:child("command"), {};
				if not command then
					-- mod_audit records by itself when an account ends, as no module for accounts is loaded.
					assert.same({ "user-deleted", "mod_audit" }, { entry.type, entry.source });
					goto continue;
				end
				for _, field in ipairs(command.children) do
					table.insert(fields, field.attr.var.."="..(field:child("value") and field:child("value").text or ""));
				end
				table.sort(fields);
				table.insert(found, table.concat({ entry.type, entry.user, command.attr.node:match("[^#]*$"), command.attr.outcome,
					command.attr.condition or "-", table.concat(fields, " ") }, " "));
				assert.equal("127.0.0.1", entry:child("session"):child("remote-ip").text);
				assert.equal('<actor jid="'..entry.user..'/" kind="adhoc"><remote-ip>127.0.0.1</remote-ip></actor>',
					(entry:line("actor"):gsub('/[^"/]+" kind', '/" kind')));
				::continue::
			end
			local fields = ("accountjid=paris@%s password-verify= password="):format(host);
			assert.same({
				("adhoc-command %s add-user completed - %s"):format(admin, fields);
				("adhoc-command %s add-user error - %s"):format(admin, fields);
				("adhoc-command %s add-user canceled - %s"):format(admin, fields);
				("adhoc-refused %s delete-user refused forbidden "):format(user);
				("adhoc-command %s delete-user completed - accountjids=paris@%s"):format(admin, host);
			}, found);
			assert.same({}, news(other));
		end);

		it("records by name which options changed when the configuration is read again", function ()
			prosody:reload { host_config = { [other] = { audit_log_ips = false } };
				config = { admins = { admin }, console_ports = { console_port }, hunter2_key = "hunter2", audit_log_expires_after = "3d" } };
			assert.same({
				'config-reloaded <actor kind="unknown"/> <options><option change="added" name="audit_log_expires_after" scope="global"/>'
					..'<option change="added" name="hunter2_key" scope="global"/></options>';
				'audit-options-changed <actor kind="unknown"/> <options><option change="added" name="audit_log_expires_after"/></options>';
			}, lines(news(), "actor", "options"));
			assert.same({
				'config-reloaded <options><option change="added" name="audit_log_expires_after" scope="global"/>'
					..'<option change="added" name="hunter2_key" scope="global"/><option change="added" name="audit_log_ips" scope="host"/></options>';
				'audit-options-changed <options><option change="added" name="audit_log_expires_after"/><option change="added" name="audit_log_ips"/></options>';
			}, lines(news(other), "options"));

			seen[host] = #dump.entries(prosody);
			prosody:reload { config = { admins = { admin }, console_ports = { console_port }, hunter2_key = "hunter3" } };
			assert.same({
				'config-reloaded <options><option change="removed" name="audit_log_expires_after" scope="global"/>'
					..'<option change="changed" name="hunter2_key" scope="global"/></options>';
				'audit-options-changed <options><option change="removed" name="audit_log_expires_after"/></options>';
			}, lines(news(), "options"));

			seen[host] = #dump.entries(prosody);
			assert.equal(0, (prosody:shell("config:reload()")));
			local entries = news();
			assert.same({ "shell-command -", "config-reloaded <options/>" }, lines(entries, "options"));
			assert.same({ kind = "admin-shell", ["caused-by"] = entries[1].id, xmlns = "xmpp:prosody.im/audit" }, actor_of(entries[2]));
		end);

		it("records another certificate, and not one that is the same", function ()
			local folder = prosody.folder.."/certificates";
			local function fingerprint(name)
				local _, out = process.capture { "openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", folder.."/"..name..".crt" };
				return out:match("=([%x:]+)"):gsub(":", ""):lower();
			end
			local function reload(options)
				seen[host] = #dump.entries(prosody);
				prosody:reload(options);
				local found = news();
				assert.equal("config-reloaded", found[1].type);
				assert.is_true(#found <= 2);
				return found[2] and found[2].type.." "..found[2]:child("certificate").attr.sha256;
			end
			for _, name in ipairs { host, other, "manual" } do new_certificate(folder, name); end
			-- In the folder where Prosody finds it by the host's name.
			local config = { admins = { admin }, console_ports = { console_port }, certificates = folder };
			assert.equal("certificates-reloaded "..fingerprint(host), reload { config = config });
			assert.is_nil(reload());
			new_certificate(folder, host);
			assert.equal("certificates-reloaded "..fingerprint(host), reload());
			-- In a file that an option names.
			local ssl = { certificate = folder.."/manual.crt", key = folder.."/manual.key" };
			assert.equal("certificates-reloaded "..fingerprint("manual"), reload { host_config = { [host] = { ssl = ssl } } });
			assert.is_nil(reload());
			assert.matches("^certificates%-reloaded ", reload { config = { admins = { admin }, console_ports = { console_port } }, host_config = {} });
			-- Prosody may look among the certificates before it has looked for them anew: now it has.
			prosody:reload();
		end);

		it("records modules that come and go after the start", function ()
			for _, command in ipairs { "load", "reload", "unload" } do
				assert.equal(0, (prosody:shell(('module:%s("time", "%s")'):format(command, host))));
			end
			assert.equal(1, (prosody:shell(('module:load("no_such_module", "%s")'):format(host))));
			assert.same({
				"shell-command -", 'module-loaded <module name="time"/>';
				"shell-command -", 'module-reloaded <module name="time"/>';
				"shell-command -", 'module-unloaded <module name="time"/>';
				"shell-command -";
			}, lines(news(), "module"));
			assert.equal("shell-command shell-command shell-command shell-command", dump.types(news(other)));
			for i, entry in ipairs(news()) do
				if entry.type ~= "shell-command" then
					assert.equal(news()[i - 1].id, actor_of(entry)["caused-by"]);
				end
			end
		end);

		it("records hosts that come and go", function ()
			assert.equal(0, (prosody:shell(('host:deactivate("%s")'):format(other))));
			assert.equal(0, (prosody:shell(('host:activate("%s")'):format(other))));
			local name = ('<host name="%s"/>'):format(other);
			assert.same({ "shell-command -", "host-deactivated "..name, "shell-command -", "host-activated "..name }, lines(news(), "host"));
			-- On the host itself too, whose modules are no news.
			assert.same({ "shell-command -", "host-deactivated "..name, "audit-started -", "host-activated "..name }, lines(news(other), "host"));
		end);

		it("breaks nothing if it has a fault itself", function ()
			prosody:eval([[
				local core, kept = require "audit_core", module:shared("kept");
				kept.shell_line, kept.shows_field = core.shell_line, core.shows_field;
				core.shell_line = function () error("a fault of the test"); end;
				core.shows_field = core.shell_line;
			]]);
			finally(function ()
				prosody:eval([[
					local core, kept = require "audit_core", module:shared("kept");
					core.shell_line, core.shows_field = kept.shell_line, kept.shows_field;
				]]);
			end);
			assert.equal(0, (prosody:shell("server:version()")));
			local answer = client.command(prosody, admin, "secret", admin_node.."get-user-roster", { forms = { { accountjid = user } } });
			assert.equal("completed", answer.status, require "dkjson".encode(answer));
			assert.same({}, news());
			for _, what in ipairs { "a command of the shell", "an ad%-hoc command" } do
				assert.matches("Fault while handling "..what.." %(logged once%): [^\n]*a fault of the test", prosody:log());
			end
		end);

		it("goes on after it was reloaded, and says when it is unloaded", function ()
			assert.equal(0, (prosody:shell("module:reload(\"audit_admin\")")));
			seen[host] = #dump.entries(prosody);
			assert.equal(0, (prosody:shell("server:version()")));
			assert.equal("shell-command", dump.types(news()));

			-- On one host.
			local function unload(of_host, name)
				prosody:eval([[return require "core.modulemanager".unload(...)]], of_host, name);
			end
			seen = { [host] = #dump.entries(prosody), [other] = #dump.entries(prosody, other) };
			unload(host, "audit_admin");
			assert.same({ 'module-unloaded <module name="audit_admin"/>' }, lines(news(), "module"));
			assert.equal(0, (prosody:shell("server:version()")));
			assert.equal("module-unloaded", dump.types(news()));
			assert.equal("shell-command", dump.types(news(other)));
			assert.equal(0, (prosody:shell(('module:load("audit_admin", "%s")'):format(host))));
			assert.equal("module-unloaded audit-started module-loaded", dump.types(news()));

			-- By the shell, which also unloads the module of the whole server.
			seen = { [host] = #dump.entries(prosody), [other] = #dump.entries(prosody, other) };
			assert.equal(0, (prosody:shell(('module:unload("audit_admin", "%s")'):format(host))));
			assert.equal(0, (prosody:shell("server:version()")));
			for _, name in ipairs { host, other } do
				assert.same({ "shell-command -", 'module-unloaded <module name="audit_admin"/>' }, lines(news(name), "module"));
			end
		end);

		it("says when the log itself is unloaded", function ()
			prosody:restart { config = { admins = { admin }, console_ports = { console_port } }, host_config = {} };
			seen = { [host] = #dump.entries(prosody), [other] = #dump.entries(prosody, other) };
			local shell = admin_socket.connect(prosody);
			shell:run('module:unload("audit")');
			shell:run("server:version()");
			shell:close();
			for _, name in ipairs { host, other } do
				-- From the server, and before that from the host. A module that depends on it may be unloaded first.
				local found, of_audit = lines(news(name), "module"), 0;
				assert.equal("shell-command -", table.remove(found, 1));
				for _, line in ipairs(found) do
					if line == 'module-unloaded <module name="audit"/>' then
						of_audit = of_audit + 1;
					else
						assert.matches('^module%-unloaded <module name="audit_%w+"/>$', line);
					end
				end
				assert.is_true(of_audit == 1 or of_audit == 2, table.concat(found, "\n"));
			end
		end);
	end);
end);
