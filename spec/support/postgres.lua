-- Debian's PostgreSQL server for the tests, in a scratch folder and on a free
-- port; nothing of an installed cluster is touched.
--
--   local postgres = require "support.postgres";
--   local pg = postgres.shared();           -- one for the whole test run
--   local database = pg:database();         -- a new one; goes to server.start as storage
--   pg:stop(); pg:start();                  -- for a database that is gone for a while

local lfs = require "lfs";
local process = require "support.process";

local quote = process.quote;

local postgres = {};

local postgres_methods = {};
local postgres_mt = { __index = postgres_methods };

-- The newest of Debian's versions.
local function program_folder()
	local newest;
	local base = "/usr/lib/postgresql";
	if lfs.attributes(base, "mode") then
		for name in lfs.dir(base) do
			local version = tonumber(name);
			if version and (not newest or version > newest) and lfs.attributes(base.."/"..name.."/bin/postgres", "mode") then
				newest = version;
			end
		end
	end
	if newest then
		return ("%s/%d/bin"):format(base, newest);
	end
end

function postgres.available()
	if program_folder() then
		return true;
	end
	return false, "PostgreSQL is not here: tools/setup test installs it";
end

local function is_root()
	return process.capture({ "test", "-w", "/proc/1/oom_score_adj" }) == 0;
end

-- PostgreSQL refuses to run as root: then it runs as Debian's postgres user.
local function as_server_user(command)
	if is_root() then
		local switched = { "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups" };
		return table.move(command, 1, #command, #switched + 1, switched);
	end
	return command;
end

local function launch(self)
	self.child = process.start {
		folder = self.folder;
		-- SIGINT is its "fast shutdown": SIGTERM waits for clients.
		command = as_server_user {
			self.programs.."/postgres", "-D", self.data, "-p", tostring(self.port), "-h", "127.0.0.1",
			"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "synchronous_commit=off",
			"-c", "full_page_writes=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB",
		};
	};
	local up = process.wait_until(function ()
		if not self.child:alive() then return "ended"; end
		return self:query("SELECT 1", "postgres") and "up";
	end, 20, 0.05);
	if up ~= "up" then
		local said = self.child:output();
		self.child:finish("KILL");
		return nil, "PostgreSQL did not come up: "..said:sub(-2000);
	end
	return true;
end

-- A new cluster, running. An error if it can't be had.
function postgres.start()
	local programs = program_folder();
	if not programs then
		error(select(2, postgres.available()), 2);
	end
	local folder = process.new_folder("postgres");
	local place = folder;
	local password = process.random_text();
	process.write(folder.."/password", password.."\n");
	if is_root() then
		-- The server's user must come to its data; below a closed home it can't.
		process.run(("chmod 711 %s && chown postgres: %s/password"):format(quote(folder), quote(folder)));
		if process.capture(as_server_user { "test", "-r", folder.."/password" }) ~= 0 then
			local _, made = process.capture { "mktemp", "-d", "/tmp/prosody-audit-postgres.XXXXXX" };
			place = made:match("^[^\n]+");
			process.run(("chmod 711 %s && mv %s/password %s/"):format(quote(place), quote(folder), quote(place)));
		end
	end
	local self = setmetatable({
		folder = folder;
		place = place;
		data = place.."/cluster";
		programs = programs;
		password = password;
		user = "audit_tests";
		databases = 0;
	}, postgres_mt);
	process.run("mkdir "..quote(self.data));
	if is_root() then
		process.run("chown postgres: "..quote(self.data));
	end
	local status, output, errors = process.capture(as_server_user {
		programs.."/initdb", "-D", self.data, "-U", self.user, "--pwfile", place.."/password", "-A", "scram-sha-256",
		"-E", "UTF8", "--locale=C", "--no-sync",
	});
	if status ~= 0 then
		error("PostgreSQL's initdb failed: "..output..errors, 2);
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
	return self;
end

local shared;

-- The one of this test run, started when it is first asked for.
function postgres.shared()
	if not shared then
		shared = postgres.start();
	end
	if not shared.child:alive() then
		shared:start();
	end
	return shared;
end

-- Makes a database; returns what Prosody's option "sql" takes.
function postgres_methods:database(name)
	self.databases = self.databases + 1;
	name = name or ("audit_%d"):format(self.databases);
	local ok, err = self:query("CREATE DATABASE "..name, "postgres");
	if not ok then
		error("no database "..name..": "..err, 2);
	end
	return {
		driver = "PostgreSQL";
		database = name;
		host = "127.0.0.1";
		port = self.port;
		username = self.user;
		password = self.password;
	};
end

-- Runs SQL by psql. Returns its rows as text, columns parted by "|"; or nil and
-- what psql said. database: a name, or what :database() gave.
function postgres_methods:query(sql, database)
	if type(database) == "table" then
		database = database.database;
	end
	local status, output, errors = process.capture({
		self.programs.."/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", tostring(self.port),
		"-U", self.user, "-d", database, "-c", sql,
	}, { env = { PGPASSWORD = self.password } });
	if status ~= 0 then
		return nil, errors;
	end
	return (output:gsub("\n$", ""));
end

local lock_mt = { __index = {} };

-- Locks a table as another program would, until finish().
function postgres_methods:lock(table_name, database)
	local lock = setmetatable({ pg = self, table_name = table_name, database = database }, lock_mt);
	lock.child = process.start {
		folder = process.new_folder("lock");
		env = { PGPASSWORD = self.password };
		command = {
			self.programs.."/psql", "-X", "-q", "-h", "127.0.0.1", "-p", tostring(self.port), "-U", self.user, "-d", database.database,
			"-c", ("BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)"):format(table_name),
		};
	};
	local locked = process.wait_until(function () return lock:holder() ~= ""; end, 15, 0.02);
	assert(locked, "the table could not be locked");
	return lock;
end

function lock_mt.__index:holder()
	return assert(self.pg:query(("SELECT pid FROM pg_locks WHERE relation = '%s'::regclass AND mode = 'AccessExclusiveLock' AND granted")
		:format(self.table_name), self.database));
end

function lock_mt.__index:finish()
	local holder = self:holder();
	if holder ~= "" then
		self.pg:query(("SELECT pg_terminate_backend(%s)"):format(holder), self.database);
	end
	process.wait_until(function () return self:holder() == ""; end, 10, 0.02);
	self.child:finish("KILL");
end

-- Ends it; its data stay for start(). "immediate" leaves as a crash would.
function postgres_methods:stop(how)
	return self.child:finish(how == "immediate" and "QUIT" or "INT");
end

-- Starts it again, on the same port.
function postgres_methods:start()
	assert(not self.child:alive(), "PostgreSQL is running");
	local ok, err = launch(self);
	if not ok then
		error(err, 2);
	end
end

function postgres_methods:alive()
	return self.child:alive();
end

-- The server and the processes that it made, one a connection.
local function signal_all(self, name)
	local children = process.read(("/proc/%d/task/%d/children"):format(self.child.pid, self.child.pid)) or "";
	return self.child:signal(name) and os.execute(("kill -%s %s 2>/dev/null"):format(name, children));
end

-- Holds all its processes, so that a query waits without an answer.
function postgres_methods:pause()
	return signal_all(self, "STOP");
end

function postgres_methods:resume()
	return signal_all(self, "CONT");
end

return postgres;
