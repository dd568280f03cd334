-- Sinks with the programs that operators use as receivers: rsyslog, syslog-ng, nginx, and OpenTelemetry's published definitions.
-- AUDIT_SINKS_ENTRIES and AUDIT_SINKS_KILLS make it a soak test (make soak-sinks).

local json = require "dkjson";
local process = require "support.process";
local receiver = require "support.receiver";
local recipes = require "support.recipes";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;
local ENTRIES = tonumber(os.getenv("AUDIT_SINKS_ENTRIES")) or 300;
local KILLS = tonumber(os.getenv("AUDIT_SINKS_KILLS")) or 1;
-- Each kill may have everything sent again. Other programs may need the processor, too.
local PATIENCE = 60 + ENTRIES / 20;

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(function ()
		server.stop_all();
		receiver.stop_all();
	end);

	local function start(sinks)
		prosody = server.start {
			series = series; modules = { "audit", "audit_sinks" }; storage = "native"; log_level = "info"; config = { audit_log_sinks = sinks };
		};
	end

	local function record(first, last) receiver.record(prosody, first, last); end

	local function has_all(one, last, name)
		local ok, why = one:has_all(last, PATIENCE);
		assert.is_true(ok, name..": "..tostring(why):sub(-300));
	end

	local certificate, key = server.certificate("localhost");
	local addresses = {
		tls = function (one) return { to = "tls://localhost:"..one.port, cafile = certificate }; end;
		tcp = function (one) return { to = "tcp://127.0.0.1:"..one.port }; end;
		unix = function (one) return { to = "unix:"..one.path }; end;
	};

	for _, program in ipairs { "rsyslog", "syslog-ng" } do
		it("carries everything to "..program.." over TLS, TCP and a Unix socket, through kills of both", function ()
			local available, why = recipes.available(program);
			if not available then return pending(why); end
			local all, sinks = {}, {};
			for name, address in pairs(addresses) do
				local is_tls = name == "tls";
				all[name] = receiver.start { kind = program, is_unix = name == "unix", certificate = is_tls and certificate, key = is_tls and key };
				sinks[name] = address(all[name]);
			end
			start(sinks);
			local last = 0;
			for kill = 1, KILLS do
				local goal = math.floor(ENTRIES * kill / KILLS);
				local middle = math.floor((last + goal) / 2);
				record(last + 1, middle);
				for _, one in pairs(all) do one:kill(); end
				record(middle + 1, goal);
				prosody:kill();
				for _, one in pairs(all) do
					os.remove(one.path);
					one:start();
				end
				prosody:start();
				last = goal;
			end
			for name, one in pairs(all) do has_all(one, last, name); end
		end);
	end

	it("carries everything as OpenTelemetry's logs to a receiver behind a web server that fails", function ()
		local http = receiver.start { kind = "http", otlp = true };
		local available = recipes.available("nginx");
		local front = available and receiver.start { kind = "nginx", behind = http.port } or http;
		start { hook = { to = "http://127.0.0.1:"..front.port.."/v1/logs", format = "otlp", batch = 50 } };
		record(1, math.floor(ENTRIES / 2));
		http:mood("dies "..math.floor(ENTRIES / 4));
		record(math.floor(ENTRIES / 2) + 1, ENTRIES);
		assert.is_truthy(process.wait_until(function () return not http.child:alive(); end, PATIENCE));
		http:mood();
		http:start();
		has_all(http, ENTRIES, "otlp");
		local entry = json.decode(http:lines()[1]);
		assert.same({ host, "INFO", "mod_harness" }, { entry.host, entry.severity, entry.source });
		assert.is_true(math.abs(entry.time / 1e9 - socket.gettime()) < 3600);
	end);

	it("does not hold the loop for a receiver that is slow or does not read", function ()
		local slow, deaf = receiver.start { kind = "stream" }, receiver.start { kind = "stream" };
		slow:mood("slow");
		deaf:mood("deaf");
		start { slow = { to = "tcp://127.0.0.1:"..slow.port }, deaf = { to = "tcp://127.0.0.1:"..deaf.port } };
		record(1, ENTRIES);
		slow:mood();
		deaf:mood();
		has_all(slow, ENTRIES, "slow");
		has_all(deaf, ENTRIES, "deaf");
	end);
end);
