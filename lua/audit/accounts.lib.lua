-- What is going on with which account, so that one registration or removal is one entry though Prosody fires several events,
-- and who does it.
--
-- local accounts = library "accounts" (audit);

local monotonic = require "util.time".monotonic;

local type = type;

-- What never came to its end (a store has failed) must not hide for long what somebody does to the account later.
local seconds_at_most = 60;

return function (audit)
	local accounts, module = {}, audit.module;

	-- One for all modules of the host, over their reloads: "registering" or "removing" -> username -> what is known of it.
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

	-- Only of that which was begun as known, where it is given: another may have begun meanwhile.
	function accounts.finish(what, username, known)
		local of_all = shared[what];
		if of_all and username and (known == nil or of_all[username] == known) then
			of_all[username] = nil;
		end
	end

	-- Web registrations have no session, just the address.
	function accounts.session(event)
		return type(event.session) == "table" and event.session or event.ip and { ip = event.ip } or nil;
	end

	-- Who does something with an account of his own, in-band or on the web, where he is no session of the account yet.
	function accounts.applicant(event, jid)
		local session = accounts.session(event);
		if session and session.type then
			return { kind = "user", jid = jid, session = session };
		end
		return session and { kind = "http", session = session } or accounts.administrator();
	end

	-- Who does something with the account of another, as far as it can be known.
	function accounts.administrator()
		return audit:acting() or { kind = "unknown" };
	end

	return accounts;
end
