-- The parts of Prosody that the audit modules need, in this process: the real module manager, module API and events, without sockets
-- and with a clock that the spec moves.
--
--   local module_api = require "support.module_api";
--   local host = module_api.host { audit_auth_passwords_only = false };
--   host:load("audit_auth");
--   host:fire("authentication-success", { session = session });
--   host:entries() --> what was stored, oldest first, as stanzas
--
-- support/series.lua, busted's helper, lets require find the libraries of a Prosody series.

local lfs = require "lfs";

local module_api = {};

local root = lfs.currentdir();
local source = root.."/target/prosody/"..prosody_series.."/usr/lib/prosody";

local data_folder = require "support.process".new_folder("modules");

-- The clock --

local util_time = require "util.time";
local monotonic, now = util_time.monotonic, util_time.now;
local offset = 0;

util_time.monotonic = function () return monotonic() + offset; end;
util_time.now = function () return now() + offset; end;

-- busted restores the real one for other specs.
local real_os = os;
_G.os = setmetatable({
	time = function (date)
		if date then return real_os.time(date); end
		return math.floor(util_time.now());
	end;
}, { __index = real_os });
local os = _G.os;

local timers, last_timer = {}, 0;

package.loaded["util.timer"] = {
	add_task = function (delay, callback, param)
		last_timer = last_timer + 1;
		timers[last_timer] = { at = util_time.now() + delay, callback = callback, param = param };
		return last_timer;
	end;
	stop = function (id)
		timers[id] = nil;
	end;
	reschedule = function (id, delay)
		timers[id].at = util_time.now() + delay;
	end;
};

-- As Prosody does when it starts.
require "util.async".set_schedule_function(package.loaded["util.timer"].add_task);

local function next_timer(by)
	local due;
	for id, timer in pairs(timers) do
		if timer.at <= by and (not due or timer.at < timers[due].at or timer.at == timers[due].at and id < due) then
			due = id;
		end
	end
	return due;
end

-- Lets that many seconds pass, and runs timers that are due. 0 is one turn of the loop.
function module_api.pass(seconds)
	local goal = util_time.now() + seconds;
	local id = next_timer(goal);
	local run = {};
	while id do
		local timer = timers[id];
		offset = offset + math.max(0, timer.at - util_time.now());
		timers[id] = nil;
		local again = timer.callback(os.time(), id, timer.param);
		if again then
			timer.at = util_time.now() + again;
			timers[id] = timer;
			run[id] = (run[id] or 0) + 1;
			assert(run[id] < 10000, "a timer that never rests");
		end
		id = next_timer(goal);
	end
	offset = offset + math.max(0, goal - util_time.now());
end

-- The server --

local events = require "util.events";

_G.CFG_PLUGINDIR = root.."/lua;"..source.."/modules";

local prosody = {
	config_loaded = true; -- COMPAT 0.12: net.server asks
	core_post_stanza = function () end;
	events = events.new();
	full_sessions = {};
	hosts = {};
	paths = { source = source, plugins = _G.CFG_PLUGINDIR, data = data_folder };
	process_type = "prosody";
};
_G.prosody = prosody;
require "util.datamanager".set_data_path(data_folder);
module_api.prosody = prosody;
pcall(require, "util.import"); -- COMPAT 0.12: core.* use the global that this makes

local config = require "core.configmanager";
local modulemanager = require "core.modulemanager";
local storagemanager = require "core.storagemanager";

local logs = {};

