-- Records what happens to rooms, on a component with mod_muc: room-created, room-destroyed, room-configured,
-- room-affiliation-changed and room-role-changed. Role changes by joining, leaving or a new affiliation are not recorded.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local equal = library "equal";
local new_audit = library "audit";

local jid_bare = require "util.jid".bare;
local jid_node = require "util.jid".node;
local jid_resource = require "util.jid".resource;

local full_sessions = prosody.full_sessions;
local ipairs, pairs, pcall, setmetatable, type = ipairs, pairs, pcall, setmetatable, type;

function module.add_host(module)
	local audit = new_audit(module, "audit");

	-- Before handlers that can stop an event.
	local first = 1000;

	-- Who did it --

	local function user_actor(jid)
		return { kind = "user", jid = jid, session = full_sessions[jid] };
	end

	-- If a room does something on request, the event has no actor: it is the sender of the request.
	local function get_actor(jid)
		if type(jid) == "string" then return user_actor(jid); end
		return audit:acting() or { kind = "unknown" };
	end

	local function sender_of(event)
		return (event.incoming or event.stanza).attr.from;
	end

	-- Wraps the handlers of a request: what they do is done by its sender.
	local function as_sender(handlers, name, event)
		local ok, jid = pcall(sender_of, event);
		if not ok then
			return handlers(name, event);
		end
		return audit.run_as(user_actor(jid), handlers, name, event);
	end

	module:wrap_event("iq-set/bare/http://jabber.org/protocol/muc#admin:query", as_sender);
	module:wrap_event("iq/bare/jabber:iq:register:query", as_sender);
	module:wrap_event("muc-invite", as_sender);

	local function account(jid)
		return jid_node(jid) and jid_bare(jid) or nil;
	end

	-- Rooms --

	-- The creator of a room becomes its owner. That is a part of room-created.
	local creators = setmetatable({}, { __mode = "k" });

	audit:watch("muc-room-pre-create", function (event)
		creators[event.room] = jid_bare(event.stanza.attr.from);
	end, first);

	audit:hook("muc-room-created", function (event)
		local room = event.room;
		local from = event.stanza and event.stanza.attr.from;
		creators[room] = nil;
		return from and jid_bare(from) or nil, "room-created", {
			session = from and full_sessions[from];
			actor = get_actor(from);
			custom = { audit.detail("room", { jid = room.jid }) };
		};
	end, first);

	audit:hook("muc-room-destroyed", function (event)
		local room = event.room;
		return nil, "room-destroyed", {
			-- room:destroy() sets this field. Without it, the last occupant has left a temporary room.
			actor = room.destroying and get_actor() or { kind = "server" };
			custom = { audit.detail("room", { jid = room.jid, alternate = event.newjid }, event.reason) };
		};
	end, first);

	-- Configuration --

	-- The settings in the room's form, by name. For lists, the options say which one is chosen.
	local function get_settings(room, actor)
		local settings = {};
		for _, field in ipairs(room:get_form_layout(actor)) do
			if field.name then
				settings[field.name] = { value = field.value, options = field.options };
			end
		end
		return settings;
	end

	-- By room: who submitted a form, and the settings before that.
	local submitted = {};

	audit:watch("muc-config-submitted", function (event)
		local room, from = event.room, event.actor;
		submitted[room] = { from = from, settings = get_settings(room, from) };
	end, first);

	local function record_changes(room, form)
		local changed = {};
		for name, after in pairs(get_settings(room, form.from)) do
			if not equal(form.settings[name], after) then
				changed[#changed+1] = name;
			end
		end
		if not changed[1] then return; end
		table.sort(changed);
		for i, name in ipairs(changed) do
			changed[i] = audit.detail("field", { name = name });
		end
		module:audit(nil, "room-configured", {
			actor = get_actor(form.from);
			custom = { audit.detail("room", { jid = room.jid }), audit.detail("configuration", nil, nil, changed) };
		});
	end

	local after_request = audit:guard("the configuration of a room", function ()
		for room, form in pairs(submitted) do
			submitted[room] = nil;
			record_changes(room, form);
		end
	end);

	local function finish(...)
		after_request();
		return ...;
	end

	-- No event tells that the new settings are in place; they are after the request was handled.
	module:wrap_event("iq-set/bare/http://jabber.org/protocol/muc#owner:query", function (handlers, name, event)
		return finish(as_sender(handlers, name, event));
	end);

	-- Affiliations --

	audit:hook("muc-set-affiliation", function (event)
		local room, jid = event.room, event.jid;
		local from, to = event.previous_affiliation, event.affiliation;
		if from == to or creators[room] == jid and to == "owner" then return; end
		return account(jid), "room-affiliation-changed", {
			actor = get_actor(event.actor);
			custom = {
				audit.detail("room", { jid = room.jid });
				audit.detail("affiliation", { jid = jid, from = from, to = to }, event.reason);
			};
		};
	end, first);

	-- Roles --

	-- A role that somebody wants to give to an occupant. Whether that was allowed is known by the presence that follows: it has the
	-- same table for the occupant.
	local wanted;

	audit:watch("muc-pre-set-role", function (event)
		wanted = { occupant = event.occupant, from = event.occupant.role or "none" };
	end, first);

	local function has_status(x, code)
		for status in x:childtags("status") do
			if status.attr.code == code then return true; end
		end
		return false;
	end

	audit:hook("muc-broadcast-presence", function (event)
		local occupant, from = event.occupant, nil;
		if wanted and wanted.occupant == occupant then
			from = wanted.from;
			wanted = nil;
			if from == (occupant.role or "none") then return; end
		elseif event.actor or occupant.role or not has_status(event.x, "307") then
			return; -- and the room itself has not kicked anybody
		end
		return jid_bare(occupant.bare_jid), "room-role-changed", {
			actor = get_actor(event.actor);
			custom = {
				audit.detail("room", { jid = event.room.jid });
				audit.detail("role", { nick = jid_resource(occupant.nick), from = from, to = occupant.role or "none" }, event.reason);
			};
		};
	end, first);
end
