-- What prosodyctl is told of sinks: what each has done, and what came of a test.
--
-- answers(sinks, hosts, new_transport): both tables by name, and function(settings, on) -> transport | nil, message, as mod_audit_sinks
-- has them. The functions below are in the shared table "/*/audit_sinks/sinks".

local async = require "util.async";
local time = require "util.time";

local ipairs, max, next, pairs, tostring = ipairs, math.max, next, pairs, tostring;
local concat, sort = table.concat, table.sort;
local monotonic, now = time.monotonic, time.now;

return function (sinks, hosts, new_transport)
	local shared, actions = module:shared("/*/audit_sinks/sinks"), module:shared("/*/audit/actions");

	-- list(host) -> list of { name, shown, delivered, behind, oldest | nil, errors, refused, problem | nil }
	function shared.list(host)
		local list = {};
		for name, sink in pairs(sinks) do
			if sink.readers[host] then
				local state = sink.native:state(host);
				state.name, state.shown = name, sink.settings.shown;
				list[#list + 1] = state;
			end
		end
		sort(list, function (a, b) return a.name < b.name; end);
		return list;
	end

	-- sends(name, host) -> whether there is such a sink, and it sends entries of the host
	function shared.sends(name, host)
		return sinks[name] ~= nil and sinks[name].native:wants(host);
	end

	-- take_alerts(host, names): the sinks with these names get the alerts of the host in any case. names[NAME] is true for each of them.
	function shared.take_alerts(host, names)
		for name, sink in pairs(sinks) do sink.native:take_alerts(host, names[name] or false); end
	end

	-- describe(host) -> a text for people
	function shared.describe(host)
		if not hosts[host] then
			return ("%s: no sink, as mod_audit_sinks is not loaded there"):format(tostring(host));
		end
		local lines = {};
		for _, state in ipairs(shared.list(host)) do
			local late = state.oldest and (", and the oldest is late by %.0f seconds"):format(max(0, now() - state.oldest)) or "";
			local waits = state.behind == 0 and "nothing waits" or ("%d wait, or may be sent again%s"):format(state.behind, late);
			lines[#lines + 1] = ("%s: %s, %s: %d delivered, %d refused, %d failures; %s%s"):format(host, state.name, state.shown, state.delivered,
				state.refused, state.errors, waits, state.problem and "; trouble: "..state.problem or "");
		end
		return #lines > 0 and concat(lines, "\n") or host..": no sink";
	end

	-- test(name, host | nil) -> a text for people | nil, what is wrong: sends a test entry over a connection of its own. It needs an async
	-- context.
	function shared.test(name, host)
		local sink = sinks[name];
		if not sink then
			local names = {};
			for of in pairs(sinks) do names[#names + 1] = of; end
			sort(names);
			return nil, ("there is no sink %s in use; there are: %s"):format(tostring(name), #names > 0 and concat(names, ", ") or "none");
		end
		host = host or (next(sink.readers));
		local message = host and sink.native:test(host, now());
		if not message then
			return nil, ("the sink %s sends nothing of %s"):format(name, host or "any host");
		end
		local wait, done = async.waiter();
		local result, problem, is_over;
		local function over(text, err)
			if is_over then return; end
			is_over, result, problem = true, text, err;
			done();
		end
		local began = monotonic();
		local function arrived(what)
			return ("The test entry was %s after %.0f ms"):format(what, (monotonic() - began) * 1000);
		end
		local on = {};
		function on.sent() over(arrived("handed to "..sink.settings.shown)); end
		function on.busy() over(nil, "the receiver is busy"); end
		on.refused = function (why) over(nil, why); end
		on.failed = function (err) over(nil, err); end
		on.broken = on.failed;
		function on.answered(status, _, body)
			if sink.native:answer(status, nil, now(), body) == "accepted" then
				over(arrived("accepted with status "..status));
			else
				over(nil, "the receiver answered with status "..status);
			end
		end
		local transport, err = new_transport(sink.settings, on);
		if not transport then return nil, err; end
		transport.send(message);
		wait();
		transport.close();
		if not result then return nil, ("the sink %s (%s): %s"):format(name, sink.settings.shown, tostring(problem)); end
		return result;
	end

	actions.sinks = function (attr) return shared.describe(attr.host); end;
	actions["sink-test"] = function (attr) return shared.test(attr.sink, attr.host); end;
end
