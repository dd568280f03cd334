-- prosodyctl mod_audit --new-key: replaces the key that addresses are hashed with.

local core = require "audit_core";

local datamanager = require "util.datamanager";
local st = require "util.stanza";
local time = require "util.time";

-- A running server notices the new key and records that. Otherwise the entry waits in the journal for the next start.
local function record_new_key(host, old, new)
	local log = core.new {
		stanza_mt = getmetatable(st.stanza("audit-event"));
		open_store = function () end;
		get_option = function () end;
		now = time.now;
		log = function () end;
		schedule = function () end;
		journal_path = function () return datamanager.getpath(nil, host, "audit", "journal", true); end;
	};
	if old and log.owns_journal(host) then
		log.audit(host, nil, "mod_audit", "audit-key-replaced", { custom = { core.detail("key", { old = old, new = new }) } });
	end
	log.close();
end

-- new_key(host) -> a line that says so | nil, why it can't be replaced
return function (host)
	local old, new, problem = core.new_key(datamanager.getpath(nil, host, "audit", "key", true));
	if not new then
		return nil, problem;
	end
	record_new_key(host, old, new);
	return ("%s: addresses are hashed with the new key %s. Older hashes%s do not match new ones."):format(host, new,
		old and " (key "..old..")" or "");
end;
