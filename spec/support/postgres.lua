-- Debian's PostgreSQL server for the tests, as support.database describes.

local databases = require "support.database";
local lfs = require "lfs";
local process = require "support.process";

local quote = process.quote;

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

-- PostgreSQL refuses to run as root: then it runs as Debian's user postgres.
local function as_server_user(command)
	if databases.is_root() then
		local switched = { "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups" };
		return table.move(command, 1, #command, #switched + 1, switched);
	end
	return command;
end

local postgres, methods = databases.new {
	-- SIGINT is its "fast shutdown": SIGTERM waits for clients.
	name = "PostgreSQL", driver = "PostgreSQL", system = "postgres", stop = "INT", crash = "QUIT", patience = 20;
	command = function (self)
		return as_server_user {
			self.programs.."/postgres", "-D", self.data, "-p", tostring(self.port), "-h", "127.0.0.1",
			"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "synchronous_commit=off",
			"-c", "full_page_writes=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB",
		};
	end;
	make = function ()
		local folder = process.new_folder("postgres");
		local place, password = folder, process.random_text();
		process.write(folder.."/password", password.."\n");
		if databases.is_root() then
			-- The server's user must be able to reach its data, which it can't below a closed home.
			process.run(("chmod 711 %s && chown postgres: %s/password"):format(quote(folder), quote(folder)));
			if process.capture(as_server_user { "test", "-r", folder.."/password" }) ~= 0 then
				place = databases.folder_elsewhere("postgres");
				process.run(("chmod 711 %s && mv %s/password %s/"):format(quote(place), quote(folder), quote(place)));
			end
		end
		local data, programs = place.."/cluster", program_folder();
		process.run("mkdir "..quote(data));
		if databases.is_root() then
			process.run("chown postgres: "..quote(data));
		end
		local status, output, errors = process.capture(as_server_user {
			programs.."/initdb", "-D", data, "-U", "audit_tests", "--pwfile", place.."/password", "-A", "scram-sha-256",
			"-E", "UTF8", "--locale=C", "--no-sync",
		});
		if status ~= 0 then
			error("PostgreSQL's initdb failed: "..output..errors, 2);
		end
		return { folder = folder, place = place, data = data, programs = programs, password = password };
	end;
};

function postgres.available()
	if program_folder() then
		return true;
	end
	return false, "PostgreSQL is not here: tools/setup test installs it";
end

-- Runs SQL by psql: its rows as text, with "|" between columns | nil, what psql said
function methods:query(sql, database)
	return databases.run({
		self.programs.."/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", tostring(self.port),
		"-U", self.user, "-d", databases.name_of(database), "-c", sql,
	}, { env = { PGPASSWORD = self.password } });
end

local lock_mt = { __index = {} };

-- Locks a table as another program would, until finish().
function methods:lock(table_name, database)
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

-- Sends a signal to the server and its processes. It has one for each connection.
local function signal_all(self, name)
	local children = process.read(("/proc/%d/task/%d/children"):format(self.child.pid, self.child.pid)) or "";
	return self.child:signal(name) and os.execute(("kill -%s %s 2>/dev/null"):format(name, children));
end

-- Stops all its processes: a query gets no answer until resume().
function methods:pause()
	return signal_all(self, "STOP");
end

function methods:resume()
	return signal_all(self, "CONT");
end

return postgres;
