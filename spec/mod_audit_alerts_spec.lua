local lfs = require "lfs";
local module_api = require "support.module_api";

describe("mod_audit_alerts", function ()
	local host, sent;

	local function catch(loaded)
		sent = {};
		loaded.module.send = function (_, stanza) table.insert(sent, stanza); end;
	end

	local function new_host(options)
		host = module_api.host(options);
		module_api.prosody.hosts[host.name].authz.get_jids_with_role = function (role)
			return role == "prosody:admin" and { "admin@"..host.name, "boss@elsewhere.test" } or {};
		end
		module_api.complaints();
	end

	local function load(options)
		new_host(options);
		catch(host:load("audit_alerts", "audit_auth", "audit_user_accounts"));
		module_api.pass(3);
	end

	local function session(username, more)
		local of_client = { id = "c2s1", type = "c2s", ip = "203.0.113.80", username = username,
			sasl_handler = { username = username, selected = "PLAIN" } };
		for name, value in pairs(more or {}) do of_client[name] = value; end
		return of_client;
	end

	local function fail(count, username)
		for _ = 1, count do
			host:fire("authentication-failure", { session = session(username), condition = "not-authorized" });
		end
	end

	local function login(username, client)
		host:fire("authentication-success", { session = session(username, { client_id = client }) });
	end

	-- "recipient: text" of what was sent since the last call.
	local function messages()
		module_api.pass(3);
		local found = {};
		for i, stanza in ipairs(sent) do
			found[i] = stanza.attr.to:gsub(host.name, "HOST")..": "..(stanza:get_child_text("body") or stanza.name);
		end
		sent = {};
		table.sort(found);
		return found;
	end

	local function alerts_stored()
		local found = {};
		for _, entry in ipairs(host:entries()) do
			local alert = entry:get_child("alert", "xmpp:prosody.im/audit");
			if alert then table.insert(found, ("%s %s"):format(alert.attr.rule, entry.attr.source)); end
		end
		return found;
	end

	it("tells the administrators without any configuration, and records the alert", function ()
		load();
		fail(60, "romeo");
		local found = messages();
		assert.equal(2, #found);
		assert.matches("^admin@HOST: %[guessing%] Somebody is guessing the password of \"romeo@", found[1]);
		assert.matches("^boss@elsewhere%.test: %[guessing%]", found[2]);
		assert.same({ "guessing mod_audit_alerts" }, alerts_stored());
		assert.same({}, messages());
		assert.same({}, module_api.complaints());
	end);

	it("says that a password may have been guessed", function ()
		load();
		fail(10, "romeo");
		assert.same({}, messages());
		login("romeo");
		assert.matches("^admin@HOST: %[guessed%] Somebody may have guessed the password of", messages()[1]);
		login("romeo");
		assert.same({}, messages());
	end);

	it("tells others and rooms if the configuration says so", function ()
		load { audit_alerts = { to = { "ops@remote.test" }, rooms = { "ops@rooms.test" } } };
		fail(60, "romeo");
		local found = messages();
		assert.equal(3, #found);
		assert.matches("^ops@remote%.test: %[guessing%]", found[1]);
		assert.matches("^ops@rooms%.test/audit%-alerts: presence", found[2]);
		assert.matches("^ops@rooms%.test: %[guessing%]", found[3]);
	end);

	it("knows what accounts were used with from the log, and keeps that in a file", function ()
		new_host();
		host:load("audit_auth");
		login("admin", "phone");
		login("admin", "laptop");
		catch(host:load("audit_alerts"));
		module_api.pass(3);
		for _, client in ipairs { "phone", "laptop" } do login("admin", client); end
		assert.same({}, messages());
		login("admin", "tablet");
		assert.matches("^admin@HOST: %[new%-client%] \"admin@[^\"]+\" was used with the new client \"tablet\" from", messages()[1]);
		login("romeo", "phone");
		login("romeo", "tablet");
		assert.same({}, messages());
		local path = require "util.datamanager".getpath(nil, host.name, "audit", "alerts");
		assert.equal("file", lfs.attributes(path, "mode"));
		-- After a reload it does not depend on the log.
		host.appended = {};
		catch(host:reload("audit_alerts"));
		module_api.pass(3);
		login("admin", "tablet");
		assert.same({}, messages());
		login("admin", "watch");
		assert.equal(2, #messages());
	end);

	it("tries again if the log can't be read, and says nothing meanwhile", function ()
		new_host();
		host:load("audit_auth");
		login("admin", "phone");
		local find = host.behaviour.open;
		host.behaviour.open = function () return nil, "out of order"; end;
		host:restart();
		catch(host:load("audit_alerts", "audit_auth"));
		module_api.pass(3);
		host.behaviour.open = find;
		module_api.pass(120);
		messages();
		login("admin", "laptop");
		assert.is_true(#messages() <= 2);
	end);

	it("forgets an account with its owner", function ()
		load { audit_alerts = { rules = { ["new-client"] = { accounts = "all" } } } };
		login("romeo", "phone");
		module_api.fire_global("user-deleted", { username = "romeo", host = host.name });
		module_api.pass(1);
		login("romeo", "laptop");
		assert.same({}, messages());
		login("romeo", "tablet");
		assert.matches("new%-client", messages()[1]);
		require "core.modulemanager".get_module(host.name, "audit_alerts").forget("romeo@"..host.name);
		login("romeo", "watch");
		assert.same({}, messages());
	end);

	it("reads its options again when the configuration is read again", function ()
		load();
		require "core.configmanager".set(host.name, "audit_alerts", { to = { "ops@remote.test" }, rules = { guesing = false } });
		module_api.fire_global("config-reloaded", {});
		assert.equal(1, #module_api.complaints('audit_alerts.rules["guesing"] is false'));
		fail(60, "romeo");
		local found = messages();
		assert.equal(1, #found);
		assert.matches("^ops@remote%.test: ", found[1]);
	end);

	it("says when the store has failed for more than five minutes", function ()
		load { audit_log_write = "journal" };
		host.behaviour.append = function () return nil, "disk full"; end;
		fail(1, "romeo");
		module_api.pass(200);
		assert.same({}, messages());
		module_api.pass(200);
		assert.matches("^admin@HOST: %[log%-trouble%] The store of the audit log fails since", messages()[1]);
		module_api.pass(1000);
		assert.same({}, messages());
		module_api.complaints();
	end);

	it("says that a sink has been behind for more than a quarter of an hour, and again when it is so again", function ()
		load();
		local sinks = host:load("audit_alerts").module:shared("/*/audit_sinks/sinks");
		local now = require "util.time".now;
		local late = 90;
		local problem = "closed";
		-- Other tests have hosts, too.
		local function list(of) return of == host.name and { { name = "siem", oldest = now() - late, behind = 3, problem = problem } } or {}; end
		sinks.list = list;
		-- So much time at once looks like a jump of the clock.
		local function messages_about_sinks()
			local found = {};
			for _, text in ipairs(messages()) do
				if text:find("The sink", 1, true) then table.insert(found, text); end
			end
			return found;
		end
		finally(function () sinks.list = nil; end);
		module_api.pass(800);
		assert.same({}, messages_about_sinks());
		module_api.pass(200);
		local found = messages_about_sinks();
		assert.equal(2, #found, table.concat(found, "\n"));
		assert.matches('^admin@HOST: %[log%-trouble%] The sink siem is behind since .*: "closed".* prosodyctl mod_audit %-%-sinks ', found[1]);
		local alert;
		for _, entry in ipairs(host:entries()) do alert = entry:get_child("alert", "xmpp:prosody.im/audit") or alert; end
		assert.equal("siem", alert.attr.sink);
		module_api.pass(4000);
		assert.same({}, messages_about_sinks());
		-- It is not late, or it is gone: nothing is wrong.
		late = 5;
		module_api.pass(60);
		late = 90;
		module_api.pass(800);
		function sinks.list() return {}; end
		module_api.pass(60);
		sinks.list, problem = list, nil;
		module_api.pass(800);
		assert.same({}, messages_about_sinks());
		module_api.pass(200);
		assert.matches('The sink siem is behind since .*: "3 entries wait"', messages_about_sinks()[1]);
	end);

	it("is silent after it was unloaded", function ()
		load();
		host:unload("audit_alerts");
		fail(60, "romeo");
		assert.same({}, messages());
		assert.same({}, alerts_stored());
		assert.same({}, (module_api.log().log.alerts.news(host.name)), "nothing is counted any more");
		assert.same({}, module_api.complaints());
	end);

	it("never breaks an event: its own fault is logged once", function ()
		load();
		local trap = setmetatable({}, { __index = function () error("trapped"); end });
		for _ = 1, 2 do
			assert.has_no.errors(function () assert.is_nil(host:fire("presence/initial", trap)); end);
		end
		assert.is_true(#module_api.complaints("trapped") <= 1);
	end);
end);
