-- The archive driver "audit": all archives of the server in one SQLite file, audit.sqlite3 in the data folder.
--
-- storage = { audit = "audit" } loads it. Other stores may use it for their archives too, such as storage = { archive = "audit" }.

local load_library = module:require "audit/library";

local json = require "util.json";
local st = require "util.stanza";
local new_key = require "util.uuid".generate;
local now = require "util.time".now;

local PATIENCE = 1; -- seconds for which a write waits for another process that writes

-- COMPAT Prosody 0.12: the type of the process is in a global table alone.
local is_server = prosody.process_type == "prosody";
local path = prosody.paths.data.."/audit.sqlite3";

local driver, err = load_library().storage {
	host = module.host;
	path = path;
	is_server = is_server;
	patience = PATIENCE;
	shared = module:shared("/*/storage_audit/database");
	now = now;
	new_key = new_key;
	stanza_mt = st.stanza_mt;
	to_json = json.encode;
	from_json = json.decode;
};
if not driver then
	error(err, 0);
end

-- The server says at the start what is wrong with the file. While that is so, each operation fails with the same words.
local trouble = driver:trouble();
if trouble then
	module:log("error", "%s can't be used: %s", path, trouble);
end
local set_aside, reason = driver:set_aside();
if set_aside then
	module:log("error", "%s was damaged (%s). It is now called %s, and a new file was begun", path, reason, set_aside);
end

module:provides("storage", driver);
