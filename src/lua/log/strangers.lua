-- Names that are no accounts, where they are to be stored as keyed hashes: a password that is typed as the user name is one.
--
-- Of such a name an alias is made, "@key:hash:length", that goes through flood control as a user does: equal names have equal
-- aliases. Before an entry is stored, the alias becomes an element of the entry.

local native, chunks = ...;
local stanzas = chunks.stanza;

local NAMESPACE, HOST_WIDE = native.namespace, stanzas.HOST_WIDE;
local ALIAS = "^@(%x*):(%x*):(%d+)";

-- How many aliases of a host and how many event types are remembered.
local MAX_ALIASES, MAX_TYPES = 2000, 256;

local pairs, pcall, type = pairs, pcall, type;
local element, good_word = stanzas.element, stanzas.good_word;

--   exists(host, username) -> whether there is such an account | nil: it can't be told without waiting
local function new(recorder, stanza_mt, exists)
	local hashing, aliases, counts = {}, {}, {};
	local types, type_count = {}, 0;

	-- Events of others are about accounts that there are, or were: who deletes one leaves its name.
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

	-- written(stanza, with) -> with: puts into an entry, or a summary and its samples, what stands for names.
	local function written(stanza, with)
		for _, child in pairs(stanza.tags) do
			if child.name == "repeated" then
				for _, sample in pairs(child.tags) do
					local key, hash, length = (sample.attr.user or ""):match(ALIAS);
					if key then
						sample.attr.user = nil;
						sample.attr["name-key"], sample.attr["name-hash"], sample.attr["name-length"] = key, hash, length;
					end
				end
			end
		end
		local key, hash, length = (stanza.attr.user or ""):match(ALIAS);
		if not key then
			return with;
		end
		stanza.attr.user = nil;
		local attr = { xmlns = NAMESPACE; key = key ~= "" and key or nil; length = length };
		local child = element(stanza_mt, "unknown-name", attr, hash ~= "" and hash or nil);
		stanza[#stanza + 1], stanza.tags[#stanza.tags + 1] = child, child;
		return HOST_WIDE;
	end

	local function configure(host, hashes_names)
		hashing[host], aliases[host] = exists ~= nil and hashes_names or nil, nil;
	end

	-- The key may be another one.
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

	return { of_name = of_name; of_jid = of_jid; written = written; configure = configure; forget = forget; hashes = hashes };
end

return { new = new };
