-- Entries that are sent on as they are recorded: real servers, and receivers that fail on purpose.

local dump = require "support.dump";
local json = require "dkjson";
local lfs = require "lfs";
local process = require "support.process";
local receiver = require "support.receiver";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(function ()
		server.stop_all();
		receiver.stop_all();
	end);

	local function start(sinks, more)
		local options = { audit_log_sinks = sinks };
		for name, value in pairs(more or {}) do options[name] = value; end
		prosody = server.start { series = series; modules = { "audit", "audit_sinks" }; storage = "native"; config = options };
	end

	local function record(first, last) receiver.record(prosody, first, last); end

	local function state(name)
		for _, sink in ipairs(prosody:eval("return module:shared('/*/audit_sinks/sinks').list(...)", host)) do
			if sink.name == name then return sink; end
		end
	end

	it("carries syslog over TCP and TLS, a file, datagrams and HTTP, in order", function ()
		local certificate, key = server.certificate("localhost");
		local tls = receiver.start { kind = "stream"; certificate = certificate; key = key };
		local tcp, udp = receiver.start { kind = "stream"; newline = true }, receiver.start { kind = "udp" };
		local unix, http, gzip = receiver.start { kind = "unix" }, receiver.start { kind = "http" }, receiver.start { kind = "http" };
		local path = tcp.folder.."/audit.jsonl";
		start {
			tls = { to = "tls://localhost:"..tls.port, cafile = certificate };
			tcp = { to = "tcp://127.0.0.1:"..tcp.port, format = "json" };
			udp = { to = "udp://127.0.0.1:"..udp.port }, unix = { to = "unix:"..unix.path };
			gzip = { to = "http://127.0.0.1:"..gzip.port.."/", compress = "gzip" };
			http = { to = "http://127.0.0.1:"..http.port.."/", batch = 40, framing = "array", headers = { ["X-Test"] = "s3cret" } };
			file = { to = "file:"..path, types = { "test-1*" } };
		};
		record(1, 200);
		for name, one in pairs { tls = tls, tcp = tcp, udp = udp, unix = unix, http = http, gzip = gzip } do
			local ok, why = one:has_all(200);
			assert.is_true(ok, name..": "..tostring(why));
			assert.equal(0, select(2, one:numbers()), name);
		end
		assert.is_truthy(tls:lines()[1]:match("^<%d+>1 %d+%-%d+%-%d+T%d+:%d+:%d+%.%d+Z "..host.." prosody%-audit %- "), tls:lines()[1]);
		assert.equal(host, json.decode(tcp:lines()[1]).host);
		assert.equal("s3cret", json.decode(process.read(http.out..".headers"))["x-test"]);
		local headers = json.decode(process.read(gzip.out..".headers"));
		assert.equal("gzip", headers["content-encoding"]);
		assert.is_true(tonumber(headers["content-length"]) < 100 * 100, headers["content-length"]);
		-- Only what is wanted is in the file, which nobody else may read.
		assert.is_truthy(process.wait_until(function () return (process.read(path) or ""):find("test-199", 1, true); end));
		assert.is_nil(process.read(path):find("test-2", 1, true));
		assert.equal("rw-r-----", lfs.attributes(path, "permissions"));
		-- After a reload, a file that was renamed is made again.
		os.rename(path, path..".1");
		prosody:reload();
		record(1000, 1000);
		assert.is_truthy(process.wait_until(function () return (process.read(path) or ""):find("test-1000", 1, true); end));
		assert.is_nil(prosody:log():find("s3cret", 1, true));
	end);

	it("misses nothing when receivers and the server die", function ()
		local tcp, http = receiver.start { kind = "stream" }, receiver.start { kind = "http" };
		start { tcp = { to = "tcp://127.0.0.1:"..tcp.port }, http = { to = "http://127.0.0.1:"..http.port.."/", batch = 20 } };
		record(1, 100);
		assert.is_true(tcp:has_all(100));
		assert.is_true(http:has_all(100));
		-- In the middle of a batch.
		tcp:mood("dies 30");
		http:mood("dies 30");
		record(101, 300);
		assert.is_truthy(process.wait_until(function () return not tcp.child:alive() and not http.child:alive(); end));
		record(301, 320);
		assert.is_truthy(prosody:wait_log("can't be sent to the sink tcp %(tcp://127.0.0.1:%d+%)"));
		prosody:kill();
		for _, one in ipairs { tcp, http } do
			one:mood();
			one:kill();
			one:start();
		end
		prosody:start();
		record(321, 330);
		assert.is_true(tcp:has_all(330));
		assert.is_true(http:has_all(330));
		-- A stop in order loses and repeats nothing of what was answered.
		assert.is_truthy(process.wait_until(function () return state("http").behind == 0; end, 10));
		local _, again = http:numbers();
		prosody:stop();
		prosody:start();
		record(331, 331);
		assert.is_true(http:has_all(331));
		assert.equal(again, (select(2, http:numbers())));
	end);

	it("waits for a receiver of HTTP as it asks, finds the entry that it refuses, and follows no redirect", function ()
		local http = receiver.start { kind = "http" };
		local folder = http.folder;
		process.write(folder.."/token", "t0ken\n");
		http:mood("redirects");
		start { hook = { to = "http://127.0.0.1:"..http.port.."/?key=s3cret", token_file = folder.."/token", batch = 16, timeout = 1 } };
		record(1, 10);
		assert.is_truthy(prosody:wait_log("sink hook %(http://127.0.0.1:%d+%): the receiver answered with status 307%."));
		assert.same({}, http:lines());
		http:mood("503 2");
		assert.is_truthy(process.wait_until(function () return state("hook").problem:find("503", 1, true); end));
		http:mood("hangs");
		assert.is_truthy(process.wait_until(function () return state("hook").problem:find("no answer within 1 seconds", 1, true); end, 15));
		http:mood("400 if test-33");
		record(11, 40);
		assert.is_truthy(process.wait_until(function () return http:numbers():find("40", 1, true); end, 20));
		assert.is_nil((" "..http:numbers().." "):find(" 33 ", 1, true));
		-- The entry about the refusal names that type too, so this receiver refuses it as well. That is not recorded again.
		assert.is_truthy(process.wait_until(function () return state("hook").refused == 2; end, 10), tostring(state("hook").refused));
		assert.equal(1, #dump.of_type(prosody, host, "audit-sink-rejected"));
		assert.is_truthy(prosody:wait_log("refuses an audit event, which is left out there: id %S+, type test%-33: status 400"));
		assert.is_truthy(prosody:wait_log("are sent to the sink hook %S+ again"));
		local entries = {};
		for _, entry in ipairs(dump.entries(prosody, host)) do entries[entry.type] = entry; end
		assert.equal("test-33", entries["audit-sink-rejected"]:child("refused").attr.type);
		assert.equal("Bearer t0ken", json.decode(process.read(http.out..".headers")).authorization);
		-- Trouble was told once when it began, and once when it ended.
		assert.equal(1, #prosody:lines_with("can't be sent to the sink"));
		for _, secret in ipairs { "s3cret", "t0ken" } do assert.is_nil(prosody:log():find(secret, 1, true)); end
	end);

	it("sends bulk requests, in which an entry that comes twice is stored once and one that is refused is set aside", function ()
		local http = receiver.start { kind = "http" };
		http:mood("429 after 5");
		start { search = { to = "http://127.0.0.1:"..http.port.."/_bulk", framing = "bulk", format = "ecs", batch = 16 } };
		record(1, 40);
		assert.is_truthy(process.wait_until(function () return #http:lines() >= 5; end, 15));
		assert.is_truthy(process.wait_until(function () return state("search").problem; end));
		http:mood("400 if test-33");
		assert.is_truthy(process.wait_until(function () return state("search").refused == 2; end, 30), tostring(state("search").refused));
		record(41, 50);
		assert.is_truthy(process.wait_until(function () return http:numbers():find("50", 1, true); end, 20));
		local numbers, again = http:numbers();
		assert.is_nil((" "..numbers.." "):find(" 33 ", 1, true));
		assert.equal(0, again);
		assert.equal(1, #dump.of_type(prosody, host, "audit-sink-rejected"));
	end);

	it("pushes lines to Loki, and signs bodies, also compressed ones", function ()
		local secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
		local loki, signed = receiver.start { kind = "http" }, receiver.start { kind = "http", secret = secret };
		process.write(signed.folder.."/secret", "another secret that is long enough\n");
		start {
			loki = { to = "http://127.0.0.1:"..loki.port.."/loki/api/v1/push", framing = "loki" };
			signed = { to = "http://127.0.0.1:"..signed.port.."/", compress = "gzip", sign_file = signed.folder.."/secret" };
		};
		record(1, 120);
		assert.is_true(loki:has_all(120));
		assert.same({ host, "test-1" }, { json.decode(loki:lines()[1]).host, json.decode(loki:lines()[1]).type });
		assert.is_truthy(prosody:wait_log("sink signed %S+: the receiver answered with status 401%."));
		process.write(signed.folder.."/secret", secret.."\n");
		assert.is_true(signed:has_all(120));
		assert.is_nil(prosody:log():find(secret, 1, true));
	end);

	it("collects entries for a moment, also while the receiver answers at once", function ()
		local http = receiver.start { kind = "http" };
		start { hook = { to = "http://127.0.0.1:"..http.port.."/" } };
		prosody:eval([[
			local of_host, number = module:context(...), 0;
			module:add_timer(0.03, function ()
				number = number + 1;
				of_host:audit("juliet@"..of_host.host, "test-"..number, nil, true);
				return number < 60 and 0.03 or nil;
			end);
		]], host);
		assert.is_true(http:has_all(60));
		local requests = select(2, process.read(http.out..".requests"):gsub("\n", ""));
		-- Other programs may have made it longer than two seconds.
		assert.is_true(requests <= 12, tostring(requests));
	end);

	it("uses a connection of HTTP for many requests where Prosody can, and misses nothing when the receiver closes it", function ()
		local certificate, key = server.certificate("localhost");
		local http, https = receiver.start { kind = "http" }, receiver.start { kind = "http", certificate = certificate, key = key };
		start {
			http = { to = "http://127.0.0.1:"..http.port.."/", batch = 10 };
			https = { to = "https://localhost:"..https.port.."/", batch = 10, cafile = certificate };
		};
		local function count(one, what)
			return select(2, (process.read(one.out.."."..what) or ""):gsub("\n", ""));
		end
		local last = 0;
		local function send(mood)
			local before = {};
			for _, one in ipairs { http, https } do
				one:mood(mood);
				before[one] = count(one, "connections");
			end
			record(last + 1, last + 100);
			last = last + 100;
			for _, one in ipairs { http, https } do assert.is_true(one:has_all(last)); end
			return count(http, "connections") - before[http], count(https, "connections") - before[https];
		end
		local expected = series == "0.12" and 10 or 1;
		assert.same({ expected, expected }, { send() });
		assert.is_true(count(http, "requests") >= 10);
		-- A request on a connection that is gone is sent again. That is no trouble.
		local of_http, of_https = send("leaves");
		assert.is_true(of_http >= 9 and of_https >= 9, ("%d, %d"):format(of_http, of_https));
		of_http, of_https = send("says close");
		assert.is_true(of_http >= 9 and of_https >= 9, ("%d, %d"):format(of_http, of_https));
		assert.same({}, prosody:lines_with("can't be sent to the sink"));
		assert.equal(0, (select(2, http:numbers())));
	end);

	it("trusts no receiver whose certificate is not for it", function ()
		local certificate, key = server.certificate("localhost");
		local tls = receiver.start { kind = "stream"; certificate = certificate; key = key };
		local other = receiver.start { kind = "http"; certificate = certificate; key = key };
		start {
			untrusted = { to = "tls://localhost:"..tls.port }, name = { to = "tls://127.0.0.1:"..tls.port, cafile = certificate };
			https = { to = "https://127.0.0.1:"..other.port.."/", cafile = certificate };
			good = { to = "https://localhost:"..other.port.."/", cafile = certificate };
		};
		record(1, 3);
		assert.is_truthy(prosody:wait_log("sink untrusted %S+: its certificate is not trusted: "), prosody:log());
		assert.is_truthy(prosody:wait_log("sink name %S+: its certificate is not for 127%.0%.0%.1%."));
		assert.is_truthy(prosody:wait_log("sink https %S+: its certificate is not for 127%.0%.0%.1%."));
		assert.is_true(other:has_all(3));
		assert.same({}, tls:lines());
	end);

	it("sends what was recorded while the sink was not there, and says what is gone", function ()
		local http = receiver.start { kind = "http"; is_down = true };
		start({ hook = { to = "http://127.0.0.1:"..http.port.."/" } }, { audit_log_classes = { few = { types = { "test-*" }, limit = 500 } } });
		record(1, 600);
		record(601, 1300);
		prosody:eval("flush_audit_log()");
		local status, _, err = prosody:ctl("mod_audit", "--prune", host);
		assert.equal(0, status, err);
		prosody:restart();
		http:start();
		assert.is_truthy(process.wait_until(function () return http:numbers():find("1300", 1, true); end, 60));
		local missing;
		assert.is_truthy(process.wait_until(function ()
			for _, line in ipairs(http:lines()) do missing = missing or line:match('"missing.count":"(%d+)"'); end
			return missing;
		end));
		local _, count = http:numbers():gsub("%d+", "");
		assert.equal(1300, count + tonumber(missing));
	end);

	it("is shown and tested by prosodyctl", function ()
		local http = receiver.start { kind = "http" };
		start { hook = { to = "http://127.0.0.1:"..http.port.."/?key=s3cret" } };
		record(1, 3);
		assert.is_true(http:has_all(3));
		local status, text, err = prosody:ctl("mod_audit", "--sinks", host);
		assert.same({ 0, "" }, { status, err });
		assert.is_truthy(text:find(host..": hook, http://127.0.0.1:"..http.port..": ", 1, true), text);
		status, text, err = prosody:ctl("mod_audit", "--sink-test", "hook");
		assert.same({ 0, "" }, { status, err });
		assert.is_truthy(text:find("^The test entry was accepted with status 200 after %d+ ms\n$"), text);
		assert.is_truthy(http:lines()[#http:lines()]:find("audit%-sink%-test"));
		http:mood("503");
		status, text, err = prosody:ctl("mod_audit", "--sink-test", "hook", host);
		assert.same({ 1, "" }, { status, text });
		assert.is_truthy(err:find("the receiver answered with status 503", 1, true), err);
		status, text, err = prosody:ctl("mod_audit", "--sink-test", "other");
		assert.same({ 1, "", "there is no sink other in use; there are: hook\n" }, { status, text, err });
	end);

	it("refuses a wrong sink in one line, and uses the others", function ()
		local http = receiver.start { kind = "http" };
		start {
			good = { to = "http://127.0.0.1:"..http.port.."/" };
			bad = { to = "ftp://s3cret@example.test" };
			cert = { to = "tls://example.test:1", cafile = "/nonexistent/ca.pem" };
			file = { to = "file:/nonexistent/audit.jsonl" };
			tcp = { to = "tcp://nonexistent.invalid:1" }, tls = { to = "tls://nonexistent.invalid:1" };
			udp = { to = "udp://nonexistent.invalid:1" }, http = { to = "http://nonexistent.invalid:1/" };
		};
		record(1, 1);
		assert.is_true(http:has_all(1));
		assert.is_truthy(prosody:wait_log("Option audit_log_sinks has bad.to that [^\n]*, which is not allowed: use tls://HOST:PORT"));
		assert.is_truthy(prosody:wait_log("sink cert %S+ can't be used: cafile can't be read: /nonexistent/ca.pem"));
		assert.is_truthy(prosody:wait_log("sink file %S+ can't be used: No such file"));
		for _, name in ipairs { "tcp", "tls", "udp", "http" } do
			local line = "can't be sent to the sink %s %%(%s://nonexistent.invalid:1%%): its name can't be resolved";
			assert.is_truthy(prosody:wait_log(line:format(name, name), 15));
			assert.equal(1, #prosody:lines_with("can't be sent to the sink "..name.." "));
		end
		assert.is_nil(prosody:log():find("s3cret", 1, true));
	end);
end);
