-- The file of the storage driver "audit" of a server.

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

return native_store;
