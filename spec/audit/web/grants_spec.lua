-- Tokens that an account has given to a program: lua/audit/web/grants.lib.lua, with Prosody's own mod_tokenauth.

local json = require "dkjson";
local module_api = require "support.module_api";
local web_host = require "support.web_host";

local is_old = prosody_series == "0.12"; -- its tokens have no roles

describe("tokens that an account has given to a program", function ()
	local host, tokenauth;

	before_each(function ()
		host = web_host.new();
		host.module:audit("romeo@"..host.name, "thing");
		tokenauth = host.api:load("tokenauth");
	end);
	after_each(function () host:finish(); end);

	local function ask(path, token)
		local answer = host:request("GET", "/audit/api/v1/"..path, { headers = { authorization = "Bearer "..token } });
		return answer.status, json.decode(answer.body), answer;
	end

	-- As mod_http_oauth2 makes them: grant, token
	local function give(username, role, seconds, purpose)
		local account = username.."@"..host.name;
		local grant = assert(tokenauth.create_grant(account, account, nil, { oauth2_scopes = role; oauth2_client = { name = "Portal" } }));
		return grant, assert(tokenauth.create_token(account, grant.id, role, seconds or 60, purpose or "oauth2"));
	end

	if is_old then
		it("are refused with one clear answer", function ()
			local account = "nurse@"..host.name;
			local status, answer = ask("entries", (tokenauth.create_jid_token(account, account, "prosody:admin", 60)));
			assert.same({ 401, "not-authorized", "This host takes only tokens that prosodyctl mod_audit --token makes." },
				{ status, answer.error, answer.text });
		end);
		return;
	end

	it("read the log if their role may", function ()
		local _, token = give("nurse", "admin");
		for _, path in ipairs { "entries", "stats", "verify" } do
			assert.equal(200, (ask(path, token)), path);
		end
		for _, scheme in ipairs { "bearer ", "BEARER ", "Bearer   " } do
			assert.equal(200, host:request("GET", "/audit/api/v1/stats", { headers = { authorization = scheme..token } }).status, scheme);
		end
	end);

	it("are recorded by the account and the grant, never by the token", function ()
		local grant, token = give("nurse", "admin");
		ask("entries?type=thing", token);
		local entries = host.api:entries();
		local last = entries[#entries];
		assert.equal("audit-exported", last.attr.type);
		local lines = table.concat(module_api.lines(last), "\n");
		assert.is_truthy(lines:find(('by="grant %s of Portal"'):format(grant.id), 1, true) and lines:find('through="api"', 1, true), lines);
		assert.is_truthy(lines:find("nurse@"..host.name, 1, true), lines);
		assert.is_nil(lines:find(token:match(":(.*)"), 1, true));
	end);

	it("say so if their account or scope may not", function ()
		for _, of in ipairs { { "romeo", "user" }, { "nurse", "admin" } } do
			local _, token = give(of[1], of[2]);
			host.forbidden = of[1] == "nurse";
			for _, path in ipairs { "entries", "stats", "verify" } do
				local status, answer = ask(path, token);
				assert.same({ 403, "forbidden" }, { status, answer.error }, path);
				assert.is_truthy(answer.text:find("^"..of[1].."@[^\n]* may not read the log of [^\n]*$"), answer.text);
			end
			host.forbidden = nil;
		end
	end);

	it("end with the token, the grant, the role and the account", function ()
		local grant, token;
		local changes = {
			revoked = function () assert(tokenauth.revoke_token(token)); end;
			["the grant is revoked"] = function () assert(tokenauth.revoke_grant("nurse", grant.id)); end;
			demoted = function () host.accounts.nurse = "user"; end;
			removed = function () host.accounts.nurse = nil; end;
			disabled = function () host.disabled.nurse = true; end;
			-- mod_tokenauth reads the real clock.
			expired = function ()
				local stored = host.api.values.auth_tokens.nurse[grant.id];
				for _, one in pairs(stored.tokens) do one.expires = os.time() - 1; end
			end;
		};
		for name, change in pairs(changes) do
			host.accounts.nurse, host.disabled.nurse = "admin", nil;
			grant, token = give("nurse", "admin");
			assert.equal(200, (ask("stats", token)), name);
			change();
			local status, answer = ask("stats", token);
			assert.same({ 401, "not-authorized", "There is no such token, or it has ended." }, { status, answer.error, answer.text }, name);
		end
	end);

	it("are no tokens that only get another one, and none that are made up", function ()
		local account = "nurse@"..host.name;
		local grant = give("nurse", "admin");
		assert.equal(401, (ask("stats", (tokenauth.create_token(account, grant.id, nil, 60, "oauth2-refresh")))));
		local base64 = require "util.encodings".base64.encode;
		for _, made_up in ipairs { "x", "secret-token:", "secret-token:x", "secret-token:"..("A"):rep(20000), "secret-token:"..base64("2;x;y;z"),
			"secret-token:"..base64("2;"..grant.id..";"..("x"):rep(18)..";"..account), "secret-token:"..base64("2;x;"..("x"):rep(18)..";elsewhere.test") } do
			assert.equal(401, (ask("stats", made_up)), made_up);
		end
	end);

	it("belong to the account that they were made for, however they spell it", function ()
		local _, token = give("nurse", "admin");
		local base64 = require "util.encodings".base64;
		local parts = base64.decode(token:match(":(.*)"));
		host.accounts.Nurse = "admin";
		host.api.values.auth_tokens.Nurse = host.api.values.auth_tokens.nurse; -- as a database that does not tell them apart
		assert.equal(401, (ask("stats", "secret-token:"..base64.encode((parts:gsub("nurse@", "Nurse@"))))));
		assert.equal(200, (ask("stats", token)));
	end);

	it("that can't be read are answered, and logged once", function ()
		local _, token = give("nurse", "admin");
		tokenauth.get_token_session = function () error("trapped"); end;
		for _ = 1, 3 do
			local status, answer = ask("stats", token);
			assert.same({ 500, "internal-server-error" }, { status, answer.error });
		end
		assert.equal(1, #module_api.complaints("trapped"));
		tokenauth.get_token_session = function () return nil, "internal-error"; end;
		assert.equal(500, (ask("stats", token)));
		assert.same({}, module_api.complaints(token));
	end);

	it("are not asked for where mod_tokenauth is not loaded", function ()
		local _, token = give("nurse", "admin");
		host.api:unload("tokenauth");
		local status, answer = ask("stats", token);
		assert.equal(401, status);
		assert.is_truthy(answer.text:find("only tokens that prosodyctl", 1, true), answer.text);
	end);
end);
