-- Attacks on the log in a browser: thousands of connections, requests that are made to confuse, and those who may not see the log of a host.

local client = require "support.client";
local crowd = require "support.crowd";
local raw = require "support.raw_client";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";
local web = require "support.web";

local host, other, guests = "localhost", "other.test", "guests.test";
local rooms = "rooms."..host;
local admin, boss, keeper = "nurse@"..host, "boss@"..other, "keeper@"..host;

-- More than the server should ever need for them. Fewer where a process may not have that many files.
local MANY = math.min(10000, (tonumber(process.first_line("ulimit -Hn")) or 10000) - 500);

-- A word of the log that nobody but an administrator of the host may see.
local SECRET = "only-for-the-nurse";

server.each_series(describe, pending, function (series)
	describe("the log in a browser, attacked", function ()
		local prosody, session, of_other;

		local function request(method, path, options)
			options.timeout = options.timeout or 60; -- a page of the embedded driver of 0.12, on a busy machine
			return web.request(prosody.http_port, method, path, options);
		end

		local function get(path, cookie, headers, of_host)
			headers = headers or {};
			headers.Cookie = cookie;
			return request("GET", path, { headers = headers; host = of_host });
		end

		local function sign_in(jid)
			local status, out, err = prosody:ctl("mod_audit", "--link", jid);
			assert.equal(0, status, err);
			local answer = request("POST", "/audit/sign-in", { body = "link="..out:match("link=([%w_-]+)"), host = jid:match("@(.*)") });
			assert.equal(303, answer.status, answer.body);
			return web.cookie(answer);
		end

		lazy_setup(function ()
			prosody = server.start {
				series = series; storage = series == "0.12" and "internal" or "native"; prefix = "ulimit -n $(ulimit -Hn)"; log_level = "info";
				hosts = { [host] = { admins = { admin } }; [other] = { admins = { boss } }; [guests] = { authentication = "anonymous" } };
				modules = { "audit", "audit_http" };
				base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "harness", "http", "admin_socket", "admin_shell" };
				config = { audit_log_flood = false }; components = { [rooms] = { module = "muc"; admins = { keeper } } };
			};
			for _, jid in ipairs { admin, boss, keeper } do prosody:adduser(jid, "secret"); end
			prosody:eval([[
				local host, secret = ...;
				for i = 1, 60 do module:context(host):audit("romeo@"..host, secret, { session = { ip = "192.0.2."..i } }); end
				flush_audit_log();
			]], host, SECRET);
			session, of_other = sign_in(admin), sign_in(boss);
		end);

		lazy_teardown(function ()
			if prosody then prosody:stop(); end
		end);

		-- What somebody sees of it at any address that there is.
		local function sees(cookie, of_host)
			local seen = {};
			for _, path in ipairs { "", "?type="..SECRET, "?user=romeo@"..host, "account?user=romeo@"..host, "network?ip=192.0.2.0/24",
				"download?format=json", "download?format=csv&user=romeo@"..host, "api/v1/entries", "api/v1/stats", "api/v1/verify" } do
				local answer = get("/audit/"..path, cookie, nil, of_host);
				-- What was asked for is shown again, but not these addresses in it.
				if answer.body:find("192%.0%.2%.%d+%f[^%d/]") then
					table.insert(seen, path);
				end
			end
			local conn, status = web.open(prosody.http_port, "GET", "/audit/live?after=", { host = of_host; headers = { Cookie = cookie } });
			if status == 200 then
				prosody:eval("local host, secret = ...; module:context(host):audit('romeo@'..host, secret, { session = { ip = '192.0.2.99' } })",
					host, SECRET);
				if web.events(conn, 3, "192.0.2.99"):find("192.0.2.99", 1, true) then table.insert(seen, "live"); end
			end
			conn:close();
			return seen;
		end

		it("shows everything to its own administrator", function ()
			assert.same({ "", "?type="..SECRET, "?user=romeo@"..host, "account?user=romeo@"..host, "network?ip=192.0.2.0/24",
				"download?format=json", "download?format=csv&user=romeo@"..host, "live" }, sees(session, host));
		end);

		it("shows nothing to the administrator of another host", function ()
			assert.same({}, sees(of_other, other));
			assert.same({}, sees(of_other, host));
			-- The cookie of one host with the name of another's.
			assert.same({}, sees((session:gsub("=.*", "="))..of_other:match("=(.*)"), host));
			assert.equal(1, (prosody:ctl("mod_audit", "--link", "boss@"..host)));
			local _, token = prosody:ctl("mod_audit", "--token", "portal", other);
			local answer = get("/audit/api/v1/entries", nil, { Authorization = "Bearer "..token:gsub("\n", "") }, other);
			assert.equal(200, answer.status);
			assert.is_nil(answer.body:find(SECRET, 1, true));
			assert.equal(401, get("/audit/api/v1/entries", nil, { Authorization = "Bearer "..token:gsub("\n", "") }, host).status);
		end);

		it("shows nothing to the administrator of a component", function ()
			for _, jid in ipairs { keeper, "keeper@"..rooms, "nurse@"..rooms } do
				local status, out = prosody:ctl("mod_audit", "--link", jid);
				assert.same({ 1, "" }, { status, out }, jid);
			end
			assert.equal("forbidden", client.command(prosody, keeper, "secret", "xmpp:prosody.im/audit#browser").condition);
			assert.equal(404, get("/audit/", session, nil, rooms).status);
			assert.same({}, sees(nil, host));
			assert.same({}, sees(session, rooms));
		end);

		it("shows nothing to an anonymous user", function ()
			local stream = assert(raw.connect(prosody, { host = guests }));
			finally(function () stream:close(); end);
			assert.is_true(stream:auth("ANONYMOUS"));
			local jid = assert(stream:bind("x"));
			for _, target in ipairs { guests, host } do
				for _, node in ipairs { "browser", "my-browser" } do
					stream:send(("<iq type='set' id='c' to='%s'><command xmlns='http://jabber.org/protocol/commands' node='xmpp:prosody.im/audit#%s'/></iq>")
						:format(target, node));
					local answer = assert(stream:receive_until("<iq [^>]*id='c'.-</iq>", '<iq [^>]*id="c".-</iq>'));
					assert.is_nil(answer:find("sign-in", 1, true), answer);
				end
			end
			-- The random name may begin with a dash.
			assert.equal(1, (prosody:ctl("mod_audit", "--link", "--", (jid:gsub("/.*", "")))));
			assert.equal(403, get("/audit/", nil, nil, guests).status);
		end);

		it("leaves its folder by no spelling of a path", function ()
			for _, path in ipairs { "/audit/../../../../etc/passwd", "/audit/%2e%2e/%2e%2e/etc/passwd", "/audit/..%2f..%2fprosody.cfg.lua",
				"/audit/....//....//etc/passwd", "/audit/..\\..\\etc\\passwd", "/audit/%252e%252e%252fetc%252fpasswd", "/audit//etc/passwd",
				"/audit/style.css/../../../etc/passwd", "/audit/style.css%00.html", "/audit/%c0%ae%c0%ae/etc/passwd", "/audit/style.css/",
				"/audit/download/../account", "/audit/api/v1/../../download" } do
				local answer = get(path, session);
				assert.is_true(answer.status == 404 or answer.status == 400 or answer.status == 0, path.." "..answer.status);
				assert.is_nil(answer.body:find("root:", 1, true), path);
			end
		end);

		it("puts no line into a header", function ()
			local line = "%0d%0aSet-Cookie:%20a=b%0d%0aLocation:%20https://evil.test/";
			local answers = {};
			for _, path in ipairs { "?user=x"..line, "sign-in?link=x"..line, "download?format=csv"..line, "download?format=csv&user=x"..line,
				"account?user=x"..line, "network?ip="..line, line, "style.css?"..line, "api/v1/entries?x="..line } do
				answers[path] = get("/audit/"..path, session);
			end
			answers.outside = get("/audit"..line, session);
			for _, value in ipairs { "evil.test", "localhost\r\n x: y", "localhost:80@evil.test", "localhost/../x" } do
				answers[value] = request("POST", "/audit/sign-out", { host = value; headers = { Cookie = session } });
			end
			answers.form = request("POST", "/audit/sign-in", { body = "link=x"..line });
			for path, answer in pairs(answers) do
				assert.is_nil(answer.headers["set-cookie"], path);
				assert.is_nil((answer.headers.location or ""):find("evil", 1, true), path);
			end
			assert.equal(400, get("/audit/live?after=x"..line, session).status);
			local conn = web.open(prosody.http_port, "GET", "/audit/live",
				{ headers = { Cookie = session; ["Last-Event-ID"] = "x%0d%0adata: <script>" } });
			assert.is_nil(web.events(conn, 2, "script"):find("script", 1, true));
			conn:close();
		end);

		-- How long the server takes to do something else, in seconds.
		local function delay()
			local began = socket.gettime();
			assert.equal(1, prosody:eval("return 1"));
			return socket.gettime() - began;
		end

		it("is not held up by what is huge", function ()
			local kilobytes = ("x"):rep(1024);
			local long = kilobytes:rep(1024);
			local takes = { patterns = true; list = true; cookie = true; cookies = true };
			for name, one in pairs {
				query = { "GET", "/audit/?text="..long }; fields = { "GET", "/audit/?"..("a=b&"):rep(100000) };
				patterns = { "GET", "/audit/?type="..("*a"):rep(4000) }; list = { "GET", "/audit/?user="..("a,"):rep(4000) };
				path = { "GET", "/audit/"..long }; cookie = { "GET", "/audit/", { Cookie = long } };
				cookies = { "GET", "/audit/", { Cookie = ("a=b;"):rep(100000)..session } };
				token = { "GET", "/audit/api/v1/stats", { Authorization = "Bearer "..long } };
				place = { "GET", "/audit/?after="..kilobytes:rep(8) }; body = { "POST", "/audit/sign-in", {}, long };
				announced = { "POST", "/audit/sign-in", { ["Content-Length"] = "99999999999" } };
			} do
				local ok, answer = pcall(request, one[1], one[2], { headers = one[3] or { Cookie = session }; body = one[4]; timeout = 8 });
				-- Prosody itself closes the connection of some of them while they are sent, or waits for more (0.12).
				assert.is_true(not ok or answer.status == 0 or answer.status >= 400 or takes[name] or false, name);
				assert.is_true(delay() < 5, name);
			end
			assert.equal(200, get("/audit/", session).status);
		end);

		it("drops a live view that does not read, and keeps no more than 64 KiB for it", function ()
			local slow = web.open(prosody.http_port, "GET", "/audit/live?type=flood&text=slow", { headers = { Cookie = session } });
			local reader = web.open(prosody.http_port, "GET", "/audit/live?type=flood", { headers = { Cookie = session } });
			finally(function ()
				slow:close();
				reader:close();
			end);
			-- How many bytes wait for the slow one in the server | nil: it was dropped. The kernel would take megabytes for it, and a view
			-- gets 32 KiB a second.
			local function unsent()
				return prosody:eval([[
					local watch = module:shared("/*/audit/log").web[(...)]().live.watch;
					local i, views = 1;
					repeat
						local name, value = debug.getupvalue(watch, i);
						assert(name);
						i, views = i + 1, name == "views" and value or nil;
					until views;
					for view in pairs(views) do
						if view.search:find("slow", 1, true) then
							view.stream.response.conn.conn:setoption("send-buffer-size", 4096);
							return view.stream:unsent();
						end
					end
				]], host);
			end
			local waiting, most, number, got = unsent(), 0, 0, "";
			assert.equal(0, waiting);
			local deadline = socket.gettime() + 90;
			while waiting and socket.gettime() < deadline do
				number = number + 1;
				prosody:eval([[
					local host, number = ...;
					for _ = 1, 50 do
						module:context(host):audit("romeo@"..host, "flood", { session = { ip = "192.0.2.9"; client_id = "slow-"..number..("x"):rep(400) } });
					end
				]], host, number);
				got = got..web.events(reader, 10, "slow-"..number.."x");
				waiting = unsent();
				most = math.max(most, waiting or 0);
			end
			assert.is_nil(waiting, "it is still there, with "..most.." bytes after "..number.." floods");
			assert.is_true(most <= 64 * 1024, most);
			-- The other one has missed nothing.
			for i = 1, number do
				assert.is_truthy(got:find("slow-"..i.."x", 1, true), i);
			end
			-- What was under way in the kernel is all that still arrives, and then the connection ends without an end of the answer.
			local rest, size = "", 0;
			slow:settimeout(10);
			local _, problem;
			repeat
				local part;
				_, problem, part = slow:receive(8192);
				rest = (rest..(_ or part or "")):sub(-16);
				size = size + #(_ or part or "");
			until problem;
			assert.equal("closed", problem);
			assert.is_nil(rest:find("\r\n0\r\n\r\n$"));
			assert.is_true(size < #got, size.." "..#got);
			-- It may come back at once.
			local again, status = web.open(prosody.http_port, "GET", "/audit/live?type=flood&text=slow", { headers = { Cookie = session } });
			again:close();
			assert.equal(200, status);
		end);

		it("stays usable while thousands are connected, and forgets them", function ()
			local function text(path, cookie)
				return ("GET /audit/%s HTTP/1.1\r\nHost: %s\r\n%s\r\n"):format(path, host, cookie and "Cookie: "..cookie.."\r\n" or "");
			end
			for name, one in pairs {
				strangers = { text("live"), 1000, { ["403"] = 1000 } };
				watching = { text("live", session), MANY, { ["200"] = 20; ["503"] = MANY - 20 } };
				silent = { "", 1000, {} };
			} do
				local before = prosody:eval("collectgarbage(); collectgarbage(); return collectgarbage('count')");
				local many = crowd.gather(prosody.http_port, one[2], one[1]);
				local function leave() many:leave(); end
				finally(leave);
				assert.same(one[3], many.answers, name);
				assert.is_true(many.seconds < 280, name..": "..many.seconds);
				assert.is_true(delay() < 5, name);
				assert.equal(200, get("/audit/?type=x", session).status, name);
				assert.is_true(client.login(prosody, admin, "secret").ok, name);
				leave();
				assert.is_truthy(process.wait_until(function ()
					prosody:eval("module:context((...)):audit('romeo@'..(...), 'tick')", host);
					local conn, status = web.open(prosody.http_port, "GET", "/audit/live", { headers = { Cookie = session } });
					conn:close();
					return status == 200;
				end, 60, 0.5), name);
				local after;
				assert.is_truthy(process.wait_until(function ()
					after = prosody:eval("collectgarbage(); collectgarbage(); return collectgarbage('count')");
					return after - before < MANY / 2; -- that many kilobytes
				end, 60, 1), name..": "..before.." "..tostring(after));
			end
		end);
	end);
end);
