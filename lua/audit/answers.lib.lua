-- What the server answers to a stanza: the outcome of attempts of which Prosody fires no event.
--
-- local answers = library "answers" (audit);

local watch_sent = library "sent";

local ipairs, type = ipairs, type;

return function (audit)
	local answers = {};

	local show = audit:guard("an answer to a client", function (watch)
		watch.done = true; -- where it fails too
		watch.done = watch.see(watch.stanza) == true;
	end);

	-- Shows see each stanza that is sent on the session until see returns true. The stanza goes its way whatever see does.
	-- (A filter of util.filters could not be taken off again while it runs.)
	function answers.watch(session, see)
		local watch = { see = see };
		local stop;
		stop = watch_sent(session, function (stanza)
			if watch.done or type(stanza) ~= "table" or not stanza.attr then return; end
			watch.stanza = stanza;
			show(watch);
			if watch.done then stop(); end
		end);
	end

	-- The same for the answer to an iq: see gets it, and "result" or "error".
	function answers.watch_iq(session, iq, see)
		local id = iq.attr.id;
		answers.watch(session, function (stanza)
			local kind = stanza.attr.type;
			if stanza.name ~= "iq" or stanza.attr.id ~= id or (kind ~= "result" and kind ~= "error") then return; end
			see(stanza, kind);
			return true;
		end);
	end

	-- Condition and text of <error/> in a stanza, or of a <failure/> of SASL.
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
