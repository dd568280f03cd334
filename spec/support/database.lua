-- What the database servers of the tests have in common: each runs in a scratch folder and on a free port, and no server of the
-- machine is touched.
--
--   local mariadb = require "support.mariadb";    -- or support.postgres
--   local db = mariadb.shared();            -- one for the whole test run
--   local database = db:database();         -- creates a database; the result is passed to server.start as storage
--   db:query("SELECT 1", database)          --> the rows as text | nil, what was said
--   db:stop(); db:start();                  -- takes it away for a while

local process = require "support.process";

local database = {};

-- new(kind) -> module, methods of its servers.
--   kind = {
--     name, driver      for people, and as Prosody's option "sql" has it
--     system            the database that is there from the start
--     stop, crash       the signals that end it in order, and at once
--     patience          how long it may take to come up, in seconds
--     command           function(server) -> the program and its arguments
--     make              function() -> a new server's fields, with the data in place. Raises if there is none.
--     prepare           function(server), when it runs for the first time | nil
--   }
-- The module needs available(), and the methods query().
function database.new(kind)
	local module, methods = {}, {};
	local server_mt = { __index = methods };
	local shared;

	local function launch(self)
		self.child = process.start { folder = self.folder; command = kind.command(self) };
		local up = process.wait_until(function ()
			if not self.child:alive() then return "ended"; end
			return self:query("SELECT 1", kind.system) and "up";
		end, kind.patience, 0.05);
		if up ~= "up" then
			local said = self.child:output();
			self.child:finish("KILL");
			return nil, kind.name.." did not come up: "..said:sub(-2000);
		end
		return true;
	end

	-- Starts a new server. Raises if that fails.
	function module.start()
		local here, why = module.available();
		if not here then
			error(why, 2);
		end
		local self = setmetatable(kind.make(), server_mt);
		self.password, self.user, self.databases = self.password or process.random_text(), "audit_tests", 0;
		local ok, err;
		for _ = 1, 5 do
			-- Another program may take the port first.
			self.port = process.free_ports(1)[1];
			ok, err = launch(self);
			if ok then break; end
		end
		if not ok then
			error(err, 2);
		end
		if kind.prepare then
			kind.prepare(self);
		end
		return self;
	end

	-- The server of this test run. It is started when it is first asked for.
	function module.shared()
		if not shared then
			shared = module.start();
		end
		if not shared.child:alive() then
			shared:start();
		end
		return shared;
	end

	-- Creates a database: the value of Prosody's option "sql".
	function methods:database(name)
		self.databases = self.databases + 1;
		name = name or ("audit_%d"):format(self.databases);
		local ok, err = self:query("CREATE DATABASE "..name, kind.system);
		if not ok then
			error("no database "..name..": "..err, 2);
		end
		return {
			driver = kind.driver;
			database = name;
			host = "127.0.0.1";
			port = self.port;
			username = self.user;
			password = self.password;
		};
	end

	-- Ends it; its data stay for start(). how = "immediate": as in a crash
	function methods:stop(how)
		return self.child:finish(how == "immediate" and kind.crash or kind.stop);
	end

	-- Starts it again, on the same port.
	function methods:start()
		assert(not self.child:alive(), kind.name.." is running");
		local ok, err = launch(self);
		if not ok then
			error(err, 2);
		end
	end

	function methods:alive()
		return self.child:alive();
	end

	return module, methods;
end

-- The name of a database, which is given as such or as :database() returned it.
function database.name_of(name)
	return type(name) == "table" and name.database or name;
end

-- Runs a client program to its end: its output without the last newline | nil, what it said
function database.run(command, options)
	local status, output, errors = process.capture(command, options);
	if status ~= 0 then
		return nil, errors;
	end
	return (output:gsub("\n$", ""));
end

-- A folder whose path is short enough for a socket, or that another user can reach: below /tmp.
function database.folder_elsewhere(name)
	local _, made = process.capture { "mktemp", "-d", "/tmp/prosody-audit-"..name..".XXXXXX" };
	return made:match("^[^\n]+");
end

function database.is_root()
	return process.capture({ "test", "-w", "/proc/1/oom_score_adj" }) == 0;
end

return database;
