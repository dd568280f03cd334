-- Finding the native library: lua/audit/library.lib.lua.

local process = require "support.process";

describe("the native library", function ()
	local folder, path, cpath;

	-- Runs the loader in a process of its own, as Prosody would: the version of the library, or what is wrong.
	local function load(more)
		local script = folder.."/script.lua";
		process.write(script, ([[
			package.path, package.cpath = "", %q;
			module = { path = %q };
			prosody = { paths = { plugins = %q, installer = %q } };
			%s
			local library, problem = dofile(%q)();
			print(library ~= nil, library and library.version or problem);
			print(library ~= nil and require "audit_core" == library);
		]]):format(cpath or "", path or folder.."/mod_audit.lua", folder..";"..folder.."/plugins/;"..folder.."/more", folder.."/installer", more or "",
			process.root.."/lua/audit/library.lib.lua"));
		local _, out, err = process.capture { "lua5.4", script };
		assert.equal("", err);
		local ok, text, same = out:match("^(%l+)\t(.-)\n(%l+)\n$");
		return ok == "true", text, same == "true";
	end

	before_each(function ()
		folder, path, cpath = process.new_folder("library"), nil, nil;
		process.run(("mkdir -p %s/plugins %s/installer/lib/lua/5.4"):format(folder, folder));
	end);

	local function install(where)
		process.run(("cp %s/lua5.4/audit_core.so %s"):format(process.target, process.quote(where)));
	end

	it("is taken from Lua's path", function ()
		cpath = process.target.."/lua5.4/?.so";
		assert.same({ true, true }, { (load()), select(3, load()) });
	end);

	for where, name in pairs {
		["beside the module"] = ""; ["in a folder of plugin_paths"] = "plugins/"; ["in the folder of the plugin installer"] = "installer/lib/lua/5.4/";
	} do
		it("is found "..where..", and is known to others then", function ()
			install(folder.."/"..name.."audit_core.so");
			local ok, version, same = load();
			assert.is_true(ok, version);
			assert.matches("^%d+%.%d+%.%d+$", version);
			assert.is_true(same);
		end);
	end

	it("that is not installed is an error that says how to install it, and where it was looked for", function ()
		local ok, message = load();
		assert.is_false(ok);
		assert.is_truthy(message:find("^the library audit_core.so is not installed: "), message);
		assert.is_truthy(message:find(folder.."/plugins", 1, true), message);
		assert.is_truthy(message:find("make install LUA=5.4", 1, true), message);
		-- Each folder is named once.
		local folders = {};
		for name in message:match("nor in (.-);"):gmatch("[^ ,]+") do
			assert.is_nil(folders[name], message);
			folders[name] = true;
		end
	end);

	it("that is no library is an error with its reason", function ()
		process.write(folder.."/audit_core.so", "not a library");
		local ok, message = load();
		assert.is_false(ok);
		assert.is_truthy(message:find("^the library audit_core can't be used by Lua 5.4: .*audit_core.so"), message);
	end);

	it("that fails while it is loaded from Lua's path is an error with that reason", function ()
		local ok, message = load([[package.preload.audit_core = function () error("no memory"); end]]);
		assert.is_false(ok);
		assert.is_truthy(message:find("can't be used by Lua 5.4: .*no memory"), message);
	end);
end);
