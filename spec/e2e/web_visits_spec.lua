-- What people do with the log in a real browser: links that can't be used, every filter, the live view while much happens, printing.

local client = require "support.client";
local devtools = require "support.devtools";
local json = require "dkjson";
local process = require "support.process";
local server = require "support.server";
local visit = require "support.visit";

local host = "localhost";
local admin, temp = "nurse@"..host, "temp@"..host;

-- The values of the fields. What each shows is compared with the command.
local values = {
	{ since = "5h" }, { ["until"] = "5h" }, { type = "thing-*,!thing-3" }, { user = "romeo" }, { ip = "203.0.113.0/24" }, { source = "mod_roster" },
	{ client = "phone" }, { country = "DE" }, { actor = "admin-shell" }, { class = "failures" }, { text = "NEEDLE" }, { global = "only" },
	{ global = "none" }, { ["oldest-first"] = "yes" }, { since = "9h", ["until"] = "2h", user = "romeo,juliet", type = "thing-*", text = "needle" },
};

server.each_series(describe, pending, function (series)
	if not visit.is_due(series) then return; end
	describe("a visit in Chromium", function ()
		local why_not = visit.missing();
		if why_not then
			pending(why_not);
			return;
		end

		local prosody, page, address;

		lazy_setup(function ()
			prosody = server.start {
				series = series; storage = "native"; env = visit.evening(); hosts = { host }; modules = { "audit", "audit_http" };
				base_modules = { "roster", "saslauth", "tls", "disco", "harness", "http", "admin_socket", "admin_shell" };
				config = { admins = { admin }; audit_log_flood = false; audit_log_location_database = process.target.."/places.mmdb" };
			};
			for _, jid in ipairs { admin, temp, "romeo@"..host } do prosody:adduser(jid, "secret"); end
			prosody:eval([[
				local host = ...;
				local core = require "audit_core";
				local log, at = module:context(host), os.time() - 36000;
				for i = 1, 40 do
					log:audit(i % 4 > 0 and (i % 2 == 0 and "romeo@" or "juliet@")..host or nil, i % 10 == 0 and "authentication-failure" or "thing-"..i % 7, {
						session = { ip = (i % 3 == 0 and "198.51.100." or "203.0.113.")..i; client_id = i % 5 == 0 and "phone" or "desk" };
						timestamp = at + i * 900 + 450; actor = i % 6 == 0 and { kind = "admin-shell" } or nil;
						custom = { i % 8 > 1 and core.detail("note", nil, "a Needle in it") or nil };
					});
				end
				require "core.modulemanager".get_module(host, "roster").module:audit("juliet@"..host, "thing-9", { timestamp = at });
				flush_audit_log();
			]], host);
			address = ("http://localhost:%d/audit/"):format(prosody.http_port);
			page = devtools.open();
		end);

		lazy_teardown(function ()
			if page then page:close(); end
			if prosody then prosody:stop(); end
		end);

		local function new_link(jid)
			return visit.link(prosody, jid or admin);
		end

		local function title() return page:eval("document.querySelector('h1').textContent"); end

		local function press(what)
			page:eval("window.isOld = true; document.querySelector('"..what.."').click()");
			assert.is_truthy(page:wait("!window.isOld && document.readyState === 'complete' && !!document.querySelector('h1')"));
		end

		local function sign_in(jid)
			page:go(new_link(jid));
			press "form[action=sign-in] button";
			assert.equal("Audit log of "..host, title());
		end

		-- Sets the clock ahead that links and sessions are measured with, or with "live" that of live views.
		local function let_pass(seconds, what)
			prosody:eval([[
				local host, seconds, is_live = ...;
				local site = module:shared("/*/audit/log").web[host]();
				local f = is_live and site.live.watch or site.access.guest;
				local i = 1;
				while true do
					local name, monotonic = debug.getupvalue(f, i);
					if name == "monotonic" then
						return debug.setupvalue(f, i, function () return monotonic() + seconds; end);
					end
					assert(name);
					i = i + 1;
				end
			]], host, seconds, what == "live");
		end

		it("begins by a link, which the shell makes too, and a link that was used says so", function ()
			local link = new_link();
			page:go(link);
			press "form[action=sign-in] button";
			assert.equal("Audit log of "..host, title());
			page:go(link);
			assert.equal("This link can't be used", title());
			local _, out, err = prosody:shell(('audit:link("%s")'):format(admin));
			assert.is_truthy(out:find("http://", 1, true), out..err);
			page:go((out:match("http://%S+sign%-in%?link=[%w_-]+")));
			assert.equal("Sign in", title());
			-- In two windows: the second comes too late.
			local again = new_link();
			page:go(again);
			local second = devtools.open();
			finally(function () second:close(); end);
			second:go(again);
			press "form[action=sign-in] button";
			second:eval("document.querySelector('form[action=sign-in] button').click()");
			assert.is_truthy(second:wait("document.querySelector('h1').textContent === \"This link can't be used\""));
			assert.equal("Audit log of "..host, title());
		end);

		it("does not begin by a link of more than ten minutes ago, opened or not", function ()
			local one, other = new_link(), new_link();
			page:go(other);
			let_pass(601);
			page:go(one);
			assert.equal("This link can't be used", title());
			page:eval("history.back()");
			assert.is_truthy(page:wait("!!document.querySelector('form[action=sign-in] button')"));
			press "form[action=sign-in] button";
			assert.equal("This link can't be used", title());
			-- And ends an hour after the last request.
			sign_in();
			let_pass(3601);
			page:go(address);
			assert.equal("Sign in", title());
		end);

		it("ends when an administrator is none any more, a live view included", function ()
			prosody:set_role(temp, "prosody:admin");
			local unused = new_link(temp);
			sign_in(temp);
			page:eval("document.querySelector('[data-live] button').click()");
			assert.is_truthy(page:wait("document.querySelector('[data-live] [role=status]').textContent === 'Waiting for new entries'"));
			prosody:set_role(temp, "prosody:registered");
			-- It is asked for each half minute.
			assert.equal("Waiting for new entries", page:eval("document.querySelector('[data-live] [role=status]').textContent"));
			let_pass(31, "live");
			assert.is_truthy(page:wait("document.querySelector('[data-live] [role=status]').textContent === 'The session has ended: sign in again'", 20));
			page:go(address);
			assert.equal("Sign in", title());
			page:go(unused);
			assert.equal("This link can't be used", title());
			page:complaints();
		end);

		local function shown()
			return page:eval("[...document.querySelectorAll('ol.lines[data-entries] > li summary time')].map(function (t) { return t.dateTime; })");
		end

		it("is narrowed by every field, as by the flags of the command, and the address brings back the same", function ()
			sign_in();
			local fields = page:eval("[...document.querySelectorAll('form.search [name]')].map(function (field) { return field.name; })");
			local tried = { all = true }; -- below
			for _, given in ipairs(values) do
				-- Nothing of the search before.
				page:eval([[document.querySelectorAll('form.search [name]').forEach(function (field) {
					if (field.type === 'checkbox') { field.checked = false; } else { field.value = ''; }
				})]]);
				local arguments = { "mod_audit", "--utc", "--format=json", "--limit=50" };
				for name, value in pairs(given) do
					tried[name] = true;
					page:eval(("(function (field, value) { if (field.type === 'checkbox') { field.checked = true; } else { field.value = value; } })"
						.."(document.getElementById('field-%s'), %s)"):format(name, json.encode(value)));
					table.insert(arguments, value == "yes" and "--"..name or value == "only" and "--"..name or value == "none" and "--no-"..name
						or ("--%s=%s"):format(name, value));
				end
				press "form.search button";
				table.insert(arguments, host);
				local _, out, err = prosody:ctl(table.unpack(arguments));
				local expected = {};
				for line in out:gmatch("[^\n]+") do table.insert(expected, (json.decode(line).time:gsub("%.%d+Z$", "Z"))); end
				local what = json.encode(given);
				assert.is_true(#expected > 0 and (#expected < 41 or given["oldest-first"] ~= nil), what..err..#expected);
				assert.same(expected, shown(), what);
				page:eval("document.body.textContent = ''");
				page:go((page:eval("location.href")));
				assert.same(expected, shown(), what);
			end
			page:go(address);
			local before = #shown();
			page:eval("document.getElementById('field-all').checked = true");
			press "form.search button";
			assert.is_true(#shown() > before, "readings are shown too");
			for _, name in ipairs(fields) do assert.is_true(tried[name] or false, name.." was not tried"); end
			assert.same({}, page:complaints());
		end);

		it("stays usable and live during a flood, and delays no login", function ()
			sign_in();
			page:go(address.."?type=flood*");
			page:eval("document.querySelector('[data-live] button').click()");
			assert.is_truthy(page:wait("document.querySelector('[data-live] [role=status]').textContent === 'Waiting for new entries'"));
			for burst = 1, 10 do
				prosody:eval([[
					local host, burst = ...;
					for i = 1, 1000 do
						module:context(host):audit("romeo@"..host, "flood", { session = { ip = "203.0.113.9"; client_id = "<b>"..i } });
					end
				]], host, burst);
				local result = client.login(prosody, "romeo@"..host, "secret");
				assert.is_true(result.ok, result.condition);
				assert.is_true(page:eval("document.querySelectorAll('ol.lines[data-entries] > li').length <= 200"));
			end
			assert.is_truthy(page:wait("parseInt(document.querySelector('[data-live] [role=status]').textContent) >= 20 "
				.."|| document.querySelector('[data-live] [role=status]').textContent.includes('more entries')", 20));
			-- What comes after it is seen, on top.
			process.wait_until(function ()
				prosody:eval("module:context((...)):audit('romeo@'..(...), 'flood-over')", host);
				return page:wait("document.querySelector('ol.lines > li').innerText.includes('flood-over')", 2);
			end, 30);
			assert.is_true(page:eval("document.querySelector('ol.lines > li').innerText.includes('flood-over')"));
			assert.is_nil(page:eval("document.querySelector('ol.lines b b')"));
			assert.same({}, page:complaints());
		end);

		it("moves nothing for somebody who wants that", function ()
			page:call("Emulation.setEmulatedMedia", { features = { { name = "prefers-reduced-motion"; value = "reduce" } } });
			page:go(address.."?type=flood-over");
			page:eval("document.querySelector('ol.lines > li').className = 'new'");
			assert.equal("0s", page:eval("getComputedStyle(document.querySelector('ol.lines > li')).transitionDuration"));
			page:look(1280, false);
			assert.equal("2s", page:eval("getComputedStyle(document.querySelector('ol.lines > li')).transitionDuration"));
		end);

		-- The report of --report is filed with an incident, on paper.
		for name, paper in pairs { A4 = { 210, 297 }, letter = { 216, 279 } } do
			it("prints the report on "..name, function ()
				local report = ("%s/%s.html"):format(prosody.folder, name);
				local status, _, err = prosody:ctl("mod_audit", "--utc", "--report", report, host);
				assert.equal(0, status, err);
				page:go("file://"..report);
				local printed = page:call("Page.printToPDF", { paperWidth = paper[1] / 25.4; paperHeight = paper[2] / 25.4; preferCSSPageSize = true });
				local folder = process.target.."/report";
				process.run("mkdir -p "..process.quote(folder));
				local pdf = (require "mime".unb64(printed.data));
				process.write(("%s/%s.pdf"):format(folder, name), pdf);
				assert.equal("%PDF-", pdf:sub(1, 5));
				-- On the width that paper leaves, dark or not, everything is there, black on white, and nothing is cut.
				page:call("Emulation.setEmulatedMedia", { media = "print"; features = { { name = "prefers-color-scheme"; value = "dark" } } });
				local width = math.floor((paper[1] - 26) / 25.4 * 96);
				page:call("Emulation.setDeviceMetricsOverride", { width = width; height = 900; deviceScaleFactor = 1; mobile = false });
				assert.is_true(page:eval("document.documentElement.scrollWidth <= innerWidth"));
				assert.equal("rgb(255, 255, 255)", page:eval("getComputedStyle(document.body).backgroundColor"));
				assert.is_true(page:eval("parseInt(getComputedStyle(document.body).color.match(/[0-9]+/)[0]) < 64"));
				page:call("Emulation.setEmulatedMedia", { media = "" });
				page:look(1280, false);
			end);
		end
	end);
end);
