-- Copies of all that a server has on the disk, and of its database, to be put back while it is stopped.
--
--   local copies = require "support.copies";
--   copies.keep(prosody, "older");
--   copies.restore(prosody, "older");   -- copies.restore_store: that of the database alone, copies.path(prosody, "older"): the folder

local process = require "support.process";

local quote = process.quote;
local copies = {};

-- A table of PostgreSQL is the store that is not in the data folder.
local function query(prosody, text)
	return assert(require "support.postgres".shared():query(text, prosody.database));
end

local function copy(from, to)
	process.run(("rm -rf %s && cp -a %s %s"):format(quote(to), quote(from), quote(to)));
end

function copies.path(prosody, name)
	return prosody.folder.."/"..name;
end

function copies.keep(prosody, name)
	copy(prosody.data, copies.path(prosody, name));
	if prosody.options.storage == "postgresql" then
		query(prosody, ("DROP TABLE IF EXISTS kept_%s; CREATE TABLE kept_%s AS SELECT * FROM prosodyarchive"):format(name, name));
	end
end

function copies.restore_store(prosody, name)
	if prosody.options.storage == "postgresql" then
		query(prosody, ("DELETE FROM prosodyarchive; INSERT INTO prosodyarchive SELECT * FROM kept_%s"):format(name));
	end
end

function copies.restore(prosody, name)
	copy(copies.path(prosody, name), prosody.data);
	copies.restore_store(prosody, name);
end

return copies;
