-- Programs that read the log with a token that an administrator's account gave them, by the real mod_http_oauth2 of the community.

local json = require "dkjson";
local oauth = require "support.oauth";
local server = require "support.server";
local web = require "support.web";

local host, other = "localhost", "other.test";
local admin, romeo = "nurse@"..host, "romeo@"..host;

server.each_series(describe, pending, function (series)
	describe("the log for programs, with tokens of accounts", function ()
		local prosody;

		local function ask(path, token, of_host)
			local answer = web.request(prosody.http_port, "GET", "/audit/api/v1/"..path,
				{ host = of_host; timeout = 60; headers = { Authorization = "Bearer "..token } });
			return answer.status, json.decode(answer.body);
		end

		local function start(modules, community)
			prosody = server.start {
				series = series; storage = series == "0.12" and "internal" or "native"; hosts = { host, other }; modules = modules; community = community;
				base_modules = { "roster", "saslauth", "tls", "disco", "harness", "http", "admin_socket", "admin_shell" };
				config = { oauth2_registration_key = "for tests"; audit_log_flood = false };
			};
			for _, jid in ipairs { admin, romeo, "nurse@"..other } do prosody:adduser(jid, "secret"); end
			prosody:eval([[
				for _, host in ipairs { ... } do module:context(host):audit('romeo@'..host, 'thing', { session = { ip = '192.0.2.7' } }); end
			]], host, other);
		end

		lazy_teardown(function ()
			if prosody then prosody:stop(); end
		end);

		if series == "0.12" then
			it("says that it takes none where they have no role", function ()
				start({ "audit", "audit_http", "tokenauth" });
				local token = prosody:eval([[
					local host, admin = ...;
					return (require "core.modulemanager".get_module(host, "tokenauth").create_jid_token(admin, admin, "prosody:admin", 3600));
				]], host, admin);
				local status, answer = ask("entries", token);
				assert.same({ 401, "This host takes only tokens that prosodyctl mod_audit --token makes." }, { status, answer.text });
				assert.is_nil(prosody:log():find(token, 1, true));
			end);
			return;
		end

		local program;

		-- The role of an account, as an operator sets it.
		local function set_role(username, role, of_host)
			prosody:eval("local u, h, r = ...; assert(require 'core.usermanager'.set_user_role(u, h, r))", username, of_host or host, role);
		end

		local function ctl(...)
			local status, out, err = prosody:ctl("mod_audit", ...);
			assert.equal(0, status, err);
			return out;
		end

		lazy_setup(function ()
			start({ "audit", "audit_http", "audit_tokens", "http_oauth2" }, { "http_oauth2" });
			set_role("nurse", "prosody:admin");
			set_role("nurse", "prosody:admin", other);
			program = oauth.register(prosody.http_port, host, "Portal");
		end);

		it("reads what a token of an operator reads, of its own host", function ()
			-- "xmpp" stands for the role of the account.
			for _, scope in ipairs { "prosody:admin", "xmpp" } do
				local token = program:ask("nurse", "secret", { scope }).access_token;
				local status, answer = ask("entries?type=thing", token);
				assert.same({ 200, 1, romeo }, { status, #answer.entries, answer.entries[1].user }, scope);
				status, answer = ask("stats?type=thing", token);
				assert.same({ 200, 1 }, { status, answer.events }, scope);
				status, answer = ask("verify", token);
				assert.same({ 200, true }, { status, answer.intact }, scope);
				assert.equal(401, (ask("entries", token, other)), scope);
			end
		end);

		it("says to others that they may not", function ()
			local of_user = program:ask("romeo", "secret", { "xmpp" }).access_token;
			for _, path in ipairs { "entries", "entries?user=romeo", "stats", "verify" } do
				local status, answer = ask(path, of_user);
				assert.same({ 403, "forbidden" }, { status, answer.error }, path);
				assert.is_truthy(answer.text:find("^"..romeo.." may not read the log of "..host), answer.text);
			end
			-- Not every program of an administrator has the role.
			local only_login = program:ask("nurse", "secret", { "openid" });
			assert.equal(401, (ask("entries", only_login.access_token)));
		end);

		it("refuses a token at the next request after it was revoked, or its account lost its role, its password or itself", function ()
			local function new_token()
				set_role("nurse", "prosody:admin");
				local granted = program:ask("nurse", "secret", { "xmpp", "offline_access" });
				assert.equal(200, (ask("stats", granted.access_token)));
				return granted.access_token, granted;
			end
			local token, granted = new_token();
			program:revoke(token);
			assert.equal(401, (ask("stats", token)));
			-- The other token of the grant gets a new one, but does not read by itself.
			assert.is_string(granted.refresh_token);
			assert.equal(401, (ask("stats", granted.refresh_token)));
			granted = program:token { grant_type = "refresh_token"; refresh_token = granted.refresh_token };
			assert.equal(200, (ask("stats", granted.access_token)), json.encode(granted));

			token = new_token();
			set_role("nurse", "prosody:registered");
			assert.equal(401, (ask("stats", token)));
			token = new_token();
			prosody:eval("local u, h = ...; assert(require 'core.usermanager'.disable_user(u, h))", "nurse", host);
			assert.equal(401, (ask("stats", token)));
			prosody:eval("local u, h = ...; assert(require 'core.usermanager'.enable_user(u, h))", "nurse", host);
			assert.equal(200, (ask("stats", token)));
			-- mod_tokenauth compares whole seconds.
			prosody:eval("require 'util.async'.sleep(1.1)");
			prosody:eval("local u, h = ...; assert(require 'core.usermanager'.set_password(u, 'secret', h))", "nurse", host);
			assert.equal(401, (ask("stats", token)));
			prosody:eval("require 'util.async'.sleep(1.1)");
			token = new_token();
			prosody:eval("local u, h = ...; assert(require 'core.usermanager'.delete_user(u, h))", "nurse", host);
			assert.equal(401, (ask("stats", token)));
			prosody:adduser(admin, "secret");
			assert.equal(401, (ask("stats", token)));
		end);

		it("refuses a token that has expired", function ()
			set_role("nurse", "prosody:admin");
			local token = prosody:eval([[
				local host, admin = ...;
				local tokens = require "core.modulemanager".get_module(host, "tokenauth");
				return (tokens.create_token(admin, tokens.create_grant(admin, admin), "prosody:admin", 2, "oauth2"));
			]], host, admin);
			assert.equal(200, (ask("stats", token)));
			prosody:eval("require 'util.async'.sleep(2.1)");
			assert.equal(401, (ask("stats", token)));
		end);

		it("records the account, the grant and the program, and no token", function ()
			set_role("nurse", "prosody:admin");
			local granted = program:ask("nurse", "secret", { "xmpp", "offline_access" });
			assert.equal(200, (ask("entries?user=romeo", granted.access_token)));
			assert.equal(401, (ask("entries?user=romeo", granted.refresh_token)));
			local read = json.decode(ctl("--format=json", "--type=audit-exported", "--limit=1", host):match("[^\n]+"));
			local given = json.decode(ctl("--format=json", "--type=token-grant-created", "--limit=1", host):match("[^\n]+"));
			assert.same({ admin, "http", "api", "grant "..given["grant.id"].." of Portal", "--user=romeo" },
				{ read["actor.jid"], read["actor.kind"], read["query.through"], read["query.by"], read["query.filter"] });
			local everything = ctl("--all", "--format=xml", host);
			for _, token in pairs { granted.access_token, granted.refresh_token } do
				for _, text in ipairs { everything, prosody:log() } do
					assert.is_nil(text:find(token, 1, true) or text:find(token:match(":(.*)"), 1, true));
				end
			end
		end);
	end);
end);
