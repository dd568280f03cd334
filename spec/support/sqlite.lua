-- A host in this process whose log is in an SQLite file, by Prosody's own SQL driver.
--
--   local sqlite = require "support.sqlite";
--   local log = sqlite.new();
--   log.module:audit(nil, "thing");
--   log:sql("SELECT count(*) FROM prosodyarchive")  --> "1"
--   log:read("--type=thing")                        --> number of entries, of damaged ones, what is shown

local core = require "audit_core";
local module_api = require "support.module_api";
local process = require "support.process";

local sqlite = {};
local methods = {};
local log_mt = { __index = methods };

function sqlite.new(options)
	options = options or {};
	local path = process.new_folder("sql").."/audit.sqlite";
	options.storage, options.sql, options.audit_user_history = "sql", { driver = "SQLite3", database = path }, false;
	local host = module_api.host(options);
	local self = setmetatable({ path = path, host = host, module = host:load("audit").module }, log_mt);
	module_api.complaints();
	return self;
end

-- Runs SQL in another process: its rows as text.
function methods:sql(text)
	local status, out, err = process.capture { "sqlite3", self.path, text };
	assert(status == 0, err);
	return (out:gsub("\n$", ""));
end

-- Entries go to the journal from now on, and to the store a moment later.
function methods:use_journal()
	require "core.configmanager".set(self.host.name, "audit_log_write", nil);
	module_api.log().log.forget(self.host.name);
end

-- Runs f in an async context and waits for it, for at most this many seconds -> what f returned
local function run(f, seconds)
	local result;
	require "util.async".runner(function () result = f(); end):run(true);
	for _ = 1, seconds do module_api.pass(1); end
	return result;
end

function methods:read(...)
	local asked = assert(core.command({ self.host.name, "--columns=user", ... }, require "util.time".now())).asked;
	local text = {};
	local result = run(function ()
		return module_api.log().log.read(asked, function (part) table.insert(text, part); end, {});
	end, 2);
	return result.shown, result.damaged, table.concat(text);
end

-- prune(wish) -> what was done
function methods:prune(wish)
	return run(function () return module_api.log().log.prune(self.host.name, wish); end, 20);
end

-- The engine behind Prosody's driver.
function methods:engine()
	local append = getmetatable(self.module:open_store("audit", "archive")).__index.append;
	for i = 1, 60 do
		local name, value = debug.getupvalue(append, i);
		if name == "engine" then return value; end
	end
end

return sqlite;
