-- Sinks over HTTP: lua/audit/sinks/http.lib.lua. Prosody's HTTP client is a stand-in.

local module_api = require "support.module_api";
local process = require "support.process";

describe("a sink over HTTP", function ()
	local real, requests, cancelled, told, transport;
	local settings, pool;

	before_each(function ()
		real = package.loaded["net.http"];
		requests, cancelled, told, pool = {}, 0, {}, {};
		package.loaded["net.http"] = {
			new = function ()
				return { pool = pool, request = function (_, url, options, callback)
					local request = { url = url, options = options, answer = callback, scheme = "http", authority = "collector.test" };
					table.insert(requests, request);
					-- As Prosody does, which opens a connection if it has none.
					local id = "http://collector.test";
					request.conn = pool[id] or { close = function (conn) conn.is_closed = true; end };
					pool[id], pool[request.conn] = nil, nil;
					return request;
				end };
			end;
			destroy_request = function (request, is_forced)
				cancelled = cancelled + 1;
				if is_forced and request.conn then request.conn:close(); end
				request.conn = nil;
			end;
		};
		local new = module_api.host():library "sinks/http";
		settings = { name = "hook", url = "http://collector.test/", content_type = "application/json", headers = { ["X-Test"] = "1" }, timeout = 5 };
		transport = new(module_api.host():load("audit").module, settings, {
			answered = function (status, retry_after) table.insert(told, status.." "..tostring(retry_after)); end;
			failed = function (problem) table.insert(told, problem); end;
		});
	end);
	after_each(function () package.loaded["net.http"] = real; end);

	it("posts a body with its headers, and reports the answer", function ()
		transport.send("[]");
		local request = requests[1];
		assert.same({ "http://collector.test/", "POST", "[]" }, { request.url, request.options.method, request.options.body });
		assert.same({ ["X-Test"] = "1", ["Content-Type"] = "application/json" }, request.options.headers);
		assert.is_true(request.options.suppress_url);
		request.answer("", 429, { headers = { ["retry-after"] = "7" } });
		transport.send("[]");
		requests[2].answer("connection refused", 0);
		assert.same({ "429 7", "connection refused" }, told);
	end);

	-- Answers the last request, as a receiver does that keeps the connection.
	local function accept(headers, more)
		local request = requests[#requests];
		local response = { headers = headers or {}, httpversion = "1.1", body_length = 0 };
		for name, value in pairs(more or {}) do response[name] = value; end
		request.answer("", 200, response, request);
		return pool["http://collector.test"];
	end

	it("keeps nothing of requests that were answered", function ()
		local seen = setmetatable({}, { __mode = "k" });
		for _ = 1, 20 do
			transport.send("[]");
			seen[requests[1]] = true;
			accept();
			table.remove(requests);
		end
		collectgarbage();
		collectgarbage();
		local left = 0;
		for _ in pairs(seen) do left = left + 1; end
		assert.is_true(left <= 1, left);
	end);

	it("uses a connection again if the receiver keeps it and the end of its answer is known", function ()
		local lengths = { body_length = false };
		for i, case in ipairs {
			{ true, {} }, { true, { connection = "Keep-Alive" } }, { false, { connection = "close" } }, { false, { connection = "TE, Close" } };
			{ false, {}, { httpversion = "1.0" } }, { true, { connection = "keep-alive" }, { httpversion = "1.0" } };
			{ false, {}, lengths }, { true, {}, { body_length = false, chunked = true } };
		} do
			transport.send("[]");
			local conn = requests[i].conn;
			assert.equal(case[1] and conn or nil, accept(case[2], case[3]), i);
			-- Prosody would put it into the pool just if it must not be used again.
			assert.is_nil(requests[i].conn, i);
			assert.equal(not case[1], conn.is_closed or false, i);
		end
		assert.equal(requests[1].conn, requests[2].conn);
	end);

	it("sends a request again if a connection that was used before has broken", function ()
		transport.send("1");
		local conn = requests[1].conn;
		accept();
		transport.send("2");
		assert.equal(conn, requests[2].conn);
		requests[2].answer("closed", 0, requests[2]);
		assert.equal("2", requests[3].options.body);
		assert.not_equal(conn, requests[3].conn);
		requests[3].answer("closed", 0, requests[3]);
		assert.same({ "200 nil", "closed" }, told);
		-- Its silence is a failure like any other.
		transport.send("3");
		accept();
		transport.send("4");
		module_api.pass(6);
		assert.equal(5, #requests);
		assert.equal("no answer within 5 seconds", told[#told]);
	end);

	it("closes a connection that is not used for a while, and that of a sink that ends", function ()
		transport.send("1");
		local conn = accept();
		module_api.pass(10);
		assert.is_nil(conn.is_closed);
		transport.send("2");
		assert.equal(conn, accept());
		module_api.pass(10);
		assert.is_nil(conn.is_closed);
		module_api.pass(10);
		assert.is_true(conn.is_closed);
		pool["http://collector.test"] = nil; -- as Prosody does then
		transport.send("3");
		conn = accept();
		transport.close();
		assert.is_true(conn.is_closed);
	end);

	it("says that a body is compressed", function ()
		settings.content_encoding = "gzip";
		transport.send("x");
		assert.equal("gzip", requests[1].options.headers["Content-Encoding"]);
		requests[1].answer("", 204);
	end);

	it("says what is wrong with a certificate or a name", function ()
		local conn = { close = function () end, socket = function ()
			return { getpeerverification = function () return false, { { "certificate has expired" } }; end };
		end };
		for i, case in ipairs {
			{ "certificate-chain-invalid", { conn = conn }, "its certificate is not trusted: certificate has expired" };
			{ "certificate-chain-invalid", {}, "its certificate is not trusted" };
			{ "certificate-verify-failed", { host = "collector.test" }, "its certificate is not for collector.test" };
			{ "unable to resolve service", nil, "its name can't be resolved" };
		} do
			transport.send("x");
			requests[i].answer(case[1], 0, case[2]);
			assert.equal(case[3], told[i]);
		end
	end);

	it("gives an answer up after a while, and ignores it then", function ()
		transport.send("[]");
		module_api.pass(6);
		requests[1].answer("", 200, { headers = {} });
		assert.same({ "no answer within 5 seconds" }, told);
		assert.equal(1, cancelled);
	end);

	it("reads the token each time", function ()
		settings.token_file = process.new_folder("sink").."/token";
		transport.send("[]");
		process.write(settings.token_file, "\n");
		transport.send("[]");
		process.write(settings.token_file, " abc\n");
		transport.send("[]");
		assert.is_truthy(told[1]:find("^the token can't be read: "));
		assert.equal("there is no token in "..settings.token_file, told[2]);
		assert.equal("Bearer abc", requests[1].options.headers.Authorization);
	end);

	it("signs the body with the secret, which is read each time", function ()
		settings.sign_file = process.new_folder("sink").."/secret";
		settings.sign = function (secret, body)
			if secret == "bad" then return nil, "the secret is wrong"; end
			return { ["webhook-signature"] = secret.." of "..body };
		end;
		transport.send("[1]");
		process.write(settings.sign_file, "bad\n");
		transport.send("[1]");
		process.write(settings.sign_file, "good\n");
		transport.send("[1]");
		assert.is_truthy(told[1]:find("^the secret can't be read: "));
		assert.equal("the secret is wrong", told[2]);
		assert.equal(1, #requests);
		assert.equal("good of [1]", requests[1].options.headers["webhook-signature"]);
	end);
end);
