-- Logins for which Prosody fires no event, on real servers: each is one entry.

local client = require "support.client";
local dump = require "support.dump";
local http = require "socket.http";
local ltn12 = require "ltn12";
local mime = require "mime";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

server.each_series(describe, pending, function (series)
	describe("attempts without an event", function ()
		local prosody;
		local seen = 0;

		setup(function ()
			local modules = { "audit", "audit_auth", "legacyauth" };
			if series ~= "0.12" then table.insert(modules, "tokenauth"); end
			prosody = server.start { series = series, modules = modules, config = { conflict_resolve = "kick_new", audit_log_flood = false } };
			prosody:adduser("romeo@example.test", "secret");
		end);

		teardown(function () prosody:stop(); end);

		-- The one entry since the last call.
		local function one()
			local entries = dump.entries(prosody);
			local count = #entries - seen;
			seen = #entries;
			assert.equal(1, count, dump.types(entries));
			assert.equal("127.0.0.1", entries[seen]:child("session"):child("remote-ip").text);
			assert.equal("mod_audit_auth", entries[seen].source);
			return entries[seen];
		end

		local function one_failure(detail, user)
			local entry = one();
			assert.equal("authentication-failure", entry.type);
			assert.equal(detail, entry:line("authentication"));
			assert.equal(user, entry.user);
			return entry;
		end

		local function connect(options)
			return assert(raw.connect(prosody, options));
		end

		it("bad base64", function ()
			local stream = connect();
			assert.same({ false, "incorrect-encoding" }, { stream:auth("PLAIN", "!!! not base64") });
			stream:close();
			assert.is_truthy(one_failure('<authentication condition="incorrect-encoding" mechanism="PLAIN"/>'):child("tls"));
		end);

		it("an unknown mechanism, and one that is forbidden", function ()
			local stream = connect();
			assert.same({ false, "invalid-mechanism" }, { stream:auth("X-NO-SUCH", "eA==") });
			one_failure('<authentication condition="invalid-mechanism" mechanism="X-NO-SUCH"/>');
			assert.same({ false, "invalid-mechanism" }, { stream:auth("DIGEST-MD5", "eA==") });
			one_failure('<authentication condition="invalid-mechanism" mechanism="DIGEST-MD5"/>');
			-- The stream continues, and the login on it is another attempt.
			assert.is_true(stream:plain("romeo", "secret"));
			stream:close();
			assert.equal("authentication-success", one().type);
		end);

		it("a password without encryption", function ()
			local stream = connect { tls = false };
			assert.same({ false, "encryption-required" }, { stream:plain("romeo", "secret") });
			stream:close();
			assert.is_nil(one_failure('<authentication condition="encryption-required" mechanism="PLAIN"/>'):child("tls"));
		end);

		it("an answer to a question that was not asked", function ()
			local stream = connect();
			stream:send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>eA==</response>");
			assert.same({ false, "not-authorized", "Out of order SASL element" }, { stream:auth_answer() });
			stream:close();
			one_failure('<authentication condition="not-authorized">Out of order SASL element</authentication>');
		end);

		local first_message = mime.b64("n,,n=romeo,r=fyko+d2lbbFgONRv9qkxdawL");

		it("an attempt that the client aborts", function ()
			local stream = connect();
			assert.equal("challenge", (stream:auth("SCRAM-SHA-1", first_message)));
			stream:send("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
			assert.same({ false, "aborted" }, { stream:auth_answer() });
			one_failure('<authentication condition="aborted" mechanism="SCRAM-SHA-1"/>', "romeo@example.test");
			stream:close();
			assert.is_truthy(prosody:wait_log("Client disconnected[^\n]*\n[^\0]*$"));
			assert.equal(seen, #dump.entries(prosody));
		end);

		it("an attempt that ends with bad base64 after the challenge", function ()
			local stream = connect();
			assert.equal("challenge", (stream:auth("SCRAM-SHA-1", first_message)));
			stream:send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>???</response>");
			assert.same({ false, "incorrect-encoding" }, { stream:auth_answer() });
			stream:close();
			one_failure('<authentication condition="incorrect-encoding" mechanism="SCRAM-SHA-1"/>', "romeo@example.test");
		end);

		it("a client that leaves after the challenge", function ()
			local stream = connect();
			assert.equal("challenge", (stream:auth("SCRAM-SHA-1", first_message)));
			stream:close();
			assert.is_truthy(prosody:wait_log("Client disconnected[^\n]*\n[^\0]*$"));
			process.wait_until(function () return #dump.entries(prosody) > seen; end, 3);
			local entry = one_failure('<authentication condition="aborted" mechanism="SCRAM-SHA-1">The client left after the challenge</authentication>',
				"romeo@example.test");
			assert.equal("c2s_unauthed", entry:child("session").attr.type);
			assert.matches("^c2s%x+$", entry:child("session").attr.id);
		end);

		it("a client that begins again after the challenge", function ()
			local stream = connect();
			assert.equal("challenge", (stream:auth("SCRAM-SHA-1", first_message)));
			assert.is_true(stream:plain("romeo", "secret"));
			stream:close();
			local entries = dump.entries(prosody);
			assert.equal(seen + 2, #entries);
			assert.equal("aborted", entries[seen + 1]:child("authentication").attr.condition);
			assert.equal("authentication-success", entries[seen + 2].type);
			seen = #entries;
		end);

		if series ~= "0.12" then
			local function bearer(stream)
				return stream:auth("OAUTHBEARER", (mime.b64("n,,\1auth=Bearer no-such-token\1\1")));
			end

			it("OAUTHBEARER that is left after the challenge", function ()
				local stream = connect();
				assert.equal("challenge", (bearer(stream)));
				stream:close();
				process.wait_until(function () return #dump.entries(prosody) > seen; end, 3);
				one_failure('<authentication condition="not-authorized" mechanism="OAUTHBEARER">The client left after the challenge</authentication>');
			end);

			it("OAUTHBEARER that is answered, which has its event", function ()
				local stream = connect();
				assert.equal("challenge", (bearer(stream)));
				stream:send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AQ==</response>");
				assert.same({ false, "not-authorized" }, { stream:auth_answer() });
				stream:close();
				one_failure('<authentication condition="not-authorized" mechanism="OAUTHBEARER"/>');
			end);

			it("an attempt that a module forbids", function ()
				prosody:eval([[
					local module = require "core.modulemanager".get_module("example.test", "saslauth").module;
					module:hook("authentication-attempt", function (event)
						event.allowed, event.error_condition, event.error_text = false, "temporary-auth-failure", "Not now";
					end);
				]]);
				local stream = connect();
				assert.same({ false, "temporary-auth-failure", "Not now" }, { stream:plain("romeo", "secret") });
				stream:close();
				one_failure('<authentication condition="temporary-auth-failure" mechanism="PLAIN">Not now</authentication>');
				assert.equal(0, (prosody:shell("module:reload('saslauth', 'example.test')")));
			end);
		else
			pending("Prosody 0.12 has no OAUTHBEARER of its own, and lets no module forbid an attempt");
		end

		describe("XEP-0078", function ()
			local function legacy(stream, username, password, resource, id)
				stream:send(("<iq type='set' id='%s'><query xmlns='jabber:iq:auth'><username>%s</username><password>%s</password>%s</query></iq>")
					:format(id or "1", username, password, resource and "<resource>"..resource.."</resource>" or ""));
				return assert(stream:receive_until("</iq>", "<iq[^>]*/>"));
			end

			it("a login for which there is no event", function ()
				local stream = connect();
				assert.matches("type='result'", legacy(stream, "Romeo", "secret", "old"));
				local entry = one();
				assert.equal("authentication-success", entry.type);
				assert.equal("romeo@example.test", entry.user);
				assert.equal('<authentication mechanism="jabber:iq:auth"/>', entry:line("authentication"));
				assert.equal("c2s", entry:child("session").attr.type);
				assert.is_truthy(entry:child("tls"));
				-- The resource is in use, and its user keeps it.
				local second = connect();
				assert.matches("<conflict", legacy(second, "romeo", "secret", "old"));
				second:close();
				stream:close();
				one_failure('<authentication condition="conflict" mechanism="jabber:iq:auth">Resource already exists</authentication>',
					"romeo@example.test");
			end);

			it("a wrong password, and an invalid name", function ()
				local stream = connect();
				assert.matches("<not%-authorized", legacy(stream, "romeo", "wrong", "old"));
				one_failure('<authentication condition="not-authorized" mechanism="jabber:iq:auth"/>', "romeo@example.test");
				assert.matches("<bad%-request", legacy(stream, "ro meo", "wrong", "old", "2"));
				stream:close();
				one_failure('<authentication condition="bad-request" mechanism="jabber:iq:auth"/>');
			end);

			it("no request for the fields", function ()
				local stream = connect();
				stream:send("<iq type='get' id='1'><query xmlns='jabber:iq:auth'><username>romeo</username></query></iq>");
				assert.matches("<resource/>", assert(stream:receive_until("</iq>")));
				assert.matches("<resource/>", legacy(stream, "romeo", "secret", nil, "2"));
				stream:close();
				assert.equal(seen, #dump.entries(prosody));
			end);
		end);

		it("no password", function ()
			local json = require "dkjson";
			local text = json.encode(dump.entries(prosody));
			assert.is_nil(text:find("secret", 1, true));
			assert.is_nil(text:find("no-such-token", 1, true));
		end);

		it("a fault in the log breaks none of them", function ()
			prosody:break_audit("broken on purpose");
			local stream = connect();
			assert.same({ false, "incorrect-encoding" }, { stream:auth("PLAIN", "!!!") });
			assert.same({ false, "invalid-mechanism" }, { stream:auth("X-NO-SUCH") });
			assert.equal("challenge", (stream:auth("SCRAM-SHA-1", first_message)));
			assert.same({ false, "not-authorized" }, { (stream:plain("romeo", "wrong")), (select(2, stream:plain("romeo", "wrong"))) });
			assert.is_true(stream:plain("romeo", "secret"));
			assert.matches("^romeo@example.test/", stream:bind());
			stream:close();
			assert.is_true(client.login(prosody, "romeo@example.test", "secret").ok);
			prosody:mend_audit();
			assert.is_truthy(prosody:log():find("Fault while handling[^\n]*broken on purpose"));
			assert.equal(seen, #dump.entries(prosody));
			assert.is_true(client.login(prosody, "romeo@example.test", "secret").ok);
			one();
		end);
	end);

	if series == "0.12" then
		pending("mod_client_certs: that of Debian 12 does not load, as its ad-hoc command asks for a permission that is no more");
	end

	describe("client certificates (mod_client_certs)", function ()
		if series == "0.12" then return; end
		local prosody, certificate, key;

		setup(function ()
			prosody = server.start {
				series = series, modules = { "audit", "audit_auth", "client_certs" }, community = { "client_certs" };
				config = { c2s_ssl = { verify = { "peer", "client_once" }, verifyext = { "lsec_continue", "lsec_ignore_purpose" } } };
			};
			prosody:adduser("romeo@example.test", "secret");
			local folder = process.new_folder("certificate");
			certificate, key = folder.."/client.crt", folder.."/client.key";
			process.run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=romeo "
				.."-addext 'subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@example.test' "
				.."-keyout %s -out %s 2>/dev/null"):format(process.quote(key), process.quote(certificate)));
		end);

		teardown(function () prosody:stop(); end);

		local function external()
			local stream = assert(raw.connect(prosody, { certificate = certificate, key = key }));
			local ok, condition = stream:auth("EXTERNAL", (mime.b64("romeo@example.test")));
			stream:close();
			return ok, condition;
		end

		it("refused and accepted are one entry each", function ()
			assert.same({ false, "not-authorized" }, { external() });
			-- Its own way to enrol one fails on Lua 5.4, in util.x509.
			prosody:eval([[
				local pem = ...;
				local digest = require "ssl".loadcertificate(pem):digest("sha1");
				require "util.datamanager".store("romeo", "example.test", "client_certs", { laptop = { digest = digest, pem = pem } });
			]], process.read(certificate));
			assert.is_true((external()));
			local entries = dump.entries(prosody);
			assert.equal("authentication-failure authentication-success", dump.types(entries));
			assert.equal('<authentication condition="not-authorized" mechanism="EXTERNAL"/>', entries[1]:line("authentication"));
			assert.equal('<authentication mechanism="EXTERNAL"/>', entries[2]:line("authentication"));
			assert.equal("romeo@example.test", entries[2].user);
			assert.is_truthy(entries[2]:child("tls"));
		end);
	end);

	describe("client certificates (mod_auth_ccert)", function ()
		local prosody, folder;

		-- Good from now + first to now + last, in days. `openssl x509 -days` of Debian 13 takes no negative number.
		local function make_certificate(name, first, last)
			local function time(days)
				return os.date("!%Y%m%d%H%M%SZ", os.time() + days * 86400);
			end
			process.run(("cd %s && : >index && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=romeo "
				.."-keyout %s.key -out request 2>/dev/null && openssl ca -batch -selfsign -notext -config ca.cnf -in request -keyfile %s.key "
				.."-startdate %s -enddate %s -out %s.crt 2>>errors"):format(process.quote(folder), name, name, time(first), time(last), name));
		end

		setup(function ()
			folder = process.new_folder("certificates");
			process.write(folder.."/ca.cnf", "[ca]\ndefault_ca = here\n[here]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n"
				.."default_md = sha256\npolicy = any\nx509_extensions = extensions\n[any]\ncommonName = supplied\n"
				.."[extensions]\nsubjectAltName = otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@example.test\n");
			make_certificate("good", -1, 2);
			make_certificate("expired", -3, -1);
			make_certificate("unknown", -1, 2);
			prosody = server.start {
				series = series, modules = { "audit", "audit_auth" }, community = { "auth_ccert" };
				host_config = { ["example.test"] = { authentication = "ccert", certificate_match = "xmppaddr" } };
				config = { c2s_ssl = {
					cafile = folder.."/good.crt", verify = { "peer", "client_once" }, verifyext = { "lsec_continue", "lsec_ignore_purpose" };
				} };
			};
		end);

		teardown(function () prosody:stop(); end);

		for name, detail in pairs {
			good = '<authentication mechanism="EXTERNAL"/>';
			expired = '<authentication condition="credentials-expired" mechanism="EXTERNAL"/>';
			unknown = '<authentication condition="account-disabled" mechanism="EXTERNAL"/>'; -- so says mod_auth_ccert
		} do
			it("one that is "..name.." is one entry", function ()
				local before = #dump.entries(prosody);
				local stream = assert(raw.connect(prosody, { certificate = folder.."/"..name..".crt", key = folder.."/"..name..".key" }));
				stream:send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
				-- The answer to one that has expired is none that a client knows.
				assert.is_truthy(stream:receive_until("<success[^>]*/>", "</failure>", "<false[^>]*/>"));
				stream:close();
				local entries = dump.entries(prosody);
				assert.equal(before + 1, #entries);
				local entry = entries[#entries];
				assert.equal(name == "good" and "authentication-success" or "authentication-failure", entry.type);
				assert.equal(detail, entry:line("authentication"));
				assert.equal(name == "good" and "romeo@example.test" or nil, entry.user);
				assert.is_truthy(entry:child("tls"));
			end);
		end
	end);

	describe("sessions", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series, modules = { "audit", "audit_auth", "bosh" }, config = { audit_auth_sessions = true };
			};
			prosody:adduser("romeo@example.test", "secret");
		end);

		teardown(function () prosody:stop(); end);

		local function ended(count)
			process.wait_until(function () return #dump.of_type(prosody, nil, "session-ended") >= count; end, 5);
			return dump.of_type(prosody, nil, "session-ended")[count];
		end

		it("say which resource was bound, for how long, and why it ended", function ()
			local stream = assert(raw.connect(prosody));
			assert.is_true(stream:plain("romeo", "secret"));
			assert.equal("romeo@example.test/balcony", stream:bind("balcony"));
			require "socket".sleep(0.3);
			stream:close();
			local last = ended(1);
			local entries = dump.entries(prosody);
			assert.equal("authentication-success resource-bound session-ended", dump.types(entries));
			local bound = entries[2]:child("resource");
			assert.equal("balcony", bound.attr.name);
			assert.is_true(tonumber(bound.attr["seconds-since-connect"]) < 5);
			assert.equal("romeo@example.test", last.user);
			assert.equal("127.0.0.1", last:child("session"):child("remote-ip").text);
			assert.equal(entries[1]:child("session").attr.id, last:child("session").attr.id);
			local detail = last:child("ended");
			assert.equal("balcony", detail.attr.resource);
			assert.is_true(tonumber(detail.attr.seconds) >= 0.3 and tonumber(detail.attr.seconds) < 5);
			assert.equal("closed by the client", detail.attr.reason);
		end);

		it("are not the only thing seen over BOSH: an attempt without an event is, too", function ()
			local function post(rid, attributes, content)
				local body = ("<body rid='%d' xmlns='http://jabber.org/protocol/httpbind' %s>%s</body>"):format(rid, attributes, content or "");
				local answer = {};
				assert(http.request {
					method = "POST", url = ("http://127.0.0.1:%d/http-bind"):format(prosody.http_port);
					headers = { host = "example.test", ["content-type"] = "text/xml", ["content-length"] = tostring(#body) };
					source = ltn12.source.string(body), sink = ltn12.sink.table(answer);
				});
				return table.concat(answer);
			end
			local sid = post(1, "to='example.test' wait='5' hold='1' ver='1.6' xml:lang='en'"):match("sid='([^']+)'");
			local answer = post(2, "sid='"..sid.."'", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHIAcw==</auth>");
			assert.matches("<encryption%-required", answer);
			local failures = dump.of_type(prosody, nil, "authentication-failure");
			assert.equal(1, #failures);
			assert.equal('<authentication condition="encryption-required" mechanism="PLAIN"/>', failures[1]:line("authentication"));
			assert.equal("127.0.0.1", failures[1]:child("session"):child("remote-ip").text);
		end);

		it("say that a password was changed", function ()
			local session = assert(client.open(prosody, "romeo@example.test", "secret", { resource = "phone" }));
			assert.equal(0, (prosody:shell("user:password('romeo@example.test', 'secret')")));
			local detail = ended(2):child("ended");
			assert.equal("phone", detail.attr.resource);
			assert.equal("Password changed", detail.attr.reason);
			session:close();
		end);

		it("say that the connection broke", function ()
			local stream = assert(raw.connect(prosody));
			assert.is_true(stream:plain("romeo", "secret"));
			assert.is_truthy(stream:bind("train"));
			stream.conn:close();
			stream.conn = nil;
			assert.equal("train", ended(3):child("ended").attr.resource);
			assert.are_not.equal("closed by the client", ended(3):child("ended").attr.reason);
		end);
	end);
end);
