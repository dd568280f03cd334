-- Finds logs of hosts that are not configured any more.

local config = require "core.configmanager";
local datamanager = require "util.datamanager";
local lfs = require "lfs";

local leftovers = {};

local function is_of_a_log(name)
	return name == "audit" or name:find("^audit%.") ~= nil;
end

local function has_log(folder)
	local ok, names, state = pcall(lfs.dir, folder);
	if not ok then return false; end
	for name in names, state do
		if is_of_a_log(name) then
			return true;
		end
	end
	return false;
end

-- find() -> sorted names of hosts that have files of a log in Prosody's data, but are not configured. Logs that are only in a
-- database are not found: that would take a query over all of it.
function leftovers.find()
	local configured, found = config.getconfig(), {};
	local ok, names, state = pcall(lfs.dir, prosody.paths.data);
	if not ok then return found; end
	for name in names, state do
		local host = datamanager.path_decode(name);
		-- A name that is encoded differently is not the folder of a host.
		if name:sub(1, 1) ~= "." and datamanager.path_encode(host) == name and not rawget(configured, host) and not prosody.hosts[host]
				and has_log(prosody.paths.data.."/"..name) then
			table.insert(found, host);
		end
	end
	table.sort(found);
	return found;
end

-- activate(host) -> true | nil, what is wrong. Makes such a host known to this process, which is prosodyctl.
function leftovers.activate(host)
	if prosody.hosts[host] then
		return nil, ("%s is configured: name it without --host-data"):format(host);
	end
	rawset(prosody.hosts, host, {
		host = host; type = "local"; events = prosody.events; modules = {}; sessions = {};
		users = require "core.usermanager".new_null_provider(host);
	});
	return true;
end

return leftovers;
