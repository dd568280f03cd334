-- The evidence of a host: src/lua/evidence/mod.rs describes it.

local native, chunks = ...;

local error, ipairs, pcall = error, ipairs, pcall;
local detail = chunks.stanza.detail;
local read_page, users_of = chunks.page.read_page, chunks.page.users_of;

-- of(environment, recorder, parts) -> evidence(host) -> evidence, for work that removes entries | nil: nothing is linked. Raises a message
-- if the journal can't be opened.
--   parts = { queues }, which is made later
local function of(environment, recorder, parts)
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

-- catch_up(environment, recorder, host, store): to be called before the first event. After a loss of power the journal may not know the
-- last entries that the store has; if entries are written directly, a kill may come before they are written down. The chains go on from
-- there. After a start of the machine an entry says how far they had got, as anchors of what was lost are no sign of a change.
local function catch_up(environment, recorder, host, store, is_direct, audit)
	local _, boot = nil, nil;
	if environment.uptime then
		_, boot = environment.uptime(environment.now());
	end
	local is_other = boot and recorder.boot(host, boot);
	if not is_other and not is_direct then
		return;
	end
	pcall(function ()
		for _, user in ipairs(recorder.newest(users_of(store) or {})) do
			local rows = read_page(store, { partition = user; limit = 1 });
			if rows then
				recorder.saw(host, rows);
			end
		end
	end);
	local heads = is_other and recorder.progress(host) or {};
	for i = 1, #heads do
		heads[i] = detail(environment.stanza_mt, "head", heads[i]);
	end
	if heads[1] then
		local opened = detail(environment.stanza_mt, "opened", {}, nil, heads);
		audit(host, nil, "mod_audit", "audit-opened", { actor = { kind = "server" }; custom = { opened } });
	end
end

return { of = of; catch_up = catch_up };
