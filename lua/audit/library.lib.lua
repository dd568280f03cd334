-- Loads the native library audit_core from Lua's path, or from the folder of the modules: library | nil, what is wrong.

return function ()
	local ok, library = pcall(require, "audit_core");
	if ok then
		return library;
	end
	local reason = (not tostring(library):find("module 'audit_core' not found", 1, true)) and tostring(library) or nil;
	local lua_version = _VERSION:match("%d+%.%d+");
	local directories = {};
	local function add(directory)
		if not directories[directory] then
			directories[directory] = true;
			table.insert(directories, directory);
		end
	end
	add((module.path or ""):match("^(.*)/") or ".");
	if prosody.paths.installer then
		add(prosody.paths.installer.."/lib/lua/"..lua_version);
	end
	for directory in (prosody.paths.plugins or ""):gmatch("[^;]+") do
		add((directory:gsub("/$", "")));
	end
	for _, directory in ipairs(directories) do
		local path = directory.."/audit_core.so";
		local open, err, step = package.loadlib(path, "luaopen_audit_core");
		if open then
			library = open("audit_core", path);
			package.loaded["audit_core"] = library;
			return library;
		elseif step == "init" or not tostring(err):find("No such file", 1, true) then
			reason = tostring(err);
		end
	end
	local version = rawget(_G, "jit") and "jit" or lua_version;
	if reason then
		return nil, ("the library audit_core can't be used by %s: %s; build and install it for this Lua with make install LUA=%s, "
			.."and restart Prosody"):format(_VERSION, (reason:gsub("%s+", " ")), version);
	end
	return nil, ("the library audit_core.so is not installed: it is neither on Lua's path nor in %s; install it with make install LUA=%s, "
		.."and restart Prosody"):format(table.concat(directories, ", "), version);
end
