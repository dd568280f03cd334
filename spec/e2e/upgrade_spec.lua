-- After replacing the community's modules by these, their entries are found, and their readers find ours.

local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	for _, storage in ipairs({ "internal", "sqlite" }) do
		it("entries of the community's modules are shown with ours, from "..storage, function ()
			local prosody = server.start { series = series; storage = storage; modules = { "audit", "audit_auth" } };
			-- As their first version and a later one wrote them.
			prosody:eval([[
				local host = ...;
				local st = require "util.stanza";
				local store = module:context(host):open_store("audit", "archive");
				local function append(user, event_type, ago)
					local attr = { source = "mod_audit_auth", type = event_type, user = user };
					local entry = st.stanza("audit-event", attr)
						:tag("session", { xmlns = "xmpp:prosody.im/audit", id = "c2s5", type = "c2s_unauthed" })
							:text_tag("remote-ip", "203.0.113.0/24")
							:tag("location", { country = "DE", continent = "EU" }):text("Germany"):up()
							:text_tag("client", "d4565fa7")
						:up()
						:tag("note"):text("from before"):reset();
					store:append(nil, nil, entry, os.time() - ago, user or "@");
				end
				append("romeo", "authentication-success", 500);
				append("romeo@"..host, "authentication-failure", 400);
				append(host, "authentication-failure", 300);
				append(nil, "server-started", 200);
			]], host);
			prosody:adduser("romeo@"..host, "secret");
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			local status, out = prosody:ctl("mod_audit", host);
			assert.equal(0, status);
			local lines = {};
			for line in out:gmatch("[^\n]+") do table.insert(lines, (line:gsub(" +", " "))); end
			assert.equal(6, #lines, out);
			for i, event in ipairs({ "authentication-success romeo@example.test 127.0.0.1", "server-started", "authentication-failure example.test ",
				"authentication-failure romeo@example.test ", "authentication-success romeo " }) do
				assert.is_truthy(lines[i + 1]:find(event, 1, true), lines[i + 1]);
			end
			assert.is_truthy(lines[4]:find("203.0.113.0/24 DE from before", 1, true), lines[4]);
			_, out = prosody:ctl("mod_audit", "romeo@"..host);
			assert.equal(3, (select(2, out:gsub("authentication%-", ""))), out);
			-- They have no links, which is no sign of a change.
			status, out = prosody:ctl("mod_audit", "--verify", host);
			assert.equal(0, status, out);
			assert.is_truthy(out:find("\nnot protected: 4 entries", 1, true), out);
			prosody:stop();
		end);

		it("a reader of the old layout finds our entries with the option for it, in "..storage, function ()
			local prosody = server.start {
				series = series; storage = storage; modules = { "audit", "audit_auth" }; config = "audit_log_layout = \"single\"";
			};
			prosody:adduser("romeo@"..host, "secret");
			assert.is_false((raw.login(prosody, "romeo", "wrong")));
			local found = prosody:eval([[
				flush_audit_log();
				local store = module:context(...):open_store("audit", "archive");
				for _, entry, when, with in store:find(nil, { limit = 1, reverse = true }) do
					return {
						name = entry.name, xmlns = entry.attr.xmlns or "none", type = entry.attr.type, user = entry.attr.user, source = entry.attr.source,
						ip = entry:find("{xmpp:prosody.im/audit}session/remote-ip#"), with = with, recent = os.time() - when < 60,
					};
				end
			]], host);
			assert.same({ name = "audit-event"; xmlns = "none"; type = "authentication-failure"; user = "romeo@"..host; source = "mod_audit_auth";
				ip = "127.0.0.1"; with = "romeo@"..host; recent = true }, found);
			prosody:stop();
		end);
	end

	it("other modules record through module:audit() and through the event", function ()
		local prosody = server.start { series = series; modules = { "audit" } };
		local id, event_result, raised = prosody:eval([[
			local host = ...;
			local context = module:context(host);
			local id = context:audit("juliet@"..host, "by-api");
			local result = context:fire_event("audit", { host = host, user = "juliet@"..host, source = "mod_x", type = "by-host-event" });
			context:fire_event("audit", { source = "mod_x", type = "without-host" });
			prosody.events.fire_event("audit", { host = host, source = "mod_x", type = "by-global-event", extra = {} });
			context:fire_event("audit", { host = host, source = "mod_x", type = "misuse", extra = { custom = { "no stanza" } } });
			context:fire_event("audit", "no table");
			return id, result == nil, not pcall(module.audit, module, nil, "global");
		]], host);
		assert.is_string(id);
		assert.is_true(event_result);
		assert.is_true(raised);
		local _, out = prosody:ctl("mod_audit", host);
		for _, event in ipairs({ "by-api", "by-host-event", "without-host", "by-global-event" }) do
			assert.is_truthy(out:find(event, 1, true), out);
		end
		assert.is_nil(out:find("misuse", 1, true));
		assert.is_truthy(prosody:log():find("warn\tAn event \"audit\" can't be recorded: extra.custom[1] is no stanza but a string", 1, true));
		prosody:stop();
	end);

	it("a host that goes takes its store with it, and one that comes has a log", function ()
		local prosody = server.start { series = series; hosts = { host, "second.test" }; modules = { "audit" } };
		local before, gone, again = prosody:eval([[
			local hostmanager = require "core.hostmanager";
			local context = module:context("second.test");
			local before = context:audit(nil, "before");
			hostmanager.deactivate("second.test");
			local ok, id = pcall(context.audit, context, nil, "while-gone");
			hostmanager.activate("second.test");
			return before, ok and id == nil, (module:context("second.test"):audit(nil, "after"));
		]]);
		assert.is_string(before);
		assert.is_true(gone);
		assert.is_string(again);
		local _, out = prosody:ctl("mod_audit", "second.test");
		assert.is_truthy(out:find("after", 1, true) and out:find("before", 1, true) and not out:find("while-gone", 1, true));
		prosody:stop();
	end);

	it("a storage module that is reloaded is opened anew", function ()
		local prosody = server.start { series = series; modules = { "audit" } };
		local same = prosody:eval([[
			local host = ...;
			local opened = 0;
			module:context(host):hook("store-opened", function (event)
				if event.store_name == "audit" or event.store and event.store.store == "audit" then opened = opened + 1; end
			end);
			local context = module:context(host);
			context:audit(nil, "one");
			context:audit(nil, "two");
			flush_audit_log();
			local before = opened;
			assert(require "core.modulemanager".reload(host, "storage_internal"));
			context:audit(nil, "three");
			flush_audit_log();
			return { before, opened };
		]], host);
		-- Before that it was opened when the module was loaded.
		assert.same({ 0, 1 }, same);
		prosody:stop();
	end);
end);
