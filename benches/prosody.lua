-- As much of a Prosody in this process as its storage drivers need: no server, no sockets.
--
-- load(source, data) puts the util libraries of the unpacked Prosody at `source` (the folder with util/ and core/) in the
-- way of require, and gives { version, open_store }; drivers write to the folder `data`, which must exist. One process can
-- hold one series of Prosody.

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

-- What core.storagemanager and the drivers ask of a server.
local function mock_server(source, data)
	_G.prosody = {
		config_loaded = true; -- COMPAT 0.12: net.server asks
		core_post_stanza = function () end;
		events = require "util.events".new();
		hosts = {};
		paths = { source = source, plugins = source .. "/modules", data = data };
	};
	_G.CFG_PLUGINDIR = source .. "/modules";
	pcall(require, "util.import"); -- COMPAT 0.12: core.* use the global that this makes
	require "util.logger".add_simple_sink(log_sink);
	require "util.datamanager".set_data_path(data);
end

-- Opens the audit archive of `host` with `driver`; `options` are set for the host.
local function open_store(host, driver, options)
	local config = require "core.configmanager";
	local modulemanager = require "core.modulemanager";
	local storagemanager = require "core.storagemanager";
	local hosts = _G.prosody.hosts;

	config.set(host, "storage", driver);
	for name, value in pairs(options or {}) do
		config.set(host, name, value);
	end
	if not hosts[host] then
		-- Not through the hostmanager, which would load the modules of a whole server.
		hosts[host] = { host = host, type = "local", events = require "util.events".new(), modules = {} };
		storagemanager.initialize_host(host);
	end
	if not modulemanager.is_loaded(host, "storage_" .. driver) then
		assert(modulemanager.load(host, "storage_" .. driver));
	end
	return assert(storagemanager.open(host, "audit", "archive"));
end

local function load(source, data)
	package.path = source .. "/?.lua;" .. package.path;
	package.cpath = source .. "/?.so;" .. package.cpath;
	if exists(source .. "/loader.lua") then -- from 13 on
		dofile(source .. "/loader.lua");
	end
	mock_server(source, data);
	return { version = first_line(source .. "/prosody.version") or "of unknown version", open_store = open_store };
end

return { load = load };
