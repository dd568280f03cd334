-- Replaces names that are no accounts by keyed hashes, if the options say so: such a name may be a password that somebody typed into
-- the field for the name.
--
-- The name is replaced by an alias, "@key:hash:length". Equal names have equal aliases, so flood control can use the alias like a user
-- name. In the entry, the alias becomes an element.

local _, chunks = ...;

-- How many aliases of a host and how many event types are remembered.
local MAX_ALIASES, MAX_TYPES = 2000, 256;

local pcall, type = pcall, type;
local good_word = chunks.stanza.good_word;

--   exists(host, username) -> whether there is such an account | nil: unknown without waiting
local function new(recorder, exists)
	local hashing, aliases, counts = {}, {}, {};
	local types, type_count = {}, 0;

	-- Other event types are about accounts that exist or existed, so their names are stored as they are.
	local function may_be_unknown(event_type)
		local known = types[event_type];
		if known == nil then
			if type_count >= MAX_TYPES then
				types, type_count = {}, 0;
			end
			known = recorder.is_unauthenticated(good_word(event_type));
			types[event_type], type_count = known, type_count + 1;
		end
		return known;
	end

	local function alias_of(host, name)
		local of_host = aliases[host];
		if not of_host or counts[host] >= MAX_ALIASES then
			of_host = {};
			aliases[host], counts[host] = of_host, 0;
		end
		local alias = of_host[name];
		if not alias then
			alias = recorder.alias(host, name);
			of_host[name], counts[host] = alias, counts[host] + 1;
		end
		return alias;
	end

	-- The alias of a name that is no account of the host | nil: the name is stored as it is.
	local function of_name(host, event_type, name)
		if not hashing[host] or type(name) ~= "string" or name == "" or type(event_type) ~= "string" or not may_be_unknown(event_type) then
			return nil;
		end
		local ok, is_there = pcall(exists, host, name);
		if ok and is_there == false then
			return alias_of(host, name);
		end
	end

	-- The same for a JID.
	local function of_jid(host, event_type, jid)
		if not hashing[host] or type(jid) ~= "string" then return nil; end
		local bare = jid:match("^[^/]*");
		if bare:sub(-#host - 1) == "@"..host then
			return of_name(host, event_type, bare:sub(1, -#host - 2));
		elseif bare ~= host and not bare:find("@", 1, true) then
			return of_name(host, event_type, bare);
		end
	end

	local function configure(host, hashes_names)
		hashing[host], aliases[host] = exists ~= nil and hashes_names or nil, nil;
	end

	-- The key may have been replaced.
	local function forget(host)
		if host then
			aliases[host] = nil;
		else
			aliases = {};
		end
	end

	-- hashes(host) -> whether names that are no accounts are hashed on it
	local function hashes(host)
		return hashing[host] or false;
	end

	-- hashing[host] is true if of_jid() and of_name() may return an alias on that host.
	return { of_name = of_name; of_jid = of_jid; configure = configure; forget = forget; hashes = hashes; hashing = hashing };
end

return { new = new };
