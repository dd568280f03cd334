-- What is usual, and no alert: FAST logins, a phone that changes networks, backups that are restored. And an alert about a certificate, and
-- alerts that go to sinks.

local authority = require "support.authority";
local client = require "support.client";
local dump = require "support.dump";
local mime = require "mime";
local process = require "support.process";
local raw = require "support.raw_client";
local receiver = require "support.receiver";
local server = require "support.server";

local host = server.default_host;
local admin = "admin@"..host;
local quote = process.quote;

server.each_series(describe, pending, function (series)
	local prosody;

	local function start(options)
		options = options or {};
		local modules = { "audit", "audit_auth", "audit_admin", "audit_status", "audit_alerts", "presence", "message" };
		for _, name in ipairs(options.modules or {}) do table.insert(modules, name); end
		local config = { admins = { admin }, audit_log_location_database = process.target.."/cities.mmdb" };
		for name, value in pairs(options.config or {}) do config[name] = value; end
		prosody = server.start {
			series = series, log_level = "info", storage = options.storage, modules = modules, community = options.community, config = config;
		};
		prosody:adduser(admin, "secret");
		-- The next logins come from this address.
		prosody:eval([[
			local host = ...;
			module:context(host):hook("authentication-success", function (event)
				event.session.ip = module:shared("/*/test_alerts/next").ip or event.session.ip;
			end, 1000);
		]], host);
	end

	local function from(ip)
		prosody:eval("module:shared('/*/test_alerts/next').ip = (...)", ip);
	end

	-- The rules of the alerts that are in the log, after all that waits was looked at.
	local function alerts()
		process.wait_until(function () return false; end, 2.5);
		prosody:eval("flush_audit_log()");
		local rules = {};
		for _, entry in ipairs(dump.of_type(prosody, host, "audit-alert")) do table.insert(rules, entry:child("alert").attr.rule); end
		table.sort(rules);
		return table.concat(rules, " ");
	end

	after_each(function ()
		server.stop_all();
		receiver.stop_all();
	end);

	it("is quiet while a phone changes between networks of a country and such without one", function ()
		start();
		for _, ip in ipairs { "203.0.113.7", "203.0.113.99", "10.0.0.7", "fd00::7", "203.0.113.7", "10.0.0.8", "203.0.113.200" } do
			from(ip);
			assert.is_true(client.login(prosody, admin, "secret", { resource = "phone" }).ok);
		end
		assert.equal("", alerts());
	end);

	if series == "0.12" then
		pending("FAST: mod_sasl2_fast of Debian 12 asks for what Prosody 0.12 does not say of a stream");
	else
		for _, passwords_only in ipairs { true, false } do
			it("is quiet while a client logs in by FAST, recorded or not: "..tostring(not passwords_only), function ()
				local community = { "sasl2", "sasl2_fast" };
				start { modules = community, community = community, config = { audit_auth_passwords_only = passwords_only } };
				local function login(mechanism, initial, extra)
					local stream = assert(raw.connect(prosody, { from = admin, tls = true }));
					assert(stream:send(([[<authenticate xmlns='urn:xmpp:sasl:2' mechanism='%s'><initial-response>%s</initial-response>]]
						..[[<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>Gajim</software></user-agent>%s</authenticate>]]):format(
						mechanism, mime.b64(initial), extra)));
					local answer = assert(stream:receive_until("</success>", "</failure>"));
					stream:close();
					return answer;
				end
				local function fast(token)
					local proof = mime.unb64((prosody:eval(
						"return require 'util.encodings'.base64.encode(require 'util.hashes'.hmac_sha256(...))", token, "Initiator")));
					return login("HT-SHA-256-NONE", "admin\0"..proof, "<fast xmlns='urn:xmpp:fast:0'/>");
				end
				from("203.0.113.7");
				local answer = login("PLAIN", "\0admin\0secret", "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>");
				local token = assert(answer:match("token='([^']+)'"), answer);
				-- Its token had expired: a client tries that a few times.
				for _ = 1, 5 do assert.matches("<failure", fast("expired")); end
				for i = 1, 30 do
					from(("203.0.113.%d"):format(i));
					assert.matches("<success", fast(token));
				end
				local recorded = #dump.of_type(prosody, host, "authentication-success");
				-- Flood control counts the rest.
				assert.equal(passwords_only, recorded == 1);
				assert.equal("", alerts());
			end);
		end
	end

	for _, storage in ipairs { "internal", "native" } do
		it("is quiet after a backup was put back, on "..storage, function ()
			start { storage = storage };
			from("203.0.113.7");
			client.login(prosody, admin, "secret");
			assert.equal("", alerts());
			prosody:stop();
			process.run(("cp -a %s %s"):format(quote(prosody.data), quote(prosody.data..".copy")));
			prosody:start();
			for _ = 1, 3 do client.login(prosody, admin, "secret"); end
			assert.equal("", alerts());
			prosody:stop();
			process.run(("rm -rf %s && mv %s %s"):format(quote(prosody.data), quote(prosody.data..".copy"), quote(prosody.data)));
			prosody:start();
			assert.equal("", alerts());
			client.login(prosody, admin, "secret");
			assert.equal("", alerts());
		end);
	end

	it("says that a host has another certificate, and not that it was read again", function ()
		local ours = authority.new();
		local folder = process.new_folder("certificates");
		local function renew()
			local certificate, key = ours:issue(host);
			process.run(("cp %s %s && cp %s %s"):format(quote(certificate), quote(folder.."/"..host..".crt"), quote(key), quote(folder.."/"..host..".key")));
		end
		renew();
		start { config = { certificates = folder } };
		prosody:reload();
		assert.equal("", alerts());
		renew();
		prosody:reload();
		assert.equal("server", alerts());
		prosody:reload();
		assert.equal("server", alerts());
	end);

	it("sends alerts to sinks by their names, whatever else these get", function ()
		local pager, other = receiver.start { kind = "http" }, receiver.start { kind = "http" };
		start { modules = { "audit_sinks" }, config = {
			audit_log_sinks = {
				pager = { to = "http://127.0.0.1:"..pager.port.."/", types = { "no-such-type" } };
				other = { to = "http://127.0.0.1:"..other.port.."/", types = { "*-jumped" } };
			};
			audit_alerts = { to = {}, sinks = { "pager", "nobody" } };
		} };
		assert.is_truthy(prosody:wait_log('Option audit_alerts.sinks has "nobody", which is not allowed: use names of audit_log_sinks'));
		assert.equal(1, #prosody:lines_with("audit_alerts.sinks"));
		prosody:eval("module:context(...):audit(nil, 'audit-clock-jumped')", host);
		local function types(one)
			local found = {};
			for _, line in ipairs(one:lines()) do table.insert(found, line:match('"type":"([^"]+)"')); end
			return table.concat(found, " ");
		end
		assert.is_truthy(process.wait_until(function () return types(pager) ~= "" and types(other) ~= ""; end, 10));
		assert.same({ "audit-alert", "audit-clock-jumped" }, { types(pager), types(other) });
		assert.is_truthy(pager:lines()[1]:find("log-trouble", 1, true), pager:lines()[1]);
	end);
end);
