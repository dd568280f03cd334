-- Who gets alerts, and how they are sent: to the administrators of a host, to JIDs and to rooms.
--
-- local recipients = library "recipients" (audit);
-- recipients.administrators()      --> list of JIDs, in an async context
-- recipients.send(alert, to, rooms)

local jid = require "util.jid";
local st = require "util.stanza";
local new_id = require "util.id".short;
local usermanager = require "core.usermanager";
local monotonic = require "util.time".monotonic;

local ipairs, pairs, pcall, type = ipairs, pairs, pcall, type;

-- COMPAT 0.12 has no operators: every JID in the option "admins" has the role prosody:admin.
local ROLES = { "prosody:admin", "prosody:operator" };
-- The resource of the host in rooms, and its nickname.
local NAME = "audit-alerts";
-- What is about the whole server comes up on each host. Somebody who gets the alerts of several hosts gets it once in that many seconds.
local ONCE_WITHIN = 600;

-- sent[JID\0what] is when a message about the whole server was sent to somebody. For all hosts.
local sent = {};

local function is_first(to, what)
	local now = monotonic();
	for key, at in pairs(sent) do
		if now - at > ONCE_WITHIN then sent[key] = nil; end
	end
	local key = to.."\0"..what;
	if sent[key] then return false; end
	sent[key] = now;
	return true;
end

return function (audit)
	local module = audit.module;
	local host = module.host;
	local own = host.."/"..NAME;
	local recipients, refused = {}, {};

	-- The option as the module of authorization reads it, for hosts without one that can list administrators.
	local function configured()
		local list = {};
		for admin in module:get_option_inherited_set("admins", {}) do
			list[#list + 1] = type(admin) == "string" and jid.prep(admin) or nil;
		end
		return list;
	end

	function recipients.administrators()
		local list, is_known = {}, {};
		local function add(found)
			for _, admin in ipairs(type(found) == "table" and found or {}) do
				local bare = jid.bare(admin);
				if bare and not is_known[bare] then
					is_known[bare] = true;
					list[#list + 1] = bare;
				end
			end
		end
		add(configured());
		for _, role in ipairs(ROLES) do
			local ok, found = pcall(usermanager.get_jids_with_role, role, host);
			add(ok and found);
		end
		return list;
	end

	local function send_to_room(room, text)
		-- A presence also keeps the place in a room that we have joined before.
		module:send(st.presence({ from = own; to = room.."/"..NAME; id = new_id() }):tag("x", { xmlns = "http://jabber.org/protocol/muc" })
			:tag("history", { maxstanzas = "0" }):up():up());
		module:send(st.message({ from = own; to = room; type = "groupchat"; id = new_id() }):tag("body"):text(text):up());
	end

	function recipients.send(alert, to, rooms)
		local once = alert.once;
		for _, recipient in ipairs(to) do
			if not once or is_first(recipient, once) then
				module:send(st.message({ from = host; to = recipient; type = "chat"; id = new_id() }):tag("body"):text(alert.text):up());
			end
		end
		for _, room in ipairs(rooms) do
			if not once or is_first(room, once) then
				send_to_room(room, alert.text);
			end
		end
	end

	-- What rooms send to their occupants is for nobody. A room that refuses us is reported once.
	local receive = audit:guard("a room's answer", function (event)
		local stanza = event.stanza;
		if stanza.attr.type == "error" then
			local room = jid.bare(stanza.attr.from);
			local _, condition = stanza:get_error();
			if room and not refused[room] then
				refused[room] = true;
				module:log("warn", "Alerts can't be sent to the room %s: %s", room, condition);
			end
		end
	end);
	local function hook(name)
		module:hook(name, function (event)
			if event.stanza.attr.to == own then
				receive(event);
				return true;
			end
		end, 10);
	end
	hook("message/host");
	hook("presence/host");

	return recipients;
end
