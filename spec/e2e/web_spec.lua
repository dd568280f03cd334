-- mod_audit_http on real servers: signing in, what is shown to whom, downloads, the live view, programs, and attacks with raw requests.

local client = require "support.client";
local json = require "dkjson";
local process = require "support.process";
local server = require "support.server";
local web = require "support.web";

local host = "localhost";
local admin, romeo = "nurse@"..host, "romeo@"..host;

server.each_series(describe, pending, function (series)
	describe("the log in a browser", function ()
		local prosody, session;

		local function request(method, path, options)
			return web.request(prosody.http_port, method, path, options);
		end

		local function get(path, cookie, headers)
			headers = headers or {};
			headers.Cookie = cookie;
			return request("GET", path, { headers = headers });
		end

		local function post(path, body, cookie, headers)
			headers = headers or {};
			headers.Cookie = cookie;
			headers["Content-Type"] = "application/x-www-form-urlencoded";
			return request("POST", path, { headers = headers; body = body });
		end

		-- A new link, as prosodyctl prints it -> the secret in it
		local function new_link(jid)
			local status, out, err = prosody:ctl("mod_audit", "--link", jid or admin);
			assert.same({ 0, "" }, { status, err });
			local link = out:match("^http://localhost:"..prosody.http_port.."/audit/sign%-in%?link=([%w_-]+)\n$");
			assert.is_truthy(link, out);
			return link;
		end

		local function sign_in(link)
			local answer = post("/audit/sign-in", "link="..link);
			assert.equal(303, answer.status, answer.body);
			return web.cookie(answer);
		end

		local function csrf_of(page)
			return page.body:match('name="csrf" value="([^"]+)"');
		end

		-- The newest entries of a type, as prosodyctl shows them.
		local function recorded(event_type)
			local _, out = prosody:ctl("mod_audit", "--format=json", "--type="..event_type, host);
			local list = {};
			for line in out:gmatch("[^\n]+") do list[#list+1] = json.decode(line); end
			return list;
		end

		lazy_setup(function ()
			prosody = server.start {
				series = series; storage = series == "0.12" and "internal" or "native"; hosts = { host, "other.test" };
				modules = { "audit", "audit_auth", "audit_http" };
				base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "harness", "http", "admin_socket", "admin_shell" };
				config = { admins = { admin }; audit_log_flood = false }; components = { ["rooms."..host] = "muc" };
			};
			for _, jid in ipairs({ admin, romeo, "nurse@other.test" }) do prosody:adduser(jid, "secret"); end
			prosody:eval([[
				local host = ...;
				local core = require "audit_core";
				local context, at = module:context(host), os.time() - 86400;
				for i = 1, 120 do
					context:audit((i % 2 == 0 and "romeo@" or "juliet@")..host, i % 3 == 0 and "authentication-failure" or "authentication-success", {
						session = { ip = "203.0.113."..i, client_id = "phone" }; timestamp = at + i;
					});
				end
				context:audit("romeo@"..host, "<script>alert(1)</script>", { custom = { core.detail("note", nil, "\"><img src=x onerror=alert(1)>") } });
				flush_audit_log();
			]], host);
			session = sign_in(new_link());
		end);

		lazy_teardown(function ()
			if prosody then prosody:stop(); end
		end);

		it("is entered by a link that works once, at the press of a button", function ()
			local link = new_link();
			for _ = 1, 2 do
				local page = get("/audit/sign-in?link="..link);
				assert.same({ 200, nil }, { page.status, page.headers["set-cookie"] }, "a preview does not sign in");
				assert.is_truthy(page.body:find(admin, 1, true));
				assert.equal("no-referrer", page.headers["referrer-policy"]);
			end
			local answer = post("/audit/sign-in", "link="..link);
			assert.equal(303, answer.status);
			local cookie = answer.headers["set-cookie"];
			for _, part in ipairs { "^__Host%-audit%-%x+=[%w_-]+;", "Path=/;", "Secure", "HttpOnly", "SameSite=Strict", "Max%-Age=43200" } do
				assert.is_truthy(cookie:find(part), part);
			end
			assert.equal(200, get("/audit/", web.cookie(answer)).status);
			assert.equal(403, post("/audit/sign-in", "link="..link).status);
			assert.equal(410, get("/audit/sign-in?link="..link).status);
		end);

		it("gives links and lets in only those who may read the log", function ()
			for _, target in ipairs { romeo, "nobody@"..host } do
				local status, out, err = prosody:ctl("mod_audit", "--link", target);
				assert.same({ 1, "" }, { status, out });
				assert.is_truthy(err:find("^[^\n]+\n$"), err);
			end
			local status, _, err = prosody:ctl("mod_audit", "--link", "nurse@other.test");
			assert.equal(1, status);
			assert.is_truthy(err:find("not an administrator of other.test", 1, true), err);
			assert.equal(1, (prosody:ctl("mod_audit", "--link", "nurse@rooms."..host)));
			for _, cookie in ipairs { "", "x=y", "__Host-audit-00000000=x", (session:gsub("=.*", "=x")) } do
				for _, path in ipairs { "", "account?user=romeo", "network?ip=203.0.113.7", "download?format=csv", "live" } do
					local page = get("/audit/"..path, cookie);
					assert.equal(403, page.status, path);
					assert.is_nil(page.body:find("authentication", 1, true), path);
				end
			end
			-- The session of one host is none on another.
			assert.equal(403, request("GET", "/audit/", { host = "other.test"; headers = { Cookie = session } }).status);
		end);

		it("shows the log as it is searched for, with what narrows it", function ()
			local page = get("/audit/?type=authentication-failure&user=romeo", session);
			assert.equal(200, page.status);
			local _, count = page.body:gsub('<li class="bad"><details>', "");
			assert.equal(20, count);
			for _, part in ipairs { 'value="authentication-failure"', "203.0.113.120", "network?ip=203.0.113.0/24", "20 events, 20 of them failures" } do
				assert.is_truthy(page.body:find(part, 1, true), part);
			end
			local all = get("/audit/?since=2d", session);
			local next_page = all.body:match('rel="next" href="%./([^"]+)"'):gsub("&amp;", "&");
			local second = get("/audit/"..next_page, session);
			_, count = second.body:gsub('<li class="%l+"><details>', "");
			assert.equal(50, count);
			assert.is_nil(second.body:find("203.0.113.120", 1, true));
			for path, words in pairs { ["account?user=romeo@localhost"] = "Newest failures", ["network?ip=203.0.113.0/24"] = "Accounts" } do
				local about = get("/audit/"..path, session);
				assert.equal(200, about.status, path);
				assert.is_truthy(about.body:find(words, 1, true), path);
			end
			for _, wrong in ipairs { "?limit=x", "?output=/etc/passwd", "?since=soon", "account", "network?ip=x" } do
				local answer = get("/audit/"..wrong, session);
				assert.equal(400, answer.status, wrong);
				assert.is_nil(answer.body:find("%-%-%l"), wrong);
			end
		end);

		it("shows what is hostile as text, under a policy that runs nothing of it", function ()
			local page = get("/audit/?user=romeo&type=*script*", session);
			assert.is_nil(page.body:find("<script>", 1, true) or page.body:find("<img", 1, true));
			assert.is_truthy(page.body:find("&lt;script&gt;alert(1)", 1, true));
			local policy = page.headers["content-security-policy"];
			assert.is_truthy(policy:find("default-src 'none'", 1, true) and policy:find("frame-ancestors 'none'", 1, true));
			assert.is_nil(policy:find("unsafe", 1, true));
			assert.same({ "nosniff", "DENY", "no-store" }, { page.headers["x-content-type-options"], page.headers["x-frame-options"],
				page.headers["cache-control"] });
			assert.is_nil(page.headers["access-control-allow-origin"]);
		end);

		it("can be downloaded in every format, as prosodyctl writes it", function ()
			local formats = {};
			for format in get("/audit/", session).body:gmatch('href="download%?format=(%l+)"') do table.insert(formats, format); end
			assert.is_true(#formats >= 9, table.concat(formats, " "));
			for _, format in ipairs(formats) do
				local file = get("/audit/download?since=3d&until=1h&format="..format, session);
				assert.same({ 200, nil }, { file.status, file.incomplete }, format);
				assert.is_truthy(file.headers["content-disposition"]:find('^attachment; filename="audit%-localhost%.'));
				local _, out = prosody:ctl("mod_audit", "--utc", "--since=3d", "--until=1h", "--format="..format, host);
				assert.equal(out, file.body, format);
				assert.is_true(file.largest <= 16384, format);
			end
			assert.equal(400, get("/audit/download?format=exe", session).status);
		end);

		it("records who signed in, looked and downloaded, and no secret", function ()
			local link = new_link();
			local cookie = sign_in(link);
			get("/audit/?user=romeo", cookie);
			get("/audit/download?format=csv&text=Tr0ub4dor", cookie);
			local exported, queried = recorded("audit-exported"), recorded("audit-queried");
			local by_browser;
			for _, entry in ipairs(exported) do by_browser = by_browser or entry["query.through"] == "http" and entry; end
			assert.same({ admin, "http", "csv", "--text=***" },
				{ by_browser["actor.jid"], by_browser["actor.kind"], by_browser["query.format"], by_browser["query.filter"] });
			local filters = {};
			for _, entry in ipairs(queried) do
				if entry["query.through"] == "http" then filters[entry["query.filter"] or "none"] = entry["query.entries"] or "none"; end
			end
			assert.is_truthy(filters["--user=romeo"] and filters.none == "none", json.encode(filters));
			local _, everything = prosody:ctl("mod_audit", "--all", "--format=xml", host);
			for _, secret in ipairs { link, cookie:match("=(.*)"), session:match("=(.*)") } do
				assert.is_nil(everything:find(secret, 1, true));
				assert.is_nil(prosody:log():find(secret, 1, true), "in Prosody's log, at level debug");
			end
		end);

		it("refuses forms of others, and signs out at once", function ()
			local cookie = sign_in(new_link());
			local csrf = csrf_of(get("/audit/", cookie));
			for _, body in ipairs { "", "csrf=", "csrf=x", "csrf="..csrf_of(get("/audit/", session)) } do
				assert.equal(403, post("/audit/sign-out", body, cookie).status, body);
			end
			assert.equal(403, post("/audit/sign-out", "csrf="..csrf, cookie, { ["Sec-Fetch-Site"] = "cross-site" }).status);
			assert.equal(403, post("/audit/sign-in", "link="..new_link(), nil, { ["Sec-Fetch-Site"] = "same-site" }).status);
			assert.equal(200, get("/audit/", cookie).status);
			assert.equal(303, post("/audit/sign-out", "csrf="..csrf, cookie).status);
			assert.equal(403, get("/audit/", cookie).status);
		end);

		it("is not confused by paths, headers and sizes", function ()
			for _, path in ipairs { "/audit/../../etc/passwd", "/audit/%2e%2e/%2e%2e/etc/passwd", "/audit/..%2fprosody.cfg.lua",
				"/audit/style.css%00", "/audit/download/x" } do
				local answer = get(path, session);
				assert.is_true(answer.status == 404 or answer.status == 400 or answer.status == 0, path..answer.status);
			end
			local injected = get("/audit/?user=x%0d%0aSet-Cookie:%20a=b", session);
			assert.is_nil(injected.headers["set-cookie"]);
			injected = get("/audit?x=%0d%0aSet-Cookie:%20a=b", session);
			assert.is_nil(injected.headers["set-cookie"]);
			assert.equal(400, get("/audit/?text="..("x"):rep(9000), session).status);
			assert.is_true(post("/audit/sign-in", ("x"):rep(100000)).status >= 400);
			assert.equal(200, get("/audit/", session).status);
		end);

		it("refuses to be read along: over HTTP only from this machine, or behind a proxy that says it had HTTPS", function ()
			assert.equal(403, get("/audit/", session, { ["X-Forwarded-For"] = "203.0.113.9" }).status);
			assert.equal(200, get("/audit/", session, { ["X-Forwarded-For"] = "203.0.113.9", ["X-Forwarded-Proto"] = "https" }).status);
		end);

		it("shows new entries as they happen, and what was missed", function ()
			local conn, status, headers = web.open(prosody.http_port, "GET", "/audit/live?type=thing-*", { headers = { Cookie = session } });
			assert.same({ 200, "text/event-stream" }, { status, headers["content-type"] });
			local function happen(kind)
				return prosody:eval("local host, kind = ...; return (module:context(host):audit('romeo@'..host, kind))", host, kind);
			end
			happen("other-thing");
			local id = happen("thing-one");
			local text = web.events(conn, 6, "thing-one");
			assert.is_truthy(text:find("event: entry\nid: "..id.."\ndata: <li", 1, true), text);
			assert.is_nil(text:find("other-thing", 1, true));
			conn:close();
			happen("thing-two");
			conn = web.open(prosody.http_port, "GET", "/audit/live?type=thing-*", { headers = { Cookie = session, ["Last-Event-ID"] = id } });
			text = web.events(conn, 6, "thing-two");
			assert.is_truthy(text:find("thing-two", 1, true), text);
			assert.is_nil(text:find("thing-one", 1, true));
			conn:close();
		end);

		it("lets at most 20 watch a host", function ()
			local conns, statuses = {}, {};
			for i = 1, 21 do
				conns[i], statuses[i] = web.open(prosody.http_port, "GET", "/audit/live", { headers = { Cookie = session } });
			end
			assert.equal(503, statuses[21]);
			for _, conn in ipairs(conns) do conn:close(); end
			-- Those that have gone are noticed as soon as there is something to send.
			assert.is_truthy(process.wait_until(function ()
				prosody:eval("local host = ...; module:context(host):audit('romeo@'..host, 'tick')", host);
				local conn, status = web.open(prosody.http_port, "GET", "/audit/live", { headers = { Cookie = session } });
				conn:close();
				return status == 200;
			end, 15, 0.5));
		end);

		it("answers programs with tokens, until they are revoked", function ()
			local function ctl(...)
				local status, out, err = prosody:ctl("mod_audit", ...);
				return status, out:gsub("\n$", ""), err;
			end
			local status, token, err = ctl("--token", "portal", "--types", "authentication-*", "--expires", "2d", host);
			assert.equal(0, status, err);
			assert.is_truthy(token:find("^audit_[%w_-]+$"), token);
			local function ask(path, secret)
				local answer = get("/audit/api/v1/"..path, nil, { Authorization = "Bearer "..(secret or token) });
				return answer.status, json.decode(answer.body), answer;
			end
			local seen, place, pages = {}, "", 0;
			repeat
				-- What happens meanwhile moves no page.
				prosody:eval("for _ = 1, 5 do module:context((...)):audit('late@'..(...), 'authentication-late'); end", host);
				local code, answer = ask("entries?limit=50&since=2d"..(place ~= "" and "&after="..place or ""));
				assert.equal(200, code);
				for _, entry in ipairs(answer.entries) do
					assert.is_truthy(entry.type:find("^authentication%-"));
					assert.is_nil(seen[entry.id]);
					assert.is_true(entry.type ~= "authentication-late" or pages == 0, "it is newer than the first page");
					seen[entry.id] = true;
				end
				place, pages = answer.next, pages + 1;
			until not place;
			local count = 0;
			for _ in pairs(seen) do count = count + 1; end
			assert.is_true(count >= 120 and pages == 3, count.." entries on "..pages.." pages");
			local code, stats = ask("stats?type=authentication-failure");
			assert.same({ 200, 40, 40 }, { code, stats.events, stats.types["authentication-failure"] });
			assert.equal(400, (ask("entries?limit=x")));
			local _, _, refused = ask("entries", "audit_wrong");
			assert.same({ 401, 'Bearer realm="audit"' }, { refused.status, refused.headers["www-authenticate"] });
			-- It is for this host alone.
			assert.equal(401, request("GET", "/audit/api/v1/stats", { host = "other.test"; headers = { Authorization = "Bearer "..token } }).status);
			assert.equal(403, (ask("verify")));
			local _, whole = ctl("--token", "whole", host);
			local verified;
			code, verified = ask("verify", whole);
			assert.same({ 200, true, 0 }, { code, verified.intact, verified.faults }, json.encode(verified));
			assert.is_true(verified.verified >= 120);
			assert.is_truthy(get("/audit/", session).body:find("Verified, and intact, at ", 1, true));
			assert.equal(0, (ctl("--revoke", "whole", host)));
			local by = recorded("audit-exported")[1];
			assert.same({ "api", "token portal" }, { by["query.through"], by["query.by"] });
			local report = prosody.folder.."/verified.html";
			assert.equal(0, (ctl("--report", report, host)));
			assert.is_truthy(process.read(report):find("Verified, and intact, at ", 1, true));
			local _, list = ctl("--tokens", host);
			assert.is_truthy(list:find("^portal: authentication%-%*, made .-, until "), list);
			assert.is_nil(prosody:log():find(token, 1, true));
			-- Restarts keep tokens, and no secret is stored.
			prosody:restart();
			assert.equal(200, (ask("stats")));
			assert.not_equal(0, (process.capture { "grep", "-r", token, prosody.data }));
			assert.equal(0, (ctl("--revoke", "portal", host)));
			assert.equal(401, (ask("stats")));
			assert.equal(1, (ctl("--revoke", "portal", host)));
			assert.equal(403, get("/audit/", session).status, "a restart ends sessions");
			session = sign_in(new_link());
		end);

		it("puts an administrator out who is none any more, or whose account is disabled", function ()
			prosody:adduser("temp@"..host, "secret");
			local function set_role(is_admin)
				prosody:set_role("temp@"..host, is_admin and "prosody:admin" or "prosody:registered");
			end
			set_role(true);
			local cookie, unused = sign_in(new_link("temp@"..host)), new_link("temp@"..host);
			assert.equal(200, get("/audit/", cookie).status);
			set_role(false);
			assert.equal(403, get("/audit/", cookie).status);
			assert.equal(403, post("/audit/sign-in", "link="..unused).status);
			set_role(true);
			assert.equal(403, get("/audit/", cookie).status, "the session does not come back");
			cookie = sign_in(new_link("temp@"..host));
			prosody:eval("local u, h = ...; require 'core.usermanager'.delete_user(u, h)", "temp", host);
			assert.equal(403, get("/audit/", cookie).status);
		end);

		it("is opened by ad-hoc commands: the log for administrators, the own account for everybody", function ()
			local function link_of(jid, node)
				local result = client.command(prosody, jid, "secret", "xmpp:prosody.im/audit#"..node);
				return result.form and result.form.xml:match("link=([%w_-]+)"), result;
			end
			local cookie = sign_in((link_of(admin, "browser")));
			assert.is_truthy(get("/audit/", cookie).body:find("Audit log of", 1, true));
			local link, result = link_of(romeo, "browser");
			assert.is_nil(link);
			assert.equal("forbidden", result.condition);
			cookie = sign_in((link_of(romeo, "my-browser")));
			local page = get("/audit/", cookie);
			assert.equal(200, page.status);
			assert.is_truthy(page.body:find("My account activity", 1, true) and page.body:find("authentication-success", 1, true));
			assert.is_nil(page.body:find("juliet", 1, true));
			for _, path in ipairs { "account?user=juliet", "network?ip=203.0.113.7", "download", "live" } do
				assert.equal(404, get("/audit/"..path, cookie).status, path);
			end
			assert.is_nil(get("/audit/?user=juliet", cookie).body:find("juliet", 1, true));
		end);

		it("says in one line that the server does not run", function ()
			prosody:stop();
			local status, out, err = prosody:ctl("mod_audit", "--link", admin);
			assert.same({ 1, "" }, { status, out });
			assert.is_truthy(err:find("^The server does not run, or can't be reached[^\n]*\n$"), err);
		end);
	end);
end);
