-- Watches what is sent to a session.
--
-- local sent = library "sent";
-- sent.watch(session, look, watching)   calls look(watching, stanza, …), which must not raise, with all arguments of session.send(),
--                                       before it is sent. `watching` is a table of the caller, which gets the fields session, own and
--                                       watched.
-- sent.stop(watching)

local rawget, rawset = rawget, rawset;

local sent = {};

-- A login is watched in this way. One closure and one table are less for the garbage collector than a closure that stops watching.
function sent.watch(session, look, watching)
	local send = session.send;
	local function watched(...)
		look(watching, ...);
		return send(...);
	end
	watching.session, watching.own, watching.watched = session, rawget(session, "send"), watched;
	rawset(session, "send", watched);
end

function sent.stop(watching)
	-- Prosody replaces send() when a session ends.
	if rawget(watching.session, "send") == watching.watched then
		rawset(watching.session, "send", watching.own);
	end
end

return sent;
