-- Sinks over HTTP: lua/audit/sinks/http.lib.lua. Prosody's HTTP client is a stand-in.

local module_api = require "support.module_api";
local process = require "support.process";

describe("a sink over HTTP", function ()
	local real, requests, cancelled, told, transport;
	local settings;

	before_each(function ()
		real = package.loaded["net.http"];
		requests, cancelled, told = {}, 0, {};
		package.loaded["net.http"] = {
			new = function ()
				return { request = function (_, url, options, callback)
					table.insert(requests, { url = url, options = options, answer = callback });
					return requests[#requests];
				end };
			end;
			destroy_request = function () cancelled = cancelled + 1; end;
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

	it("says that a body is compressed", function ()
		settings.content_encoding = "gzip";
		transport.send("x");
		assert.equal("gzip", requests[1].options.headers["Content-Encoding"]);
		requests[1].answer("", 204);
	end);

	it("says what is wrong with a certificate or a name", function ()
		local conn = { socket = function ()
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
end);
