-- Alerts and notices to users, with real clients. Their addresses and clients are those that the spec gives them: all of them connect
-- from this machine, and Prosody's own modules do not know clients.

local client = require "support.client";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local rooms = "rooms."..host;
local admin, romeo = "admin@"..host, "romeo@"..host;

server.each_series(describe, pending, function (series)
	describe("alerts", function ()
		local prosody, desk;

		local function start(options)
			options = options or {};
			prosody = server.start {
				series = series; log_level = "info"; storage = options.storage;
				modules = { "audit", "audit_auth", "audit_user_accounts", "audit_admin", "audit_status", "audit_alerts", "offline", "presence", "message" };
				components = { [rooms] = { module = "muc", muc_room_locking = false } };
				config = {
					admins = { admin }; audit_log_location_database = process.target.."/cities.mmdb";
					audit_alerts = options.alerts; audit_user_notices = options.notices; audit_user_notices_text = options.text;
				};
			};
			for _, jid in ipairs { admin, romeo } do prosody:adduser(jid, "secret"); end
		end

		-- The next logins come from this address, with this client.
		local function from(ip, id)
			prosody:eval([[
				local host, ip, id = ...;
				local next_login = module:shared("/*/test_alerts/next_login");
				if not next_login.ip then
					module:context(host):hook("authentication-success", function (event)
						event.session.ip, event.session.client_id = next_login.ip, next_login.id;
					end, 1000);
				end
				next_login.ip, next_login.id = ip, id;
			]], host, ip, id);
		end

		-- The bodies that a session has received. Waits until `count` are there, or for a turn of the alerts and a little more.
		local function received(session, count)
			local found = {};
			process.wait_until(function ()
				for _, message in ipairs(session:messages()) do table.insert(found, message.body); end
				return count and #found >= count;
			end, count and 10 or 2.5, 0.05);
			return found;
		end

		local function login(jid, times, password, resource)
			for number = 1, times or 1 do
				client.login(prosody, jid, password or "secret", { resource = resource and resource..number });
			end
		end

		after_each(server.stop_all);

		it("tell an administrator what happens, in a message and in a room, without a word about what is usual", function ()
			start { alerts = { rooms = { "ops@"..rooms } } };
			desk = assert(client.open(prosody, admin, "secret"));
			desk:send(("<presence to='ops@%s/desk'><x xmlns='http://jabber.org/protocol/muc'/></presence>"):format(rooms));
			-- A bot with a new resource each time, reconnects, a user who mistypes.
			login(romeo, 4, "wrong");
			login(romeo, 5, nil, "bot");
			assert.same({}, received(desk));

			login(romeo, 7, "wrong");
			login(romeo);
			local found = received(desk, 2);
			assert.equal(2, #found);
			for i = 1, 2 do
				assert.matches('^%[guessed%] Somebody may have guessed the password of "romeo@'..host..'": a login from 127%.0%.0%.0/24', found[i]);
			end

			prosody:set_role("romeo@"..host, "prosody:admin");
			assert.matches('^%[privilege%] "romeo@[^"]+" was given the role "prosody:admin"', received(desk, 2)[1]);

			prosody:shell('user:create("nurse@'..host..'", "secret2")');
			assert.matches('^%[privilege%] A command that changes accounts was given by "admin%-shell".*: "user:create"', received(desk, 2)[1]);

			prosody:eval("module:context(...):audit(nil, 'audit-clock-jumped')", host);
			assert.matches("^%[log%-trouble%] The clock of the server has jumped", received(desk, 2)[1]);

			for number = 1, 20 do
				client.login(prosody, ("nobody%d@%s"):format(number, host), "wrong");
			end
			assert.matches("^%[guessing%] Somebody is guessing passwords from 127%.0%.0%.0/24: logins of 20 accounts", received(desk, 2)[1]);
			assert.same({}, received(desk));

			local _, out = prosody:ctl("mod_audit", "--type", "audit-alert", host);
			for _, rule in ipairs { "guessed", "guessing", "privilege", "log-trouble" } do
				assert.is_truthy(out:find(rule, 1, true), out);
			end
			desk:close();

			-- Everything is said again after a crash, but not what was said already.
			prosody:kill();
			prosody:start();
			desk = assert(client.open(prosody, admin, "secret"));
			assert.matches("^%[server%] The server crashed%.", received(desk, 1)[1]);
			desk:close();
			prosody:kill();
			prosody:start();
			desk = assert(client.open(prosody, admin, "secret"));
			assert.same({}, received(desk));
		end);

		it("tell what is new for an administrator, and nothing on the first day", function ()
			start();
			desk = assert(client.open(prosody, admin, "secret", { resource = "desk" }));
			from("203.0.113.7", "phone");
			login(admin);
			from("203.0.113.99", "phone"); -- another network of the same country
			login(admin);
			from("198.51.100.7", "phone");
			login(romeo);
			assert.same({}, received(desk));

			from("2001:db8::7", "tablet");
			login(admin);
			local found = received(desk, 3);
			table.sort(found);
			assert.matches('^%[impossible%-travel%] "admin@[^"]+" was used from "New Zealand" at .*from "Germany"', found[1]);
			assert.matches('^%[new%-client%] "admin@[^"]+" was used with the new client "tablet" from 2001:db8::7', found[2]);
			assert.matches('^%[new%-country%] "admin@[^"]+" was used from "New Zealand" for the first time', found[3]);

			-- The file is lost: what is known comes from the log.
			desk:close();
			prosody:stop();
			assert(os.remove(prosody.data.."/"..host:gsub("%.", "%%2e").."/audit.alerts"));
			prosody:start();
			process.wait_until(function () return false; end, 3);
			desk = assert(client.open(prosody, admin, "secret", { resource = "desk" }));
			from("203.0.113.7", "phone");
			login(admin);
			assert.same({}, received(desk));
			from("198.51.100.7", "phone");
			login(admin);
			local again = received(desk, 2);
			table.sort(again);
			assert.matches("^%[impossible%-travel%]", again[1]);
			assert.matches("^%[new%-country%]", again[2]);
		end);

		it("of a user's own account go to the other sessions, and to the offline store", function ()
			start { notices = true, text = { en = "New: {client}, {country}, {address}, {time}." }, alerts = { to = {} } };
			from("203.0.113.7", "desk");
			desk = assert(client.open(prosody, romeo, "secret", { resource = "desk" }));
			assert.same({}, received(desk));
			from("198.51.100.7", "http://evil.example/");
			local phone = assert(client.open(prosody, romeo, "secret", { resource = "phone" }));
			local text = received(desk, 1)[1];
			assert.matches("^New: httpevilexample, France, 198%.51%.100%.7, %d+%-%d+%-%d+ %d+:%d+:%d+ UTC%.$", text);
			assert.same({}, received(phone));
			phone:close();
			desk:close();
			-- The next session, of a client that is known.
			from("203.0.113.7", "desk");
			desk = assert(client.open(prosody, romeo, "secret", { resource = "desk" }));
			assert.same({ text }, received(desk, 1));
		end);

		it("of a user's own account are in the language of the client that gets them, and at most three a day", function ()
			start { notices = true, text = { en = "New: {client}", de = "Neu: {client}", fr = "Nouveau : {client}" }, alerts = { to = {} } };
			from("203.0.113.7", "desk");
			desk = assert(client.open(prosody, romeo, "secret", { resource = "desk", language = "de-AT" }));
			local sofa = assert(client.open(prosody, romeo, "secret", { resource = "sofa", language = "pt" }));
			assert.same({}, received(desk));
			local others = {};
			local function new_client(id, language)
				from("203.0.113.7", id);
				table.insert(others, (assert(client.open(prosody, romeo, "secret", { resource = id, language = language }))));
			end
			new_client("phone", "fr");
			assert.same({ "Neu: phone" }, received(desk, 1));
			assert.same({ "New: phone" }, received(sofa, 1));
			for _, id in ipairs { "tablet", "car", "fridge" } do new_client(id, "fr"); end
			assert.same({ "Neu: tablet", "Neu: car" }, received(desk, 2));
			assert.same({}, received(desk));
			for _, session in ipairs { desk, sofa, table.unpack(others) } do session:close(); end
		end);

		it("follow rules of the operator's own, each with its types, accounts, key, threshold and window", function ()
			start { alerts = { rules = {
				["many-logins"] = { types = { "authentication-success" }, users = { "romeo@*" }, key = "account", threshold = 3, window = "1h" };
				["any-change"] = { types = { "user-password-*" }, key = "host", threshold = 2, window = "1h" };
				privilege = false;
			} } };
			desk = assert(client.open(prosody, admin, "secret"));
			prosody:adduser("juliet@"..host, "secret");
			login(romeo, 2);
			login("juliet@"..host, 4);
			prosody:set_role(romeo, "prosody:admin");
			assert.same({}, received(desk));
			login(romeo, 3);
			assert.matches('^%[many%-logins%] .*"romeo@'..host..'"', received(desk, 1)[1]);
			assert.is_true(client.change_password(prosody, romeo, "secret", "secret2").ok);
			assert.same({}, received(desk));
			assert.is_true(client.change_password(prosody, romeo, "secret2", "secret3").ok);
			assert.matches("^%[any%-change%] ", received(desk, 1)[1]);
		end);

		it("are refused with one line if they are wrong, and listed by prosodyctl", function ()
			start { alerts = { rules = { mine = { types = { "no-such-type" } }; guessing = { window = "2 hours" } } } };
			local lines = select(2, prosody:log():gsub('audit_alerts%.rules%["mine"%]%.types is "no%-such%-type"', ""));
			assert.equal(1, lines);
			local _, out = prosody:ctl("mod_audit", "--alerts", host);
			assert.matches("guessing +authentication%-failure +account +50 +2 hours", out);
			assert.matches("new%-client +authentication%-success +account +administrators", out);
		end);
	end);
end);
