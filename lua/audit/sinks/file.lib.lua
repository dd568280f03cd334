-- Appends each entry to a file, with one write.
--
-- file(module, settings, on) -> transport | nil, message; settings and on as datagram.lib.lua has them, and
--   on.failed(problem)
-- transport.reopen(): after the file got another name (logrotate)

local core = require "audit_core";

return function (_, settings, on)
	local file, missing = core.log_file(settings.path);
	if not file then
		return nil, missing;
	end

	local transport = {};

	function transport.send(texts)
		local err;
		if not file then
			file, err = core.log_file(settings.path);
		end
		for i = 1, file and #texts or 0 do
			local ok;
			ok, err = file:append(texts[i]);
			if not ok then
				on.sent(i - 1);
				break;
			end
		end
		if err then
			file = nil;
			on.failed(settings.path..": "..err);
		else
			on.sent();
		end
	end

	function transport.reopen()
		file = nil;
	end

	transport.close = transport.reopen;
	-- Nothing is on its way when send() returns.
	transport.is_immediate = true;

	return transport;
end
