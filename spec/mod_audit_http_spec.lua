local module_api = require "support.module_api";
local web_host = require "support.web_host";

describe("mod_audit_http", function ()
	local host;

	before_each(function () host = web_host.new(); end);
	after_each(function () host:finish(); end);

	it("serves files to everybody, and pages to those who are signed in", function ()
		for path, content_type in pairs { ["style.css"] = "text/css", ["script.js"] = "text/javascript", ["icon.svg"] = "image/svg" } do
			local file = host:request("GET", "/audit/"..path, { insecure = true });
			assert.equal(200, file.status);
			assert.is_truthy(file.headers.content_type:find(content_type, 1, true) and #file.body > 100);
		end
		for path, status in pairs { [""] = 403, account = 403, download = 403, live = 403, other = 404, ["api/v1/other"] = 404 } do
			assert.equal(status, host:request("GET", "/audit/"..path).status, path);
		end
		local cookie = host:sign_in("nurse");
		assert.equal(200, host:request("GET", "/audit/", { cookie = cookie }).status);
		assert.equal(404, host:request("GET", "/audit/other", { cookie = cookie }).status);
	end);

	it("describes itself to programs", function ()
		local answer = host:request("GET", "/audit/api/v1/openapi.json");
		assert.equal("application/json", answer.headers.content_type);
		local described = require "util.json".decode(answer.body);
		assert.equal("3.1.0", described.openapi);
		for path in pairs(described.paths) do
			assert.equal(401, host:request("GET", "/audit/api/v1"..path).status, path);
		end
	end);

	it("has the same headers on every answer", function ()
		for _, path in ipairs { "", "style.css", "other", "api/v1/entries", "sign-in" } do
			local headers = host:request("GET", "/audit/"..path).headers;
			assert.same({ "no-referrer", "nosniff", "DENY" }, { headers.referrer_policy, headers.x_content_type_options, headers.x_frame_options }, path);
			assert.is_truthy(headers.content_security_policy:find("default-src 'none'", 1, true), path);
		end
	end);

	it("shows nothing over HTTP, except to this machine", function ()
		local cookie = host:sign_in("nurse");
		for _, path in ipairs { "", "sign-in", "api/v1/entries", "live" } do
			local answer = host:request("GET", "/audit/"..path, { cookie = cookie; insecure = true });
			assert.is_true(answer.status == 403 and answer.body:find("HTTPS only", 1, true) ~= nil, path);
		end
		assert.equal(403, host:request("POST", "/audit/sign-in", { insecure = true; body = "link="..host:link("nurse") }).status);
		for _, ip in ipairs { "127.0.0.1", "::1", "::ffff:127.0.0.1" } do
			assert.equal(200, host:request("GET", "/audit/", { cookie = cookie; insecure = true; ip = ip }).status);
		end
	end);

	it("never breaks a request: its own fault is logged once and answered", function ()
		local cookie = host:sign_in("nurse");
		local access = host:shared().access;
		access.enter = function () error("trapped"); end;
		for _ = 1, 2 do
			assert.equal(500, host:request("GET", "/audit/", { cookie = cookie }).status);
		end
		assert.equal(1, #module_api.complaints("trapped"));
	end);

	it("sends no more than a piece of a long answer in one turn of the loop", function ()
		local cookie = host:sign_in("nurse");
		for i = 1, 60 do
			host.module:audit("romeo@"..host.name, "thing", { session = { ip = "192.0.2."..i; client_id = ("x"):rep(200) } });
		end
		local async = require "util.async";
		local sleep, turn, largest = async.sleep, 0, 0;
		finally(function () async.sleep = sleep; end);
		function async.sleep(...)
			turn = 0;
			return sleep(...);
		end
		local function wrote(count)
			turn = turn + count;
			largest = math.max(largest, turn);
		end
		for path, rows in pairs { [""] = 50, ["account?user=romeo@"..host.name] = 50, ["download?format=xml"] = 60 } do
			largest = 0;
			local answer = host:request("GET", "/audit/"..path, { cookie = cookie; wrote = wrote });
			assert.same({ 200, true }, { answer.status, answer.response.is_done }, path);
			-- With what frames a chunk.
			assert.is_true(largest > 8192 and largest <= 16384 + 64, path..": "..largest);
			assert.is_true(#answer.body > 2 * 16384, path..": "..#answer.body);
			local length = answer.headers.content_length;
			assert.equal(length or answer.headers.transfer_encoding, length and tostring(#answer.body) or "chunked");
			assert.equal(rows, select(2, answer.body:gsub(path:find("xml") and "<audit%-event" or "<li class=\"calm\"><details>", "")), path);
		end
	end);

	it("ends what it has begun when it is unloaded", function ()
		host.api:unload("audit_http");
		assert.is_nil(module_api.log().web[host.name]);
		assert.is_nil(host:request("GET", "/audit/").response.result);
	end);

	it("answers ad-hoc commands with a link", function ()
		local answer = host.api:adhoc("xmpp:prosody.im/audit#browser", { from = "nurse@"..host.name.."/x" }).answer;
		assert.is_truthy(answer.info:find("^https://[^ ]+/audit/sign%-in%?link=[%w_-]+$"), answer.info);
		for _, from in ipairs { "romeo@"..host.name, "nurse@elsewhere.test" } do
			answer = host.api:adhoc("xmpp:prosody.im/audit#browser", { from = from.."/x" }).answer;
			assert.is_truthy(answer.error and not answer.info);
		end
		answer = host.api:adhoc("xmpp:prosody.im/audit#my-browser", { from = "romeo@"..host.name.."/x" }).answer;
		assert.is_truthy(answer.info);
	end);
end);
