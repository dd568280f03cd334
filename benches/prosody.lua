-- Loads the parts of Prosody that its storage drivers need into this process: no server, no sockets.
--
-- load(source, data, plugins) -> { version, open_store, load_module }. `source` is the folder of an unpacked Prosody with util/ and
-- core/: require finds its libraries from then on. Drivers write to the folder `data`, which must exist. Modules are also looked for in
-- `plugins`. A process can use only one series of Prosody.

local function exists(path)
	local file = io.open(path);
	return file and file:close();
end

local function first_line(path)
	local file = io.open(path);
	if not file then return nil; end
	local line = file:read("l");
	file:close();
	return line;
end

local function log_sink(name, level, message, ...)
	if level == "error" or level == "warn" then
		io.stderr:write(name, " ", level, ": ", require "util.format".format(message, ...), "\n");
	end
end

-- The parts of a server that core.storagemanager and the drivers use.
local function mock_server(source, data, plugins)
	_G.prosody = {
		config_loaded = true; -- COMPAT 0.12: net.server asks
		core_post_stanza = function () end;
		events = require "util.events".new();
		hosts = {};
		paths = { source = source, plugins = plugins, data = data };
	};
	_G.CFG_PLUGINDIR = plugins;
	pcall(require, "util.import"); -- COMPAT 0.12: core.* use the global that this makes
	require "util.logger".add_simple_sink(log_sink);
	require "util.datamanager".set_data_path(data);
end

local function activate(host)
	local hosts = _G.prosody.hosts;
	if not hosts[host] then
		-- Without core.hostmanager, which would load the modules of a whole server.
		hosts[host] = {
			host = host, type = "local", events = require "util.events".new(), modules = {};
			authz = { add_default_permission = function () return true; end }; -- from 13 on, modules say who may use their commands
		};
		require "core.storagemanager".initialize_host(host);
	end
	return hosts[host];
end

-- Loads a module on `host`, whose archives are `store`. Its timers do not run. Returns the events of the host.
local function load_module(host, name, store)
	local other_stores = { get = function () return nil; end; set = function () return true; end };
	local driver = { name = "counting", open = function (_, _, typ) return typ == "archive" and store or other_stores; end };
	require "core.configmanager".set(host, "storage", driver.name);
	local events = activate(host).events;
	events.fire_event("item-added/storage-provider", { item = driver });
	assert(require "core.modulemanager".load(host, name));
	return events;
end

-- Opens the audit archive of `host` with `driver`; `options` are set for the host.
local function open_store(host, driver, options)
	local config = require "core.configmanager";
	local modulemanager = require "core.modulemanager";
	local storagemanager = require "core.storagemanager";

	config.set(host, "storage", driver);
	for name, value in pairs(options or {}) do
		config.set(host, name, value);
	end
	activate(host);
	if not modulemanager.is_loaded(host, "storage_" .. driver) then
		assert(modulemanager.load(host, "storage_" .. driver));
	end
	return assert(storagemanager.open(host, "audit", "archive"));
end

local function load(source, data, plugins)
	package.path = source .. "/?.lua;" .. package.path;
	package.cpath = source .. "/?.so;" .. package.cpath;
	if exists(source .. "/loader.lua") then -- from 13 on
		dofile(source .. "/loader.lua");
	end
	mock_server(source, data, (plugins and plugins .. ";" or "") .. source .. "/modules");
	return { version = first_line(source .. "/prosody.version") or "of unknown version", open_store = open_store, load_module = load_module };
end

return { load = load };
