-- The archive driver "audit": all archives of the server in one SQLite file, audit.sqlite3 in the data folder.
--
-- storage = { audit = "audit" } loads it. Other stores may use it for their archives too, such as storage = { archive = "audit" }.

local load_library = module:require "audit/library";

local json = require "util.json";
local st = require "util.stanza";
local add_task = require "util.timer".add_task;
local now = require "util.time".now;

local PATIENCE = 1; -- seconds for which a write waits for another process that writes
local PAUSE = 1; -- seconds between two looks at the file

-- COMPAT Prosody 0.12: the type of the process is in a global table alone.
local is_server = prosody.process_type == "prosody";
local path = prosody.paths.data.."/audit.sqlite3";
local core = load_library();

-- All hosts share the database, and one of them looks after its file.
local shared = module:shared("/*/storage_audit/database");

local driver, err = core.storage {
	host = module.host;
	path = path;
	is_server = is_server;
	patience = PATIENCE;
	shared = shared;
	now = now;
	new_key = function () return core.item_key(now()); end;
	stanza_mt = st.stanza_mt;
	to_json = json.encode;
	from_json = json.decode;
};
if not driver then
	error(err, 0);
end

-- The hosts that use the driver: { [host] = its module }
local hosts = shared.hosts or {};
shared.hosts = hosts;

-- Records on a host what became of the file.
local function record(host_module, news)
	local own = news.hosts[host_module.host] or { copied = 0; missing = news.missing and 0 };
	local store = core.detail("store", {
		cause = news.cause; reason = news.reason; file = news.path and news.path:match("[^/]*$"); copied = own.copied; missing = own.missing;
	});
	host_module:fire_event("audit", {
		host = host_module.host; source = "mod_audit"; type = "audit-store-recovered"; extra = { actor = { kind = "server" }; custom = { store } };
	});
end

-- Says once that entries can't be brought to the disk, and that it is over.
local function look_at_sync()
	local problem = driver:sync_problem();
	if problem and not shared.sync_problem then
		module:log("error", "%s can't be synced to the disk, so a power failure would lose entries; it is tried again: %s", path, problem);
	elseif not problem and shared.sync_problem then
		module:log("info", "%s was synced to the disk again", path);
	end
	shared.sync_problem = problem;
end

-- Shows the state in module:info("storage_audit").
local function show_state()
	local problem = shared.trouble or shared.sync_problem and "what was written can't be synced to the disk: "..shared.sync_problem;
	if problem == shared.shown then return; end
	shared.shown = problem;
	for _, host_module in pairs(hosts) do
		host_module:set_status(problem and "error" or "info", problem or "the file can be used", true);
	end
end

-- Says once what is wrong with the file, and that it is over. While it can't be used, each operation fails with the same words.
local function look()
	local trouble, news = driver:trouble(), driver:recovered();
	if trouble and trouble ~= shared.trouble then
		module:log("error", "%s can't be used: %s", path, trouble);
	elseif not trouble and shared.trouble then
		module:log("info", "%s can be used now", path);
	end
	shared.trouble = trouble;
	look_at_sync();
	show_state();
	if news then
		module:log("error", "%s", news.text);
		for _, host_module in pairs(hosts) do
			record(host_module, news);
		end
	end
end

local function look_again()
	if hosts[module.host] ~= module then
		-- Another host goes on.
		shared.looks = false;
		local _, other = next(hosts);
		if other then other:fire_event("audit-store-look"); end
		return nil;
	end
	local ok, fault = pcall(look);
	if not ok then
		module:log("error", "Fault while looking after %s: %s", path, fault);
	end
	return PAUSE;
end

local function begin_to_look()
	if is_server and not shared.looks then
		shared.looks = true;
		look();
		add_task(PAUSE, look_again);
	end
end

function module.unload()
	if hosts[module.host] == module then
		hosts[module.host] = nil;
	end
end

hosts[module.host] = module;
module:hook("audit-store-look", begin_to_look);
begin_to_look();

module:provides("storage", driver);
