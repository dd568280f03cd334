-- Makes ad-hoc commands (XEP-0050) of a host.

-- The library of mod_adhoc. It is loaded once and for no host; what it does for its own host is done here for each host.
local adhoc = module:require "adhoc";

-- new_command(host_module, name, node, handler, permission) -> an item for host_module:provides("adhoc", ...)
return function (host_module, name, node, handler, permission)
	if permission == "admin" and host_module.default_permission then -- COMPAT 0.12: asks who is an administrator
		host_module:default_permission("prosody:admin", "adhoc:"..node);
		permission = "check";
	end
	return adhoc.new(name, node, handler, permission);
end
