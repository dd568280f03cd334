-- The audit log in plain Lua, with util.stanza. The native core is compared with it.
--
-- It is written as a typical module for Prosody, and its entries are equal to the core's (spec/benches/plain_audit_spec.lua). It has no
-- locations, no flood control and no reading. It needs Lua 5.3 or later, and Prosody's util libraries in package.path; for Prosody 13
-- its loader.lua must have been run.
--
-- new(environment) takes what audit_core.new takes (get_option, open_store, log, now) and, for tests, new_id(now).

local st = require "util.stanza";
local ip = require "util.ip";
local net = require "util.net";
local random_bytes = require "util.random".bytes;
local valid_utf8 = require "util.encodings".utf8.valid;
local datetime = require "util.datetime".datetime;

local error, pairs, pcall, setmetatable, tostring, type = error, pairs, pcall, setmetatable, tostring, type;
local floor, max, math_type = math.floor, math.max, math.type;
local char, find, unpack = string.char, string.find, string.unpack;
local os_date = os.date;
local new_ip, new_stanza, is_stanza = ip.new_ip, st.stanza, st.is_stanza;

local xmlns_audit = "xmpp:prosody.im/audit";
local attr_id = xmlns_audit .. "\1id";
local attr_occurred = xmlns_audit .. "\1occurred";

local v4_mapped = ("\0"):rep(10) .. "\255\255";
local seconds_a_day = 86400;
local length_limit = 1023; -- of a user, a client and every attribute, in bytes
-- The prefix of an address family that is not configured, if the other one is.
local fallback_ipv4_prefix, fallback_ipv6_prefix = 24, 48;

-- RFC 9562, section 5.7.
local function uuid_v7(now)
	local ms = floor(now * 1000);
	local a, b = unpack(">I2I8", random_bytes(10));
	return ("%08x-%04x-7%03x-%04x-%012x"):format(ms >> 16, ms & 0xffff, a & 0xfff, 0x8000 | b >> 48 & 0x3fff, b & 0xffffffffffff);
end

local function get_prefix(environment, host, name, whole)
	local value = environment.get_option(host, name);
	if value == nil then return nil; end
	local prefix = math_type(value) and value;
	if not prefix or prefix % 1 ~= 0 or prefix < 0 or prefix > whole then
		environment.log("error", ("%s: %s is not allowed, it takes a number from 0 to %d; no addresses are stored"):format(name, value, whole));
		return false;
	end
	return prefix;
end

-- The host's options about what is stored. They are read once.
local function read_settings(environment, host)
	local v4 = get_prefix(environment, host, "audit_log_ipv4_prefix", 32);
	local v6 = get_prefix(environment, host, "audit_log_ipv6_prefix", 128);
	if v4 and v6 == nil then
		v6 = fallback_ipv6_prefix;
	elseif v6 and v4 == nil then
		v4 = fallback_ipv4_prefix;
	end
	return {
		ips = environment.get_option(host, "audit_log_ips") ~= false and v4 ~= false and v6 ~= false;
		ipv4_prefix = v4 or 32;
		ipv6_prefix = v6 or 128;
		single = environment.get_option(host, "audit_log_layout") == "single";
		when = 0; -- of the entry written last
		-- Of the partition of each class written last:
		events = { name = "events", day = nil, partition = nil, part = 1 };
		failures = { name = "failures", day = nil, partition = nil, part = 1 };
	};
end

