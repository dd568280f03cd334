-- busted's helper for the specs of modules: takes Prosody's libraries from one
-- unpacked series, as the programs of that series do.

local lfs = require "lfs";

local root = lfs.currentdir();

local function here(series)
	return lfs.attributes(root.."/target/prosody/"..series.."/usr/lib/prosody", "mode") == "directory";
end

local series = os.getenv("PROSODY_SERIES");
if not series then
	series = here("13.0-newest") and "13.0-newest" or here("13.0") and "13.0" or "0.12";
end
if not here(series) then
	error("Prosody "..series.." is not unpacked under target/prosody: run tools/setup test", 0);
end

local source = root.."/target/prosody/"..series.."/usr/lib/prosody";
package.path = source.."/?.lua;"..package.path;
package.cpath = source.."/?.so;"..root.."/target/lua5.4/?.so;"..package.cpath;

-- Lets code say require "prosody.util.x" for util.x; 0.12 has no such thing.
if lfs.attributes(source.."/loader.lua", "mode") then
	require "loader";
end

_G.prosody_series = series; -- luacheck: ignore 111
