-- The releases of Prosody that tests and benches run on. tools/setup unpacks each in target/prosody/NAME; the name is
-- that of its series, or "13.0-newest": the newest 13.0.x in any of Debian's suites, with the C libraries of 13.0.
--
-- PROSODY_SERIES=0.12,13.0   the end-to-end specs on these only
-- PROSODY_SERIES=trunk       on the checkout that tools/trunk has built
-- AUDIT_TEST_SMOKE=13.0      on these only the end-to-end specs that releases.smoke names, and those of releases.newest_only on the newest alone

local lfs = require "lfs";
local process = require "support.process";

local releases = {
	folder = process.target.."/prosody";
	-- All that are supported, oldest first. releases.here() returns those that are unpacked here.
	all = { "0.12", "13.0", "13.0-newest" };
	-- One spec or two for each of: login, accounts, the admin shell, the command, stores and the journal.
	smoke = { "accounts", "auth", "command", "harness", "install", "shell", "status", "upgrade" };
	-- These take long and depend little on the server. Where some releases have only a few specs, they run on the newest one alone.
	newest_only = { "attacks", "exported", "receivers", "sink_backends", "web_axe", "web_browser", "web_timeline" };
};

if (os.getenv("PROSODY_SERIES") or ""):find("trunk", 1, true) then
	table.insert(releases.all, "trunk");
end

local function first_line(name)
	local text = process.read(releases.folder.."/"..name);
	return text and text:match("^[^\n]+");
end

-- available(name) -> true | false, the reason
function releases.available(name)
	if lfs.attributes(releases.folder.."/"..name.."/bin/prosody", "mode") then
		return true;
	end
	return false, "Prosody "..name.." "..(first_line(name..".missing") or "is not here: tools/setup test unpacks it");
end

function releases.here()
	local found = {};
	for _, name in ipairs(releases.all) do
		if releases.available(name) then
			found[#found+1] = name;
		end
	end
	return found;
end

-- title(name) -> "13.0.1", or "13.0.7 (Lua files, with the C libraries of 13.0.1)".
function releases.title(name)
	local version = first_line(name.."/.version");
	local libraries = first_line(name.."/.libraries");
	version = version and version:match("^[%d.]+") or name;
	return libraries and ("%s (Lua files, with the C libraries of %s)"):format(version, libraries) or version;
end

-- Whether a release is 13.0.PATCH or a later one.
function releases.is_since_patch(name, patch)
	local number = releases.number(name);
	return number > 13.0 or number == 13.0 and tonumber(releases.title(name):match("^13%.0%.(%d+)") or -1) >= patch;
end

-- The series as a number, to compare: 13.0 for "13.0-newest".
function releases.number(name)
	if name == "trunk" then
		-- A checkout of a release says its number; that of a revision is after all of them.
		name = first_line(name.."/usr/lib/prosody/prosody.version") or name;
		return tonumber(name:match("^%d+%.%d+")) or 13.1;
	end
	return tonumber(name:match("^%d+%.%d+"));
end

local function is_among(name, list)
	for word in list:gmatch("[^%s,]+") do
		if word == name then return true; end
	end
	return false;
end

-- chosen(name, spec, smoke) -> whether the specs of this file run on that release. Without a file: whether any specs do. `spec` is
-- "accounts" for accounts_spec.lua. `smoke` is used instead of AUDIT_TEST_SMOKE.
function releases.chosen(name, spec, smoke)
	local only = os.getenv("PROSODY_SERIES");
	smoke = smoke or os.getenv("AUDIT_TEST_SMOKE");
	if only and not is_among(name, only) then
		return false;
	elseif spec and smoke and is_among(name, smoke) then
		return is_among(spec, table.concat(releases.smoke, " "));
	elseif spec and smoke and is_among(spec, table.concat(releases.newest_only, " ")) then
		local here = releases.here();
		return name == here[#here];
	end
	return true;
end

return releases;
