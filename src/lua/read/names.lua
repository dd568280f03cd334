-- Prepares names of accounts and hosts like Prosody, with its tables.

local native = ...;

local pcall, rawget, require = pcall, rawget, require;
local find, sub = string.find, string.sub;

-- { node =, host =, resource = function(text) -> text | nil } | nil if Prosody is not available
local function names()
	local ok, encodings = pcall(require, "util.encodings");
	if not ok then
		return nil;
	end
	local stringprep, idna = encodings.stringprep, encodings.idna;
	local prosody = rawget(_G, "prosody");
	local hosts = prosody and prosody.hosts or {};

	local function host(text)
		-- jid.prep() removes a dot at the end.
		if sub(text, -1) == "." then
			text = sub(text, 1, -2);
		end
		local name = stringprep.nameprep(text);
		-- A host may be configured in its form for DNS.
		if not name or rawget(hosts, name) or not find(name, "xn--", 1, true) then
			return name;
		end
		local converted, unicode = pcall(idna.to_unicode, name);
		return converted and unicode and stringprep.nameprep(unicode) or name;
	end

	return {
		node = function (text) return (stringprep.nodeprep(text)); end;
		host = host;
		resource = function (text) return (stringprep.resourceprep(text)); end;
	};
end

-- command(arguments, now) -> see read_command() in library.rs
local function command(arguments, now)
	return native.command(arguments, now, names());
end

return { command = command };
