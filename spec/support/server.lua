-- Real Prosody servers for the tests, each with its own folder and free ports.
--
--   local server = require "support.server";
--   local prosody = server.start { series = "13.0", modules = { "audit" }, storage = "sqlite" };
--   prosody:adduser("romeo@example.test", "secret");
--   prosody:stop();
--
-- tools/setup unpacks the series under target/prosody/. server.series() returns
-- those that are here (see support.releases).

local lfs = require "lfs";
local json = require "dkjson";
local process = require "support.process";
local releases = require "support.releases";
local socket = require "socket";

local quote = process.quote;

local server = {
	root = process.root;
	-- All series that are supported; server.series() returns those that are here.
	all_series = releases.all;
	available = releases.available;
	series = releases.here;
	default_host = "example.test";
	-- The names of stores for server.start.
	stores = { "internal", "memory", "sqlite", "postgresql" };
};

local prosody_folder = releases.folder;

-- Defines the same specs for each series. If a series is not here, the skip is
-- named. Takes busted's functions from the caller's environment:
--   server.each_series(describe, pending, function (series) it("…", …) end)
function server.each_series(describe, pending, define)
	local spec = debug.getinfo(2, "S").source:match("([^/]*)_spec%.lua$");
	for _, series in ipairs(server.all_series) do
		local here, why = server.available(series);
		if not releases.chosen(series, spec) then -- luacheck: ignore 542
			-- Not asked for.
		elseif here then
			describe("Prosody "..releases.title(series), function () define(series); end);
		else
			pending(why);
		end
	end
end

-- The folder of Debian's community modules for the series.
function server.community_modules(series)
	return prosody_folder.."/modules-"..series.."/usr/lib/prosody/modules";
end

