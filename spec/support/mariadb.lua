-- Debian's MariaDB server for the tests, in a scratch folder and on a free port; no server of the machine is touched.
-- It is used as support.postgres is.
--
--   local mariadb = require "support.mariadb";
--   local db = mariadb.shared();            -- one for the whole test run
--   local database = db:database();         -- a new one; goes to server.start as storage
--   db:stop(); db:start();                  -- for a database that is gone for a while

local lfs = require "lfs";
local process = require "support.process";

local SERVER, INSTALL, CLIENT = "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/bin/mariadb";

local mariadb = {};

local mariadb_methods = {};
local mariadb_mt = { __index = mariadb_methods };

function mariadb.available()
	if lfs.attributes(SERVER, "mode") and lfs.attributes(CLIENT, "mode") then
		return true;
	end
	return false, "MariaDB is not here: tools/setup test installs it";
end

-- It runs as root only if it is told to.
local function user_option()
	return process.capture({ "test", "-w", "/proc/1/oom_score_adj" }) == 0 and "--user=root" or nil;
end

local function launch(self)
	self.child = process.start {
		folder = self.folder;
		command = {
			SERVER, "--no-defaults", "--datadir="..self.data, "--port="..self.port, "--bind-address=127.0.0.1",
			"--socket="..self.socket, "--pid-file="..self.folder.."/pid", "--innodb-flush-log-at-trx-commit=0",
			"--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--max-connections=60", user_option(),
		};
	};
	local up = process.wait_until(function ()
		if not self.child:alive() then return "ended"; end
		return self:query("SELECT 1", "mysql") and "up";
	end, 30, 0.1);
	if up ~= "up" then
		local said = self.child:output();
		self.child:finish("KILL");
		return nil, "MariaDB did not come up: "..said:sub(-2000);
	end
	return true;
end

-- A new server, running. An error if it can't be had.
function mariadb.start()
	local here, why = mariadb.available();
	if not here then
		error(why, 2);
	end
	local folder = process.new_folder("mariadb");
	local place = folder;
	if #place > 90 then
		-- Too long for a socket.
		local _, made = process.capture { "mktemp", "-d", "/tmp/prosody-audit-mariadb.XXXXXX" };
		place = made:match("^[^\n]+");
	end
	local self = setmetatable({
		folder = folder;
		data = folder.."/data";
		socket = place.."/socket";
		password = process.random_text();
		user = "audit_tests";
		databases = 0;
	}, mariadb_mt);
	local status, output, errors = process.capture { INSTALL, "--no-defaults", "--datadir="..self.data,
		"--auth-root-authentication-method=normal", "--skip-test-db", user_option() };
	if status ~= 0 then
		error("mariadb-install-db failed: "..output..errors, 2);
	end
	local ok, err;
	for _ = 1, 5 do
		self.port = process.free_ports(1)[1];
		ok, err = launch(self);
		if ok then break; end
	end
	if not ok then
		error(err, 2);
	end
	assert(self:query(("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'; GRANT ALL ON *.* TO '%s'@'%%'"):format(
		self.user, self.password, self.user), "mysql"));
	return self;
end

local shared;

-- The one of this test run, started when it is first asked for.
function mariadb.shared()
	if not shared then
		shared = mariadb.start();
	end
	if not shared.child:alive() then
		shared:start();
	end
	return shared;
end

-- Makes a database; returns what Prosody's option "sql" takes.
function mariadb_methods:database(name)
	self.databases = self.databases + 1;
	name = name or ("audit_%d"):format(self.databases);
	local ok, err = self:query("CREATE DATABASE "..name, "mysql");
	if not ok then
		error("no database "..name..": "..err, 2);
	end
	return {
		driver = "MySQL";
		database = name;
		host = "127.0.0.1";
		port = self.port;
		username = self.user;
		password = self.password;
	};
end

local function client_command(self, sql, database)
	if type(database) == "table" then
		database = database.database;
	end
	return { CLIENT, "--no-defaults", "--socket="..self.socket, "--user=root", "--batch", "--skip-column-names", "--unbuffered",
		"--default-character-set=utf8mb4", "--execute="..sql, database };
end

-- Runs SQL. Returns its rows as text, columns parted by tabs; or nil and what was said. database: a name, or what
-- :database() gave.
function mariadb_methods:query(sql, database)
	local status, output, errors = process.capture(client_command(self, sql, database));
	if status ~= 0 then
		return nil, errors;
	end
	return (output:gsub("\n$", ""));
end

local lock_mt = { __index = {} };

-- Locks a table as another program would, until finish().
function mariadb_methods:lock(table_name, database)
	local child = process.start {
		folder = process.new_folder("lock");
		command = client_command(self, ("LOCK TABLES %s WRITE; SELECT CONNECTION_ID(); SELECT SLEEP(600)"):format(table_name), database);
	};
	local id = process.wait_until(function () return child:output():match("^(%d+)\n"); end, 15, 0.02);
	assert(id, "the table could not be locked: "..child:output());
	return setmetatable({ db = self, child = child, id = id }, lock_mt);
end

function lock_mt.__index:finish()
	self.db:query("KILL "..self.id, "mysql");
	self.child:finish("KILL");
end

-- Ends it; its data stay for start(). "immediate" leaves as a crash would.
function mariadb_methods:stop(how)
	return self.child:finish(how == "immediate" and "KILL" or "TERM");
end

-- Starts it again, on the same port.
function mariadb_methods:start()
	assert(not self.child:alive(), "MariaDB is running");
	local ok, err = launch(self);
	if not ok then
		error(err, 2);
	end
end

function mariadb_methods:alive()
	return self.child:alive();
end

return mariadb;
