-- Records the marks that rules of mod_firewall put on accounts: mark-set and mark-cleared. The mod_firewall in Debian 12 fires no
-- events for marks: then this module records nothing.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";

local type = type;

function module.add_host(module)
	local audit = new_audit(module, "audit");

	local user_sessions = prosody.hosts[module.host].sessions;

	-- The store of mod_firewall.
	local mark_storage = module:open_store("firewall_marks");

	-- A rule sets its mark again with each stanza that it matches; only the first time is recorded. mod_firewall runs at -1.
	local function is_marked(username, mark)
		local user = user_sessions[username];
		local marks = user and user.firewall_marks or mark_storage and mark_storage:get(username);
		return type(marks) == "table" and marks[mark] ~= nil;
	end

	local function record(event_name, event_type, sets)
		audit:hook(event_name, function (event)
			local username, mark = event.username, event.mark;
			if is_marked(username, mark) == sets then return; end
			return audit:jid(username), event_type, {
				actor = audit:acting() or { kind = "server" };
				custom = { audit.detail("mark", { name = mark }) };
			};
		end, 1);
	end

	record("firewall/marked/user", "mark-set", true);
	record("firewall/unmarked/user", "mark-cleared", false);
end
