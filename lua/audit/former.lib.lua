-- What other storage drivers than that of the log hold of its entries: drivers to move entries from, and what stays in audit.sqlite3.

local lfs = require "lfs";
local storagemanager = require "core.storagemanager";

local former = {};

-- open(host, driver, store) -> archive store of a driver that need not be the configured one | nil, message
function former.open(host, name, store)
	local driver = prosody.hosts[host] and name ~= "null" and storagemanager.load_driver(host, name);
	if not driver then
		return nil, ("the storage driver %s can't be loaded"):format(name);
	end
	return driver:open(store, "archive");
end

-- has_native() -> whether there is a file of the driver "audit"
function former.has_native()
	return lfs.attributes(prosody.paths.data.."/audit.sqlite3", "size") ~= nil;
end

-- warn(audit_log, hosts): says for which of the hosts entries stay in that file
function former.warn(audit_log, audited_hosts)
	for host in pairs(audited_hosts) do
		local count, driver = audit_log.left_behind(host);
		if count then
			module:log("warn", "%d audit events of %s are in audit.sqlite3, which is not used any more, and are not shown. "
				.."To move them to the storage driver %s: audit_log_move_from = \"audit\"", count, host, driver);
		end
	end
end

return former;
