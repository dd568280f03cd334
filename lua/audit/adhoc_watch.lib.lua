-- Watches ad-hoc commands (XEP-0050): which was run, who ran it, and what was the result.

local acting = library "acting";
local detail, session_copy = library "details".detail, library "details".session_copy;
local sent = library "sent";

local core = require "audit_core";

local jid_bare = require "util.jid".bare;
local st = require "util.stanza";

local error, ipairs, pcall, type = error, ipairs, pcall, type;

local xmlns_commands = "http://jabber.org/protocol/commands";

-- An entry has at most that many fields of a form, and values of a field.
local MAX_FIELDS, MAX_VALUES = 50, 20;

-- find_command(host_module, node) -> the command | nil. Commands that anybody may run are not administrative: nil, too.
local function find_command(host_module, node)
	for _, key in ipairs { "adhoc", "adhoc-provider" } do
		for _, item in ipairs(host_module:get_host_items(key)) do
			if item.node == node and item.permission ~= "any" then return item; end
		end
	end
end

local function describe_field(field)
	local name, children = field.attr.var, {};
	if core.shows_field(name, field.attr.type) then
		for value in field:childtags("value") do
			if #children == MAX_VALUES then
				children[#children + 1] = detail("truncated");
				break;
			end
			children[#children + 1] = detail("value", nil, core.field_value(name, value:get_text() or "", prosody.hosts));
		end
	end
	return detail("field", { var = name }, nil, children);
end

local function describe_command(command, tag, outcome, condition)
	local children = {};
	local form = tag:get_child("x", "jabber:x:data");
	for field in form and form:childtags("field") or function () end do
		if #children == MAX_FIELDS then
			children[#children + 1] = detail("truncated");
			break;
		elseif type(field.attr.var) == "string" and field.attr.var ~= "FORM_TYPE" then
			children[#children + 1] = describe_field(field);
		end
	end
	return detail("command", {
		node = command.node, name = command.name, action = tag.attr.action or "execute", outcome = outcome, condition = condition;
	}, nil, children);
end

-- read_outcome(reply) -> "completed" | "canceled" | "executing" | "error" | "refused", condition of an error | nil
local function read_outcome(reply)
	if reply.attr.type == "error" then
		local _, condition = reply:get_error();
		return condition == "forbidden" and "refused" or "error", condition;
	end
	local tag = reply:get_child("command", xmlns_commands);
	local note = tag and tag:get_child("note");
	if note and note.attr.type == "error" then
		return "error"; -- mod_admin_adhoc reports failures this way
	end
	return tag and tag.attr.status;
end

local function record(host_module, command, event, actor, reply)
	local outcome, condition = "unknown", nil;
	if reply then
		outcome, condition = read_outcome(reply);
	end
	-- A client that was refused is no administrator.
	actor.administers = actor.administers and outcome ~= "refused";
	-- Only a form was sent. Or the command has removed this host.
	if outcome == "executing" or not prosody.hosts[host_module.host] then return; end
	host_module:audit(jid_bare(event.stanza.attr.from), outcome == "refused" and "adhoc-refused" or "adhoc-command", {
		session = actor.session, actor = actor;
		custom = { describe_command(command, event.stanza.tags[1], outcome, condition) };
	});
end

-- The roles of Prosody 13 that any account can have.
local ordinary_roles = { ["prosody:guest"] = true; ["prosody:registered"] = true; ["prosody:member"] = true };

-- Whether only administrators can run a command. Flood control never applies to what they do.
local function is_administrative(command, origin)
	local role = type(origin.role) == "table" and origin.role.name;
	return command.permission ~= "local_user" and not ordinary_roles[role];
end

-- watch_adhoc(host_module, try): records the ad-hoc commands of a host. `try` is that of faults.lib.lua.
return function (host_module, try)
	host_module:wrap_event("iq-set/host/"..xmlns_commands..":command", function (handlers, name, event)
		local origin, stanza = event.origin, event.stanza;
		local node = stanza.tags[1].attr.node;
		local command = try("an ad-hoc command", find_command, host_module, node);
		if not command then
			return handlers(name, event);
		end
		-- A copy: the command may end the session.
		local session = session_copy(origin);
		local administers = try("an ad-hoc command", is_administrative, command, origin);
		local actor = { kind = "adhoc", jid = stanza.attr.from, session = session, administers = administers };
		local reply;
		local watching = {};
		sent.watch(origin, function (_, answer)
			if not reply and st.is_stanza(answer) and answer.name == "iq" and answer.attr.id == stanza.attr.id
					and (answer.attr.type == "result" or answer.attr.type == "error") then
				reply = answer;
			end
		end, watching);
		local function done(ok, ...)
			sent.stop(watching);
			try("an ad-hoc command", record, host_module, command, event, actor, reply);
			if not ok then error((...), 0); end
			return ...;
		end
		return done(pcall(acting.run, actor, handlers, name, event));
	end);
end
