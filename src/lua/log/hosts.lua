-- The state of each host: its options, its store, its retention classes.

local _, chunks = ...;
local drivers = chunks.driver;

local pairs, pcall, rawget, setmetatable, type = pairs, pcall, rawget, setmetatable, type;

-- new(environment, recorder, strangers, monotonic, tell) -> hosts. `environment` is that of the log, see log.lua.
--   hosts.configure(host), hosts.ensure_configured(host)
--   hosts.configured[host] -> whether its options were read
--   hosts.direct[host] -> whether entries are written before their event goes on
--   hosts.stores[host] -> the archive store of a host, hosts.store_of(host) -> the same | nil, err
--   hosts.classes, hosts.trust
--   hosts.forget(host | nil)
local function new(environment, recorder, strangers, monotonic, tell)
	local log, now = environment.log, environment.now;
	local configured, direct = {}, {};

	local function configure(host)
		configured[host] = true;
		local refused, is_direct, hashes_names = recorder.configure(host, function (name)
			return environment.get_option(host, name);
		end, environment.key_path and environment.key_path(host));
		direct[host] = is_direct;
		strangers.configure(host, hashes_names);
		tell("error", refused);
		tell("warn", recorder.warnings());
	end

	local function ensure_configured(host)
		if not configured[host] then
			configure(host);
		end
	end

	local classes = chunks.classes.new(recorder, ensure_configured);
	local guard = chunks.embedded.new { list_path = environment.list_path; get_option = environment.get_option; log = log, now = now };
	local trust = chunks.trust.new {
		now = now;
		driver_name = function (host)
			local storage = environment.get_option(host, "storage");
			if type(storage) == "table" then
				storage = storage.audit;
			end
			return storage or environment.get_option(host, "default_storage") or "internal";
		end;
	};
	-- stores[host] is the host's archive store. If a store can't be opened, the next event tries again.
	local function open(stores, host)
		local ok, store, err = pcall(environment.open_store, host);
		if not ok then
			return nil, store;
		elseif not store then
			return nil, err;
		elseif store.name == "null" or type(store.caps) == "function" then
			-- This is the null driver. Each of its methods refuses.
			return nil, "no storage driver for archives is configured or loaded";
		end
		if type(store.users) ~= "function" then
			recorder.use_single(host);
			classes.forget(host);
		end
		store = drivers.bind(guard(host, store), monotonic, environment.retry ~= nil);
		stores[host] = store;
		return store;
	end
	local stores = setmetatable({}, {
		__index = function (self, host)
			return (open(self, host));
		end;
	});

	-- The store of a host | nil, err
	local function store_of(host)
		local store = rawget(stores, host);
		if store then
			return store;
		end
		return open(stores, host);
	end

	local function forget(host)
		if host then
			stores[host], configured[host] = nil, nil;
		else
			for name in pairs(stores) do stores[name] = nil; end
			for name in pairs(configured) do configured[name] = nil; end
		end
		classes.forget(host);
	end

	return {
		configure = configure, ensure_configured = ensure_configured, forget = forget;
		configured = configured, direct = direct;
		stores = stores, store_of = store_of, classes = classes, trust = trust;
	};
end

return { new = new };
