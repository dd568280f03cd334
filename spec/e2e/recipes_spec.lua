-- The files in contrib/, fed with what a real server writes, in the real programs.

local json = require "dkjson";
local process = require "support.process";
local raw = require "support.raw_client";
local recipes = require "support.recipes";
local server = require "support.server";
local socket = require "socket";
local http = require "socket.http";

local host = server.default_host;
local folder = process.new_folder("recipes");
local prosody, syslog_text, json_text, metrics;

-- A user name that looks like the end of a field and another address.
local FORGED = [[x","ip":"198.51.100.66","y":"]];
local FORGED_SYSLOG = [[x" ip="198.51.100.67" y="]];

local function records(kind, fields)
	prosody:eval([[
		local host, kind, fields = ...;
		local st = require "util.stanza";
		local custom = { st.stanza("authentication", { xmlns = "xmpp:prosody.im/audit", mechanism = "PLAIN", condition = fields.condition }) };
		module:context(host):audit(fields.user, kind, { session = { type = "c2s", ip = fields.ip }, custom = custom });
	]], host, kind, fields);
end

setup(function ()
	prosody = server.start {
		modules = { "audit", "audit_auth", "http_openmetrics" };
		config = {
			audit_log_flood = false; statistics = "internal"; statistics_interval = "manual"; openmetrics_allow_ips = { "127.0.0.1" };
		};
	};
	prosody:adduser("romeo@"..host, "secret");
	assert.is_true((raw.login(prosody, "romeo", "secret")));
	for n = 1, 3 do
		local stream = assert(raw.connect(prosody, { address = "127.0.0."..(10 + n) }));
		assert.is_false((stream:plain("romeo", "wrong")));
		stream:close();
	end
	for _, name in ipairs({ FORGED, FORGED_SYSLOG }) do
		records("authentication-failure", { user = name.."@"..host; ip = "127.0.0.20"; condition = "not-authorized" });
	end
	-- What the modules of an older or busier server may have recorded.
	records("authentication-failure", { user = "romeo@"..host; ip = "2001:db8::7"; condition = "not-authorized" });
	records("authentication-failure", { user = "romeo@"..host; ip = "203.0.113.9"; condition = "temporary-auth-failure" });
	records("registration-refused", { ip = "203.0.113.10"; condition = "not-authorized" });
	prosody:eval("flush_audit_log()");
	local status, err;
	status, syslog_text, err = prosody:ctl("mod_audit", "--all", "--oldest-first", "--format", "syslog", host);
	assert.same({ 0, "" }, { status, err });
	status, json_text, err = prosody:ctl("mod_audit", "--all", "--oldest-first", "--format", "json", host);
	assert.same({ 0, "" }, { status, err });
	for _, name in ipairs({ "198.51.100.66", "198.51.100.67" }) do
		assert.is_truthy(json_text:find(name, 1, true) and syslog_text:find(name, 1, true), json_text);
	end
	prosody:eval("prosody.events.fire_event('stats-update')");
	metrics = http.request(("http://127.0.0.1:%d/metrics"):format(prosody.http_port));
end);

teardown(function () if prosody then prosody:stop(); end end);

-- Defines tests that need a program, or says that it is not here.
local function with(name, define)
	local here, why = recipes.available(name);
	describe("contrib for "..name, function ()
		if here then define(); else pending(why); end
	end);
end

with("fail2ban", function ()
	local place = recipes.folder.."/fail2ban";
	local env = { PYTHONPATH = place.."/usr/lib/python3/dist-packages"; TZ = "America/New_York"; LC_ALL = "C.UTF-8" };
	local configuration = folder.."/fail2ban";

	local function fail2ban(program, ...)
		return process.capture({ "/usr/bin/python3", place.."/usr/bin/fail2ban-"..program, ... }, { env = env; timeout = 60 });
	end

	setup(function ()
		process.run(("mkdir %s && cp -r %s/etc/fail2ban/. %s/ && cp -r %s/fail2ban/. %s/"):format(process.quote(configuration),
			process.quote(place), process.quote(configuration), process.quote(recipes.contrib), process.quote(configuration)));
	end);

	for _, format in ipairs({ "syslog", "json" }) do
		it("finds who failed to log in, in the format "..format, function ()
			local log = folder.."/"..format..".log";
			process.write(log, format == "syslog" and syslog_text or json_text);
			local filter = configuration.."/filter.d/prosody-audit.conf";
			local status, out, err = fail2ban("regex", "-c", configuration, "--out", "<ip>", log, filter);
			assert.equal(0, status, err);
			local addresses = {};
			for address in out:gmatch("[^\n]+") do
				table.insert(addresses, address);
			end
			assert.same({ "127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.20", "127.0.0.20", "2001:db8::7" }, addresses);
			-- The time is read as UTC, wherever the server is.
			status, out, err = fail2ban("regex", "-c", configuration, "--out", "<time>", log, filter);
			assert.equal(0, status, err);
			local first = tonumber(out:match("^[%d.]+"));
			assert.is_true(first and math.abs(first - os.time()) < 600, out);
		end);
	end

	it("is a jail that fail2ban takes", function ()
		process.write(configuration.."/jail.d/defaults-debian.conf", "");
		local status, out, err = fail2ban("client", "-c", configuration, "-d");
		assert.equal(0, status, err);
		assert.is_truthy(out:find("['set', 'prosody-audit', 'maxretry', 5]", 1, true), out);
		assert.is_truthy(out:find("authentication-failure", 1, true), out);
		assert.is_falsy((out..err):find("ERROR"), err);
	end);
end);

