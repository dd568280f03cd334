-- Writes the messages of the hand-over to Prosody's log.

local _, chunks = ...;
local sql, cause_of = chunks.sql, chunks.driver.cause_of;

-- new(context) -> reports. `context` is that of queue.lua. Each function takes a queue, as queue.lua makes it.
local function new(context)
	local log, now, recorder, trust = context.log, context.now, context.recorder, context.trust;

	local function tell_failed(queue, cause, place, at)
		local line = recorder.failed(queue.host, cause, place, at);
		if line then
			log("error", line);
		end
	end

	-- Reports entries that were found to be missing.
	local function tell_missing(queue)
		local line = recorder.missing(queue.host, queue.journal:missing());
		if line then
			log("error", line);
		end
	end

	-- Reports, once, that the number of lost entries can't be written to its file.
	local function tell_of_losses_file(queue)
		local is_kept, problem = queue.journal:is_kept();
		if problem and not queue.told_of_losses_file then
			log("error", ("The number of audit events of %s that are lost can't be written down: %s. A crash would take it."):format(queue.host,
				problem));
		end
		queue.told_of_losses_file = not is_kept;
	end

	-- Reports that the file with the number of lost entries was damaged when the journal was opened.
	local function tell_of_damage(queue)
		local aside = queue.journal:damaged_ledger();
		if aside then
			log("error", ("The file with the number of lost audit events of %s was damaged, and a new one was begun: events that were lost "
				.."before may be missing from the count. The damaged file is kept as %s."):format(queue.host, aside));
		end
	end

	-- After the journal's files were looked at.
	local function tell_of_files(queue)
		tell_missing(queue);
		tell_of_damage(queue);
		tell_of_losses_file(queue);
	end

	-- Where entries wait that the store refuses.
	local function place_of(queue)
		return queue.journal:in_memory() > 0 and "memory" or "journal";
	end

	-- After a slice that failed.
	local function report_failure(queue, err)
		local store = context.store_of(queue.host);
		queue.problem = store and trust.problem_of(store) or cause_of(err);
		if store then
			trust.doubt(store);
			sql.give_up_without_tables(store, queue.problem);
		end
		tell_failed(queue, queue.problem, place_of(queue), now());
	end

	-- Reports a driver that has not answered for too long. Nothing is handed over on that host until it does.
	local function watch_driver(queue)
		local at = now();
		local seconds = queue.journal:unanswered(at);
		if seconds then
			queue.problem = ("the storage driver has not answered for %d seconds"):format(seconds);
			tell_failed(queue, queue.problem, place_of(queue), at);
		end
	end

	local function tell_of_journal(queue, place, at)
		-- It was reported already that the journal has no files.
		if not queue.attached and place then return; end
		local cause = "the journal can't be written ("..(queue.journal:trouble() or "no reason given")..")";
		tell_failed(queue, cause, place, at);
	end

	-- Reports that the store has taken all entries that waited, if a failure was reported before.
	local function tell_stored(queue)
		local line = recorder.stored(queue.host);
		if line then
			log("info", line);
		end
	end

	return {
		missing = tell_missing, files = tell_of_files, failure = report_failure, stored = tell_stored;
		silent_driver = watch_driver, journal = tell_of_journal;
	};
end

return { new = new };
