-- A server whose library is missing or can't be loaded: it says so once, and works without the log.

local lfs = require "lfs";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host, other, rooms = server.default_host, "other.test", "rooms.example.test";

-- All of our modules, as an operator who enables everything lists them.
local function all_modules()
	local names = {};
	for file in lfs.dir(process.root.."/lua") do
		local name = file:match("^mod_(audit[%w_]*)%.lua$");
		if name then table.insert(names, name); end
	end
	table.sort(names);
	return names;
end

-- Where neither Lua nor our modules find the library.
local function start(series, library)
	local folder = process.new_folder("modules");
	process.run(("cp -r %s/lua/. %s/"):format(process.quote(process.root), process.quote(folder)));
	if library then
		process.write(folder.."/audit_core.so", library);
	end
	local modules = all_modules();
	return server.start {
		series = series; modules = modules; hosts = { host, other }; plugin_paths = { folder }; library = "beside";
		components = { [rooms] = { module = "muc"; modules_enabled = modules } };
	}, folder;
end

local function lines_of(text, ...)
	local found = {};
	for line in text:gmatch("[^\n]+") do
		for _, word in ipairs { ... } do
			if line:find(word, 1, true) then
				table.insert(found, line);
				break;
			end
		end
	end
	return found;
end

server.each_series(describe, pending, function (series)
	describe("a server without the library", function ()
		after_each(server.stop_all);

		for title, case in pairs {
			["that is not installed"] = { nil, "the library audit_core.so is not installed: it is neither on Lua's path nor in " };
			["that can't be loaded"] = { "not a library", "the library audit_core can't be used by Lua 5.4: " };
		} do
			it(title.." says so in one line, whatever hosts and modules it has, and works", function ()
				local prosody, folder = start(series, case[1]);
				local wrong = lines_of(prosody:log(), "\terror\t", "\twarn\t", "traceback", "audit_core");
				-- Prosody itself may warn of other things.
				wrong = lines_of(table.concat(wrong, "\n"), "audit", "error", "traceback");
				assert.equal(1, #wrong, table.concat(wrong, "\n"));
				assert.is_truthy(wrong[1]:find("The audit log can't be used: "..case[2], 1, true), wrong[1]);
				assert.is_truthy(wrong[1]:find(folder, 1, true) and wrong[1]:find("make install LUA=5.4, and restart Prosody", 1, true), wrong[1]);

				prosody:adduser("romeo@"..host, "secret");
				assert.is_truthy(raw.login(prosody, "romeo", "secret"));
				-- A module of somebody else that records something is not broken.
				assert.same({ "nil", "not-available" }, prosody:eval([[
					local id, condition = module:context(...):audit(nil, "test");
					return { tostring(id), condition };
				]], host));
				assert.equal(1, #lines_of(prosody:log(), "audit_core"));

				for _, arguments in ipairs { { host }, { "--help" }, { "--prune" }, {} } do
					local status, out, err = prosody:ctl("mod_audit", table.unpack(arguments));
					assert.equal(1, status);
					local said = lines_of(out..err, "");
					assert.equal(1, #said, out..err);
					assert.is_truthy(said[1]:find("The audit log can't be used: "..case[2], 1, true), said[1]);
				end
			end);
		end

		it("records again after it was installed and Prosody restarted", function ()
			local prosody, folder = start(series);
			prosody:stop();
			process.run(("cp %s/lua5.4/audit_core.so %s/"):format(process.quote(process.target), process.quote(folder)));
			prosody:start();
			local status, out = prosody:ctl("mod_audit", "--type=server-started", host);
			assert.equal(0, status);
			assert.is_truthy(out:find("server-started", 1, true), out);
		end);
	end);
end);
