-- Which types of events the end-to-end specs of one run have found in the stores of real servers. support.dump notes them
-- in the file AUDIT_TEST_PRODUCED, and spec/e2e/catalogue_spec.lua, which runs after all others, reads it.

local produced = {};

-- Nothing is noted where a spec is run alone.
local path = os.getenv("AUDIT_TEST_PRODUCED");
local noted = {};

-- entries as support.dump has them. What tests record in the name of their own modules is none of ours.
function produced.note(series, entries)
	if not path then return; end
	local lines = {};
	for _, entry in ipairs(entries) do
		if (entry.source or ""):find("^mod_audit") then
			local names = {};
			for _, child in ipairs(entry.children) do
				if type(child) == "table" then names[#names+1] = child.name; end
			end
			local line = table.concat({ series, entry.source, tostring(entry.type), table.concat(names, ",") }, " ");
			if not noted[line] then
				noted[line] = true;
				lines[#lines+1] = line.."\n";
			end
		end
	end
	if #lines > 0 then
		local file = assert(io.open(path, "a"));
		file:write(table.concat(lines));
		file:close();
	end
end

-- A list of { series =, source =, type =, elements = { name, … } }; nil where nothing is noted in this run.
function produced.read()
	if not path then return nil; end
	local found = {};
	for line in io.lines(path) do
		local series, source, event_type, names = line:match("^(%S+) (%S+) (%S+) (%S*)$");
		local entry = { series = series, source = source, type = event_type, elements = {} };
		for name in (names or ""):gmatch("[^,]+") do table.insert(entry.elements, name); end
		found[#found+1] = entry;
	end
	return found;
end

return produced;
