-- Parses the flags of a benchmark: --name=value, or --name for a switch. The type of a flag is that of its default: a number, a list
-- separated by commas, text, or a switch. A default may be a function, which is called if the flag is missing.
--
--   local flags = dofile(here.."/flags.lua");
--   local options = flags.parse { series = flags.all_series, stores = flags.all_stores, accounts = 20000, memory = false };
--
-- Wrong flags end the program with status 2.

local flags = {};

local function refuse(message, ...)
	io.stderr:write(arg[0]:match("[^/]*$"), ": ", message:format(...), "; the flags are listed at the head of ", arg[0], "\n");
	os.exit(2, true);
end

local function split(text)
	local list = {};
	for item in text:gmatch("[^,]+") do
		list[#list + 1] = item;
	end
	return list;
end

local readers = {
	number = tonumber;
	string = function (text) return text; end;
	table = split;
	["function"] = split;
	boolean = function () return nil; end;
};

function flags.parse(defaults)
	local options = {};
	for i = 1, #arg do
		local name, value = arg[i]:match("^%-%-([a-z]+)=(.+)$");
		name = name or arg[i]:match("^%-%-([a-z]+)$");
		local default = name and defaults[name];
		if default == nil then
			refuse("unknown flag %s", arg[i]);
		elseif not value and type(default) == "boolean" then
			options[name] = true;
		else
			options[name] = value and readers[type(default)](value);
			if options[name] == nil then
				refuse("%s is not as it must be", arg[i]);
			end
		end
	end
	for name, default in pairs(defaults) do
		if options[name] == nil then
			if type(default) == "function" then
				default = default();
			end
			options[name] = default;
		end
	end
	return options;
end

-- The newest release of each series of Prosody that is unpacked here.
function flags.all_series()
	local releases = require "support.releases";
	local all = releases.here();
	if #all == 0 then
		io.stderr:write("no Prosody is under target/prosody/: run tools/setup test\n");
		os.exit(1, true);
	end
	local newest = {};
	for i, name in ipairs(all) do
		if not (all[i + 1] and releases.number(all[i + 1]) == releases.number(name)) then
			newest[#newest+1] = name;
		end
	end
	return newest;
end

-- The title of a series: "13.0.7 (Lua files, with the C libraries of 13.0.1)".
function flags.title(series)
	return require "support.releases".title(series);
end

-- Every store that is installed here.
function flags.all_stores()
	if require "support.postgres".available() then
		return { "internal", "sqlite", "postgresql" };
	end
	print("PostgreSQL is left out: it is not installed.");
	return { "internal", "sqlite" };
end

-- The same, with our own driver, "audit".
function flags.all_drivers()
	local stores = flags.all_stores();
	table.insert(stores, 3, "audit");
	return stores;
end

return flags;
