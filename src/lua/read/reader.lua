-- Readers of a host's entries beside the hand-over: sinks and alerts. Each has a position of its own, and delays nobody
-- (src/journal/cursor.rs).

-- new(context) -> readers
--   context = {
--     now, recorder
--     queue_of   function(host) -> the queue that has the journal
--     scan       function(asked, take, pause, nil, nil, haste): read.lua describes it
--     recorded   function(host, event_type), for statistics
--   }
--   readers.recorded(host, event_type)  to be called when an entry was recorded
--   readers.open(host, saved | nil) -> reader | nil, message
--     `saved` is what reader.cursor:saved() returned. Without it the reader begins with what is recorded from now on, or since the
--     server was started if that is less than half a minute ago.
local function new(context)
	local now, recorder, scan = context.now, context.recorder, context.scan;
	local waiting = {}; -- by host: the functions that wait for an entry

	local count = context.recorded;

	local function recorded(host, event_type)
		count(host, event_type);
		local list = waiting[host];
		if list then
			waiting[host] = nil;
			for i = 1, #list do list[i](host); end
		end
	end

	-- reader = {
	--   cursor  an object that other objects of the library take entries from; src/lua/hand_over/cursor.rs describes it
	--   fill    function(pause | nil) -> whether there is something to take, problem | nil. Reads the store if that is necessary, so
	--           it needs an async context. pause() is called when the loop was held for long enough.
	--   wait    function(run): calls run(host) once, within the next event that is recorded, so it must only plan what it does
	--   close   function()
	-- }
	local function open(host, saved)
		local queue = context.queue_of(host);
		if not queue.journal then
			return nil, "the log has no journal";
		end
		local cursor, err = recorder.cursor(host, queue.journal, saved, now());
		if not cursor then
			return nil, err;
		end
		local reader = { cursor = cursor };

		function reader.fill(pause)
			local want, request = cursor:wants(now());
			if want == "search" then
				local is_whole, problem = true, nil;
				local result = scan(request, function (query, missing)
					-- What follows is not taken: the next search goes on behind the last entry that was.
					problem = missing;
					-- What the query has found is taken in any case: in a flood that may be thousands of entries of one second, and the next
					-- search would read all of them again.
					is_whole = not missing and (cursor:feed(query) or not query:is_taken());
					return is_whole;
				end, pause, nil, nil, "beside");
				problem = problem or result.problem;
				if problem then
					return cursor:wants(now()) == "take", problem;
				elseif is_whole then
					cursor:searched(now());
				end
				want = cursor:wants(now());
			end
			-- What was recorded during the search may be in the store only.
			return want ~= nil;
		end

		function reader.wait(run)
			local list = waiting[host] or {};
			waiting[host] = list;
			list[#list + 1] = run;
		end

		function reader.close()
			cursor:close();
		end

		return reader;
	end

	return { recorded = recorded; open = open };
end

return { new = new };
