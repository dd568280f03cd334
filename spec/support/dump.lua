-- The audit log of a running server, read by the store API inside the server.
--
--   local dump = require "support.dump";
--   local entries = dump.entries(prosody, "example.test");  -- oldest first
--   entries[1].type, .source, .user, .occurred, .id         -- attributes of the event
--   entries[1].partition, .key, .when, .with                -- its fields in the archive
--   entries[1]:child("authentication").attr.mechanism       -- elements: name, attr, children, text
--   entries[1]:line("authentication")                       -- as text, attributes in order, without namespaces
--   dump.types(entries)                                     -- "user-registered authentication-success"

local produced = require "support.produced";

local dump = {};

local code = [[
	local host = ...;
	flush_audit_log();
	local st = require "util.stanza";
	local store = assert(require "core.storagemanager".open(host, "audit", "archive"));

	local function plain(stanza)
		local attr, children = {}, {};
		for name, value in pairs(stanza.attr) do
			attr[name:gsub("\1", " ")] = value;
		end
		for i, child in ipairs(stanza) do
			children[i] = st.is_stanza(child) and plain(child) or child;
		end
		return { name = stanza.name, attr = attr, children = children };
	end

	local entries = {};
	local function read(partition)
		for key, value, when, with in assert(store:find(partition, {})) do
			local entry = plain(value);
			entry.partition, entry.key, entry.when, entry.with = partition, key, when, with;
			table.insert(entries, entry);
		end
	end

	read(nil);
	local partitions = {};
	for name in store:users() do
		if type(name) == "string" and name ~= "" then table.insert(partitions, name); end
	end
	table.sort(partitions);
	for _, name in ipairs(partitions) do
		read(name);
	end
	return #entries, entries;
]];

local element_methods = {};
local element_mt = { __index = element_methods };

-- The first child of that name, in any namespace.
function element_methods:child(name)
	for _, child in ipairs(self.children) do
		if type(child) == "table" and child.name == name then return child; end
	end
end

function element_methods:line(name)
	if name then
		local child = self:child(name);
		return child and child:line();
	end
	local names, parts, content = {}, {}, {};
	for attribute in pairs(self.attr) do
		if attribute ~= "xmlns" and not attribute:find(" ", 1, true) then names[#names+1] = attribute; end
	end
	table.sort(names);
	for i, attribute in ipairs(names) do
		parts[i] = (" %s=%q"):format(attribute, self.attr[attribute]);
	end
	for i, child in ipairs(self.children) do
		content[i] = type(child) == "string" and child or child:line();
	end
	local start = "<"..self.name..table.concat(parts);
	if #content == 0 then return start.."/>"; end
	return start..">"..table.concat(content).."</"..self.name..">";
end

local function adopt(element)
	setmetatable(element, element_mt);
	for _, child in ipairs(element.children) do
		if type(child) == "table" then adopt(child); end
	end
	local text = {};
	for _, child in ipairs(element.children) do
		if type(child) == "string" then text[#text+1] = child; end
	end
	element.text = table.concat(text);
	return element;
end

local xmlns_audit = "xmpp:prosody.im/audit";

function dump.entries(server, host)
	local count, entries = server:eval(code, host or server.host);
	local order = {};
	for i = 1, count do
		local entry = adopt(entries[i]);
		entry.type, entry.source, entry.user = entry.attr.type, entry.attr.source, entry.attr.user;
		entry.id, entry.occurred = entry.attr[xmlns_audit.." id"], entry.attr[xmlns_audit.." occurred"];
		order[entry] = i;
	end
	table.sort(entries, function (a, b)
		if a.when ~= b.when then return a.when < b.when; end
		-- Within a second, in any partitions: ids are in the order in which they were made.
		local first, second = a.id or "", b.id or "";
		if first ~= second then return first < second; end
		return order[a] < order[b];
	end);
	for _, entry in ipairs(entries) do
		local names = {};
		for _, child in ipairs(entry.children) do
			if type(child) == "table" then names[#names+1] = child.name; end
		end
		-- A spec that makes events of all types itself says nothing of what the modules record.
		if not server.options.invents_events then
			produced.note(server.series, entry.source, entry.type, table.concat(names, ","));
		end
	end
	return entries;
end

-- Only entries of these types, in order.
function dump.of_type(server, host, ...)
	local wanted, found = {}, {};
	for _, name in ipairs { ... } do wanted[name] = true; end
	for _, entry in ipairs(dump.entries(server, host)) do
		if wanted[entry.type] then found[#found+1] = entry; end
	end
	return found;
end

function dump.types(entries)
	local found = {};
	for i, entry in ipairs(entries) do
		found[i] = entry.type;
	end
	return table.concat(found, " ");
end

return dump;
