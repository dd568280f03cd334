-- Makes the stores of hosts known to this process, which is prosodyctl.

local events = require "util.events";
local storagemanager = require "core.storagemanager";

local hosts = prosody.hosts;
-- The hosts that were activated.
local active = {};

-- activate(host) -> true | nil: there is no such host
return function (host)
	if host == "*" or not hosts[host] then
		return nil;
	end
	if not active[host] then
		active[host] = true;
		-- COMPAT Prosody 0.12 and 13.0: in prosodyctl all hosts have the same events, by which a storage driver says for which host it was
		-- loaded. Every host would use the store of the host whose driver was loaded last.
		rawset(hosts[host], "events", events.new());
		storagemanager.initialize_host(host);
	end
	return true;
end
