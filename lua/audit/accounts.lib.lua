-- Remembers that an account is being registered or removed now, and who does it. Prosody fires several events for one registration or
-- removal, which become one entry.
--
-- local accounts = library "accounts" (audit);
-- accounts.begin("removing", "romeo", { … })    -- "registering" or "removing"
-- accounts.current("removing", "romeo")         --> { … } | nil
-- accounts.finish("removing", "romeo")

local monotonic = require "util.time".monotonic;

local type = type;

-- A registration or removal may never end, for instance if a store fails. It must not hide later events for long.
local seconds_at_most = 60;

-- By host. Several modules of a host need the same functions.
local of_hosts = {};
module:hook("host-deactivated", function (host) of_hosts[host] = nil; end);

return function (audit)
	local module = audit.module;
	local accounts = of_hosts[module.host];
	if accounts then return accounts; end
	accounts = {};
	of_hosts[module.host] = accounts;

	-- Shared by all modules of the host, and kept over reloads: "registering" or "removing" -> username -> what is known.
	local shared = module:shared("/"..module.host.."/audit/accounts");

	function accounts.begin(what, username, known)
		shared[what] = shared[what] or {};
		known.since = monotonic();
		shared[what][username] = known;
		return known;
	end

	function accounts.current(what, username)
		local known = username and shared[what] and shared[what][username];
		if known and monotonic() - known.since > seconds_at_most then
			shared[what][username] = nil;
			return nil;
		end
		return known or nil;
	end

	-- finish(what, username, known | nil). With `known`, as begin() returned it, nothing ends that has begun since.
	function accounts.finish(what, username, known)
		local of_all = shared[what];
		if of_all and username and (known == nil or of_all[username] == known) then
			of_all[username] = nil;
		end
	end

	-- session(event) -> the session of a registration | nil. Registrations on the web have only an address.
	function accounts.session(event)
		return type(event.session) == "table" and event.session or event.ip and { ip = event.ip } or nil;
	end

	-- applicant(event, jid | nil) -> the actor who registers an account or resets a password, in-band or on the web
	function accounts.applicant(event, jid)
		local session = accounts.session(event);
		if session and session.type then
			return { kind = "user", jid = jid, session = session };
		end
		return session and { kind = "http", session = session } or accounts.administrator();
	end

	-- administrator() -> the actor who changes the account of somebody else; of kind "unknown" if it can't be known
	function accounts.administrator()
		return audit:acting() or { kind = "unknown" };
	end

	return accounts;
end