require "util.logger".add_simple_sink(function (name, level, text)
	logs[#logs+1] = { name = name, level = level, text = text };
end);

-- Lines logged at "warn" or "error" since the last call that contain this text (without it: all).
function module_api.complaints(text)
	local found = {};
	for _, line in ipairs(logs) do
		if (line.level == "warn" or line.level == "error") and (not text or line.text:find(text, 1, true)) then
			found[#found+1] = line.text;
		end
	end
	logs = {};
	return found;
end

-- The store: one for each host, whose behaviour the spec can set --

local rows = dofile(root.."/spec/support/modules/rows.lib.lua");

local archive_methods = {};
local archive_mt = { __index = archive_methods };

function archive_methods:append(username, key, value, when, with)
	local behave = self.host.behaviour.append;
	if behave then return behave(); end
	local items = self.host.appended;
	key = key or ("key-%d"):format(#items + 1);
	items[#items+1] = { username = username, key = key, value = value, when = when, with = with };
	return key;
end

function archive_methods:find(username, query)
	local list = {};
	for _, item in ipairs(self.host.appended) do
		if item.username == username then table.insert(list, item); end
	end
	return rows.find(list, query);
end

function archive_methods:set(username, key, value, when, with)
	for _, item in ipairs(self.host.appended) do
		if item.username == username and item.key == key then
			item.value, item.when, item.with = value or item.value, when or item.when, with or item.with;
			return true;
		end
	end
	return nil, "item-not-found";
end

function archive_methods:delete()
	self.host.appended = {};
	return true;
end

local keyval_methods = {};
local keyval_mt = { __index = keyval_methods };

function keyval_methods:get(username)
	local behave = self.spied and self.host.behaviour.get;
	if behave then return behave(); end
	return self.values[username or ""];
end

function keyval_methods:set(username, value)
	local behave = self.spied and self.host.behaviour.set;
	if self.spied then self.host.writes = self.host.writes + 1; end
	if behave then return behave(); end
	self.values[username or ""] = value;
	return true;
end

-- The users that have something in the store. Tasks of Prosody's modules ask, whenever mod_cron runs them.
function keyval_methods:users()
	return next, self.values;
end

local function new_driver(host)
	local driver = { name = "spied" };
	function driver:open(name, store_type) -- luacheck: ignore 212/self
		local spied = name:find("^audit") ~= nil; -- mod_cron has a store too
		if spied and host.behaviour.open then
			return host.behaviour.open(name, store_type);
		elseif store_type == "archive" then
			return setmetatable({ host = host; caps = { total = true; truncate = true; full_id_range = true; ids = true } }, archive_mt);
		elseif not store_type or store_type == "keyval" then
			host.values[name] = host.values[name] or {};
			return setmetatable({ host = host, spied = spied, values = host.values[name] }, keyval_mt);
		end
		return nil, "unsupported-store";
	end
	return driver;
end

-- Hosts --

local host_methods = {};
local host_mt = { __index = host_methods };
local count = 0;

local function activate(host)
	local name = host.name;
	prosody.hosts[name] = { host = name, type = "local", events = events.new(), modules = {}, sessions = {} };
	prosody.hosts[name].authz = { add_default_permission = function () end };
	storagemanager.initialize_host(name);
	prosody.hosts[name].events.fire_event("item-added/storage-provider", { item = new_driver(host) });
end

-- A new host, with options for it.
function module_api.host(options)
	count = count + 1;
	local host = setmetatable({
		name = ("host%d.test"):format(count);
		appended = {}; -- what is in the archive
		values = {}; -- what is in keyval stores, by store and user
		writes = 0; -- to keyval stores of the audit modules
		behaviour = {}; -- append, get, set, open: functions that replace those of the store
	}, host_mt);
	config.set(host.name, "storage", "spied");
	-- So that entries are in the store at once.
	config.set(host.name, "audit_log_write", "direct");
	for name, value in pairs(options or {}) do
		config.set(host.name, name, value);
	end
	activate(host);
	return host;
end

function host_methods:load(...)
	for _, name in ipairs { ... } do
		local mod, err = modulemanager.load(self.name, name);
		if not mod and err ~= "module-already-loaded" then
			error(("mod_%s: %s"):format(name, err), 2);
		end
	end
	return modulemanager.get_module(self.name, (...));
end

function host_methods:reload(name)
	return assert(modulemanager.reload(self.name, name));
end

function host_methods:unload(name)
	return assert(modulemanager.unload(self.name, name));
end

-- As module:reload() of the shell: for the whole server, and then on each host that has it.
function module_api.reload(name)
	assert(modulemanager.reload("*", name));
	for host, session in pairs(prosody.hosts) do
		if session.modules[name] then assert(modulemanager.reload(host, name)); end
	end
end

-- As after a restart: with the same store and options, and without modules.
function host_methods:restart()
	for name in pairs(prosody.hosts[self.name].modules) do
		for object, event, handler in prosody.hosts[self.name].modules[name].module.event_handlers:iter(nil, nil, nil) do
			object.remove_handler(event, handler);
		end
		prosody.hosts[self.name].modules[name].module.loaded = false;
		prosody.hosts[self.name].modules[name] = nil;
	end
	prosody.events.fire_event("host-deactivated", self.name);
	activate(self);
end

-- A shared library (lua/audit/), as modules get it: host:library("audit/acting")
function host_methods:library(name)
	self:load("audit");
	return modulemanager.get_module("*", "audit").library((name:gsub("^audit/", "")));
end

-- What mod_audit shares with tests and tools: log and existing.
function module_api.log()
	return modulemanager.get_module("*", "audit").module:shared("log");
end

-- Runs the ad-hoc command of this node, as mod_adhoc does: { answer, state } | nil if it has not answered yet. data has at
-- least from, a full JID.
function host_methods:adhoc(node, data, state)
	for _, item in ipairs(self:load("audit").module:get_host_items("adhoc-provider")) do
		if item.node == node then
			local result;
			data.action = data.action or "execute";
			require "util.async".runner(function ()
				local answer, next_state = item:handler(data, state);
				result = { answer = answer, state = next_state };
			end):run(true);
			for turn = 1, 25 do
				if result then break; end
				module_api.pass(turn > 20 and 1 or 0); -- some handlers sleep
			end
			return result;
		end
	end
	error("there is no ad-hoc command "..node, 2);
end

-- The same with a form of these fields, if there are any -> answer, state
function host_methods:submit(node, from, fields, action, state)
	local form = fields and require "util.stanza".stanza("x", { xmlns = "jabber:x:data", type = "submit" });
	for name, value in pairs(fields or {}) do
		form:tag("field", { var = name }):text_tag("value", value):up();
	end
	local result = assert(self:adhoc(node, { from = from, action = action, form = form }, state));
	return result.answer, result.state;
end

-- rows(answer) -> the items of the form in it: list of tables, value by field
function module_api.rows(answer)
	local found = {};
	for item in answer.other:childtags("item") do
		local row = {};
		for field in item:childtags("field") do row[field.attr.var] = field:get_child_text("value"); end
		table.insert(found, row);
	end
	return found;
end

-- Prosody's events --

function host_methods:fire(event, data)
	return prosody.hosts[self.name].events.fire_event(event, data);
end

function host_methods:hook(event, handler, priority)
	prosody.hosts[self.name].events.add_handler(event, handler, priority);
end

function module_api.fire_global(event, data)
	return prosody.events.fire_event(event, data);
end

-- The entries of the host, oldest first, as stanzas without their links. host.appended has them as they are, and the archive's fields.
function host_methods:entries()
	local found = {};
	for i, item in ipairs(self.appended) do
		local entry = require "util.stanza".clone(item.value);
		entry:maptags(function (tag) return (tag.name ~= "chain" or not tag.attr.hash) and tag or nil; end);
		found[i] = entry;
	end
	return found;
end

-- The types of these entries, as one text.
function host_methods:types()
	local found = {};
	for i, entry in ipairs(self:entries()) do
		found[i] = entry.attr.type;
	end
	return table.concat(found, " ");
end

-- A stanza as one line, with its attributes in order and without namespaces.
function module_api.line(stanza)
	local names, parts, content = {}, {}, {};
	for name in pairs(stanza.attr) do
		if name ~= "xmlns" and not name:find("\1", 1, true) then names[#names+1] = name; end
	end
	table.sort(names);
	for i, name in ipairs(names) do
		parts[i] = (" %s=%q"):format(name, stanza.attr[name]);
	end
	for i, child in ipairs(stanza) do
		content[i] = type(child) == "string" and child or module_api.line(child);
	end
	local start = "<"..stanza.name..table.concat(parts);
	if #content == 0 then return start.."/>"; end
	return start..">"..table.concat(content).."</"..stanza.name..">";
end

-- Each child as a line: the session, the actor, then the details of the event.
function module_api.lines(stanza)
	local found = {};
	for i, child in ipairs(stanza.tags) do
		found[i] = module_api.line(child);
	end
	return found;
end

return module_api;
