-- The file of the storage driver "audit" of a server.

local lfs = require "lfs";
local process = require "support.process";

local native_store = {};

function native_store.file_of(prosody)
	return prosody.data.."/audit.sqlite3";
end

-- Runs SQL in a program of its own -> what it prints, without the last newline
function native_store.sql(prosody, text)
	local status, out, err = process.capture { "sqlite3", native_store.file_of(prosody), text };
	assert(status == 0, err);
	return (out:gsub("\n$", ""));
end

-- The names of files that were set aside because they were damaged.
function native_store.set_aside(prosody)
	local found = {};
	for name in lfs.dir(prosody.data) do
		if name:find("audit.sqlite3.damaged", 1, true) then table.insert(found, name); end
	end
	return found;
end

return native_store;