-- A value as Lua text, for the configuration file.
local function lua_text(value)
	if type(value) == "table" then
		local parts = {};
		for k, v in pairs(value) do
			parts[#parts+1] = ("[%s] = %s"):format(lua_text(k), lua_text(v));
		end
		table.sort(parts);
		return "{ "..table.concat(parts, "; ").." }";
	elseif type(value) == "string" then
		return ("%q"):format(value):gsub("\\\n", "\\n");
	elseif math.type(value) == "float" and (value ~= value or value == math.huge or value == -math.huge) then
		error("no such number in a configuration file");
	end
	return tostring(value);
end

-- Options, as a table or as text of the file.
local function option_lines(options)
	if options == nil then return ""; end
	if type(options) == "string" then return options.."\n"; end
	local lines = {};
	for name, value in pairs(options) do
		lines[#lines+1] = ("%s = %s\n"):format(name, (lua_text(value)));
	end
	table.sort(lines);
	return table.concat(lines);
end

local function sorted_keys(map)
	local keys = {};
	for key in pairs(map) do keys[#keys+1] = key; end
	table.sort(keys);
	return keys;
end

-- hosts = { "a.test", "b.test" } or { ["a.test"] = options }
local function host_map(options)
	local hosts = {};
	for key, value in pairs(options.hosts or { server.default_host }) do
		if type(key) == "number" then
			hosts[value] = hosts[value] or "";
		else
			hosts[key] = value;
		end
	end
	return hosts;
end

-- One self-signed certificate for a set of hosts, made once.
local function certificates_for(names)
	local folder = process.scratch.."/certs/"..table.concat(names, "_"):sub(1, 180);
	if not lfs.attributes(folder, "mode") then
		local work = folder.."."..process.random_text();
		local alternatives = {};
		for i, name in ipairs(names) do
			alternatives[i] = "DNS:"..name;
		end
		process.run("mkdir -p "..quote(work));
		process.run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 "
			.."-subj %s -addext %s -keyout %s -out %s 2>/dev/null"):format(
			quote("/CN="..names[1]), quote("subjectAltName="..table.concat(alternatives, ",")),
			quote(work.."/key.pem"), quote(work.."/cert.pem")));
		for _, name in ipairs(names) do
			process.run(("cd %s && cp key.pem %s && cp cert.pem %s"):format(
				quote(work), quote(name..".key"), quote(name..".crt")));
		end
		process.run(("cd %s && rm key.pem cert.pem"):format(quote(work)));
		-- Another test run may have made it at the same time: then its certificate is used.
		os.execute(("mv -T %s %s 2>/dev/null || rm -rf %s"):format(quote(work), quote(folder), quote(work)));
	end
	return folder;
end

-- The paths of a self-signed certificate of that name, and of its key.
function server.certificate(name)
	local path = certificates_for({ name }).."/"..name;
	return path..".crt", path..".key";
end

local function storage_lines(self)
	local storage = self.options.storage or "internal";
	if storage == "sqlite" then
		return "storage = \"sql\"\nsql = { driver = \"SQLite3\"; database = \"prosody.sqlite\" }\n";
	elseif storage == "native" then
		return "storage = { audit = \"audit\" }\n";
	elseif storage == "postgresql" or storage == "mariadb" then
		if not self.database then
			self.database = require(storage == "mariadb" and "support.mariadb" or "support.postgres").shared():database();
		end
		return "storage = \"sql\"\nsql = "..lua_text(self.database).."\n";
	elseif type(storage) == "table" and storage.driver then
		-- A database of support.postgres or support.mariadb.
		return "storage = \"sql\"\nsql = "..lua_text(storage).."\n";
	end
	return "storage = "..lua_text(storage).."\n";
end

-- Links some community modules into a folder of their own: the package also has
-- modules for auditing, which must never be used instead of ours.
local function link_community_modules(self)
	local wanted = self.options.community;
	local source = server.community_modules(self.options.community_of or self.series);
	local folder = self.folder.."/community";
	process.run("rm -rf "..quote(folder).." && mkdir -p "..quote(folder));
	for _, name in ipairs(wanted) do
		local path = source.."/mod_"..name;
		if not lfs.attributes(path, "mode") then
			path = path..".lua";
			if not lfs.attributes(path, "mode") then
				error("the community modules for Prosody "..self.series.." have no mod_"..name, 0);
			end
		end
		process.run(("ln -s %s %s/"):format(quote(path), quote(folder)));
	end
	return folder;
end

local default_modules = { "roster", "saslauth", "tls", "disco", "ping", "register", "admin_socket", "admin_shell", "harness" };

local function config_text(self)
	local options = self.options;
	local ports = self.ports;

	local modules = {};
	for _, list in ipairs({ options.base_modules or default_modules, options.modules or {} }) do
		for _, name in ipairs(list) do
			modules[#modules+1] = name;
		end
	end
	if self.series == "0.12" then
		table.insert(modules, 1, "posix");
	end

	local plugin_paths = {};
	for _, path in ipairs(options.plugin_paths or { process.root.."/lua" }) do
		plugin_paths[#plugin_paths+1] = path;
	end
	plugin_paths[#plugin_paths+1] = process.support.."/modules";
	if options.community then
		plugin_paths[#plugin_paths+1] = link_community_modules(self);
	end

	local hosts = host_map(options);
	local names = sorted_keys(hosts);
	for _, name in ipairs(sorted_keys(options.components or {})) do
		names[#names+1] = name;
	end

	local certificates = certificates_for(names);
	if options.user then
		local copies = self.folder.."/certs";
		process.run(("rm -rf %s && cp -r %s %s && chown -R %s: %s"):format(
			quote(copies), quote(certificates), quote(copies), quote(options.user), quote(copies)));
		certificates = copies;
	end
	-- One certificate for all hosts. Clients trust it.
	self.certificate = certificates.."/"..names[1]..".crt";

	local global = {
		run_as_root = true;
		pidfile = self.folder.."/prosody.pid";
		data_path = self.data;
		plugin_paths = plugin_paths;
		installer_plugin_path = self.folder.."/installed";
		modules_enabled = modules;
		admin_socket = self.data.."/prosody.sock";
		certificates = certificates;
		interfaces = { "127.0.0.1" };
		local_interfaces = { "127.0.0.1" };
		c2s_ports = { ports.c2s };
		c2s_direct_tls_ports = { ports.c2s_tls };
		s2s_ports = { ports.s2s };
		s2s_direct_tls_ports = {};
		component_ports = { ports.component };
		http_ports = { ports.http };
		https_ports = {};
		c2s_require_encryption = true;
		s2s_require_encryption = true;
		s2s_secure_auth = false;
		authentication = "internal_hashed";
		allow_registration = true;
		harness_token = self.token;
		harness_port = ports.harness;
		harness_ready_file = self.folder.."/ready";
		log = { {
			levels = { min = options.log_level or "debug" };
			to = "file";
			filename = self.log_file;
		} };
	};
	local more = options.config;
	if type(more) == "table" then
		for name, value in pairs(more) do global[name] = value; end
		more = nil;
	end
	local lines = { option_lines(global), storage_lines(self), option_lines(more) };

	local host_config = options.host_config or {};
	for _, name in ipairs(sorted_keys(hosts)) do
		lines[#lines+1] = ("\nVirtualHost %q\n"):format(name);
		lines[#lines+1] = option_lines(hosts[name]);
		if type(host_config) == "string" then
			lines[#lines+1] = option_lines(host_config);
		else
			lines[#lines+1] = option_lines(host_config[name]);
		end
	end
	for _, name in ipairs(sorted_keys(options.components or {})) do
		local component = options.components[name];
		if type(component) == "string" then
			component = { module = component };
		end
		local rest = {};
		for key, value in pairs(component) do
			if key ~= "module" then rest[key] = value; end
		end
		if component.module then
			lines[#lines+1] = ("\nComponent %q %q\n"):format(name, component.module);
		else
			lines[#lines+1] = ("\nComponent %q\n"):format(name);
		end
		lines[#lines+1] = option_lines(rest);
	end
	return table.concat(lines);
end

-- The command that runs another as a user. Without supplementary groups: those of root could read more than the user.
local function as_user(user)
	return { "setpriv", "--reuid="..user, "--regid="..process.first_line("id -g "..quote(user)), "--clear-groups", "--" };
end

-- can_run_as(user) -> whether servers can run as another user here | false, why not
function server.can_run_as(user)
	if process.first_line("id -u") ~= "0" then
		return false, "only root can start a server as another user";
	end
	local command = as_user(user);
	table.move({ "test", "-x", process.scratch.."/" }, 1, 3, #command + 1, command);
	process.run("mkdir -p "..quote(process.scratch));
	if process.capture(command) ~= 0 then
		return false, "the user "..user.." can't get to "..process.scratch;
	end
	return true;
end

local server_methods = {};
local server_mt = { __index = server_methods };

-- The environment of the server and of prosodyctl, with the path of the library.
local function environment(self)
	local env = { PROSODY_CONFIG = false; LUA_PATH = false; LUA_PATH_5_4 = false; LUA_CPATH = false; LUA_CPATH_5_4 = false };
	if self.options.cpath then
		env.LUA_CPATH_5_4 = self.options.cpath..";;";
	elseif self.options.cpath == nil and self.options.library ~= "beside" then
		env.LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;";
	end
	for name, value in pairs(self.options.env or {}) do
		env[name] = value;
	end
	return env;
end

local port_names = { "c2s", "c2s_tls", "s2s", "component", "http", "harness" };

local function take_ports(self)
	local free = process.free_ports(#port_names);
	self.ports = {};
	for i, name in ipairs(port_names) do
		self.ports[name] = free[i];
		self[name.."_port"] = free[i];
	end
end

local function port_was_taken(self)
	local text = self:log():sub(self.log_start + 1);
	return text:find("Failed to open server port", 1, true) ~= nil;
end

-- Starts the process -> true | nil, its output | nil, its output, "port", if a port was taken
local function launch(self)
	process.write(self.config_file, config_text(self));
	os.remove(self.folder.."/ready");
	self.log_start = #self:log();
	local command = self.options.user and as_user(self.options.user) or {};
	table.move({ "lua5.4", self.program_folder.."/prosody", "-F", "--config", self.config_file }, 1, 5, #command + 1, command);
	self.child = process.start {
		folder = self.folder;
		env = environment(self);
		prefix = self.options.prefix;
		command = command;
	};
	local up = process.wait_until(function ()
		return lfs.attributes(self.folder.."/ready", "mode") or not self.child:alive();
	end, self.options.start_timeout or 20, 0.005);
	if port_was_taken(self) then
		self.child:finish("KILL");
		return nil, "a port was taken by somebody else", "port";
	elseif not up or not self.child:alive() then
		local state = up and "ended while starting" or "did not come up";
		self.child:finish("KILL");
		return nil, ("Prosody %s %s in %s\n%s\n%s"):format(self.series, state, self.folder,
			self.child:output():sub(-2000), self:log():sub(-3000));
	end
	self.pid = self.child.pid;
	return true;
end

-- prepare() is called before each attempt. The server that finds a port taken is killed, and may have recorded its start.
local function launch_with_new_ports(self, prepare)
	local err, kind;
	for _ = 1, 5 do
		local ok;
		prepare();
		take_ports(self);
		ok, err, kind = launch(self);
		if ok then return true; end
		if kind ~= "port" then break; end
	end
	return nil, err;
end

-- Starts a server and waits until it is up -> the server | nil, why it did not
-- come up
--
-- series        one of server.series()                     default: the newest
-- hosts         list of names, or map name -> options      { "example.test" }
-- components    map name -> module name, or { module = …, options }
-- modules       list, besides those that every server needs (see base_modules)
-- storage       "internal" | "memory" | "sqlite" | "native" (the driver "audit") | "postgresql" | "mariadb" | a database of
--               support.postgres or support.mariadb | any value of Prosody's option
-- config        global options, as a table or as text of the file
-- host_config   text for every host, or map name -> table or text
-- community     list of modules of Debian's prosody-modules
-- community_of  another series, whose community modules are used
-- plugin_paths  instead of the checkout's lua/
-- cpath         LUA_CPATH_5_4 instead of target/lua5.4/?.so; false: none
-- library       "beside": without the library in Lua's path
-- env           map of environment variables; false removes one
-- user          the user of the server and the owner of its data   that of the tests
-- prefix        shell text run in the server's process before it, as "ulimit -f 10"
-- files         map of path below the data folder -> content, written before the start
-- log_level     "debug"
-- start_timeout seconds                                    20
-- eval_timeout  seconds that prosody:eval() waits            30
function server.try_start(options)
	options = options or {};
	local here = server.series();
	local series = options.series or here[#here];
	if not series then
		return nil, "no Prosody is here: run tools/setup test";
	end
	local available, why = server.available(series);
	if not available then
		return nil, why;
	end
	local folder = process.new_folder("server");
	local self = setmetatable({
		options = options;
		series = series;
		folder = folder;
		data = folder.."/data";
		log_file = folder.."/prosody.log";
		config_file = folder.."/prosody.cfg.lua";
		program_folder = prosody_folder.."/"..series.."/bin";
		token = process.random_text();
		host = sorted_keys(host_map(options))[1];
		log_start = 0;
	}, server_mt);
	local ok, err = launch_with_new_ports(self, function ()
		process.run(("rm -rf %s && mkdir -p %s"):format(quote(self.data), quote(self.data)));
		for path, content in pairs(options.files or {}) do
			local file = self.data.."/"..path;
			process.run("mkdir -p "..quote(file:match("^(.*)/")));
			process.write(file, content);
		end
		if options.user then
			process.run(("chown -R %s: %s"):format(quote(options.user), quote(folder)));
		end
	end);
	if not ok then
		return nil, err;
	end
	return self;
end

-- The same as try_start, but raises an error if the server does not come up.
local started = {};

function server.start(options)
	local self, err = server.try_start(options);
	if not self then
		error(err, 2);
	end
	started[#started+1] = self;
	return self;
end

-- Stops the servers that start() has started since the last call. For after_each(server.stop_all).
function server.stop_all()
	local list = started;
	started = {};
	for _, self in ipairs(list) do
		self:stop();
	end
end

function server_methods:alive()
	return self.child:alive();
end

-- Stops the server, as an operator would. Returns false if it had to be killed.
function server_methods:stop()
	return self.child:finish("TERM", 15);
end

-- Kills it, as a crash would.
function server_methods:kill()
	return self.child:finish("KILL");
end

function server_methods:signal(name)
	return self.child:signal(name);
end

-- Starts a stopped server again in its folder, with its ports if they are
-- still free. New options replace old ones.
function server_methods:start(options)
	assert(not self:alive(), "the server is running");
	for name, value in pairs(options or {}) do
		self.options[name] = value;
	end
	local ok, err, kind = launch(self);
	if not ok and kind == "port" then
		ok, err = launch_with_new_ports(self, function () end);
	end
	if not ok then
		error(err, 2);
	end
	return self;
end

function server_methods:restart(options)
	self:stop();
	return self:start(options);
end

-- Changes to another series of Prosody on the same data, and starts it unless told otherwise.
function server_methods:change_series(series, stays_stopped)
	self:stop();
	self.series = series;
	self.program_folder = prosody_folder.."/"..series.."/bin";
	if stays_stopped then
		process.write(self.config_file, config_text(self));
	else
		self:start();
	end
end

-- Rewrites the configuration (new options replace old ones), sends
-- SIGHUP and waits until the server has read it.
function server_methods:reload(options)
	for name, value in pairs(options or {}) do
		self.options[name] = value;
	end
	process.write(self.config_file, config_text(self));
	local before = self:eval("return reloads()");
	self:signal("HUP");
	local done = process.wait_until(function () return self:eval("return reloads()") > before; end, 10);
	assert(done, "the server did not read its configuration again");
	return self;
end

-- All that the server has logged.
function server_methods:log()
	return process.read(self.log_file) or "";
end

-- The lines of the log that have this text in them.
function server_methods:lines_with(text)
	local found = {};
	for line in self:log():gmatch("[^\n]+") do
		if line:find(text, 1, true) then table.insert(found, line); end
	end
	return found;
end

-- Its standard output and error.
function server_methods:output()
	return self.child:output();
end

-- Waits until the log has a line with this Lua pattern -> the match | nil
function server_methods:wait_log(pattern, timeout)
	return process.wait_until(function () return self:log():match(pattern); end, timeout or 5);
end

-- Runs prosodyctl with this server's configuration.
-- Returns exit status, standard output, standard error. A table may come first:
-- { env = { COLUMNS = "80" }, stdin = "text", timeout = 60, user = "nobody" }
function server_methods:ctl(...)
	local args, options = { ... }, {};
	if type(args[1]) == "table" then
		options = table.remove(args, 1);
	end
	local env = environment(self);
	for name, value in pairs(options.env or {}) do
		env[name] = value;
	end
	local command = options.user and as_user(options.user) or {};
	table.move({ "lua5.4", self.program_folder.."/prosodyctl", "--config", self.config_file }, 1, 4, #command + 1, command);
	table.move(args, 1, #args, #command + 1, command);
	if options.terminal then
		command = { "script", "-qec", process.quote_all(command), "/dev/null" };
	end
	return process.capture(command, { env = env; stdin = options.stdin; timeout = options.timeout });
end

-- One line in the admin shell, by prosodyctl: prosody:shell('host:list()')
function server_methods:shell(line)
	return self:ctl("shell", line);
end

-- Runs Lua in the server, in an async context -> its results. They are sent as JSON,
-- stanzas as text. An error in the server is raised here.
--   prosody:eval("local host = ...; return prosody.hosts[host] ~= nil", "example.test")
function server_methods:eval(code, ...)
	local request = {
		token = self.token;
		code = code;
		n = select("#", ...);
		args = {};
	};
	for i = 1, request.n do
		local value = select(i, ...);
		request.args[i] = value == nil and json.null or value;
	end
	if request.n == 0 then request.args = nil; end
	local conn = assert(socket.tcp());
	conn:settimeout(self.options.eval_timeout or 30);
	assert(conn:connect("127.0.0.1", self.harness_port));
	assert(conn:send(json.encode(request).."\n"));
	local line, err = conn:receive("*l");
	conn:close();
	if not line then
		error("no answer from the server: "..tostring(err), 2);
	end
	local answer = assert(json.decode(line));
	if answer.error then
		error(answer.error, 2);
	end
	return table.unpack(answer.values, 1, answer.n);
end

-- Makes module:audit() raise an error, until prosody:mend_audit().
function server_methods:break_audit(message)
	self:eval([[
		local message = ...;
		local api = require "core.moduleapi";
		api.working_audit = api.audit;
		api.audit = function () error(message); end;
	]], message);
end

function server_methods:mend_audit()
	self:eval([[
		-- What happened until now may be recorded in the next turn of the loop.
		require "util.async".sleep(0.1);
		local api = require "core.moduleapi";
		api.audit, api.working_audit = api.working_audit, nil;
	]]);
end

-- Sends connections to other servers to ports on this machine. Needs the module test_routes; connections to other names fail.
-- prosody:routes { ["example.org"] = other.s2s_port }
function server_methods:routes(ports)
	self:eval("for name, port in pairs(...) do module:shared('/*/test_routes/routes')[name] = port; end", ports);
end

-- set_role("romeo@example.test", "prosody:admin" or "prosody:registered"). COMPAT 0.12: an account may have several roles, or none.
function server_methods:set_role(jid, role)
	local username, host = jid:match("^(.-)@(.*)$");
	self:eval([[
		local username, host, role = ...;
		local usermanager = require "core.usermanager";
		if usermanager.set_user_role then
			assert(usermanager.set_user_role(username, host, role));
		else
			assert(usermanager.set_roles(username.."@"..host, host, role ~= "prosody:registered" and { [role] = true } or {}));
		end
	]], username, host, role);
end

-- Creates an account inside the server, with any store.
function server_methods:adduser(jid, password)
	local username, host = jid:match("^([^@]+)@(.+)$");
	local ok, err = self:eval([[
		local username, password, host = ...;
		local ok, err = require "core.usermanager".create_user(username, password, host);
		return not not ok, err and tostring(err);
	]], username, password, host);
	if not ok then
		error("no account "..jid..": "..tostring(err), 2);
	end
	return true;
end

return server;
