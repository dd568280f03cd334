local module_api = require "support.module_api";
local st = require "util.stanza";
local base64 = require "util.encodings".base64;

local xmlns_audit = "xmpp:prosody.im/audit";

-- Connections as in net.server of Prosody 13 and of 0.12.
local function conn_13(info)
	return { ssl_info = function () return info; end };
end

local function conn_012(info)
	return { socket = function () return { info = function () return info; end }; end };
end

local tls13 = { protocol = "TLSv1.3", cipher = "TLS_AES_256_GCM_SHA384", bits = 256 };

local function c2s(fields)
	local session = { id = "c2s55904800b230", type = "c2s_unauthed", ip = "203.0.113.80" };
	for name, value in pairs(fields or {}) do
		session[name] = value;
	end
	return session;
end

local plain_session = '<session id="c2s55904800b230" type="c2s_unauthed"><remote-ip>203.0.113.80</remote-ip></session>';

-- name = a description; event, payload = as the module in `by` fires it; user, children = what must be stored
local shapes = {
	{
		name = "SASL failure"; by = "mod_saslauth";
		event = "authentication-failure";
		payload = {
			session = c2s { sasl_handler = { username = "mallory", selected = "SCRAM-SHA-1" } };
			condition = "not-authorized"; text = "The response provided by the client doesn't match the one we calculated.";
		};
		user = "mallory";
		children = {
			plain_session;
			'<authentication condition="not-authorized" mechanism="SCRAM-SHA-1">'
				.."The response provided by the client doesn't match the one we calculated.</authentication>";
		};
	};
	{
		name = "SASL failure without text"; by = "mod_saslauth";
		event = "authentication-failure";
		payload = { session = c2s { sasl_handler = { username = "romeo", selected = "PLAIN" } }; condition = "account-disabled" };
		user = "romeo";
		children = { plain_session; '<authentication condition="account-disabled" mechanism="PLAIN"/>' };
	};
	{
		name = "SASL failure before a name was given"; by = "mod_saslauth";
		event = "authentication-failure";
		payload = { session = c2s { sasl_handler = { selected = "PLAIN" } }; condition = "malformed-request"; text = "Invalid" };
		user = nil;
		children = { plain_session; '<authentication condition="malformed-request" mechanism="PLAIN">Invalid</authentication>' };
	};
	{
		name = "OAUTHBEARER failure"; by = "mod_saslauth";
		event = "authentication-failure";
		payload = { session = c2s { sasl_handler = { selected = "OAUTHBEARER" } }; condition = "not-authorized" };
		user = nil;
		children = { plain_session; '<authentication condition="not-authorized" mechanism="OAUTHBEARER"/>' };
	};
	{
		name = "SASL2 failure"; by = "mod_sasl2";
		event = "authentication-failure";
		payload = {
			session = c2s { sasl_handler = { username = "mallory", selected = "SCRAM-SHA-256" }; client_id = "d4565fa7" };
			message = "not-authorized"; error = nil; error_text = "No such luck";
		};
		user = "mallory";
		children = {
			'<session id="c2s55904800b230" type="c2s_unauthed"><remote-ip>203.0.113.80</remote-ip><client>d4565fa7</client></session>';
			'<authentication condition="not-authorized" mechanism="SCRAM-SHA-256">No such luck</authentication>';
		};
	};
	{
		name = "SASL2 failure with an error object"; by = "mod_sasl2";
		event = "authentication-failure";
		payload = {
			session = c2s { sasl_handler = { username = "mallory", selected = "PLAIN" } };
			error = { type = "wait", condition = "temporary-auth-failure", text = "Try later" };
		};
		user = "mallory";
		children = { plain_session; '<authentication condition="temporary-auth-failure" mechanism="PLAIN">Try later</authentication>' };
	};
	{
		name = "SASL2 failure before encryption"; by = "mod_sasl2";
		event = "authentication-failure";
		payload = { session = c2s(); message = "encryption-required" };
		user = nil;
		children = { plain_session; '<authentication condition="encryption-required"/>' };
	};
	{
		name = "OAuth failure"; by = "mod_http_oauth2";
		event = "authentication-failure";
		payload = {
			session = {
				type = "http"; ip = "2001:db8::7"; username = "mallory"; host = "example.test"; conn = conn_13(tls13);
				sasl_handler = { username = "mallory", selected = "x-www-form" }; client_id = "Mozilla/5.0";
			};
		};
		user = "mallory";
		children = {
			'<session type="http"><remote-ip>2001:db8::7</remote-ip><client>Mozilla/5.0</client></session>';
			'<authentication mechanism="x-www-form"/>';
		};
	};
	{
		name = "OAuth failure with an impossible name"; by = "mod_http_oauth2";
		event = "authentication-failure";
		payload = { session = { type = "oauth2"; ip = "203.0.113.80"; sasl_handler = { selected = "x-oauth2-password" } } };
		user = nil;
		children = {
			'<session type="oauth2"><remote-ip>203.0.113.80</remote-ip></session>';
			'<authentication mechanism="x-oauth2-password"/>';
		};
	};
	{
		name = "client certificate failure"; by = "mod_client_certs";
		event = "authentication-failure";
		payload = { session = c2s { secure = true; conn = conn_012(tls13) }; condition = "not-authorized" };
		user = nil;
		children = {
			plain_session;
			'<authentication condition="not-authorized"/>';
			'<tls cipher="TLS_AES_256_GCM_SHA384" version="TLSv1.3"/>';
		};
	};
	{
		name = "SASL success"; by = "mod_saslauth";
		event = "authentication-success";
		payload = {
			session = c2s {
				type = "c2s_unbound"; username = "romeo"; secure = true; conn = conn_13(tls13);
				sasl_handler = { username = "Romeo", selected = "SCRAM-SHA-1-PLUS" };
			};
		};
		user = "romeo";
		children = {
			'<session id="c2s55904800b230" type="c2s_unbound"><remote-ip>203.0.113.80</remote-ip></session>';
			'<authentication mechanism="SCRAM-SHA-1-PLUS"/>';
			'<tls cipher="TLS_AES_256_GCM_SHA384" version="TLSv1.3"/>';
		};
	};
	{
		name = "SASL2 success, whose message is not a condition"; by = "mod_sasl2";
		event = "authentication-success";
		payload = {
			session = c2s { type = "c2s"; username = "romeo"; sasl_handler = { username = "romeo", selected = "SCRAM-SHA-1" } };
			message = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="; success = st.stanza("success");
		};
		user = "romeo";
		children = {
			'<session id="c2s55904800b230" type="c2s"><remote-ip>203.0.113.80</remote-ip></session>';
			'<authentication mechanism="SCRAM-SHA-1"/>';
		};
	};
	{
		name = "client certificate success"; by = "mod_client_certs";
		event = "authentication-success";
		payload = { session = c2s { type = "c2s_unbound"; username = "romeo" } };
		user = "romeo";
		children = {
			'<session id="c2s55904800b230" type="c2s_unbound"><remote-ip>203.0.113.80</remote-ip></session>';
			"<authentication/>";
		};
	};
	{
		name = "new client"; by = "mod_client_management";
		event = "client_management/new-client";
		payload = {
			session = c2s { type = "c2s"; username = "romeo"; client_id = "d4565fa7-4d72" };
			client = {
				id = "client/d4565fa7-4d72"; first_seen = 1700000000; full_jid = "romeo@example.test/orchard"; legacy = false;
				user_agent = {
					software = "Gajim"; software_id = "b3e0e4f0"; software_version = "1.8.4"; uri = "https://gajim.org"; device = "Laptop";
				};
			};
		};
		type = "new-client"; user = "romeo";
		children = {
			'<session id="c2s55904800b230" type="c2s"><remote-ip>203.0.113.80</remote-ip><client>d4565fa7-4d72</client></session>';
			'<client-info first-seen="2023-11-14T22:13:20Z" id="client/d4565fa7-4d72">'
				..'<user-agent device="Laptop" software="Gajim" software-id="b3e0e4f0" uri="https://gajim.org" version="1.8.4"/></client-info>';
		};
	};
	{
		name = "new client that says nothing of itself"; by = "mod_client_management";
		event = "client_management/new-client";
		payload = {
			session = c2s { type = "c2s" };
			client = { id = "legacy/1"; full_jid = "romeo@example.test/orchard"; legacy = true };
		};
		type = "new-client"; user = "romeo";
		children = {
			'<session id="c2s55904800b230" type="c2s"><remote-ip>203.0.113.80</remote-ip></session>';
			'<client-info id="legacy/1"/>';
		};
	};
};

