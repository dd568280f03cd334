-- The programs that the recipes of contrib/ are for, as tools/recipes unpacked them.

local lfs = require "lfs";
local process = require "support.process";

local recipes = { folder = process.target.."/recipes"; contrib = process.root.."/contrib" };

-- Whether the program is here; false, why not.
function recipes.available(name)
	process.capture({ process.root.."/tools/recipes" }, { timeout = 300 });
	if lfs.attributes(recipes.folder.."/"..name, "mode") == "directory" then
		return true;
	end
	return false, name.." could not be had from Debian's packages";
end

-- The folders with the shared libraries of the program's packages, for LD_LIBRARY_PATH.
function recipes.libraries(name)
	local _, found = process.capture({ "find", recipes.folder.."/"..name, "-name", "*.so*", "-printf", "%h\n" });
	local folders, seen = {}, {};
	for folder in found:gmatch("[^\n]+") do
		if not seen[folder] then
			seen[folder] = true;
			table.insert(folders, folder);
		end
	end
	return table.concat(folders, ":");
end

-- A file of contrib/ with texts replaced, written to a new place. Fails if one of the texts is not in it.
function recipes.adapt(file, to, changes)
	local text = assert(process.read(recipes.contrib.."/"..file), file);
	for old, new in pairs(changes) do
		local count;
		text, count = text:gsub(old:gsub("%p", "%%%0"), (new:gsub("%%", "%%%%")));
		assert(count > 0, file.." has no "..old);
	end
	process.write(to, text);
end

return recipes;
