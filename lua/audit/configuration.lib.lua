-- Compares two configurations. The result has names of options, and never their values. Also reads the certificate of a host.

local configs = {};

local detail = library "details".detail;
local equal = library "equal";

local config = require "core.configmanager";
local find_host_cert = require "core.certmanager".find_host_cert;
local have_ssl, ssl = pcall(require, "ssl");

local io_open, ipairs, next, pcall, rawget, type = io.open, ipairs, next, pcall, rawget, type;
local sort = table.sort;

-- An entry names at most that many options.
local MAX_OPTIONS = 100;

local function compare(before, now, found, scope)
	local function note(name, change)
		if type(name) == "string" then
			found[#found + 1] = { name = name, change = change, scope = scope };
		end
	end
	for name, value in next, before do
		local new = rawget(now, name);
		if new == nil then
			note(name, "removed");
		elseif not equal(value, new) then
			note(name, "changed");
		end
	end
	for name in next, now do
		if rawget(before, name) == nil then note(name, "added"); end
	end
end

local function sorted(changes)
	sort(changes, function (a, b)
		if a.scope ~= b.scope then return (a.scope or "") < (b.scope or ""); end
		return a.name < b.name;
	end);
	return changes;
end

-- changes(before, now, host) -> list of { name =, change = "added" | "removed" | "changed", scope = "global" | "host" }, for the
-- options of the whole server and those of this host
function configs.changes(before, now, host)
	local found = {};
	compare(rawget(before, "*") or {}, rawget(now, "*") or {}, found, "global");
	compare(rawget(before, host) or {}, rawget(now, host) or {}, found, "host");
	return sorted(found);
end

-- effective_changes(before, now, host, pattern) -> the same list without scope, for the values that the host uses, wherever they
-- are set. Only of options whose names match the pattern.
function configs.effective_changes(before, now, host, pattern)
	local function effective(sections)
		local options = {};
		for _, section in ipairs({ "*", host }) do
			for name, value in next, rawget(sections, section) or {} do
				if type(name) == "string" and name:find(pattern) then options[name] = value; end
			end
		end
		return options;
	end
	local found = {};
	compare(effective(before), effective(now), found);
	return sorted(found);
end

function configs.describe(changes)
	local children = {};
	for i = 1, #changes do
		if i > MAX_OPTIONS then
			children[i] = detail("truncated");
			break;
		end
		children[i] = detail("option", changes[i]);
	end
	return detail("options", nil, nil, children);
end

local known = {}; -- host -> SHA-256 of the certificate that was last read

-- As in mod_tls: the option ssl, or the folder of certificates.
local function certificate_file(host)
	local set = config.get(host, "ssl");
	if type(set) == "table" and type(set.certificate) == "string" then
		return config.resolve_relative_path(prosody.paths.config or ".", set.certificate);
	end
	local found = find_host_cert(host);
	return found and found.certificate;
end

local function read_certificate(host)
	local path = have_ssl and certificate_file(host);
	local file = path and io_open(path);
	if not file then return nil; end
	local text = file:read("*a");
	file:close();
	local certificate = ssl.loadcertificate(text);
	if not certificate then return nil; end
	return { sha256 = certificate:digest("sha256"), ["not-after"] = certificate:notafter(), serial = certificate:serial() };
end

-- certificate_of(host) -> SHA-256 of the certificate when this was last called | nil,
--   { sha256 =, serial =, not-after = } of the certificate that is there now | nil
function configs.certificate_of(host)
	local before = known[host];
	local ok, now = pcall(read_certificate, host);
	now = ok and now or nil;
	known[host] = now and now.sha256;
	return before, now;
end

return configs;
