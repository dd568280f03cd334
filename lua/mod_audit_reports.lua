-- Records reports of spam and abuse (XEP-0377) to mod_spam_reporting: abuse-reported. The user of the entry is the account that was
-- reported, on any server; the actor is the one who reported it.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";

local jid_bare = require "util.jid".bare;
local jid_node = require "util.jid".node;

function module.add_host(module)
	local audit = new_audit(module, "audit");

	for _, kind in ipairs { "spam", "abuse", "unknown" } do
		audit:hook("spam_reporting/"..kind.."-report", function (event)
			local jid, session = event.jid, event.origin;
			return jid_node(jid) and jid_bare(jid) or nil, "abuse-reported", {
				actor = { kind = "user", jid = event.stanza.attr.from or session.full_jid, session = session };
				custom = { audit.detail("report", { type = kind, jid = jid }, event.reason) };
			};
		end, 1);
	end
end
