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

-- catch_up(environment, recorder, host, store, is_direct, audit): to be called once the journal was read. After a loss of power the journal may not
-- know the last entries that the store has, nor after a kill if they were written directly, or were only in memory. The chains go on from
-- there, or end here if the store can't be read. After a start of the machine an entry says soon how far they had got, as anchors of what
-- was lost are no sign of a change. Returns whether the store was looked at: then where they are must be written down.
local function catch_up(environment, recorder, host, store, is_direct, audit)
	local _, boot = nil, nil;
	if environment.uptime then
		_, boot = environment.uptime(environment.now());
	end
	local is_behind, is_other = recorder.boot(host, boot or "");
	if not is_behind and not is_direct then
		return false;
	end
	local function see(user)
		local rows, problem = read_page(store, { partition = user; limit = native.seen });
		if not rows then error(problem, 0); end
		recorder.saw(host, rows);
	end
	local ok = store and pcall(function ()
		pcall(chunks.sql.connect, store);
		local users, problem = users_of(store);
		if not users then error(problem, 0); end
		for _, user in ipairs(recorder.newest(users, environment.now())) do
			see(user);
		end
		-- It may be large, and is read as a whole by some drivers.
		if recorder.is_single(host) then see(nil); end
	end);
	if not ok then
		recorder.end_chains(host, environment.now());
		return true;
	end
	local heads = is_other and recorder.progress(host) or {};
	for i = 1, #heads do
		heads[i] = detail(environment.stanza_mt, "head", heads[i]);
	end
	if heads[1] then
		-- The journal may have been opened for an event that is not recorded yet.
		environment.schedule(0, function ()
			local opened = detail(environment.stanza_mt, "opened", {}, nil, heads);
			audit(host, nil, "mod_audit", "audit-opened", { actor = { kind = "server" }; custom = { opened } });
		end);
	end
	return true;
end

return { of = of; catch_up = catch_up };
