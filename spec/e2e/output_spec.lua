-- Files of prosodyctl mod_audit: none is left if it is interrupted, and a complete one survives a power failure.

local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

-- A log that takes a while to be read.
local fill = [[
	local host, days = ...;
	local st = require "util.stanza";
	local store = module:context(host):open_store("audit", "archive");
	for day = 1, days do
		local at = os.time() - day * 86400;
		for n = 1, 500 do
			store:append("@events."..os.date("!%Y-%m-%d", at), nil, st.stanza("audit-event", { source = "mod_x", type = "filler" }), at, "@");
		end
	end
]];

local function command_of(prosody, ...)
	return { "lua5.4", prosody.program_folder.."/prosodyctl", "--config", prosody.config_file, "mod_audit", ... };
end

local env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false; TZ = "UTC" };

-- Whether a process has a file open that has no name in this folder.
local function has_nameless_file(pid, folder)
	local list = assert(io.popen("ls -l /proc/"..pid.."/fd 2>/dev/null"));
	local links = list:read("a");
	list:close();
	return links:find(folder:gsub("%p", "%%%0").."/%S+ %(deleted%)") ~= nil;
end

local function names_in(folder)
	local names = {};
	for name in lfs.dir(folder) do
		if name ~= "." and name ~= ".." then names[#names + 1] = name; end
	end
	table.sort(names);
	return table.concat(names, " ");
end

server.each_series(describe, pending, function (series)
	describe("an interrupted reading", function ()
		local prosody;

		setup(function ()
			prosody = server.start { series = series; modules = { "audit" }; log_level = "info"; config = "audit_log_expires_after = \"never\"" };
			prosody:eval(fill, host, 24);
		end);

		teardown(function ()
			if prosody then prosody:stop(); end
		end);

		for _, signal in ipairs { "INT", "TERM", "HUP", "KILL" } do
			it("into a file leaves no file after SIG"..signal, function ()
				local folder = process.new_folder("output");
				local work = process.new_folder("reading");
				local child = process.start { folder = work; env = env;
					command = command_of(prosody, host, "--format=json", "--output", folder.."/log.jsonl") };
				assert.is_truthy(process.wait_until(function () return has_nameless_file(child.pid, folder); end, 20, 0.002), child:output());
				assert.equal("", names_in(folder));
				assert.is_true(child:signal(signal));
				assert.is_truthy(process.wait_until(function () return not child:alive(); end, 2), "it still runs");
				child:finish("KILL");
				assert.equal("", names_in(folder));
			end);
		end

		it("to a terminal or a pipe ends with Ctrl-C", function ()
			local child = process.start { folder = process.new_folder("reading"); env = env; command = command_of(prosody, host, "--format=json") };
			assert.is_truthy(process.wait_until(function () return child:output():find("filler", 1, true); end, 20, 0.002), child:output());
			assert.is_true(child:signal("INT"));
			assert.is_truthy(process.wait_until(function () return not child:alive(); end, 2), "it still runs");
			child:finish("KILL");
			assert.is_nil(child:output():find("traceback", 1, true));
		end);

		it("that was not interrupted is complete", function ()
			local folder = process.new_folder("output");
			assert.equal(0, (prosody:ctl("mod_audit", host, "--format=json", "--type=filler", "--output", folder.."/log.jsonl")));
			assert.equal("log.jsonl", names_in(folder));
			assert.equal(12000, select(2, process.read(folder.."/log.jsonl"):gsub("\n", "")));
		end);
	end);

	describe("what must survive a power failure", function ()
		local prosody;

		after_each(function ()
			if prosody then prosody:stop(); end
			prosody = nil;
		end);

		-- The system calls of a command, in order.
		local function traced(...)
			local file = process.new_folder("trace").."/calls";
			local command = { "strace", "-f", "-y", "-o", file, "-e", "trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2,openat" };
			local arguments = command_of(prosody, ...);
			table.move(arguments, 1, #arguments, #command + 1, command);
			local status, _, err = process.capture(command, { env = env });
			assert.equal(0, status, err);
			local calls = {};
			for line in process.read(file):gmatch("[^\n]+") do
				if not line:find("openat", 1, true) or line:find("O_CREAT", 1, true) then calls[#calls + 1] = line; end
			end
			return table.concat(calls, "\n");
		end

		local has_strace = os.execute("strace -o /dev/null true 2>/dev/null");

		it("is on the disk before it has its name", function ()
			if not has_strace then
				pending("strace is not here, or may not be used");
				return;
			end
			prosody = server.start { series = series; modules = { "audit" }; config = "audit_log_ips = \"hash\"" };
			local folder = process.new_folder("output");
			local calls = traced(host, "--format=json", "--output", folder.."/log.jsonl");
			local inside = folder:gsub("%p", "%%%0");
			local at = calls:find("fsync%(%d+<"..inside.."/");
			local named = calls:find("linkat%([^\n]-log%.jsonl");
			assert.is_true(at and named and at < named, calls);
			-- And the name itself.
			assert.is_truthy(calls:find("fsync%(%d+<"..inside..">", named), calls);

			-- The key that makes hashes of addresses the same tomorrow.
			calls = traced("--new-key", host);
			at = calls:find("fsync%(%d+<[^\n>]-audit%.key");
			named = calls:find("rename[^\n]-audit%.key\"") or calls:find("link[^\n]-audit%.key\"");
			assert.is_true(at and named and at < named, calls);
		end);
	end);
end);
