-- Watches what is sent to a session.

local rawget, rawset = rawget, rawset;

-- watch(session, look) -> stop(): calls look(stanza, …), which must not raise, with all arguments of session.send(), before it is sent
return function (session, look)
	local own, send = rawget(session, "send"), session.send;
	local function watched(...)
		look(...);
		return send(...);
	end
	rawset(session, "send", watched);
	return function ()
		-- Prosody replaces send() when a session ends.
		if rawget(session, "send") == watched then
			rawset(session, "send", own);
		end
	end
end
