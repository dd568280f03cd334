-- busted's helper for specs in one process: uses Prosody's libraries of one
-- unpacked series.

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

-- Makes require "prosody.util.x" work for util.x. 0.12 does not have it.
if lfs.attributes(source.."/loader.lua", "mode") then
	require "loader";
end

_G.prosody_series = series; -- luacheck: ignore 111
