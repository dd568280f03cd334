-- Debian's MariaDB server for the tests, as support.database describes.

local databases = require "support.database";
local lfs = require "lfs";
local process = require "support.process";

local SERVER, INSTALL, CLIENT = "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/bin/mariadb";

-- It runs as root only if it is told to.
local function user_option()
	return databases.is_root() and "--user=root" or nil;
end

local mariadb, methods = databases.new {
	name = "MariaDB", driver = "MySQL", system = "mysql", stop = "TERM", crash = "KILL", patience = 30;
	command = function (self)
		return {
			SERVER, "--no-defaults", "--datadir="..self.data, "--port="..self.port, "--bind-address=127.0.0.1",
			"--socket="..self.socket, "--pid-file="..self.folder.."/pid", "--innodb-flush-log-at-trx-commit=0",
			"--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--max-connections=60", user_option(),
		};
	end;
	make = function ()
		local folder = process.new_folder("mariadb");
		-- The path of a socket has at most 107 bytes.
		local place = #folder > 90 and databases.folder_elsewhere("mariadb") or folder;
		local data = folder.."/data";
		local status, output, errors = process.capture { INSTALL, "--no-defaults", "--datadir="..data,
			"--auth-root-authentication-method=normal", "--skip-test-db", user_option() };
		if status ~= 0 then
			error("mariadb-install-db failed: "..output..errors, 2);
		end
		return { folder = folder, data = data, socket = place.."/socket" };
	end;
	prepare = function (self)
		assert(self:query(("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'; GRANT ALL ON *.* TO '%s'@'%%'"):format(
			self.user, self.password, self.user), "mysql"));
	end;
};

function mariadb.available()
	if lfs.attributes(SERVER, "mode") and lfs.attributes(CLIENT, "mode") then
		return true;
	end
	return false, "MariaDB is not here: tools/setup test installs it";
end

local function client_command(self, sql, database)
	return { CLIENT, "--no-defaults", "--socket="..self.socket, "--user=root", "--batch", "--skip-column-names", "--unbuffered",
		"--default-character-set=utf8mb4", "--execute="..sql, databases.name_of(database) };
end

-- Runs SQL: its rows as text, with tabs between columns | nil, what was said
function methods:query(sql, database)
	return databases.run(client_command(self, sql, database));
end

local lock_mt = { __index = {} };

-- Locks a table as another program would, until finish().
function methods:lock(table_name, database)
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

return mariadb;
