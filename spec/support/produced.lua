-- Collects the event types that the end-to-end specs of one run have found in the stores of real servers. support.dump notes them
-- in the file AUDIT_TEST_PRODUCED, and spec/e2e/catalogue_spec.lua, which runs after all others, reads it.

local produced = {};

-- Nothing is noted if a spec runs alone.
local path = os.getenv("AUDIT_TEST_PRODUCED");
local noted = {};

local function add(line)
	if path and not noted[line] then
		noted[line] = true;
		local file = assert(io.open(path, "a"));
		file:write(line, "\n");
		file:close();
	end
end

-- Notes an entry. `elements` are the names of its children, separated by commas. Entries of modules of the tests are ignored.
function produced.note(series, source, event_type, elements)
	if source and source:find("^mod_audit") then
		add(table.concat({ series, source, tostring(event_type), elements }, " "));
	end
end

-- Notes that a type can't be produced on this machine.
function produced.cannot(series, event_type, why)
	add(("%s cannot %s %s"):format(series, event_type, (tostring(why):gsub("%s+", "_"))));
end

-- A list of { series =, source =, type =, elements = { name, … } }, and why types can't be produced:
-- { ["series type"] = reason }. nil, if nothing is noted in this run.
function produced.read()
	if not path then return nil; end
	local found, lacking = {}, {};
	for line in io.lines(path) do
		local series, source, event_type, names = line:match("^(%S+) (%S+) (%S+) (%S*)$");
		if source == "cannot" then
			lacking[series.." "..event_type] = names:gsub("_", " ");
		else
			local entry = { series = series, source = source, type = event_type, elements = {} };
			for name in names:gmatch("[^,]+") do table.insert(entry.elements, name); end
			found[#found+1] = entry;
		end
	end
	return found, lacking;
end

return produced;
