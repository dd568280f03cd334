-- The timeline of the log in a real browser: a range is dragged with the mouse or a finger, or chosen with the keyboard.

local devtools = require "support.devtools";
local process = require "support.process";
local server = require "support.server";
local visit = require "support.visit";

local host = "localhost";
local admin = "nurse@"..host;

server.each_series(describe, pending, function (series)
	if not visit.is_due(series) then return; end
	describe("the timeline in Chromium", function ()
		local why_not = visit.missing();
		if why_not then
			pending(why_not);
			return;
		end

		local prosody, page, address;

		lazy_setup(function ()
			prosody = server.start {
				series = series; env = visit.evening(); hosts = { host }; modules = { "audit", "audit_http" };
				base_modules = { "roster", "saslauth", "tls", "disco", "harness", "http", "admin_socket", "admin_shell" };
				config = { admins = { admin }; audit_log_flood = false };
			};
			prosody:adduser(admin, "secret");
			-- One event each five minutes, but none in the third hour.
			prosody:eval([[
				local host = ...;
				local context, at = module:context(host), (os.time() // 3600 - 10) * 3600;
				for i = 0, 95 do
					if i < 24 or i >= 36 then
						context:audit((i % 2 == 0 and "romeo@" or "juliet@")..host, i % 3 == 0 and "authentication-failure" or "authentication-success", {
							session = { ip = "203.0.113."..i }; timestamp = at + i * 300 + 7;
						});
					end
				end
				flush_audit_log();
			]], host);
			address = ("http://localhost:%d/audit/"):format(prosody.http_port);
			page = devtools.open();
			visit.sign_in(prosody, page, admin);
		end);

		lazy_teardown(function ()
			if page then page:close(); end
			if prosody then prosody:stop(); end
		end);

		local function open(path)
			page:go(address..path);
			page:eval("document.querySelector('.timeline svg').scrollIntoView({ block: 'center' })");
		end

		-- The middle of a bar on the screen.
		local function middle(bar)
			local place = page:eval(("(function (svg, box) { return [box.left + box.width * (%d + .5) * 10 / svg.viewBox.baseVal.width,"
				.." box.top + box.height / 2]; })(document.querySelector('.timeline svg'), document.querySelector('.timeline svg').getBoundingClientRect())")
				:format(bar));
			return place[1], place[2];
		end

		-- What a range of bars stands for: { since, until, events }
		local function range(first, last)
			return page:eval(([[(function (svg, first, last) {
				function time(bar) { return new Date((svg.dataset.begin * 1 + bar * svg.dataset.length) * 1000).toISOString().replace('.000', ''); }
				var events = 0;
				svg.querySelectorAll('a').forEach(function (bar) {
					if (bar.dataset.bar * 1 >= first && bar.dataset.bar * 1 <= last) { events += bar.dataset.events * 1; }
				});
				return [time(first), time(last + 1), events];
			})(document.querySelector('.timeline svg'), %d, %d)]]):format(first, last));
		end

		-- Waits for the page of a range, and compares it with what was chosen.
		local function assert_shows(expected, path)
			assert.is_truthy(page:wait("location.search.includes('since=') && document.readyState === 'complete' && !!document.querySelector('.chips')"),
				page:eval("location.href"));
			local url = page:eval("location.href");
			assert.equal(address..path..(path:find("?", 1, true) and "&" or "?").."since="..expected[1].."&until="..expected[2], url);
			assert.is_truthy(page:eval("document.body.innerText"):find(("%d events, "):format(expected[3]), 1, true), url);
			assert.same({}, page:complaints());
		end

		local function drag(first, last, act)
			local x, y = middle(first);
			page:mouse("mouseMoved", x, y);
			page:mouse("mousePressed", x, y);
			local to_x, to_y = middle(last);
			for step = 1, 4 do
				page:mouse("mouseMoved", x + (to_x - x) * step / 4, y + (to_y - y) * step / 4);
			end
			if act then act(); end
			page:mouse("mouseReleased", to_x, to_y);
		end

		local function says()
			return page:eval("document.querySelector('.timeline [role=status]').textContent");
		end

		it("is narrowed to a range that is dragged, and the address says which", function ()
			open "";
			local expected, said = range(5, 12), nil;
			-- From and to a bar, over the hour in which nothing happened.
			drag(5, 12, function () said = says(); end);
			assert_shows(expected, "");
			assert.is_truthy(said:find((": %d events, "):format(expected[3]), 1, true) and said:find("Let go", 1, true), said);
			assert.is_true(expected[3] > 0 and expected[3] < 84);
			-- To the left, from what has no bar, with what is searched for besides. The page begins with its first entry.
			open "?user=romeo&limit=5";
			page:go(page:eval("document.querySelector('a[rel=next]').href"));
			expected = range(3, 9);
			drag(9, 3);
			assert_shows(expected, "?user=romeo&limit=5");
			-- What is dragged beyond the edges ends there.
			open "";
			local bars = page:eval("document.querySelector('.timeline svg').dataset.bars * 1");
			expected = range(20, bars - 1);
			drag(20, bars);
			assert_shows(expected, "");
		end);

		it("leads to the entries of a bar that is clicked, even if the mouse shakes", function ()
			open "";
			local expected = range(2, 2);
			local x, y = middle(2);
			page:mouse("mousePressed", x, y);
			page:mouse("mouseMoved", x + 2, y + 1);
			page:mouse("mouseReleased", x + 2, y + 1);
			assert_shows(expected, "");
		end);

		it("stays as it is if Escape is pressed, or another button", function ()
			open "?user=romeo";
			drag(5, 12, function ()
				page:key("Escape", 27);
				assert.equal("", says());
			end);
			assert.is_false(page:eval("!!document.querySelector('.shade')"));
			local x, y = middle(3);
			page:call("Input.dispatchMouseEvent", { type = "mousePressed"; x = x; y = y; button = "right"; buttons = 2; clickCount = 1 });
			page:call("Input.dispatchMouseEvent", { type = "mouseMoved"; x = x + 90; y = y; button = "right"; buttons = 2 });
			page:call("Input.dispatchMouseEvent", { type = "mouseReleased"; x = x + 90; y = y; button = "right"; buttons = 0; clickCount = 1 });
			page:eval("new Promise(function (done) { setTimeout(done, 300); })");
			assert.equal(address.."?user=romeo", page:eval("location.href"));
			assert.equal("", says());
			-- The next click is one.
			local expected = range(2, 2);
			x, y = middle(2);
			page:mouse("mousePressed", x, y);
			page:mouse("mouseReleased", x, y);
			assert_shows(expected, "?user=romeo");
		end);

		it("can be dragged with a finger, and scrolled over", function ()
			page:call("Emulation.setTouchEmulationEnabled", { enabled = true });
			page:look(390, false);
			open "?type=authentication-*";
			local expected = range(4, 10);
			local x, y = middle(4);
			local to_x = middle(10);
			page:touch("touchStart", x, y);
			for step = 1, 5 do page:touch("touchMove", x + (to_x - x) * step / 5, y); end
			page:touch("touchEnd");
			assert_shows(expected, "?type=authentication-*");
			open "?type=authentication-*";
			x, y = middle(4);
			local before = page:eval("scrollY");
			page:touch("touchStart", x, y);
			for step = 1, 10 do page:touch("touchMove", x, y - step * 20); end
			page:touch("touchEnd");
			assert.is_truthy(page:wait("scrollY > "..before + 50), "the page scrolls");
			assert.same({ address.."?type=authentication-*", "" }, { page:eval("location.href"), says() });
			page:call("Emulation.setTouchEmulationEnabled", { enabled = false });
			page:look(1280, false);
		end);

		it("is narrowed with the keyboard", function ()
			open "";
			page:eval("document.querySelector('.timeline a').focus()");
			page:key("ArrowRight", 39);
			assert.equal("1", page:eval("document.activeElement.dataset.bar"));
			for _ = 1, 4 do page:key("ArrowRight", 39, true); end
			page:key("ArrowLeft", 37, true);
			local expected = range(1, 4);
			assert.is_truthy(says():find((": %d events, "):format(expected[3]), 1, true) and says():find("Enter", 1, true), says());
			page:key("Enter", 13);
			assert_shows(expected, "");
			-- Nothing is chosen any more after Escape, and Enter on a bar leads to that bar.
			open "";
			page:eval("document.querySelector('.timeline a').focus()");
			page:key("ArrowRight", 39, true);
			page:key("Escape", 27);
			assert.equal("", says());
			expected = range(0, 0);
			page:key("Enter", 13);
			assert_shows(expected, "");
			-- The other end.
			open "";
			page:eval("document.querySelector('.timeline a').focus()");
			page:key("ArrowLeft", 37, true);
			expected = range(0, 0);
			page:key("Enter", 13);
			assert_shows(expected, "");
		end);

		it("is the same on the page of an account, which says what it was narrowed to", function ()
			open "account?user=romeo@localhost";
			local expected = range(6, 9);
			drag(6, 9);
			assert_shows(expected, "account?user=romeo@localhost");
			assert.equal(2, page:eval("document.querySelectorAll('.chips li').length"), "since and until");
			page:eval("document.querySelector('.chips a').click()");
			assert.is_truthy(page:wait("location.href.endsWith('account?user=romeo@localhost&until="..expected[2].."')"), page:eval("location.href"));
		end);

		it("shows nothing as chosen when the browser goes back to it", function ()
			open "";
			local expected = range(5, 12);
			drag(5, 12);
			assert_shows(expected, "");
			page:eval("history.back()");
			assert.is_truthy(page:wait("location.search === '' && document.readyState === 'complete' && !!document.querySelector('.timeline svg')"));
			assert.same({ false, "" }, { page:eval("!!document.querySelector('.shade')"), says() });
		end);

		it("has times in the zone of the reader", function ()
			page:call("Emulation.setTimezoneOverride", { timezoneId = "Asia/Kolkata" });
			open "";
			local first = page:eval("document.querySelector('.axis time').textContent");
			local begin = page:eval("document.querySelector('.timeline svg').dataset.begin * 1");
			assert.equal(os.date("!%Y-%m-%d %H:%M:%S", math.floor(begin) + 19800), first);
			assert.equal(os.date("!%Y-%m-%d %H:%M:%S UTC", math.floor(begin)), page:eval("document.querySelector('.axis time').title"));
			page:call("Emulation.setTimezoneOverride", { timezoneId = "" });
		end);

		it("keeps its links, and says nothing of ranges, without the script", function ()
			page:scripts(false);
			page:go(address.."?user=romeo");
			assert.is_true(page:eval("document.querySelector('.timeline p[hidden]').hidden && !document.querySelector('.ranged')"));
			local expected = range(2, 2);
			local x, y = middle(2);
			page:mouse("mousePressed", x, y);
			page:mouse("mouseReleased", x, y);
			assert_shows(expected, "?user=romeo");
			page:scripts(true);
		end);

		for _, look in ipairs { { 1280, false }, { 1280, true }, { 390, false } } do
			it(("can be seen while a range is dragged, %s %d"):format(look[2] and "dark" or "light", look[1]), function ()
				page:look(look[1], look[2]);
				open "";
				drag(4, 13, function ()
					local folder = process.target.."/web";
					process.run("mkdir -p "..process.quote(folder));
					page:picture(("%s/range-%s-%d.png"):format(folder, look[2] and "dark" or "light", look[1]));
					assert.same({}, page:eval(process.read(process.support.."/look.js")));
					page:key("Escape", 27);
				end);
				page:look(1280, false);
			end);
		end
	end);
end);
