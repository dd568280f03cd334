-- The log in a browser behind nginx with TLS, with the lines of docs/web.md: signing in, pages, the live view, downloads, and whose address
-- is recorded.

local browser = require "support.browser";
local devtools = require "support.devtools";
local json = require "dkjson";
local nginx = require "support.nginx";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";
local web = require "support.web";

local host = "localhost";
local admin = "nurse@"..host;
-- Where the client comes from, and a proxy that is not this machine's: all of 127.0.0.0/8 is ours.
local client, proxy_address = "127.0.0.7", "127.0.0.9";

server.each_series(describe, pending, function (series)
	describe("the log behind nginx", function ()
		local here, why = nginx.available();
		if not here then
			pending(why);
			return;
		end

		local prosody, proxy, outer, session;

		local function request(method, path, options)
			options = options or {};
			-- A page of the embedded driver of 0.12 takes seconds on a busy machine.
			options.tls, options.from, options.timeout = true, options.from or client, 60;
			options.headers = options.headers or {};
			options.headers.Cookie = options.headers.Cookie or session;
			return web.request(proxy.port, method, path, options);
		end

		local function new_link()
			local status, out, err = prosody:ctl("mod_audit", "--link", admin);
			assert.same({ 0, "" }, { status, err });
			local secret = out:match("^"..outer:gsub("%p", "%%%0").."audit/sign%-in%?link=([%w_-]+)\n$");
			assert.is_truthy(secret, out);
			return secret, (out:gsub("\n", ""));
		end

		local function sign_in()
			local answer = request("POST", "/audit/sign-in", { body = "link="..new_link();
				headers = { ["Content-Type"] = "application/x-www-form-urlencoded"; ["Sec-Fetch-Site"] = "same-origin"; Cookie = "a=b" } });
			assert.equal(303, answer.status, answer.body);
			assert.equal("./", answer.headers.location);
			session = web.cookie(answer);
			assert.is_truthy(answer.headers["set-cookie"]:find("; Secure;", 1, true));
		end

		-- The address in the newest entry of a reading.
		local function last_address()
			local _, out = prosody:ctl("mod_audit", "--format=json", "--type=audit-queried", host);
			for line in out:gmatch("[^\n]+") do
				local entry = json.decode(line);
				if entry["query.through"] == "http" then return entry["actor.ip"]; end
			end
		end

		lazy_setup(function ()
			-- Prosody has to know the outer address before nginx knows Prosody's port.
			local port = process.free_ports(1)[1];
			outer = ("https://localhost:%d/"):format(port);
			prosody = server.start {
				series = series; storage = series == "0.12" and "internal" or "native"; hosts = { host }; modules = { "audit", "audit_http" };
				base_modules = { "roster", "saslauth", "tls", "disco", "harness", "http", "admin_socket", "admin_shell" };
				config = { admins = { admin }; audit_log_flood = false; http_external_url = outer };
			};
			prosody:adduser(admin, "secret");
			prosody:eval([[
				local context, at = module:context((...)), os.time() - 86400;
				for i = 1, 300 do
					context:audit("romeo@"..(...), "authentication-success", { session = { ip = "203.0.113.7" }; timestamp = at + i });
				end
				flush_audit_log();
			]], host);
			proxy = nginx.start { name = host; http_port = prosody.http_port; port = port };
		end);

		before_each(sign_in);

		lazy_teardown(function ()
			if proxy then proxy:stop(); end
			if prosody then prosody:stop(); end
		end);

		it("shows its pages to who has signed in over TLS, with the headers of its own", function ()
			local page = request("GET", "/audit/?user=romeo");
			assert.equal(200, page.status);
			assert.is_truthy(page.body:find("Audit log of "..host, 1, true));
			assert.same({ "no-referrer", "no-store" }, { page.headers["referrer-policy"], page.headers["cache-control"] });
			assert.equal(403, request("GET", "/audit/", { headers = { Cookie = "a=b" } }).status);
			assert.equal(200, request("GET", "/audit/style.css").status);
		end);

		it("records the address of the client, whatever the client says", function ()
			request("GET", "/audit/?user=juliet");
			assert.equal(client, last_address());
			request("GET", "/audit/?user=tybalt", { headers = { ["X-Forwarded-For"] = "198.51.100.66" } });
			assert.equal(client, last_address());
		end);

		it("sends live entries at once", function ()
			local conn, status, headers = web.open(proxy.port, "GET", "/audit/live?type=thing-*",
				{ tls = true; from = client; headers = { Cookie = session } });
			assert.same({ 200, "text/event-stream" }, { status, headers["content-type"] });
			for i = 1, 3 do
				local began = socket.gettime();
				prosody:eval("local host, i = ...; module:context(host):audit('romeo@'..host, 'thing-'..i)", host, i);
				local text = web.events(conn, 15, "thing-"..i);
				assert.is_truthy(text:find("thing-"..i, 1, true), text);
				assert.is_true(socket.gettime() - began < 10);
			end
			conn:close();
		end);

		it("sends whole downloads, and none that looks complete and is not", function ()
			local file = request("GET", "/audit/download?since=3d&until=1h&format=csv");
			assert.same({ 200, nil }, { file.status, file.incomplete });
			local _, out = prosody:ctl("mod_audit", "--utc", "--since=3d", "--until=1h", "--format=csv", host);
			assert.equal(out, file.body);
		end);

		it("has no session in nginx's log", function ()
			local link = new_link();
			request("GET", "/audit/sign-in?link="..link);
			request("GET", "/audit/");
			local log = proxy:log();
			assert.is_nil(log:find(link, 1, true));
			assert.is_nil(log:find(session:match("=(.*)"), 1, true));
		end);

		it("believes a proxy elsewhere only if it is trusted", function ()
			for _, case in ipairs { { { "127.0.0.1", "::1" }, proxy_address }, { { proxy_address }, client } } do
				prosody:restart { config = { admins = { admin }; audit_log_flood = false; http_external_url = outer; trusted_proxies = case[1] } };
				proxy:stop();
				proxy = nginx.start { name = host; http_port = prosody.http_port; port = proxy.port; lines = "proxy_bind "..proxy_address..";" };
				sign_in();
				assert.equal(200, request("GET", "/audit/").status);
				assert.equal(case[2], last_address());
			end
		end);

		local has_browser, why_not = browser.available();
		if not has_browser then
			pending(why_not);
			return;
		end

		it("works in Chromium, cookie and live view included", function ()
			local page = devtools.open { flags = { "--ignore-certificate-errors" } };
			finally(function () page:close(); end);
			page:go((select(2, new_link())));
			page:eval("document.querySelector('form[action=sign-in] button').click()");
			assert.is_truthy(page:wait("document.title.startsWith('Audit log of')"), page:eval("document.body.innerText"));
			assert.equal(outer.."audit/", page:eval("location.href"));
			page:eval("document.querySelector('[data-live] button').click()");
			assert.is_truthy(page:wait("document.querySelector('[data-live] [role=status]').textContent === 'Waiting for new entries'"));
			prosody:eval("module:context((...)):audit('romeo@'..(...), 'seen-live')", host);
			assert.is_truthy(page:wait("document.querySelector('ol.lines > li').innerText.includes('seen-live')"));
			assert.same({}, page:complaints());
		end);
	end);
end);
