-- A log of this process with the journals of all hosts, for what prosodyctl does while the server is stopped.

local core = require "audit_core";

local datamanager = require "util.datamanager";

-- open(hosts, environment) -> log, finish
--   hosts         list of all hosts, which prosodyctl has activated
--   environment   as the log of mod_audit has it
--   finish        function(): hands over what was recorded, and closes the journals
local function open(hosts, environment)
	local log = core.new(setmetatable({
		schedule = function () end;
		journal_path = function (host) return datamanager.getpath(nil, host, "audit", "journal", true); end;
	}, { __index = environment }));
	for _, host in ipairs(hosts) do log.open(host); end
	return log, function ()
		for _, host in ipairs(hosts) do log.flush(host, 1); end
		log.close();
	end;
end

return { open = open };
