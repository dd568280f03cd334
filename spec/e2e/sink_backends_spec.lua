-- Sinks with each network backend that Prosody has. The other specs of sinks use the usual one, epoll.

local process = require "support.process";
local receiver = require "support.receiver";
local server = require "support.server";

server.each_series(describe, pending, function (series)
	local prosody;

	after_each(function ()
		server.stop_all();
		receiver.stop_all();
	end);

	local function record(first, last) receiver.record(prosody, first, last); end

	for name, backend in pairs { select = "select"; libevent = "event" } do
		it("miss nothing with "..name.." when receivers read nothing, and when they and the server die", function ()
			local certificate, key = server.certificate("localhost");
			local secured = { certificate = certificate, key = key };
			local receivers = {
				tls = receiver.start { kind = "stream"; certificate = secured.certificate; key = secured.key };
				tcp = receiver.start { kind = "stream" }, unix = receiver.start { kind = "unix" };
				https = receiver.start { kind = "http"; certificate = secured.certificate; key = secured.key };
				http = receiver.start { kind = "http" };
			};
			local problem;
			prosody, problem = server.try_start {
				series = series, modules = { "audit", "audit_sinks" }, storage = "native";
				config = {
					network_backend = backend;
					audit_log_sinks = {
						tls = { to = "tls://localhost:"..receivers.tls.port, cafile = certificate };
						tcp = { to = "tcp://127.0.0.1:"..receivers.tcp.port }, unix = { to = "unix:"..receivers.unix.path };
						-- COMPAT 0.12: with select, an answer over TLS may lie there unread. The request is tried again after this time.
						https = { to = "https://localhost:"..receivers.https.port.."/", cafile = certificate, batch = 20, timeout = 1 };
						http = { to = "http://127.0.0.1:"..receivers.http.port.."/", batch = 20, timeout = 1 };
					};
				};
			};
			if not prosody and tostring(problem):find("luaevent", 1, true) then
				pending("lua-event is not here");
				return;
			end
			assert.is_truthy(prosody, problem);
			local function assert_all(last)
				for of, one in pairs(receivers) do
					local ok, why = one:has_all(last);
					assert.is_true(ok, of..": "..tostring(why));
				end
			end
			record(1, 100);
			assert_all(100);
			-- What it can't write waits, and the others go on.
			receivers.tls:mood("deaf");
			receivers.http:mood("hangs");
			record(101, 200);
			assert.is_true(receivers.tcp:has_all(200));
			assert.is_truthy(prosody:wait_log("can't be sent to the sink http "));
			receivers.tls:mood();
			receivers.http:mood();
			assert_all(200);
			-- In the middle of a batch.
			for _, of in ipairs { "tls", "tcp", "http", "https" } do receivers[of]:mood("dies 30"); end
			record(201, 300);
			for _, of in ipairs { "tls", "tcp", "http", "https" } do
				assert.is_truthy(process.wait_until(function () return not receivers[of].child:alive(); end), of);
			end
			prosody:kill();
			for _, of in ipairs { "tls", "tcp", "http", "https" } do
				receivers[of]:mood();
				receivers[of]:kill();
				receivers[of]:start();
			end
			prosody:start();
			record(301, 310);
			assert_all(310);
			assert.same({}, prosody:lines_with("Traceback"));
		end);
	end
end);
