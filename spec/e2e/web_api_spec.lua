-- The interface for programs is as its OpenAPI document says: real answers are compared with it, and every field is tried.

local json = require "dkjson";
local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";
local web = require "support.web";

local host = "localhost";
local python = process.target.."/python/bin/python";

server.each_series(describe, pending, function (series)
	describe("the OpenAPI document", function ()
		if not lfs.attributes(python, "mode") then
			pending("the Python packages are not here: tools/setup test installs them");
			return;
		end

		local prosody, document;

		local function get(path, token)
			return web.request(prosody.http_port, "GET", "/audit/api/v1"..path, { timeout = 60; headers = { Authorization = token and "Bearer "..token } });
		end

		lazy_setup(function ()
			prosody = server.start {
				series = series; storage = series == "0.12" and "internal" or "native"; hosts = { host };
				modules = { "audit", "audit_auth", "audit_http", "tokenauth" }; config = { audit_log_flood = false; admins = { "nurse@"..host } };
				base_modules = { "roster", "saslauth", "tls", "disco", "harness", "http", "admin_socket", "admin_shell" };
			};
			prosody:eval([[
				local host = ...;
				local core = require "audit_core";
				local context = module:context(host);
				for i = 1, 30 do
					context:audit(i % 3 > 0 and "romeo@"..host or nil, i % 2 == 0 and "authentication-failure" or "authentication-success", {
						session = { id = "c2s1"; type = "c2s"; ip = "203.0.113."..i; client_id = "phone" };
						actor = i % 5 == 0 and { kind = "adhoc"; jid = "nurse@"..host } or nil;
						custom = { core.detail("note", { name = "x"; reason = "\226\128\174" }, "a \"text\"\n"),
							i % 7 == 0 and core.detail("repeated", { count = 3; first = "2026-11-24T11:59:00Z"; last = "2026-11-24T12:00:00Z" }) or nil };
					});
				end
				flush_audit_log();
			]], host);
			local answer = get "/openapi.json";
			assert.equal(200, answer.status);
			document = json.decode(answer.body);
			process.write(prosody.folder.."/openapi.json", answer.body);
		end);

		lazy_teardown(function ()
			if prosody then prosody:stop(); end
		end);

		it("describes what is answered", function ()
			local function token(...)
				local status, out, err = prosody:ctl("mod_audit", "--token", ...);
				assert.equal(0, status, err);
				return (out:gsub("\n", ""));
			end
			local all, some = token("all", host), token("some", "--types", "authentication-*", host);
			-- Tokens of accounts, of a role that may read the log and of one that may not, and a token that has no role (Prosody 0.12).
			local function of_account(name, role)
				return prosody:eval([[
					local host, account, role = ...;
					local tokens = require "core.modulemanager".get_module(host, "tokenauth");
					if tokens.create_jid_token then return (tokens.create_jid_token(account, account, role, 3600)); end
					return (tokens.create_token(account, tokens.create_grant(account, account), role, 3600, "oauth2"));
				]], host, name.."@"..host, role);
			end
			prosody:adduser("nurse@"..host, "secret");
			prosody:adduser("romeo@"..host, "secret");
			local secrets = { all, some, of_account("nurse", "prosody:operator"), of_account("romeo", "prosody:registered"), "audit_wrong" };
			local place = json.decode(get("/entries?limit=5", all).body).next;
			local values = { ip = "203.0.113.0/24"; since = "1d"; ["until"] = "1d"; after = place };
			local file = assert(io.open(prosody.folder.."/answers", "w"));
			for path, description in pairs(document.paths) do
				local queries = { "", "?no-such-field=1", "?user=nobody", "?limit=x" };
				for _, parameter in ipairs(description.get.parameters) do
					local schema = parameter.schema;
					local value = schema.enum and schema.enum[1] or schema.type == "integer" and "5" or values[parameter.name] or "a*";
					local answer = get(path.."?"..parameter.name.."="..value, all);
					assert.equal(200, answer.status, path.." "..parameter.name);
					queries[#queries+1] = "?"..parameter.name.."="..value;
				end
				for _, query in ipairs(queries) do
					for i, secret in ipairs(secrets) do
						local answer = get(path..query, secret);
						if i == 4 then assert.equal(series == "0.12" and 401 or 403, answer.status, path..query); end
						if i == 3 then assert.equal(series ~= "0.12", answer.status ~= 401, path..query); end
						file:write(json.encode { path = path; status = answer.status; type = answer.headers["content-type"]; body = answer.body }, "\n");
					end
				end
			end
			file:close();
			local status, out, err = process.capture({ python, process.support.."/validate_api.py", prosody.folder.."/openapi.json",
				prosody.folder.."/answers" }, { timeout = 60 });
			assert.same({ 0, "\n" }, { status, out }, out..err);
		end);

		it("would not fit another answer", function ()
			process.write(prosody.folder.."/wrong", json.encode { path = "/stats"; status = 200; type = "application/json"; body = '{"host":"x"}' }.."\n");
			local status, out = process.capture({ python, process.support.."/validate_api.py", prosody.folder.."/openapi.json",
				prosody.folder.."/wrong" }, { timeout = 60 });
			assert.equal(1, status);
			assert.is_truthy(out:find("'entries' is a required property", 1, true), out);
		end);
	end);
end);
