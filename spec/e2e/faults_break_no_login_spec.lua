-- Faults other than those of a store break no login: hostile clients, wrong options, a damaged database of locations, a missing
-- library, modules that come and go. For stores: store_failure_breaks_no_login_spec.lua.

local logins = require "support.logins";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(server.stop_all);

	it("a database of places that was cut in half", function ()
		local whole = process.read(process.target.."/places.mmdb");
		local config = { audit_log_location_database = "data/half.mmdb" };
		prosody = logins.start { series = series, files = { ["half.mmdb"] = whole:sub(1, #whole // 2) }, config = config };
		logins.assert_work(prosody);
		local _, warnings = prosody:log():gsub("half%.mmdb: ", "");
		assert.equal(1, warnings);
	end);

	it("sessions that lack what a session has", function ()
		prosody = logins.start { series = series };
		local fired = prosody:eval([[
			local host = ...;
			local context = module:context(host);
			local sessions = {
				{};
				{ ip = "127.0.0.1" };
				{ sasl_handler = {} };
				{ ip = "/var/lib/prosody/prosody.sock", sasl_handler = { username = "juliet", selected = "PLAIN" } };
				{ ip = "not an address", conn = {}, secure = true };
				{ ip = {}, id = 5, type = false, client_id = {} };
			};
			local count = 0;
			for _, event in ipairs({ "authentication-failure", "authentication-success" }) do
				for _, session in ipairs(sessions) do
					if context:fire_event(event, { session = session, condition = "not-authorized" }) == nil then
						count = count + 1;
					end
				end
			end
			if context:fire_event("authentication-failure", {}) == nil then count = count + 1; end
			return count;
		]], host);
		assert.equal(13, fired);
		logins.assert_work(prosody);
		assert.same({}, logins.complaints(prosody));
	end);

	it("a client that calls itself something hostile", function ()
		for _, storage in ipairs({ "internal", "sqlite" }) do
			prosody = logins.start { series = series, storage = storage };
			local stored = prosody:eval([=[
				local host = ...;
				local controls = {};
				for byte = 0, 31 do table.insert(controls, string.char(byte)); end
				local names = {
					"\255\254\253"; ("x"):rep(100000); table.concat(controls); "\239\191\190"; "]]>"; "<x>&amp;"; "\27[2J"; "\226\128\174"; "";
				};
				local context = module:context(host);
				for _, name in ipairs(names) do
					context:fire_event("authentication-failure", {
						session = { id = name, type = "c2s_unauthed", ip = "127.0.0.1", client_id = name, sasl_handler = { username = name, selected = name } };
						condition = name; text = name;
					});
				end
				return #names;
			]=], host);
			assert.equal(9, stored);
			logins.assert_work(prosody);
			prosody:stop();
			local status, out, err = prosody:ctl("mod_audit", host);
			assert.same({ 0, "" }, { status, err });
			local _, failures = out:gsub("authentication%-failure", "");
			assert.equal(9 + 2, failures);
			assert.is_nil(out:match("[\0-\8\11-\31\127]"));
		end
	end);

	it("a user name of 3,000 bytes", function ()
		prosody = logins.start { series = series };
		for _, name in ipairs({ ("x"):rep(3000), ("é"):rep(500), "a@b@c", "\255", " " }) do
			local stream = assert(raw.connect(prosody));
			assert.is_false((stream:plain(name, "wrong")));
			stream:close();
		end
		assert.is_string((logins.audit(prosody, ("x"):rep(3000).."@"..host, "test")));
		logins.assert_work(prosody);
		assert.same({}, logins.complaints(prosody));
	end);

	for _, value in ipairs({ "\"never\"", "\"soon\"", "-1", "{}" }) do
		it("audit_log_expires_after = "..value, function ()
			prosody = logins.start { series = series, config = "audit_log_expires_after = "..value };
			logins.assert_work(prosody);
			-- mod_cron runs a task with no protection: one that raises stops all tasks of the server.
			local ran = prosody:eval([[
				local ran = 0;
				for _, task in ipairs(module:context(...):get_host_items("task")) do
					if task.name == "Remove expired audit events" then
						task:run(os.time());
						ran = ran + 1;
					end
				end
				return ran;
			]], host);
			assert.equal(1, ran);
			local _, refused = prosody:log():gsub("Option audit_log_expires_after is", "");
			assert.equal(value == "\"never\"" and 0 or 1, refused);
			local status, out = prosody:ctl("mod_audit", host);
			assert.equal(0, status);
			assert.is_truthy(out:find("authentication-success", 1, true), out);
		end);
	end

	it("the modules are reloaded during logins", function ()
		prosody = logins.start { series = series };
		for round = 1, 6 do
			local stream = assert(raw.connect(prosody));
			prosody:eval([[
				local host, round = ...;
				local modulemanager = require "core.modulemanager";
				if round % 2 == 1 then
					assert(modulemanager.reload("*", "audit"));
				end
				for _, name in ipairs { "audit", "audit_auth", "audit_register", "audit_user_accounts", "audit_status" } do
					assert(modulemanager.reload(host, name));
				end
			]], host, round);
			assert.is_false((stream:plain("romeo", "wrong")));
			assert.is_true((stream:plain("romeo", "secret")));
			stream:close();
		end
		logins.assert_work(prosody);
		prosody:stop();
		local _, out = prosody:ctl("mod_audit", "romeo@"..host);
		local _, successes = out:gsub("authentication%-success", "");
		local _, failures = out:gsub("authentication%-failure", "");
		assert.same({ 7, 8 }, { successes, failures });
	end);

	it("the module is unloaded and a third party calls it", function ()
		prosody = logins.start { series = series };
		assert.is_true(prosody:eval([[
			local modulemanager = require "core.modulemanager";
			for _, name in ipairs { "audit_auth", "audit_register", "audit_user_accounts", "audit_status", "audit_tokens", "audit" } do
				modulemanager.unload(..., name);
			end
			modulemanager.unload("*", "audit");
			return rawget(require "core.moduleapi", "audit") == nil;
		]], host));
		logins.assert_work(prosody);
	end);

	it("the library", function ()
		local installed = process.new_folder("modules");
		process.run(("cp -r lua/. %s"):format(process.quote(installed)));
		prosody = logins.start { series = series, plugin_paths = { installed }, library = "beside" };
		logins.assert_work(prosody);
		local missing = prosody:log():match("error\t(Error initializing module 'audit' on '%*': [^\n]*)") or prosody:log():match("[^\n]*audit_core[^\n]*");
		assert.is_truthy(missing:find("audit_core.so is not installed", 1, true) and missing:find("make install LUA=5.4", 1, true), missing);
		prosody:stop();

		process.write(installed.."/audit_core.so", "not a library");
		prosody = logins.start { series = series, plugin_paths = { installed }, library = "beside" };
		logins.assert_work(prosody);
		assert.is_truthy(prosody:log():find("audit_core can't be used by Lua 5.4: ", 1, true));
		prosody:stop();

		process.run(("install -m 644 target/lua5.4/audit_core.so %s"):format(process.quote(installed)));
		prosody = logins.start { series = series, plugin_paths = { installed }, library = "beside" };
		assert.is_string((logins.audit(prosody, nil, "test")));
	end);
end);

assert(process.read(process.target.."/places.mmdb"), "target/places.mmdb is missing: cargo run --example places makes it");
