-- Whether an account exists, if the server can tell without waiting.
--
--   local existing = library "existing";
--   existing.exists(host, username) -> true | false | nil, if that can't be told without waiting
--   existing.answers(host) -> whether it can be told on that host at all
--
-- It can be told if accounts are in the embedded storage (or in memory): one small file is opened. A database, LDAP or a program
-- would make the whole server wait, so they are never asked. A file is looked for at most once a minute for each name: an answer may
-- be a minute old.

local datamanager = require "util.datamanager";
local storagemanager = require "core.storagemanager";
local time = require "util.time";

local pcall, type = pcall, type;

local hosts = prosody.hosts;

local PROVIDERS = { internal_hashed = true; internal_plain = true };
local DRIVERS = { internal = true; memory = true };

local MEMORY = 60; -- seconds
local MAX_NAMES = 2000; -- in each of two tables, see remember()
local LONGEST_FILE_NAME = 255;

-- Two generations of answers: host.."\0"..name -> { at = when, is = true | false }. When the younger one is full, the older one is
-- forgotten.
local young, old, count = {}, {}, 0;

local function remember(key, answer)
	if not young[key] then
		if count >= MAX_NAMES then
			young, old, count = {}, young, 0;
		end
		count = count + 1;
	end
	young[key] = answer;
end

-- The store of a host's accounts | nil, if it can't be asked without waiting.
local function store_of(host)
	local session = hosts[host];
	local provider = session and session.users;
	if not (provider and PROVIDERS[provider.name]) then return nil; end
	local _, driver_name = storagemanager.get_driver(host, "accounts");
	if not DRIVERS[driver_name] then return nil; end
	return storagemanager.open(host, "accounts", "keyval"), driver_name;
end

-- Such a file can't exist. Looking for it would cause an error in the server's log.
local function is_too_long(host, username)
	local path = datamanager.getpath(username, host, "accounts");
	return #path:match("[^/]*$") > LONGEST_FILE_NAME;
end

local function look(host, username)
	local store, driver_name = store_of(host);
	if not store then return nil; end
	if driver_name == "internal" and is_too_long(host, username) then
		return false;
	end
	local account, err = store:get(username);
	if account then
		return true;
	elseif err == nil then
		return false;
	end
	-- The file of the account can't be read: nil.
end

local existing = {};

function existing.exists(host, username)
	local session = hosts[host];
	if not session or type(username) ~= "string" or username == "" then return nil; end
	if session.sessions and session.sessions[username] then
		return true;
	end
	local key, now = host.."\0"..username, time.monotonic();
	local known = young[key] or old[key];
	if known and now - known.at < MEMORY then
		return known.is;
	end
	local ok, is = pcall(look, host, username);
	if not ok then
		is = nil;
	end
	remember(key, { at = now; is = is });
	return is;
end

function existing.answers(host)
	local ok, store = pcall(store_of, host);
	return ok and store ~= nil;
end

return existing;
