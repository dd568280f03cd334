-- Watches what the server answers to a stanza. This tells the outcome of attempts for which Prosody fires no event.
--
-- local answers = library "answers" (audit);

local sent = library "sent";

local ipairs, type = ipairs, type;

return function (audit)
	local answers = {};

	local show = audit:guard("an answer to a client", function (watch)
		watch.done = true; -- also if see() raises
		watch.done = watch.see(watch.stanza, watch.session, watch.about) == true;
	end);

	local function look(watch, stanza)
		if watch.done or type(stanza) ~= "table" or not stanza.attr then return; end
		watch.stanza = stanza;
		show(watch);
		if watch.done then sent.stop(watch); end
	end

	-- watch(session, see, about): calls see(stanza, session, about) for each stanza that is sent to the session, until it returns true.
	-- The stanza is sent whatever see() does. (A filter of util.filters can't be removed while it runs.)
	function answers.watch(session, see, about)
		-- With all its fields, so that it does not grow.
		sent.watch(session, look, { see = see; about = about; done = false; stanza = false; session = session; own = false; watched = false });
	end

	-- watch_iq(session, iq, see): calls see(answer, "result" | "error") for the answer to an iq
	function answers.watch_iq(session, iq, see)
		local id = iq.attr.id;
		answers.watch(session, function (stanza)
			local kind = stanza.attr.type;
			if stanza.name ~= "iq" or stanza.attr.id ~= id or (kind ~= "result" and kind ~= "error") then return; end
			see(stanza, kind);
			return true;
		end);
	end

	-- condition(element | nil) -> the condition and the text of an <error/>, or of a <failure/> of SASL
	function answers.condition(element)
		local condition, text;
		for _, child in ipairs(element and element.tags or {}) do
			if child.name == "text" then
				text = child:get_text();
			else
				condition = condition or child.name;
			end
		end
		return condition, text;
	end

	return answers;
end
