-- Looks at what goes to a session.

local rawget, rawset = rawget, rawset;

-- watch(session, look) -> stop(): look(stanza, …) sees all that session.send() gets, before it goes on; it must not raise.
return function (session, look)
	local own, send = rawget(session, "send"), session.send;
	local function watched(...)
		look(...);
		return send(...);
	end
	rawset(session, "send", watched);
	return function ()
		-- A session that has ended has got another one.
		if rawget(session, "send") == watched then
			rawset(session, "send", own);
		end
	end
end