describe("mod_audit_auth", function ()
	local host;
	local function load(options)
		host = module_api.host(options);
		host:load("audit_auth");
		module_api.complaints();
	end

	local function failure(fields)
		fields = fields or {};
		return {
			session = c2s { ip = fields.ip; sasl_handler = { username = fields.username, selected = "PLAIN" } };
			condition = "not-authorized";
		};
	end

	local function success(fields)
		return { session = c2s { ip = fields.ip; username = fields.username; sasl_handler = { selected = "PLAIN" } } };
	end

	for _, shape in ipairs(shapes) do
		it("records "..shape.name.." ("..shape.by..")", function ()
			load();
			assert.is_nil(host:fire(shape.event, shape.payload));
			assert.same({}, module_api.complaints());
			local entry = host:entries()[1];
			assert.is_truthy(entry);
			assert.is_nil(host:entries()[2]);
			assert.equal("mod_audit_auth", entry.attr.source);
			assert.equal(shape.type or shape.event, entry.attr.type);
			assert.equal(shape.user and shape.user.."@"..host.name, entry.attr.user);
			assert.equal(shape.user and shape.user.."@"..host.name or "@", host.appended[1].with);
			assert.same(shape.children, module_api.lines(entry));
			for _, child in ipairs(entry.tags) do
				assert.equal(xmlns_audit, child.attr.xmlns);
			end
		end);
	end

	describe("TLS", function ()
		local no_tls = {
			["a session that is not secure"] = { conn = conn_13(tls13) };
			["no connection"] = { secure = true };
			["a proxy that does TLS"] = { secure = true, conn = conn_13(nil) };
			["a connection that is no table with sockets"] = { secure = true, conn = { ip = function () end } };
			["a plain socket"] = { secure = true, conn = { socket = function () return {}; end } };
			["no socket"] = { secure = true, conn = { socket = function () end } };
			["a connection that raises"] = { secure = true, conn = { ssl_info = function () error("gone"); end } };
			["text for a connection"] = { secure = true, conn = "conn" };
		};
		for name, fields in pairs(no_tls) do
			it("is left out with "..name, function ()
				load();
				fields.username = "romeo";
				host:fire("authentication-success", { session = c2s(fields) });
				assert.equal(2, #host:entries()[1].tags);
				assert.same({}, module_api.complaints());
			end);
		end
	end);

	describe("never breaks an event", function ()
		it("lets handlers after it have the event", function ()
			load();
			local seen = 0;
			for _, event in ipairs { "authentication-failure", "authentication-success", "client_management/new-client" } do
				host:hook(event, function () seen = seen + 1; end, -10000);
				host:fire(event, { session = c2s { username = "romeo" } });
			end
			assert.equal(3, seen);
			assert.equal(3, #host:entries());
		end);

		-- Events that no known module fires. None of them may raise an error.
		local oddities = {
			["no session"] = {};
			["a SASL handler that is true"] = { session = c2s { sasl_handler = true } };
			["a SASL handler that is text"] = { session = c2s { sasl_handler = "plain" } };
			["a name that is a table"] = { session = c2s { sasl_handler = { username = {} } } };
			["a name that is empty"] = { session = c2s { sasl_handler = { username = "" } } };
			["a name of 3000 bytes"] = { session = c2s { sasl_handler = { username = ("a"):rep(3000) } } };
			["a condition that is a table"] = { session = c2s(), condition = { "not-authorized" } };
			["a text that is a number"] = { session = c2s(), condition = "not-authorized", text = 5 };
			["a mechanism that is bytes"] = { session = c2s { sasl_handler = { selected = "\255\0]]>" } } };
			["an error that is text"] = { session = c2s(), error = "internal-server-error" };
			["an error that is true"] = { session = c2s(), error = true };
			["an address that is a table"] = { session = c2s { ip = {} } };
			["a client that is text"] = { session = c2s(), client = "client" };
			["a user agent that is true"] = { session = c2s(), client = { user_agent = true } };
			["a user agent that is text"] = { session = c2s(), client = { user_agent = "Gajim", first_seen = 0/0 } };
			["a first time that is out of range"] = { session = c2s(), client = { first_seen = 1e300 } };
		};
		for name, payload in pairs(oddities) do
			it("with "..name, function ()
				load { audit_auth_repeat_failure_timeout = 600 };
				for _, event in ipairs { "authentication-failure", "authentication-success", "client_management/new-client" } do
					assert.has_no.errors(function ()
						assert.is_nil(host:fire(event, payload));
					end);
				end
				assert.same({}, module_api.complaints());
				assert.equal(3, #host:entries());
			end);
		end

		it("with a fault of its own, which it logs once", function ()
			load();
			local trap = setmetatable({}, { __index = function () error("trapped"); end });
			for _ = 1, 3 do
				assert.has_no.errors(function ()
					assert.is_nil(host:fire("authentication-failure", { session = trap }));
				end);
			end
			assert.equal(1, #module_api.complaints("trapped"));
			assert.has_no.errors(function () host:fire("authentication-success", { session = trap }); end);
			assert.equal(1, #module_api.complaints("trapped"));
			host:fire("authentication-failure", failure { username = "romeo" });
			assert.equal(1, #host:entries());
		end);
	end);

	it("records once after being reloaded", function ()
		load();
		host:reload("audit_auth");
		host:reload("audit_auth");
		host:fire("authentication-failure", failure { username = "romeo" });
		assert.equal(1, #host:entries());
		host:unload("audit_auth");
		host:fire("authentication-failure", failure { username = "romeo" });
		assert.equal(1, #host:entries());
	end);

	describe("FAST", function ()
		local fast_handler = { fast = true, selected = "HT-SHA-256-NONE", username = "romeo" };
		local function authenticate(session, message)
			host:fire("stanza/urn:xmpp:sasl:2:authenticate", {
				origin = session;
				stanza = st.stanza("authenticate", { xmlns = "urn:xmpp:sasl:2", mechanism = "HT-SHA-256-NONE" })
					:text_tag("initial-response", message and base64.encode(message) or "!");
			});
		end
		local function fail(session, condition)
			host:fire("authentication-failure", { session = session, message = condition });
			local entries = host:entries();
			return entries[#entries].attr.user, module_api.lines(entries[#entries])[2];
		end

		it("successes are left out", function ()
			load();
			host:fire("authentication-success", { session = c2s { username = "romeo", sasl_handler = fast_handler } });
			host:fire("authentication-success", success { username = "romeo" });
			assert.equal(1, #host:entries());
		end);

		it("successes are recorded if the option says so", function ()
			load { audit_auth_passwords_only = false };
			host:fire("authentication-success", { session = c2s { username = "romeo", sasl_handler = fast_handler } });
			assert.equal('<authentication mechanism="HT-SHA-256-NONE"/>', module_api.lines(host:entries()[1])[2]);
		end);

		it("failures are recorded with the name that the attempt was for", function ()
			load();
			local session = c2s { sasl_handler = { fast = true, selected = "HT-SHA-256-NONE" } };
			authenticate(session, "Romeo\0\1\2\3");
			local user, detail = fail(session, "credentials-expired");
			assert.equal("romeo@"..host.name, user);
			assert.equal('<authentication condition="credentials-expired" mechanism="HT-SHA-256-NONE"/>', detail);
		end);

		it("failures without a name are events of the host", function ()
			load();
			for _, message in ipairs { "romeo", "\0hash", "ro meo\0hash", "\255\0hash", "" } do
				local session = c2s { sasl_handler = { fast = true, selected = "HT-SHA-256-NONE" } };
				authenticate(session, message);
				assert.is_nil((fail(session, "malformed-request")), message);
			end
			local session = c2s { sasl_handler = { fast = true, selected = "HT-SHA-256-NONE" } };
			authenticate(session, nil); -- bad base64
			assert.is_nil((fail(session, "incorrect-encoding")));
			assert.same({}, module_api.complaints());
		end);

		it("names are not taken over to the next attempt", function ()
			load();
			local session = c2s { sasl_handler = { fast = true, selected = "HT-SHA-256-NONE" } };
			authenticate(session, "romeo\0hash");
			fail(session, "credentials-expired");
			session.sasl_handler = { selected = "PLAIN" };
			authenticate(session, "\0juliet\0secret");
			assert.is_nil((fail(session, "malformed-request")));
		end);

		it("names are not read from the messages of other mechanisms", function ()
			load();
			local session = c2s { sasl_handler = { selected = "PLAIN" } };
			authenticate(session, "juliet\0romeo\0secret");
			assert.is_nil((fail(session, "malformed-request")));
		end);

		it("names are not taken over to another session", function ()
			load();
			authenticate(c2s { sasl_handler = { fast = true } }, "romeo\0hash");
			assert.is_nil((fail(c2s { sasl_handler = { fast = true } }, "malformed-request")));
		end);
	end);

	describe("repeats", function ()
		-- The user of each entry, and "+" with the number of events that it stands for, if they were not stored.
		local function users()
			local found = {};
			for i, entry in ipairs(host:entries()) do
				local repeated = entry:get_child("repeated", xmlns_audit);
				found[i] = (entry.attr.user and entry.attr.user:match("^[^@]+") or "-")..(repeated and "+"..repeated.attr.count or "");
			end
			host.appended = {};
			return table.concat(found, " ");
		end

		it("are recorded if no timeout is set", function ()
			load();
			host:fire("authentication-failure", failure { username = "romeo" });
			host:fire("authentication-failure", failure { username = "romeo" });
			host:fire("authentication-success", success { username = "romeo" });
			host:fire("authentication-success", success { username = "romeo" });
			assert.equal("romeo romeo romeo romeo", users());
		end);

		for event, option in pairs {
			["authentication-failure"] = "audit_auth_repeat_failure_timeout";
			["authentication-success"] = "audit_auth_repeat_success_timeout";
		} do
			local payload = event == "authentication-failure" and failure or success;
			for _, value in ipairs { "10min", 600, "10 minutes" } do
				it(("of %s are left out within %s = %s, and not after it"):format(event, option, value), function ()
					load { [option] = value };
					host:fire(event, payload { username = "romeo" });
					assert.equal("romeo", users());
					module_api.pass(590);
					host:fire(event, payload { username = "romeo" });
					assert.equal("", users());
					module_api.pass(20);
					host:fire(event, payload { username = "romeo" });
					assert.equal("romeo+1 romeo", users());
					-- The timeout begins again with each recorded event.
					module_api.pass(590);
					host:fire(event, payload { username = "romeo" });
					assert.equal("", users());
				end);
			end

			it("of another user, address or outcome than "..event.."'s are recorded", function ()
				load { audit_auth_repeat_failure_timeout = 600, audit_auth_repeat_success_timeout = 600 };
				host:fire(event, payload { username = "romeo" });
				host:fire(event, payload { username = "juliet" });
				host:fire(event, payload { username = "romeo", ip = "203.0.113.81" });
				host:fire("authentication-failure", failure { username = "romeo" });
				host:fire("authentication-success", success { username = "romeo" });
				host:fire(event, payload { username = "romeo" });
				assert.equal("romeo juliet romeo romeo", users());
			end);

			it("only counts for the option's own outcome: "..event, function ()
				load { [option] = 600 };
				for _ = 1, 2 do
					host:fire("authentication-failure", failure { username = "romeo" });
					host:fire("authentication-success", success { username = "romeo" });
				end
				assert.equal("romeo romeo romeo", users());
			end);
		end

		it("of nobody are not those of a user called nil, nor the other way round", function ()
			load { audit_auth_repeat_failure_timeout = 600 };
			host:fire("authentication-failure", failure {});
			host:fire("authentication-failure", failure { username = "nil" });
			host:fire("authentication-failure", failure {});
			assert.equal("- nil", users());
		end);

		it("are told apart whatever separators names and addresses have", function ()
			load { audit_auth_repeat_failure_timeout = 600 };
			local at = "@"..host.name;
			-- These would be the same if name and address were only concatenated.
			for _, separator in ipairs { "", ";", ":", "\0", " " } do
				host:fire("authentication-failure", failure { username = "a", ip = "b"..at..separator.."c" });
				host:fire("authentication-failure", failure { username = "a"..at..separator.."b", ip = "c" });
				assert.equal(2, #host:entries(), ("%q"):format(separator));
				host.appended = {};
			end
		end);

		it("are forgotten if there are more users than the cache has room for", function ()
			load { audit_auth_repeat_failure_timeout = 600, audit_auth_cache_size = 2 };
			for _, username in ipairs { "a", "b", "a", "b", "c", "a" } do
				host:fire("authentication-failure", failure { username = username });
			end
			assert.equal("a b c a", users());
			module_api.pass(1);
			local forgotten = users();
			assert.is_true(forgotten == "a+1 b+1" or forgotten == "b+1 a+1", forgotten);
		end);

		it("are counted, and the count is stored when the module is unloaded", function ()
			load { audit_auth_repeat_success_timeout = 600 };
			for _ = 1, 4 do
				host:fire("authentication-success", success { username = "romeo" });
			end
			assert.equal("romeo", users());
			host:restart();
			assert.equal("romeo+3", users());
		end);
	end);

	describe("a wrong option", function ()
		local wrong = {
			{ "audit_auth_passwords_only", "yes", "true or false" };
			{ "audit_auth_passwords_only", {}, "true or false" };
			{ "audit_auth_cache_size", 0, "a whole number from 1 to 1000000" };
			{ "audit_auth_cache_size", 2.5, "a whole number from 1 to 1000000" };
			{ "audit_auth_cache_size", "many", "a whole number from 1 to 1000000" };
			{ "audit_auth_cache_size", 1000000000, "a whole number from 1 to 1000000" };
			{ "audit_auth_cache_size", true, "a whole number from 1 to 1000000" };
			{ "audit_auth_repeat_failure_timeout", "soon", "seconds" };
			{ "audit_auth_repeat_failure_timeout", "never", "seconds" };
			{ "audit_auth_repeat_failure_timeout", "10m", "seconds" }; -- minutes or months?
			{ "audit_auth_repeat_failure_timeout", -1, "seconds" };
			{ "audit_auth_repeat_failure_timeout", { 5 }, "seconds" };
			{ "audit_auth_repeat_success_timeout", true, "seconds" };
		};
		for _, row in ipairs(wrong) do
			local name, value, allowed = row[1], row[2], row[3];
			local shown = type(value) == "string" and value or require "util.serialization".serialize(value, "oneline");
			it(("is named, and the default is used: %s = %s"):format(name, shown), function ()
				local before = module_api.host { [name] = value };
				module_api.complaints();
				before:load("audit_auth");
				local lines = module_api.complaints(name);
				assert.equal(1, #lines);
				assert.truthy(lines[1]:find(allowed, 1, true), lines[1]);
				assert.truthy(lines[1]:find(tostring(type(value) == "table" and "{" or value), 1, true), lines[1]);
				host = before;
				host:fire("authentication-success", { session = c2s { username = "romeo", sasl_handler = { fast = true } } });
				for _ = 1, 2 do
					host:fire("authentication-failure", failure { username = "romeo" });
					host:fire("authentication-success", success { username = "romeo" });
				end
				assert.equal(4, #host:entries());
			end);
		end
	end);
end);
