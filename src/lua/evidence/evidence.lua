-- The evidence of a host, for work that removes entries: src/lua/evidence/mod.rs describes it.

local native = ...;

local error = error;

--   parts = { queues }, which is made later
-- Returns evidence(host) -> evidence | nil: nothing is linked. Raises a message if the journal can't be opened.
local function new(environment, recorder, parts)
	return function (host)
		local queue = parts.queues.queue_of(host);
		if queue.journal then
			return recorder.evidence(host, queue.journal);
		end
		-- What is removed is written down in the journal, which prodosyctl opens if no server has it.
		local path = environment.readable_path and environment.readable_path(host);
		if not path then
			return nil;
		end
		local evidence, problem = native.evidence(host, path, native.owner(environment.journals_lock or path..".lock"), environment.now());
		if not evidence then
			error(problem, 0);
		end
		return evidence;
	end
end

return { new = new };
