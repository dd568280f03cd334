-- Measures what the log in a browser costs a real server: lua5.4 benches/web.lua [options]
--
--   --series=A,B       default: the newest release of each series under target/prosody/
--   --entries=N        entries in the log; default 200000
--   --views=N          live views; default 10
--   --rounds=N         rounds of logins without and with live views, in turns; default 7
--   --logins=N         logins in a round; default 400
--   --realtime         gives the server a real-time priority, so that what else the machine does counts less; as root
--
-- The first table compares logins a second, and the processor time of a login, without and with live views that show each of them. The
-- second has the longest hold of the server's loop by each page, download, live view and answer to a program: by the clock, in processor
-- time, which says more on a busy machine, and in processor time while Lua's garbage collector is stopped, which is what our code takes
-- itself. Logins alone, and one full collection, are what Prosody does without us. The log is in our own store.

local here = arg[0]:match("^(.*)/") or ".";
package.path = here.."/../spec/?.lua;"..package.path;

local figures, flags, run = dofile(here.."/figures.lua"), dofile(here.."/flags.lua"), dofile(here.."/run.lua");
local crowd = require "support.crowd";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";
local web = require "support.web";

local options = flags.parse { series = flags.all_series; entries = 200000; views = 10; rounds = 7; logins = 400; realtime = false };

local host, password = "localhost", "correct horse";
local admin = "nurse@"..host;

local function start(series)
	local prosody = server.start {
		series = series; hosts = { host }; modules = { "audit", "audit_auth", "audit_http", "loop_watch" }; storage = "native";
		base_modules = { "roster", "saslauth", "tls", "disco", "adhoc", "harness", "http", "admin_socket", "admin_shell" };
		plugin_paths = { process.root.."/lua", process.root.."/benches/modules" };
		config = { admins = { admin }; allow_unencrypted_plain_auth = true; audit_log_flood = false; audit_log_location = false };
		host_config = { [host] = { c2s_require_encryption = false } };
		log_level = "info"; eval_timeout = 600; start_timeout = 60;
	};
	for _, jid in ipairs { admin, "romeo@"..host } do prosody:adduser(jid, password); end
	for begin = 1, options.entries, 10000 do
		prosody:eval([[
			local host, begin, count, all = ...;
			local context, at = module:context(host), os.time() - 86400 * 20;
			for i = begin, begin + count - 1 do
				context:audit(("user%d@%s"):format(i % 2000, host), i % 5 == 0 and "authentication-failure" or "authentication-success", {
					session = { ip = ("203.0.%d.%d"):format(i % 250, i % 199); client_id = "client-"..i % 50 }; timestamp = at + i * 86400 * 19 / all;
				});
			end
			flush_audit_log();
		]], host, begin, math.min(10000, options.entries - begin + 1), options.entries);
	end
	return prosody;
end

local function sign_in(prosody)
	local _, out = prosody:ctl("mod_audit", "--link", admin);
	local answer = web.request(prosody.http_port, "POST", "/audit/sign-in", { body = "link="..assert(out:match("link=([%w_-]+)"), out) });
	return assert(web.cookie(answer), answer.body);
end

-- The processor time of the server's thread, in seconds.
local function cpu_of(prosody)
	return tonumber(process.read(("/proc/%d/task/%d/schedstat"):format(prosody.pid, prosody.pid)):match("^%d+")) / 1e9;
end

local function watch(prosody, cookie)
	return crowd.gather(prosody.http_port, options.views,
		("GET /audit/live HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n"):format(host, cookie), 60);
end

-- log_in(prosody) -> logins a second, processor time of one in microseconds
local function log_in(prosody)
	local before = cpu_of(prosody);
	local result = run.log_in(prosody, "romeo", password, options.logins, 8);
	if result.successes ~= options.logins then error("logins failed", 0); end
	-- With what comes after them: entries go to the store, and to the live views.
	socket.sleep(1.5);
	return result.rate, (cpu_of(prosody) - before) * 1e6 / options.logins;
end