local function truncate(packed, bits)
	local octets, rest = bits // 8, bits % 8;
	local kept = packed:sub(1, octets);
	if rest > 0 then
		local octet = packed:byte(octets + 1);
		kept = kept .. char(octet & ~(0xff >> rest));
	end
	return kept .. ("\0"):rep(#packed - #kept);
end

local function remote_ip(address, settings)
	local parsed = new_ip(address);
	if not parsed then return nil; end
	local packed = parsed.packed;
	if #packed == 16 and packed:sub(1, 12) == v4_mapped then
		packed = packed:sub(13);
	end
	local prefix, whole = settings.ipv6_prefix, 128;
	if #packed == 4 then
		prefix, whole = settings.ipv4_prefix, 32;
	end
	if prefix == whole then
		return net.ntop(packed);
	end
	return net.ntop(truncate(packed, prefix)) .. "/" .. prefix;
end

local function bare(user)
	local slash = type(user) == "string" and user:find("/", 1, true);
	return slash and user:sub(1, slash - 1) or user;
end

-- Makes text valid. util.stanza accepts characters that XML does not allow, which can't be read from SQL stores, and raises errors
-- for others.
local function clean(value)
	if value == nil then return nil; end
	local text = tostring(value);
	if #text <= length_limit and not text:find("[^\32-\126]") then
		return text;
	end
	text = text:sub(1, length_limit):gsub("[\0-\8\11\12\14-\31]", "\239\191\189"):gsub("\239\191[\190\191]", "\239\191\189");
	if not valid_utf8(text) then
		text = text:gsub("[\128-\255]", "\239\191\189");
	end
	return text;
end

-- A valid copy of a stanza. A store may keep the tables that it is given, and a serializer refuses a table that it meets twice.
local function clean_copy(stanza)
	local copy = st.clone(stanza);
	local function walk(element)
		for name, value in pairs(element.attr) do
			element.attr[name] = clean(value);
		end
		for i = 1, #element do
			local child = element[i];
			if type(child) == "string" then
				element[i] = clean(child);
			else
				walk(child);
			end
		end
	end
	walk(copy);
	return copy;
end

local function add_session(parent, session, settings)
	local id, session_type, client = clean(session.id), clean(session.type), clean(session.client_id);
	parent:tag("session", { xmlns = xmlns_audit, id = id, type = session_type });
	local address = session.ip;
	if settings.ips and type(address) == "string" then
		local stored = remote_ip(address, settings);
		if stored then
			parent:text_tag("remote-ip", stored);
		end
	end
	if client then
		parent:text_tag("client", client);
	end
	return parent:up();
end

local function build(settings, id, occurred, user, source, event_type, extra)
	user, source, event_type = clean(user), clean(source), clean(event_type);
	local entry = new_stanza("audit-event", {
		source = source, type = event_type, user = user, [attr_id] = id, [attr_occurred] = occurred;
	});
	local session, custom = extra.session, extra.custom;
	if session then
		add_session(entry, session, settings);
	end
	if custom then
		for i = 1, #custom do
			entry:add_direct_child(clean_copy(custom[i]));
		end
	end
	return entry;
end

-- Events that unauthenticated peers can cause are stored separately.
local function class_of(settings, event_type)
	if event_type == "authentication-failure" or find(event_type, "-refused$") then
		return settings.failures;
	end
	return settings.events;
end

local function partition_name(class)
	local name = "@" .. class.name .. "." .. os_date("!%Y-%m-%d", class.day * seconds_a_day);
	if class.part > 1 then
		name = name .. "." .. class.part;
	end
	class.partition = name;
	return name;
end

local function new(environment)
	local now, new_id = environment.now, environment.new_id or uuid_v7;
	local no_extra, unknown_host = {}, { ips = false };

	local stores = setmetatable({}, {
		__index = function (self, host)
			local store, err = environment.open_store(host);
			if not store then
				environment.log("error", ("Can't open the audit store of %s: %s"):format(host, err));
				return nil;
			end
			self[host] = store;
			return store;
		end;
	});

	local settings_of = setmetatable({}, {
		__index = function (self, host)
			local settings = read_settings(environment, host);
			self[host] = settings;
			return settings;
		end;
	});

	-- Appends, and continues in another partition if this one is full by the driver's quota.
	local function append(settings, store, entry, when, with)
		local partition, class = nil, nil;
		if not settings.single then
			class = class_of(settings, entry.attr.type);
			local day = when // seconds_a_day;
			partition = class.partition;
			if day ~= class.day then
				class.day, class.part = day, 1;
				partition = partition_name(class);
			end
		end
		while true do
			local ok, key, err = pcall(store.append, store, partition, nil, entry, when, with);
			if ok and key then
				return true;
			elseif not ok then
				return nil, key;
			elseif err ~= "quota-limit" or settings.single or class.part >= 1000 then
				return nil, err;
			end
			class.part = class.part + 1;
			partition = partition_name(class);
		end
	end

	local function audit(host, user, source, event_type, extra)
		if not host or host == "*" then
			error("cannot log audit events for global", 2);
		end
		if user then
			user = bare(user);
			if user == "@" or user == "" then user = nil; end
		end
		extra = extra or no_extra;
		local custom = extra.custom;
		if custom then
			for i = 1, #custom do
				if not is_stanza(custom[i]) then
					error("custom audit data must be stanzas, item " .. i .. " is a " .. type(custom[i]), 2);
				end
			end
		end

		local settings = settings_of[host];
		local time = now();
		-- Entries of a partition must be in order of time: otherwise drivers lose some of them.
		local when = max(floor(time), settings.when);
		settings.when = when;
		-- The entry has the time of the event if it differs.
		local happened = floor(extra.timestamp or time);
		local occurred = happened ~= when and datetime(happened) or nil;

		local id = new_id(time);
		local ok, entry = pcall(build, settings, id, occurred, user, source, event_type, extra);
		if not ok then
			environment.log("error", "Can't build the audit event: " .. tostring(entry));
			return nil, "bad-request";
		end

		local store = stores[host];
		if not store then
			return nil, "store-unavailable";
		end
		local stored, err = append(settings, store, entry, when, entry.attr.user or "@");
		if not stored then
			environment.log("error", ("Can't store an audit event of %s: %s"):format(host, tostring(err)));
			return nil, type(err) == "string" and err or "internal-server-error";
		end
		return id;
	end

	-- Only the session element, by the options of session.host.
	local function session_extra(session)
		local host = session.host;
		local settings = type(host) == "string" and settings_of[host] or unknown_host;
		return add_session(new_stanza("audit-event"), session, settings).tags[1];
	end

	return { audit = audit, session_extra = session_extra, stores = stores };
end

return { new = new };