-- A syslog server: takes connections and returns the messages that came, newline- or length-framed.
local function collect(listener, count, timeout)
	local messages, deadline = {}, socket.gettime() + timeout;
	listener:settimeout(timeout);
	local conn = listener:accept();
	if not conn then return messages; end
	conn:settimeout(0.2);
	local buffer = "";
	while #messages < count and socket.gettime() < deadline do
		local data, err, partial = conn:receive(65536);
		buffer = buffer..(data or partial or "");
		while true do
			local length, rest = buffer:match("^(%d+) (.*)$");
			if length and #rest >= tonumber(length) then
				table.insert(messages, (rest:sub(1, tonumber(length)):gsub("\n$", "")));
				buffer = rest:sub(tonumber(length) + 1);
			elseif not length and buffer:find("\n", 1, true) then
				local line;
				line, buffer = buffer:match("^([^\n]*)\n(.*)$");
				table.insert(messages, line);
			else
				break;
			end
		end
		if err == "closed" then break; end
	end
	conn:close();
	return messages;
end

local function assert_arrived(messages)
	local expected = {};
	for line in syslog_text:gmatch("[^\n]+") do
		table.insert(expected, line);
	end
	table.sort(expected);
	table.sort(messages);
	assert.same(expected, messages);
end

local function listen()
	local listener = assert(socket.bind("127.0.0.1", 0));
	local _, port = listener:getsockname();
	return listener, tostring(math.tointeger(tonumber(port)));
end

local function count_of_lines(text)
	return select(2, text:gsub("\n", ""));
end

with("rsyslog", function ()
	it("sends every entry as it was written", function ()
		local place, logs = recipes.folder.."/rsyslog", folder.."/rsyslog";
		process.run(("mkdir -p %s/logs %s/work"):format(process.quote(logs), process.quote(logs)));
		local listener, port = listen();
		recipes.adapt("rsyslog/prosody-audit.conf", logs.."/audit.conf", {
			["/var/log/prosody-audit"] = logs.."/logs"; ["logs.example.com\"\n\t\tport=\"6514"] = "127.0.0.1\"\n\t\tport=\""..port;
		});
		process.write(logs.."/main.conf", ("global(workDirectory=%q)\ninclude(file=%q)\n"):format(logs.."/work", logs.."/audit.conf"));
		process.write(logs.."/logs/"..host..".log", syslog_text);
		local _, modules = process.capture({ "find", place, "-name", "imfile.so", "-printf", "%h" });
		local env = { LD_LIBRARY_PATH = recipes.libraries("rsyslog"); TZ = "UTC" };
		local command = { place.."/usr/sbin/rsyslogd", "-n", "-f", logs.."/main.conf", "-i", logs.."/rsyslogd.pid", "-M", modules };
		local status, _, err = process.capture({ command[1], "-N1", table.unpack(command, 2) }, { env = env });
		assert.equal(0, status, err);
		local child = process.start { folder = logs; command = command; env = env };
		local messages = collect(listener, count_of_lines(syslog_text), 20);
		child:finish("TERM", 10);
		listener:close();
		assert_arrived(messages);
	end);
end);

