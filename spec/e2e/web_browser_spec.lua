-- The log in a real browser: signing in, searching, the live view, hostile entries; without JavaScript, by keyboard only, and its looks.

local browser = require "support.browser";
local devtools = require "support.devtools";
local process = require "support.process";
local server = require "support.server";
local visit = require "support.visit";

local host = "localhost";
local admin = "nurse@"..host;

-- Each would make itself known by the title if it ran.
local attacks = {
	"<script>document.title='ran'</script>";
	"</title></style><script>document.title='ran'</script>";
	"<img src=x onerror=\"document.title='ran'\">";
	"\" autofocus onfocus=\"document.title='ran'\" x=\"";
	"<svg onload=\"document.title='ran'\">";
	"javascript:document.title='ran'";
	"\226\128\174gnp.exe\226\128\172\194\155";
};

server.each_series(describe, pending, function (series)
	describe("the log in Chromium", function ()
		if not visit.is_due(series) then return; end
		local here, why = browser.available();
		if not here then
			pending(why);
			return;
		end

		local prosody, page, address;
		local looks = process.read(process.support.."/look.js");

		lazy_setup(function ()
			prosody = server.start {
				series = series; hosts = { host }; modules = { "audit", "audit_http" };
				base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "harness", "http", "admin_socket", "admin_shell" };
				config = { admins = { admin }; audit_log_flood = false; audit_log_location_database = process.target.."/places.mmdb" };
			};
			prosody:adduser(admin, "secret");
			prosody:eval([[
				local host, attacks = ...;
				local core = require "audit_core";
				local context, at = module:context(host), os.time() - 86400;
				for i = 1, 90 do
					context:audit((i % 2 == 0 and "romeo@" or "juliet@")..host, i % 3 == 0 and "authentication-failure" or "authentication-success", {
						session = { ip = "203.0.113."..i, client_id = "phone" }; timestamp = at + i * 300;
					});
				end
				for _, attack in ipairs(attacks) do
					context:audit(attack.."@"..host, attack, {
						session = { id = attack, type = attack, ip = "203.0.113.7", client_id = attack };
						actor = { kind = "user", jid = attack }; custom = { core.detail("note", { name = attack }, attack) };
					});
				end
				flush_audit_log();
			]], host, attacks);
			address = ("http://localhost:%d/audit/"):format(prosody.http_port);
			page = devtools.open();
		end);

		lazy_teardown(function ()
			if page then page:close(); end
			if prosody then prosody:stop(); end
		end);

		local function sign_in()
			visit.sign_in(prosody, page, admin);
		end

		it("is entered by the button of a link, which does not stay in the address", function ()
			sign_in();
			assert.equal(address, page:eval("location.href"));
			assert.equal("", page:eval("document.referrer"));
			assert.equal("", page:eval("document.cookie"), "no script can read the cookie");
			assert.same({}, page:complaints());
		end);

		it("tells nobody the address of a link: no request has a Referer", function ()
			page:requests();
			sign_in();
			page:go(address.."?type=authentication-*&user=romeo");
			for _, step in ipairs { "document.querySelector('.facet a').click()", "document.querySelector('form.search').requestSubmit()" } do
				page:eval("window.isOld = true; "..step);
				assert.is_truthy(page:wait("!window.isOld && document.readyState === 'complete' && !!document.querySelector('form.search')"));
			end
			local requests = page:requests();
			local pages, with_cookie = 0, false;
			for _, request in ipairs(requests) do
				pages = pages + (request.url:find("/audit/", 1, true) and 1 or 0);
				for name, value in pairs(request.headers) do
					assert.is_true(name:lower() ~= "referer" or value == "", request.url..": "..value);
					with_cookie = with_cookie or name:lower() == "cookie";
				end
				assert.is_truthy(request.url:find(address:match("^https?://[^/]+"), 1, true) or request.url == "?", request.url);
			end
			assert.is_true(pages > 8, pages.." requests");
			assert.is_true(with_cookie, "the headers are those that were sent");
			assert.same({}, page:complaints());
		end);

		it("shows hostile entries as text, and runs nothing of them", function ()
			page:go(address);
			assert.equal("Audit log of "..host, page:eval("document.title"));
			page:eval("document.querySelectorAll('details').forEach(function (details) { details.open = true; })");
			local text = page:eval("document.body.innerText");
			for _, attack in ipairs(attacks) do
				local shown = attack:gsub("\226\128\174", "\\u{202e}"):gsub("\226\128\172", "\\u{202c}"):gsub("\194\155", "\\u{9b}");
				assert.is_truthy(text:find(shown, 1, true), shown);
			end
			assert.equal("Audit log of "..host, page:eval("document.title"));
			assert.same({}, page:complaints());
			-- The policy would stop what got through.
			page:eval("document.body.insertAdjacentHTML('beforeend', \"<img src=x onerror=\\\"document.title='ran'\\\">\");"
				.."new Promise(function (done) { setTimeout(done, 300); })");
			assert.equal("Audit log of "..host, page:eval("document.title"));
			assert.is_true(#page:complaints() > 0);
		end);

		it("is narrowed by its form, its numbers and its timeline, and the address says how", function ()
			page:go(address);
			page:eval("document.getElementById('field-user').value = 'romeo'; document.querySelector('form.search').requestSubmit()");
			local is_complete = " && document.readyState === 'complete' && !!document.querySelector('.chips')";
			assert.is_truthy(page:wait("location.search.includes('user=romeo')"..is_complete, 30));
			page:eval("[...document.querySelectorAll('.facet a')].find(function (a) { return a.textContent === 'authentication-failure'; }).click()");
			assert.is_truthy(page:wait("location.search.includes('type=authentication-failure')"..is_complete, 30));
			assert.equal(15, page:eval("document.querySelectorAll('ol.lines > li').length"));
			page:eval("document.querySelector('.timeline a').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }))");
			assert.is_truthy(page:wait("location.search.includes('since=2') && location.search.includes('until=2')"..is_complete, 30));
			assert.is_true(page:eval("document.querySelectorAll('ol.lines > li').length") < 15);
			assert.same({}, page:complaints());
		end);

		it("shows entries as they happen, each once", function ()
			page:go(address.."?type=thing-*");
			page:eval("document.querySelector('[data-live] button').click()");
			assert.is_truthy(page:wait("document.querySelector('[data-live] [role=status]').textContent === 'Waiting for new entries'"));
			prosody:eval("for i = 1, 5 do module:context((...)):audit('romeo@'..(...), 'thing-'..i, { session = { client_id = '<b>' } }); end", host);
			assert.is_truthy(page:wait("document.querySelectorAll('ol.lines > li').length === 5"));
			prosody:eval("module:context((...)):audit('romeo@'..(...), 'thing-6')", host);
			assert.is_truthy(page:wait("document.querySelector('ol.lines > li').innerText.includes('thing-6')"));
			assert.equal(6, page:eval("document.querySelectorAll('ol.lines > li').length"));
			assert.equal("6 new entries", page:eval("document.querySelector('[data-live] [role=status]').textContent"));
			assert.same({}, page:complaints());
			page:eval("document.querySelector('[data-live] button').click()");
			assert.equal("false", page:eval("document.querySelector('[data-live] button').getAttribute('aria-pressed')"));
		end);

		it("can be used with the keyboard alone", function ()
			page:go(address.."?type=authentication-*");
			page:key("Tab", 9);
			assert.equal("Skip to the content", page:eval("document.activeElement.textContent"));
			page:key("Enter", 13);
			local reached = {};
			for _ = 1, 400 do
				page:key("Tab", 9);
				local at = page:eval("(function (e) { return e.closest('.search') ? 'search' : e.closest('.timeline') ? 'timeline'"
					.." : e.matches('summary') ? 'entry'"
					.." : e.closest('.facet') ? 'facet' : e.closest('.downloads') ? 'download' : e.rel === 'next' ? 'next' : e.tagName; })(document.activeElement)");
				reached[at] = true;
				if at == "entry" and not reached.opened then
					page:key("Enter", 13);
					reached.opened = page:eval("document.activeElement.parentElement.open");
				end
				if reached.facet and reached.download then break; end
			end
			for _, what in ipairs { "search", "timeline", "entry", "opened", "next", "download", "facet" } do
				assert.is_true(reached[what] or false, what);
			end
		end);

		it("works without JavaScript, except for the live view", function ()
			page:scripts(false);
			page:go(address.."?type=authentication-*");
			assert.is_true(page:eval("document.querySelector('[data-live]').hidden"));
			assert.equal(50, page:eval("document.querySelectorAll('ol.lines > li').length"));
			page:go(page:eval("document.querySelector('a[rel=next]').href"));
			assert.equal(40, page:eval("document.querySelectorAll('ol.lines > li').length"));
			page:go(page:eval("document.querySelector('.ways a').href"));
			assert.is_truthy(page:eval("document.title"):find("^Account "));
			page:scripts(true);
		end);

		for picture, path in pairs { log = ""; account = "account?user=romeo@localhost"; network = "network?ip=203.0.113.0/24"; missing = "x" } do
			it("can be read, wide and narrow, light and dark: "..picture, function ()
				local folder = process.target.."/web";
				process.run("mkdir -p "..process.quote(folder));
				page:go(address..path);
				assert.not_equal("Sign in", page:eval("document.querySelector('h1').textContent"));
				page:eval("document.querySelectorAll('details').forEach(function (details, index) { details.open = index < 3; })");
				for _, look in ipairs { { 1280, false }, { 1280, true }, { 390, false }, { 390, true } } do
					local name = ("%s-%s-%d"):format(picture, look[2] and "dark" or "light", look[1]);
					page:look(look[1], look[2]);
					page:picture(("%s/%s.png"):format(folder, name), 2400);
					assert.same({}, page:eval(looks), name);
				end
				page:look(1280, false);
			end);
		end

		it("is left by a button", function ()
			page:go(address);
			page:eval("document.querySelector('form[action=sign-out] button').click()");
			assert.is_truthy(page:wait("document.querySelector('h1').textContent === 'Sign in'"));
			page:go(address.."?type=x");
			assert.equal("Sign in", page:eval("document.querySelector('h1').textContent"));
		end);
	end);
end);
