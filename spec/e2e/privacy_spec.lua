-- What must not be in the log: addresses that somebody searched for if none are stored, and passwords that were typed as user names.

local client = require "support.client";
local dump = require "support.dump";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;
local admin = "admin@"..host;
local NODE = "xmpp:prosody.im/audit#log";


-- Files of the log that have a text in them.
local function files_with(prosody, text)
	local _, found = process.capture { "sh", "-c", ("grep -rlF -e '%s' %s | grep audit"):format(text, process.quote(prosody.data)) };
	return found;
end

local function filters(prosody, of_host)
	local found = {};
	for _, entry in ipairs(dump.of_type(prosody, of_host or host, "audit-queried", "audit-exported")) do
		local attr = entry:child("query").attr;
		table.insert(found, attr.through..": "..(attr.filter or "-")..(attr.file and " > "..attr.file:match("[^/]*$") or ""));
	end
	return found;
end

server.each_series(describe, pending, function (series)
	describe("addresses that were asked for", function ()
		local prosody;

		after_each(server.stop_all);

		local function start(config)
			config.admins = { admin };
			prosody = server.start {
				series = series, modules = { "audit", "audit_admin", "adhoc" };
				base_modules = { "roster", "saslauth", "tls", "disco", "admin_shell", "admin_socket", "harness" }; config = config;
			};
			prosody:adduser(admin, "secret");
		end

		local function ask(...)
			local status, _, err = prosody:ctl("mod_audit", host, ...);
			assert.equal(0, status, err);
		end

		it("are not stored if no addresses are", function ()
			start { audit_log_ips = false };
			local file = prosody.data.."/of-203.0.113.77.json";
			ask("--ip", "203.0.113.77");
			ask("--ip=203.0.113.77,2001:db8::7,198.51.100.0/24", "--limit=5");
			ask("--user", "203.0.113.77", "--client=*203.0.113.77*", "--text", "203.0.113.77 x");
			ask("--ip=203.0.113.77", "--format=json", "--output", file);
			if series == "0.12" then
				prosody:shell(('audit:show("%s", "--ip=203.0.113.77")'):format(host));
			else
				prosody:ctl("shell", "audit", "show", host, "--ip", "203.0.113.77");
			end
			local session = assert(client.open(prosody, admin, "secret"));
			session:command(NODE);
			session:command(NODE, { forms = { { ip = "203.0.113.77" } }, action = "next" });
			session:close();
			assert.same({
				"prosodyctl: --ip=***";
				"prosodyctl: --ip=***,***,*** --limit=5";
				"prosodyctl: --user=*** --client=***** --text=***";
				"prosodyctl: --ip=*** > of-***.json";
				"shell: --ip=***";
				"adhoc: --ip=***";
			}, filters(prosody));
			prosody:stop();
			os.remove(file);
			ask("--ip", "203.0.113.77");
			prosody:start();
			assert.equal("prosodyctl: --ip=***", filters(prosody)[7]);
			prosody:stop();
			for _, text in ipairs { "203.0.113", "2001:db8", "198.51.100" } do
				assert.equal("", files_with(prosody, text));
			end
		end);

		it("are stored as much as the class of these entries stores of addresses", function ()
			start { audit_log_ipv4_prefix = 16 };
			ask("--ip=203.0.113.77,2001:db8:1:2:3::7,10.0.0.0/8");
			assert.same({ "prosodyctl: --ip=203.0.0.0/16,2001:db8:1::/48,10.0.0.0/8" }, filters(prosody));
			assert.equal("", files_with(prosody, "203.0.113"));
			prosody:stop();

			start { audit_log_classes = { events = { ips = "hash" } } };
			prosody:eval([[module:context(...):audit(nil, "test", { session = { ip = "203.0.113.77" } }); return true;]], host);
			ask("--ip=203.0.113.77");
			local hash = filters(prosody)[1]:match("^prosodyctl: %-%-ip=(%x+)$");
			assert.equal(32, #hash);
			assert.equal(hash, dump.of_type(prosody, host, "test")[1]:child("session"):child("ip-hash").text);
			prosody:stop();

			start { audit_log_classes = { failures = { ips = "none" } } };
			ask("--ip=203.0.113.77", "--since=2026-11-24T18:00");
			assert.same({ "prosodyctl: --ip=203.0.113.77 --since=2026-11-24T18:00" }, filters(prosody));
		end);
	end);

	describe("names that are no accounts", function ()
		local password = "tr0ub4dor-and-3";
		local prosody;

		after_each(server.stop_all);

		local function start(options)
			options.series, options.modules = series, { "audit", "audit_auth", "audit_register" };
			options.log_level = "info";
			options.config = options.config or {};
			options.config.authentication = "internal_hashed";
			options.config.audit_log_flood = options.config.audit_log_flood or { burst = 3; window = "2s" };
			prosody = server.start(options);
			prosody:adduser("juliet@"..host, "secret");
		end

		local function fail(name, times)
			local stream = assert(raw.connect(prosody));
			for _ = 1, times do
				assert.is_false((stream:plain(name, "wrong")));
			end
			stream:close();
		end

		local function rows(...)
			local status, out, err = prosody:ctl("mod_audit", host, "--format=json", ...);
			assert.equal(0, status, err);
			local count = 0;
			for line in out:gmatch("[^\n]+") do
				count = count + (tonumber(line:match('"repeated.count":(%d+)')) or 1);
			end
			return count, out;
		end

		it("are stored as keyed hashes if that is asked for, and found by their names", function ()
			start { config = { audit_log_unknown_names = "hash" } };
			fail(password, 10);
			fail("juliet", 2);
			-- Counts of flood control are on disk too.
			assert.is_true(process.wait_until(function () return #files_with(prosody, "repeated") > 0 or #files_with(prosody, "open") > 0; end, 5));
			assert.equal("", files_with(prosody, password));
			assert.is_true(process.wait_until(function () return (rows("--type=authentication-failure")) == 12; end, 10));
			local entries = dump.of_type(prosody, host, "authentication-failure");
			local single, summed, juliet = 0, 0, 0;
			for _, entry in ipairs(entries) do
				if entry.attr.user then
					assert.equal("juliet@"..host, entry.attr.user);
					juliet = juliet + 1;
				else
					local unknown = entry:child("unknown-name");
					assert.equal("15", unknown.attr.length);
					assert.is_truthy(unknown.attr.key:match("^%x%x%x%x%x%x%x%x$") and unknown.text:match("^%x+$") and #unknown.text == 32);
					local repeated = entry:child("repeated");
					single, summed = single + (repeated and 0 or 1), summed + (repeated and tonumber(repeated.attr.count) or 0);
				end
			end
			assert.same({ 3, 7, 2 }, { single, summed, juliet });

			assert.equal(10, (rows("--user", password)));
			assert.equal(10, (rows("--user", password:upper().."@"..host)));
			assert.equal(0, (rows("--user", "tr0ub4dor-and-4")));
			assert.equal(2, (rows("--user", "juliet")));
			local _, out = rows("--user", password, "--limit=1");
			assert.is_truthy(out:find('"unknown-name.length":"15"', 1, true), out);
			-- Nor do the readings say it.
			local hidden = 0;
			for _, filter in ipairs(filters(prosody)) do
				assert.is_truthy(filter:find("--type=", 1, true) or filter:find("--user=juliet", 1, true) or filter:find("--user=***", 1, true), filter);
				hidden = hidden + (filter:find("--user=***", 1, true) and 1 or 0);
			end
			assert.equal(4, hidden);
			prosody:restart();
			assert.equal(10, (rows("--user", password)));
			prosody:stop();
			assert.equal(10, (rows("--user", password)));
			assert.equal("", files_with(prosody, password));
			assert.equal("", files_with(prosody, password:upper()));
		end);

		it("are hashed in samples of summaries and after a crash", function ()
			start { config = { audit_log_unknown_names = "hash"; audit_log_flood = { burst = 1; window = "1h" } } };
			local stream = assert(raw.connect(prosody));
			for i = 1, 400 do stream:plain(password.."-"..i % 200, "wrong"); end
			stream:close();
			require "socket".sleep(4);
			prosody:kill();
			assert.equal("", files_with(prosody, password));
			local count, out;
			for _ = 1, 5 do
				prosody:start();
				-- What was counted before the crash is summed up a moment after the start, or after the next one.
				require "socket".sleep(1);
				prosody:stop();
				assert.equal("", files_with(prosody, password));
				count, out = rows("--type=authentication-failure");
				if count > 200 then break; end
			end
			assert.is_true(count > 200, count.." failures");
			assert.is_truthy(out:find('"repeated.sample.name%-hash":"%x'));
			assert.is_nil(out:find('"repeated.sample.user"', 1, true));
		end);

		it("are stored unchanged without the option, or if it can't be told at once that they are no accounts", function ()
			for _, options in ipairs { {}, { storage = "sqlite"; config = { audit_log_unknown_names = "hash" } } } do
				start(options);
				fail(password, 1);
				assert.equal(1, (rows("--user", password)));
				assert.equal(password.."@"..host, dump.of_type(prosody, host, "authentication-failure")[1].attr.user);
				prosody:stop();
			end
		end);

		it("are hashed if the option makes no sense", function ()
			start { config = { audit_log_unknown_names = "scrambled" } };
			fail(password, 1);
			assert.is_truthy(prosody:log():find('Option audit_log_unknown_names is "scrambled", which is not allowed', 1, true));
			assert.equal("15", dump.of_type(prosody, host, "authentication-failure")[1]:child("unknown-name").attr.length);
		end);
	end);
end);