with("syslog-ng", function ()
	it("sends every entry as it was written", function ()
		local place, logs = recipes.folder.."/syslog-ng", folder.."/syslog-ng";
		process.run(("mkdir -p %s/logs"):format(process.quote(logs)));
		local listener, port = listen();
		recipes.adapt("syslog-ng/prosody-audit.conf", logs.."/audit.conf", {
			["/var/log/prosody-audit"] = logs.."/logs"; ["logs.example.com"] = "127.0.0.1"; ["6514"] = port;
		});
		local env = { LD_LIBRARY_PATH = recipes.libraries("syslog-ng"); TZ = "UTC" };
		local program = place.."/usr/sbin/syslog-ng";
		local _, version = process.capture({ program, "--version" }, { env = env });
		version = version:match("%d+%.%d+", (version:find("version", 1, true)));
		process.write(logs.."/main.conf", ("@version: %s\n@include %q\n"):format(version, logs.."/audit.conf"));
		process.write(logs.."/logs/"..host..".log", syslog_text);
		local _, modules = process.capture({ "find", place, "-name", "libaffile.so", "-printf", "%h" });
		local command = {
			program, "--foreground", "--no-caps", "--cfgfile", logs.."/main.conf", "--module-path", modules, "--persist-file", logs.."/persist";
			"--pidfile", logs.."/syslog-ng.pid", "--control", logs.."/control";
		};
		local status, out, err = process.capture({ program, "--syntax-only", table.unpack(command, 4) }, { env = env });
		assert.equal(0, status, out..err);
		local child = process.start { folder = logs; command = command; env = env };
		local messages = collect(listener, count_of_lines(syslog_text), 20);
		child:finish("TERM", 10);
		listener:close();
		assert_arrived(messages);
	end);
end);

