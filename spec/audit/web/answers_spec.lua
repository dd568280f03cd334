-- Answers over HTTP: lua/audit/web/answers.lib.lua.

local module_api = require "support.module_api";

describe("answers over HTTP", function ()
	local answers = module_api.host():library "audit/web/answers";

	it("know how much is unsent, with each network backend", function ()
		local buffer = { length = function () return 7; end };
		for _, case in ipairs {
			{ {}, 0 }, { { writebuffer = "abc" }, 3 }, { { writebuffer = { "ab", "cd" } }, 4 }, { { writebuffer = buffer }, 7 },
			{ { writebuffer = {}; writebufferlen = 9 }, 9 }, { { bufferlen = function () return 5, 1, 2; end }, 5 }, { { writebuffer = {} }, 0 },
		} do
			assert.equal(case[2], answers.unsent(case[1]));
		end
	end);

	it("read forms that are short enough", function ()
		assert.same({ link = "a b" }, answers.form { body = "link=a+b" });
		assert.is_nil(answers.form { body = ("x"):rep(10000) });
		assert.is_nil(answers.form { body = false });
	end);

	it("take forms from pages of ours only, if the browser tells", function ()
		for site, is_own in pairs { ["same-origin"] = true, none = true, ["same-site"] = false, ["cross-site"] = false } do
			assert.equal(is_own, answers.is_own { headers = { sec_fetch_site = site } }, site);
		end
		assert.is_true(answers.is_own { headers = {} });
	end);

	local function new_response(version)
		local response = { request = { httpversion = version }; headers = {}; sent = {}; conn = {} };
		function response.conn.write(_, text) table.insert(response.sent, text); end
		function response.write_headers() end
		function response.done() response.is_done = true; end
		return response;
	end

	it("are sent piece by piece, in chunks where the reader knows them", function ()
		local response = new_response("1.1");
		local stream = answers.stream(response, "text/plain");
		assert.is_true(stream:put("hello") and stream:put(""));
		stream:finish();
		assert.same({ "5\r\nhello\r\n", "0\r\n\r\n" }, response.sent);
		assert.is_true(response.is_done and not stream:put("more"));
		response = new_response("1.0");
		stream = answers.stream(response, "text/plain");
		stream:put("hello");
		stream:finish();
		assert.same({ { "hello" }, "close", false }, { response.sent, response.headers.connection, response.persistent });
	end);

	it("wait for a reader that is slow, and give up one that takes nothing", function ()
		local response = new_response("1.1");
		local stream = answers.stream(response, "text/plain");
		local waiting = 200 * 1024;
		stream.unsent = function () return waiting; end;
		assert.is_true(stream:put_slowly("a", function () waiting = waiting - 60000; end));
		assert.equal(1, #response.sent);
		waiting = 200 * 1024;
		assert.is_false(stream:put_slowly("b", function () module_api.pass(1); end));
		response.on_destroy();
		assert.is_false(stream:put("c"));
	end);

	it("end at once, with what is unsent, if they are not complete", function ()
		for _, backend in ipairs { "epoll", "select" } do
			local response = new_response("1.1");
			local done = {};
			function response.conn.close() table.insert(done, "close"); end
			if backend == "epoll" then
				function response.conn.on(_, what) table.insert(done, what); end
				function response.conn.destroy() table.insert(done, "destroy"); end
			end
			local stream = answers.stream(response, "text/plain");
			stream:abort();
			assert.same(backend == "epoll" and { "disconnect", "destroy" } or { "close" }, done);
			assert.is_true(stream.gone and not response.is_done);
		end
	end);
end);
