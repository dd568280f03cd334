-- Checks whether other users of the machine can read the log. Files that this module writes itself can only be read by Prosody's user
-- (0600). Files of a storage driver have the permissions of Prosody's umask, and Prosody 13.0.0 to 13.0.6 does not set one.

local core = require "audit_core";

local config = require "core.configmanager";
local datamanager = require "util.datamanager";
local paths = require "util.paths";
local storagemanager = require "core.storagemanager";

local exposure = {};

-- The SQLite file in which the log of a host is | nil
local function sqlite_file(host)
	local ok, _, driver = pcall(storagemanager.get_driver, host, "audit");
	local params = config.get(host, "sql") or { driver = "SQLite3" };
	if not ok or driver ~= "sql" or type(params) ~= "table" or params.driver ~= "SQLite3" then
		return nil;
	end
	return paths.resolve_relative_path(prosody.paths.data or ".", tostring(params.database or "prosody.sqlite"));
end

-- find(hosts) -> the file or folder of a log that others can read | nil. `hosts` has the names as keys.
function exposure.find(hosts)
	-- If nobody else may enter the data folder, there is no need to look at each host.
	local is_open = core.others_can_read(prosody.paths.data);
	for host in pairs(hosts) do
		if is_open then
			local folder = datamanager.getpath("any", host, "audit", "list"):gsub("/[^/]*$", "");
			local file = datamanager.getpath(nil, host, "audit", "list"); -- audit_log_layout = "single", and older modules
			if core.others_can_read(folder) then return folder; end
			if core.others_can_read(file) then return file; end
		end
		local file = sqlite_file(host);
		if file and core.others_can_read(file) then return file; end
	end
end

-- warn(hosts): logs a warning once
function exposure.warn(hosts)
	local found = exposure.find(hosts);
	if found then
		module:log("warn", "All users of this machine can read the audit log, such as %s. To prevent that: chmod o-rwx %s",
			found, core.others_can_read(prosody.paths.data) and found:find(prosody.paths.data, 1, true) == 1 and prosody.paths.data or found);
	end
end

return exposure;
