-- What prosodyctl asks the running server for, over the admin socket: reading/socket.lib.lua receives the requests.

local readings = library "reading/readings";

-- Anybody who can open the socket can send any name.
local KNOWN_SOURCES = { login = "login"; environment = "environment" };

local actor = { kind = "admin-shell" };

-- requests(audited hosts, sealing, erasing) -> table of functions: name of the request -> function(attributes) -> a text | nil, what is wrong
return function (audited_hosts, sealing, erasing)
	local requests = {};

	requests.erase = erasing.erase;
	requests.web = library "web/asking".ask;

	requests["new-seal"] = function (attr)
		return sealing.replace { replace = attr.replace == "true"; by = attr.by; by_source = KNOWN_SOURCES[attr.by_source]; actor = actor };
	end;

	function requests.prune(attr)
		if not audited_hosts[attr.host] then
			return nil, "mod_audit is not loaded on it";
		end
		local results, problem = readings.prune(attr.host, { trust_clock = attr.trust_clock == "true"; actor = actor });
		if not results then
			return nil, problem;
		end
		return readings.describe(attr.host, results);
	end

	function requests.record(attr)
		if not audited_hosts[attr.host] then
			return nil, "mod_audit is not loaded on "..tostring(attr.host);
		end
		return readings.record(attr.host, {
			through = "prosodyctl"; filter = attr.filter; entries = attr.entries; exported = attr.exported; format = attr.format;
			file = attr.file; by = attr.by; by_source = KNOWN_SOURCES[attr.by_source]; claimed = true; actor = actor;
		});
	end

	return requests;
end
