-- Whether the clock can be trusted. The core decides (src/archive/clock); here it is asked and told, and its answers are logged.

local native = ...;

local save_interval = native.timing.clock_save;

local pairs, select = pairs, select;

-- The clocks of all hosts.
--   context = {
--     log, now            as the log's environment has them
--     uptime              function(now) -> seconds since the machine was started, name of that start | nil; or nil
--     path                function(host) -> the file in which the state of the clock is kept | nil
--     writes              whether this process may write the file and log, unless a call says otherwise
--     heartbeat           function(host) -> the last heartbeat of the server | nil
--     files               function(host) -> list of the log's own files and folders
--     elsewhere           function(now, uptime) -> when another program last wrote a file under this clock | nil
--     recorder
--     ensure_configured   function(host)
--     record              function(host, event type, attributes, actor | nil): makes an entry
--   }
local function new(context)
	local log, now, recorder = context.log, context.now, context.recorder;
	local clocks = {};

	-- The state of a host's clock. Must be called before the log writes a file, because writing changes the times of files.
	local function known_of(host, at, uptime, boot)
		local known = clocks[host];
		if not known then
			context.ensure_configured(host);
			known = { clock = native.clock(context.path and context.path(host) or nil) };
			clocks[host] = known;
			if not known.clock:is_exact(at, uptime, boot) then
				known.heartbeat = context.heartbeat(host);
				known.files = native.newest_file(context.files(host));
				known.elsewhere = context.elsewhere(at, uptime);
			end
		end
		return known;
	end

	local function save(host, known, uptime)
		known.saved = uptime;
		local aside = known.clock:save();
		if aside then
			log("error", ("The file with what was known of the clock of %s was damaged, and a new one was begun. The damaged file is kept as %s."):format(
				host, aside));
		end
	end

	-- Says once that the file can't be read. Nothing is removed as long as that lasts.
	local function tell_unread(host, known, writes)
		local problem = known.clock:unread();
		if problem and writes and problem ~= known.unread then
			log("error", ("Nothing is removed from the audit log of %s: what was known of the clock can't be read: %s. It is tried again."):format(
				host, problem));
		end
		known.unread = problem;
	end

	-- Logs and saves the result of a check as soon as this process may write.
	local function tell(host, known, uptime, writes)
		local found = known.found;
		if not found or not writes then
			return;
		end
		known.found = nil;
		save(host, known, uptime);
		if found.seen == "settled" then
			log("info", ("The clock has agreed for long enough: what has expired is removed from the audit log of %s again"):format(host));
		elseif found.is_told then
			log("error", ("Nothing is removed from the audit log of %s: %s. %s"):format(host, found.text, recorder.clock_way_out(host)));
			context.record(host, "audit-clock-jumped", { expected = found.expected; shown = found.shown });
		end
	end

	-- What the clocks show: now, uptime, boot | nil
	local function read()
		local at = now();
		return at, context.uptime(at);
	end

	-- The clock of a host, and whether it has just become trusted. `at`, `uptime` and `boot` are the results of read().
	local function look_at(host, users, writes, at, uptime, boot)
		local known = known_of(host, at, uptime, boot);
		local clock = known.clock;
		local is_settled = false;
		tell_unread(host, known, writes);
		local function take(seen, is_told, text, expected, shown)
			if seen ~= "same" then
				known.found = { seen = seen; is_told = is_told; text = text; expected = expected; shown = shown };
				is_settled = seen == "settled";
				if seen == "jumped" then
					clock:note(recorder.in_use(host));
				end
				tell(host, known, uptime, writes);
			end
		end
		take(clock:look(at, uptime, boot, known.heartbeat, known.files, known.elsewhere, recorder.clock_trust(host)));
		if users then
			take(clock:look_at(users, at, uptime, boot, known.elsewhere));
		end
		tell(host, known, uptime, writes);
		if writes and (not known.saved or uptime - known.saved > save_interval) then
			save(host, known, uptime);
		end
		return clock, is_settled;
	end

	-- look(host, archive users | nil, whether this process may write) -> the clock, whether it has just become trusted
	local function look(host, users, writes)
		return look_at(host, users, writes or context.writes, read());
	end

	return {
		look = look;
		-- prepare(host): before anything is written on the host
		prepare = function (host) known_of(host, read()); end;
		-- trust(host, actor | nil): an operator says that the clock is right
		trust = function (host, actor)
			local clock = look(host, nil, true);
			if clock:trust() then
				save(host, clocks[host], (select(2, read())));
				context.record(host, "audit-clock-trusted", { shown = recorder.date_time(now()) }, actor);
			end
		end;
		-- look_at_all() -> the hosts whose clock has just become trusted
		look_at_all = function ()
			local settled, at, uptime, boot = {}, read();
			for host in pairs(clocks) do
				local _, is_settled = look_at(host, nil, context.writes, at, uptime, boot);
				if is_settled then
					settled[#settled + 1] = host;
				end
			end
			return settled;
		end;
		-- close(host | nil): saves the state
		close = function (host)
			for name in pairs(clocks) do
				if host == nil or name == host then
					look(name);
					if context.writes then
						save(name, clocks[name], (select(2, read())));
					end
					clocks[name] = nil;
				end
			end
		end;
	};
end

return { new = new };
