-- Offers the ad-hoc commands (XEP-0050): the log for administrators, and the recent activity of the own account for all users. A command
-- is loaded when somebody uses it first: Prosody's garbage collector looks at everything that is loaded again and again.

local later = require "audit_core".later;

local account_ends = library "reading/account_ends";
local new_audit = library "audit";
local new_command = library "reading/commands";

local shared = module:shared("/*/audit/log");

local NODE = "xmpp:prosody.im/audit#";

-- add_commands(host_module): gives a host these commands.
return function (host_module)
	local host = host_module.host;

	local of_log = later(function () return library "reading/log_commands" (host); end, "log summary");
	host_module:provides("adhoc", new_command(host_module, "Audit log", NODE.."log", of_log.log, "admin"));
	host_module:provides("adhoc", new_command(host_module, "Audit summary", NODE.."summary", of_log.summary, "admin"));

	local audit = new_audit(host_module);
	if not audit:option("audit_user_history") or host_module:get_host_type():find("component", 1, true) then
		return;
	end
	account_ends(audit);

	local of_own = later(function () return library "reading/history" (host_module); end, "show download rows");
	local node = NODE.."history";
	host_module:provides("adhoc", new_command(host_module, "Recent account activity", node, of_own.show, "local_user"));
	host_module:provides("adhoc", new_command(host_module, "Recent account activity: Download", node.."-download", of_own.download, "local_user"));

	-- histories[host](account, size, place after which it begins | nil): the same in a browser. history.lib.lua describes it.
	shared.histories = shared.histories or {};
	shared.histories[host] = of_own.rows;
end