local function compare(prosody, cookie)
	local rates, costs = { {}, {} }, { {}, {} };
	local shares = { {}, {} };
	for round = 0, options.rounds do
		local rate, cost = {}, {};
		for _, side in ipairs(round % 2 == 0 and { 1, 2 } or { 2, 1 }) do
			local views = side == 2 and watch(prosody, cookie);
			rate[side], cost[side] = log_in(prosody);
			if views then views:leave(); end
			socket.sleep(0.5);
		end
		if round > 0 then -- the first warms up
			for side = 1, 2 do
				table.insert(rates[side], rate[side]);
				table.insert(costs[side], cost[side]);
			end
			table.insert(shares[1], rate[2] / rate[1]);
			table.insert(shares[2], cost[1] / cost[2]);
		end
	end
	local line = "%-22s %12s %24s\n";
	io.write(line:format("live views", "logins/s", "processor time, µs"));
	for side, name in ipairs { "none", tostring(options.views) } do
		io.write(line:format(name, ("%.0f"):format(figures.median(rates[side])), ("%.0f"):format(figures.median(costs[side]))));
	end
	local function percent(values) return ("%.1f %%"):format(100 * figures.median(values)); end
	io.write(line:format("share, by rounds", percent(shares[1]), percent(shares[2])), "\n");
end

local function holds(prosody, cookie)
	local line = "%-34s %12s %14s %18s %12s %12s\n";
	io.write(line:format("", "held, ms", "processor, ms", "no collector, ms", "took, s", "KiB"));
	-- watched(act) -> the longest hold in milliseconds, by the clock and in processor time, how long it took, what act() returned
	local function watched(act, collector)
		prosody:eval("collectgarbage(); collectgarbage(...)", collector);
		-- This is itself in a turn of the loop.
		socket.sleep(0.1);
		prosody:eval("module:shared('/*/loop_watch/watch').reset()");
		local began = socket.gettime();
		local result = act();
		local took = socket.gettime() - began;
		local held, worked = prosody:eval("local watch = module:shared('/*/loop_watch/watch'); return watch.longest, watch.busiest");
		prosody:eval("collectgarbage('restart')");
		return held * 1000, worked * 1000, took, result;
	end
	local function say(name, act)
		local longest, busiest, alone, took, size = math.huge, math.huge, math.huge, nil, nil;
		for _ = 1, 3 do
			local held, worked;
			held, worked, took, size = watched(act, "restart");
			longest, busiest = math.min(longest, held), math.min(busiest, worked);
		end
		for _ = 1, 2 do
			local _, worked = watched(act, "stop");
			alone = math.min(alone, worked);
		end
		local function one(value) return ("%.1f"):format(value); end
		io.write(line:format(name, one(longest), one(busiest), one(alone), ("%.2f"):format(took), size and ("%.0f"):format(size / 1024) or ""));
		io.flush();
	end
	local collection, heap = run.collection(prosody);
	local function get(path, headers)
		return function ()
			local answer = web.request(prosody.http_port, "GET", "/audit/"..path, { headers = headers or { Cookie = cookie }; timeout = 300 });
			if answer.status ~= 200 or answer.incomplete then error(path..": "..answer.status, 0); end
			return #answer.body;
		end;
	end
	io.write(line:format("one full collection", "", ("%.1f"):format(collection), "", "", ("%.0f"):format(heap)));
	say("nothing", function () socket.sleep(1); end);
	say("logins", function () log_in(prosody); end);
	say("the search", get "");
	say("the search, a filter", get "?type=authentication-failure");
	say("the search, nothing fits", get "?user=nobody");
	say("an account", get "account?user=user7");
	say("a network", get "network?ip=203.0.7.0/24");
	for _, format in ipairs { "table", "json", "csv", "xml", "ocsf", "ecs", "cef", "syslog", "otlp" } do
		say("download, "..format, get("download?format="..format.."&limit="..math.min(20000, options.entries)));
	end
	local _, token = prosody:ctl("mod_audit", "--token", "bench", host);
	for _, path in ipairs { "entries?limit=1000", "stats" } do
		say("a program, "..path, get("api/v1/"..path, { Authorization = "Bearer "..token:gsub("\n", "") }));
	end
	say("live views are opened", function ()
		local views = watch(prosody, cookie);
		socket.sleep(1);
		views:leave();
	end);
	local views = watch(prosody, cookie);
	say(options.views.." live views, logins", function () log_in(prosody); end);
	say(options.views.." live views, 2,000 at once", function ()
		prosody:eval("for i = 1, 2000 do module:context((...)):audit('romeo@'..(...), 'thing', { session = { ip = '203.0.113.7' } }); end", host);
		prosody:eval("module:shared('/*/loop_watch/watch').reset()");
		socket.sleep(2.5);
	end);
	views:leave();
	print("");
end

run.each_series("bench-web", options.series, function (series)
	print(("Prosody %s, %d entries"):format(flags.title(series), options.entries));
	print("");
	local prosody = start(series);
	run.server(prosody, series, function ()
		local cookie = sign_in(prosody);
		if options.realtime then run.real_time(prosody); end
		compare(prosody, cookie);
		holds(prosody, cookie);
	end);
end);
