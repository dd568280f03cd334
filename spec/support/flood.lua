-- Floods of failed logins on a real server, and what its log has about them. For the specs and benches/flood.lua.
--
--   local flood = require "support.flood";
--   flood.start(prosody, 100000, 50000);     -- by mod_test_flood: 100,000 events from 50,000 addresses and names
--   flood.wait(prosody);                     -- until all were fired
--   flood.calm(prosody);                     -- until the last summary is stored
--   local log = flood.log(prosody);
--   log.single + log.counted                 --> 100000

local process = require "support.process";
local socket = require "socket";

local flood = {};

local shared = "local flood = module:shared('/'..(...)..'/test_flood/flood'); ";

function flood.start(prosody, count, origins)
	prosody:eval(shared.."flood.start(select(2, ...));", prosody.host, count, origins);
end

function flood.listen(prosody)
	prosody:eval(shared.."flood.listen();", prosody.host);
end

function flood.report(prosody)
	return prosody:eval(shared.."return flood.report();", prosody.host);
end

function flood.wait(prosody, timeout)
	return process.wait_until(function ()
		return prosody:eval(shared.."return flood.left == 0;", prosody.host);
	end, timeout or 60, 0.05);
end

-- Reads the log in the server: single = failures with an entry of their own, summaries = entries that stand for several, counted = the
-- sum of their counts, at_least = how many of them have that mark, busiest = most entries of failures within a minute, others =
-- { [type] = number of entries of other types }.
local read_log = [[
	local host = ...;
	flush_audit_log();
	local store = assert(module:context(host):open_store("audit", "archive"));
	local log = { single = 0, counted = 0, summaries = 0, at_least = 0, accounts = 0, others = {} };
	local times = {};
	local function read(partition)
		for _, entry, when in assert(store:find(partition, {})) do
			local event_type = entry.attr.type;
			if event_type == "authentication-failure" then
				times[#times + 1] = when;
				local repeated = entry:get_child("repeated", "xmpp:prosody.im/audit");
				if repeated then
					log.summaries, log.counted = log.summaries + 1, log.counted + tonumber(repeated.attr.count);
					log.at_least = log.at_least + (repeated.attr["at-least"] and 1 or 0);
					log.accounts = math.max(log.accounts, tonumber(repeated.attr.accounts));
				else
					log.single = log.single + 1;
				end
			else
				log.others[event_type] = (log.others[event_type] or 0) + 1;
			end
		end
	end
	for user in store:users() do
		if type(user) == "string" and user ~= "" then read(user); end
	end
	table.sort(times);
	log.busiest = 0;
	local first = 1;
	for i, at in ipairs(times) do
		while times[first] <= at - 60 do first = first + 1; end
		log.busiest = math.max(log.busiest, i - first + 1);
	end
	return log;
]];

function flood.log(prosody)
	return prosody:eval(read_log, prosody.host);
end

-- Waits until flood control has stored its counts, and no entry waits for the store, on the first host or another one.
function flood.calm(prosody, timeout, host)
	return process.wait_until(function ()
		return prosody:eval([[
			local log = module:shared("/*/audit/log").log;
			return not log or log.waiting(...) == 0 and not log.is_counting(...);
		]], host or prosody.host);
	end, timeout or 30, 0.1);
end

-- Registers an account before a flood, which is in the log too.
function flood.register(prosody, username)
	prosody:adduser(username.."@"..prosody.host, "secret");
	prosody:eval([[
		local host, username = ...;
		local session = { id = "c2s1", type = "c2s_unauthed", ip = "203.0.113.7", host = host };
		prosody.hosts[host].events.fire_event("user-registered", { username = username, host = host, session = session });
	]], prosody.host, username);
end

-- Failures over real connections, each from an address and network of its own in 127.0.0.0/8, with several failures of one name by
-- SASL PLAIN. The server must allow it without encryption. Returns how many were refused.
function flood.connect(prosody, connections, attempts)
	local raw = require "support.raw_client";
	local refused = 0;
	for i = 1, connections do
		local stream = assert(raw.connect(prosody, { tls = false, address = ("127.%d.%d.9"):format(1 + i // 250, i % 250) }));
		for _ = 1, attempts do
			local ok, condition = stream:plain("guest"..i, "wrong");
			assert(ok == false, condition);
			refused = refused + 1;
		end
		stream:close();
	end
	return refused;
end

-- Ends a flood early.
function flood.stop(prosody)
	prosody:eval(shared.."flood.stop();", prosody.host);
end

-- Logs in again and again during a flood, for at most that many seconds -> number of logins, longest time of a login in seconds
function flood.logins(prosody, username, seconds)
	local raw = require "support.raw_client";
	local count, longest, started = 0, 0, socket.gettime();
	repeat
		local began = socket.gettime();
		assert(raw.login(prosody, username, "secret", { tls = false }));
		longest = math.max(longest, socket.gettime() - began);
		count = count + 1;
	until prosody:eval(shared.."return flood.left == 0;", prosody.host) or socket.gettime() - started > (seconds or 60);
	return count, longest;
end

return flood;
