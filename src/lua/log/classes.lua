-- Remembers the retention class of each event type, so that the recorder is not asked for every event.

-- The largest number of event types that are remembered. Any module may use types of its own.
local MAX_TYPES = 256;

-- The classes of all hosts.
--   classes.of(host, event_type) -> class
--   classes.forget(host | nil)
-- A class is one table for each host and class: { name, host = a table that all classes of the host share }. Other files store what
-- they know about the class in these tables. It is forgotten together with the class.
-- `ensure_configured(host)` makes sure that the recorder knows the options of a host.
local function new(recorder, ensure_configured)
	local hosts = {};

	local function learn(host, event_type)
		local of_host = hosts[host];
		if not of_host or of_host.count >= MAX_TYPES then
			of_host = { of_type = {}, count = 0, by_name = of_host and of_host.by_name or {}, shared = of_host and of_host.shared or {} };
			hosts[host] = of_host;
		end
		ensure_configured(host);
		local name = recorder.class(host, event_type);
		local class = of_host.by_name[name];
		if not class then
			class = { name = name, host = of_host.shared };
			of_host.by_name[name] = class;
		end
		of_host.of_type[event_type], of_host.count = class, of_host.count + 1;
		return class;
	end

	local function of(host, event_type)
		local of_host = hosts[host];
		return of_host and of_host.of_type[event_type] or learn(host, event_type);
	end

	local function forget(host)
		if host then
			hosts[host] = nil;
		else
			hosts = {};
		end
	end

	return { of = of; forget = forget };
end

return { new = new };
