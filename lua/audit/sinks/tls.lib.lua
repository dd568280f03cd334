-- context(settings) -> a TLS context for a sink, which trusts nobody without a certificate | nil, message
--
-- A handshake with a certificate that is not trusted comes to its end, because the reason is only known then. What uses the context checks
-- the certificate before it sends anything (problems.lib.lua, net.http).

local create_context = require "core.certmanager".create_context;
local config = require "core.configmanager";

local io_open, ipairs, tostring, type = io.open, ipairs, tostring, type;

return function (settings)
	for _, field in ipairs { "cafile", "certificate", "key" } do
		local path = settings[field];
		local file, err;
		if path then file, err = io_open(path); end
		if file then
			file:close();
		elseif path then
			return nil, ("%s can't be read: %s"):format(field, err);
		end
	end
	local global = config.get("*", "ssl");
	global = type(global) == "table" and global or {};
	-- Without port 0, a certificate of the server would be looked for.
	local context, err = create_context("audit_sinks port 0", "client", {
		cafile = settings.cafile or global.cafile; capath = not settings.cafile and global.capath or nil;
		certificate = settings.certificate; key = settings.key; verify = "peer", verifyext = { "lsec_continue" };
	});
	if not context then
		return nil, tostring(err);
	end
	return context;
end