with("promtool", function ()
	local promtool = recipes.folder.."/promtool/usr/bin/promtool";
	local rules = recipes.contrib.."/prometheus/prosody-audit.rules.yml";

	-- The names of a metric of the audit log that a text uses.
	local function names_in(text)
		local names = {};
		for name in text:gmatch("prosody_mod_audit__[%w_]+") do names[name] = true; end
		return names;
	end

	local function dashboard_queries()
		local dashboard = assert(json.decode(process.read(recipes.contrib.."/grafana/prosody-audit.json")));
		local queries = {};
		for _, panel in ipairs(dashboard.panels) do
			for _, target in ipairs(panel.targets) do
				table.insert(queries, target.expr);
			end
		end
		return queries;
	end

	it("has alerts that promtool takes", function ()
		local status, out, err = process.capture({ promtool, "check", "rules", rules });
		assert.equal(0, status, out..err);
	end);

	it("uses no metric that the server does not have", function ()
		local real = names_in(metrics);
		for _, text in ipairs({ process.read(rules), table.concat(dashboard_queries(), "\n") }) do
			for name in pairs(names_in(text)) do
				-- A counter with labels is there when it has been counted.
				assert.is_true(real[name] or name == "prosody_mod_audit__suppressed_total", name.." is not in\n"..metrics);
			end
		end
	end);

	it("has a dashboard with queries that promtool takes", function ()
		local lines = { "groups:", "  - name: dashboard", "    rules:" };
		for i, query in ipairs(dashboard_queries()) do
			query = query:gsub("%$__rate_interval", "5m"):gsub("%$instance", ".*"):gsub("%$host", ".*");
			assert.is_falsy(query:find("$", 1, true), query);
			table.insert(lines, ("      - record: query_%d\n        expr: %s"):format(i, json.encode(query)));
		end
		assert.is_true(#lines > 8);
		process.write(folder.."/dashboard.yml", table.concat(lines, "\n").."\n");
		local status, out, err = process.capture({ promtool, "check", "rules", folder.."/dashboard.yml" });
		assert.equal(0, status, out..err);
	end);

	-- Series with the labels of the real server, and values of a bad day.
	local function series(name, labels, values)
		local set = metrics:match("\nprosody_mod_audit__"..name.."(%b{})"..(labels or "").." ");
		if not set then
			set = ("{host=%q,type=%q}"):format(host, "authentication-failure");
		end
		return ("      - series: %s\n        values: %s\n"):format(json.encode("prosody_mod_audit__"..name..set:gsub('type="[^"]*"',
			'type="authentication-failure"'):gsub("}$", ',instance="xmpp:5280"}')), json.encode(values));
	end

	it("has alerts that are raised on a bad day, and not on a good one", function ()
		-- Which alerts are active is asked with the metric ALERTS.
		local input = table.concat({
			series("oldest_waiting_seconds", "", "0+60x60"), series("lost", "", "0x20 7x40"), series("unreadable_addresses", "", "0x20 1x40");
			series("entries_total", "", "0+120x60"), series("suppressed_total", "", "0+600x60"), series("waiting", "", "5x30 _x30");
		});
		local test = { "rule_files: ["..json.encode(rules).."]\n", "evaluation_interval: 1m\n", "tests:\n";
			"  - interval: 1m\n    input_series:\n", input, "    promql_expr_test:\n" };
		local bad = "ProsodyAuditEntriesLost ProsodyAuditManyFailures ProsodyAuditNotStored ProsodyAuditUnreadableAddresses";
		for minute, active in pairs({ [1] = "", [30] = bad, [44] = bad.." ProsodyAuditGone" }) do
			table.insert(test, ("      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n        eval_time: %dm\n        exp_samples:%s\n")
				:format(minute, active == "" and " []" or ""));
			for name in active:gmatch("%S+") do
				table.insert(test, ("          - labels: '{alertname=%q}'\n            value: 1\n"):format(name));
			end
		end
		process.write(folder.."/alerts.yml", table.concat(test));
		local status, out, err = process.capture({ promtool, "test", "rules", folder.."/alerts.yml" });
		assert.equal(0, status, out..err);
	end);
end);

with("logcheck", function ()
	it("reports trouble of the log, and not what is usual", function ()
		if process.first_line("id -u") ~= "0" then
			return pending("only root can put logcheck's programs where it looks for them");
		elseif process.capture({ "unshare", "--mount", "--propagation", "private", "true" }) ~= 0 then
			return pending("a mount namespace is not possible here, as in a chroot");
		end
		local place, work = recipes.folder.."/logcheck", folder.."/logcheck";
		process.run(("mkdir -p %s/state %s/lock && cp -r %s/etc/logcheck %s/rules && cp -r %s/logcheck/. %s/rules/"):format(
			process.quote(work), process.quote(work), process.quote(place), process.quote(work), process.quote(recipes.contrib), process.quote(work)));
		-- A server whose store refuses for a while.
		local troubled = server.start {
			modules = { "audit", "audit_auth" }; log_level = "info"; storage = { audit = "broken" }; config = { broken_storage = "refuses" };
		};
		local done <close> = setmetatable({}, { __close = function () troubled:stop(); end }); -- luacheck: ignore 211
		troubled:adduser("romeo@"..host, "secret");
		assert.is_false((raw.login(troubled, "romeo", "wrong")));
		assert.is_truthy(troubled:wait_log("Audit events of "..host.." can't be stored", 10));
		troubled:eval("module:shared('/*/storage_broken/state').mode = 'works'; flush_audit_log()");
		assert.is_truthy(troubled:wait_log("Audit events of "..host.." are stored again", 10));
		process.write(work.."/prosody.log", troubled:log());
		process.write(work.."/rules/logcheck.logfiles", "");
		process.run("rm -r "..process.quote(work.."/rules/logcheck.logfiles.d").." && mkdir "..process.quote(work.."/rules/logcheck.logfiles.d"));
		recipes.adapt("logcheck/logcheck.logfiles.d/prosody-audit.logfiles", work.."/rules/logcheck.logfiles.d/prosody-audit.logfiles",
			{ ["/var/log/prosody/prosody.log"] = work.."/prosody.log" });
		process.write(work.."/logcheck.conf", ("REPORTLEVEL=server\nSENDMAILTO=root\nINTRO=0\nRULEDIR=%s/rules\nSTATEDIR=%s/state\nLOCKDIR=%s/lock\n"
			.."LOCKFILE=%s/lock/logcheck\nLOGFILES_LIST=%s/rules/logcheck.logfiles\nLOGFILES_LIST_D=%s/rules/logcheck.logfiles.d\nTMP=%s/state\n")
			:format(work, work, work, work, work, work, work));
		local user = "nobody";
		process.run(("chown -R %s %s && chmod 711 %s %s"):format(user, process.quote(work), process.quote(process.scratch), process.quote(folder)));
		local script = ("mount -t overlay overlay -o lowerdir=%s/usr:/usr /usr && "
			.."exec setpriv --reuid=%s --clear-groups /usr/sbin/logcheck -o -c %s/logcheck.conf"):format(place, user, work);
		local status, out, err = process.capture({ "unshare", "--mount", "--propagation", "private", "sh", "-c", script });
		assert.equal(0, status, out..err);
		local security, system = out:match("^Security Events.-\n[=-]+\n(.-)\n\nSystem Events.-\n[=-]+\n(.*)$");
		assert.is_truthy(security, out..err);
		assert.is_truthy(security:find("can't be stored", 1, true), security);
		-- If the store refuses for long enough, pruning reports it too.
		for line in security:gmatch("[^\n]+") do
			assert.is_truthy(line:find("can't be stored", 1, true) or line:find("can't be removed", 1, true), security);
		end
		assert.is_falsy(system:find("audit", 1, true), system);
		assert.is_truthy(troubled:log():find("audit%S*\tinfo\t"), "nothing was there to be ignored");
	end);
end);
