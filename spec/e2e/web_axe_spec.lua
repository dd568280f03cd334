-- What axe-core finds wrong with the pages and the report for people with disabilities: nothing, in light and dark, wide and on a phone.

local axe = require "support.axe";
local browser = require "support.browser";
local client = require "support.client";
local devtools = require "support.devtools";
local server = require "support.server";
local visit = require "support.visit";

local host = "localhost";
local admin, romeo = "nurse@"..host, "romeo@"..host;

server.each_series(describe, pending, function (series)
	if not visit.is_due(series) then return; end
	describe("axe-core", function ()
		for _, part in ipairs { browser, axe } do
			local here, why = part.available();
			if not here then
				pending(why);
				return;
			end
		end

		local prosody, page, address, report;

		lazy_setup(function ()
			prosody = server.start {
				series = series; hosts = { host }; modules = { "audit", "audit_http" };
				base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "harness", "http", "admin_socket", "admin_shell" };
				config = { admins = { admin }; audit_log_flood = false; audit_user_history = true };
			};
			for _, jid in ipairs { admin, romeo } do prosody:adduser(jid, "secret"); end
			prosody:eval([[
				local host = ...;
				local core = require "audit_core";
				local context, at = module:context(host), os.time() - 86400;
				local types = { "authentication-failure", "authentication-success", "new-client", "user-role-changed", "server-crashed", "audit-pruned" };
				for i = 1, 60 do
					context:audit((i % 2 == 0 and "romeo@" or "juliet@")..host, types[i % #types + 1], {
						session = { ip = "203.0.113."..i, client_id = "phone" }; timestamp = at + i * 300;
						custom = { core.detail("note", nil, "a note <b>") };
					});
				end
				for i = 1, 60 do context:audit("romeo@"..host, "authentication-success", { session = { ip = "203.0.113.9" } }); end
				flush_audit_log();
			]], host);
			report = prosody.folder.."/report.html";
			local status, _, err = prosody:ctl("mod_audit", "--utc", "--report", report, host);
			assert.equal(0, status, err);
			address = ("http://localhost:%d/audit/"):format(prosody.http_port);
			page = devtools.open();
		end);

		lazy_teardown(function ()
			if page then page:close(); end
			if prosody then prosody:stop(); end
		end);

		local function link()
			return visit.link(prosody, admin);
		end

		local function own_link()
			local form = client.command(prosody, romeo, "secret", "xmpp:prosody.im/audit#my-browser").form;
			return form.xml:match("https?://[^<]+link=[%w_-]+");
		end

		local function press_sign_in()
			page:eval("document.querySelector('form[action=sign-in] button').click()");
			assert.is_truthy(page:wait("document.querySelector('form[action=sign-out]')"), page:eval("document.body.innerText"));
		end

		-- Each in turn, in one session of an administrator and then in one of a user.
		local visits = {
			{ "sign in", function () page:go(link()); end };
			{ "log", function () press_sign_in(); end };
			{ "log, narrowed", function () page:go(address.."?type=authentication-*&user=romeo"); end };
			{ "log, nothing fits", function () page:go(address.."?type=no-such"); end };
			{ "log, opened and live", function ()
				page:go(address);
				page:eval("document.querySelectorAll('details').forEach(function (details, index) { details.open = index < 12; })");
				page:eval("document.querySelector('[data-live] button').click()");
				assert.is_truthy(page:wait("document.querySelector('[data-live] [role=status]').textContent === 'Waiting for new entries'"));
			end };
			{ "account", function () page:go(address.."account?user=romeo@localhost"); end };
			{ "network", function () page:go(address.."network?ip=203.0.113.0/24"); end };
			{ "notice", function () page:go(address.."no-such"); end };
			{ "own account", function ()
				page:go(own_link());
				press_sign_in();
				local aside = "document.querySelector('.scrolls').scrollWidth - document.querySelector('.scrolls').clientWidth";
				assert.equal(0, page:eval(aside), "nothing has to be moved aside");
			end };
			{ "report", function ()
				page:go("file://"..report);
				page:eval("document.querySelectorAll('details').forEach(function (details, index) { details.open = index < 12; })");
			end };
		};

		for _, look in ipairs { { 1280, false }, { 1280, true }, { 390, false }, { 390, true } } do
			local width, dark = look[1], look[2];
			it("finds nothing, "..(dark and "dark" or "light").."-"..width, function ()
				page:look(width, dark);
				local found = {};
				for _, place in ipairs(visits) do
					place[2]();
					for _, finding in ipairs(axe.findings(page)) do
						found[#found+1] = place[1]..": "..finding;
					end
				end
				assert.same({}, found);
			end);
		end

		it("would find a fault", function ()
			page:go(address);
			page:eval("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=icon.svg>')");
			assert.is_truthy(table.concat(axe.findings(page), "\n"):find("image-alt", 1, true));
		end);
	end);
end);
