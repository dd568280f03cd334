-- The state of each host: its options, its store, its retention classes.

local _, chunks = ...;
local drivers, later = chunks.driver, chunks.later;

local NATIVE = "audit"; -- the driver that can move entries

local pairs, pcall, rawget, setmetatable, type = pairs, pcall, rawget, setmetatable, type;

-- new(environment, recorder, strangers, monotonic, tell) -> hosts. `environment` is that of the log, see log.lua.
--   hosts.configure(host), hosts.ensure_configured(host)
--   hosts.configured[host] -> whether its options were read
--   hosts.direct[host] -> whether entries are written before their event goes on
--   hosts.stores[host] -> the archive store of a host, hosts.store_of(host) -> the same | nil, err
--   hosts.classes, hosts.trust
--   hosts.open_listed(host) -> store, names of its archive users | nil, message
--   hosts.joined(host), hosts.moved(host), hosts.left_behind(host): of moves from one driver to another
--   hosts.look_at_key(host, audit): checks whether the key that addresses are hashed with was replaced, and records that
--   hosts.forget(host | nil)
local function new(environment, recorder, strangers, monotonic, tell)
	local log, now = environment.log, environment.now;
	local configured, direct, move_from = {}, {}, {};

	local function configure(host)
		configured[host] = true;
		local refused, is_direct, hashes_names, from = recorder.configure(host, function (name)
			return environment.get_option(host, name);
		end, environment.key_path and environment.key_path(host));
		direct[host], move_from[host] = is_direct, from;
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
	local embedded = later(function ()
		return { guard = chunks.embedded.new { list_path = environment.list_path; get_option = environment.get_option; log = log, now = now } };
	end, "guard");

	local function guard(host, store)
		return drivers.is_embedded(store) and embedded.guard(host, store) or store;
	end

	local function default_driver(host)
		return environment.get_option(host, "default_storage") or "internal";
	end

	local function driver_name(host)
		local storage = environment.get_option(host, "storage");
		if type(storage) == "table" then
			storage = storage.audit;
		end
		return storage or default_driver(host);
	end

	local trust = chunks.trust.new { now = now; driver_name = driver_name };

	local function bind(host, store)
		return drivers.bind(guard(host, store), monotonic, environment.retry ~= nil);
	end

	-- The store of a host with what another driver holds of its entries | the store itself, if there is nothing
	local function join(host, store)
		ensure_configured(host);
		local from, to = move_from[host], driver_name(host);
		if from == nil and to == NATIVE then
			from = default_driver(host);
		end
		if not environment.open_with or not from or from == to then
			return store;
		elseif from ~= NATIVE and to ~= NATIVE then
			log("warn", ("audit_log_move_from is not used on %s: entries are moved from or to the storage driver %s only, and not from %s to %s")
				:format(host, NATIVE, from, to));
			return store;
		end
		local source, err = environment.open_with(host, from, "audit");
		local marks = store;
		if source then
			marks, err = environment.open_with(host, NATIVE, "audit_moves");
		end
		if not source or not marks then
			log("error", ("Entries of %s that the storage driver %s holds can't be shown or moved: %s"):format(
				host, from, drivers.cause_of(err)));
			return store;
		end
		local joined = chunks.joined.new {
			source = bind(host, source), target = store, from = from, to = to; marks = chunks.marks.new(bind(host, marks), now);
		};
		-- If it is not known, there may be something.
		local known, has_anything = chunks.joined.at_once(joined.has_anything, joined);
		return known and not has_anything and store or joined;
	end

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
		store = join(host, bind(host, store));
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

	-- Opens the store of a host: store, names of its archive users | nil, message
	local function open_listed(host)
		ensure_configured(host);
		local store, err = store_of(host);
		if not store then
			return nil, drivers.cause_of(err);
		end
		local users;
		users, err = chunks.page.users_of(store);
		if not users then
			return nil, drivers.cause_of(err);
		end
		return store, users;
	end

	-- joined(host) -> its store, if entries are being moved to it | nil
	local function joined(host)
		local store = store_of(host);
		return store and store.target and store or nil;
	end

	-- moved(host): all entries were moved to its store
	local function moved(host)
		local store = joined(host);
		if store then
			stores[host] = store.target;
		end
	end

	-- left_behind(host) -> how many entries of a host the driver "audit" holds, if that is not the driver of the host, and nothing is
	-- moved from it | nil
	local function left_behind(host)
		ensure_configured(host);
		if not environment.open_with or not environment.has_native() or move_from[host] ~= nil or driver_name(host) == NATIVE then
			return nil;
		end
		local store = environment.open_with(host, NATIVE, "audit");
		local users = store and chunks.page.users_of(store);
		local count = 0;
		for i = users and 0 or 1, users and #users or 0 do
			-- The first is archive user nil, which is not listed.
			local _, total = store:find(users[i], { total = true; limit = 0 });
			count = count + (total or 0);
		end
		return count > 0 and count or nil, driver_name(host);
	end

	local function look_at_key(host, audit)
		ensure_configured(host);
		local changed, old, key = recorder.look_at_key(host);
		if changed then
			classes.forget(host);
			strangers.forget(host);
		end
		if key then
			local what = chunks.stanza.detail(environment.stanza_mt, "key", { old = old; new = key });
			audit(host, nil, "mod_audit", "audit-key-replaced", { custom = { what } });
		end
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
		configured = configured, direct = direct, look_at_key = look_at_key;
		open_listed = open_listed, joined = joined, moved = moved, left_behind = left_behind;
		stores = stores, store_of = store_of, classes = classes, trust = trust;
	};
end

return { new = new };
