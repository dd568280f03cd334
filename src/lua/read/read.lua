-- Reads the log of a host page by page. The core decides which page to read next (src/query).

local native, chunks = ...;
local driver, pages = chunks.driver, chunks.page;

local ipairs, pcall, require = ipairs, pcall, require;
local max = math.max;
local cause_of, filters, is_embedded, seeks = driver.cause_of, driver.filters, driver.is_embedded, driver.seeks;
local read_page, users_of = pages.read_page, pages.users_of;

-- How long the loop is held by readings in haste, which scan() describes.
local slices = { batches = native.brief_slice, beside = native.beside_slice };

-- The name of a host in ASCII, as in DNS: text | nil
local function ascii_host(host)
	local found, encodings = pcall(require, "util.encodings");
	return found and encodings.idna.to_ascii(host) or nil;
end

-- writing(asked, width | nil, coloured) -> writing, see read/mod.rs
local function new_writing(asked, width, coloured)
	return native.writing(asked, width, coloured, ascii_host(asked.host));
end

-- The functions of a log that read.
--   context = {
--     now        as in the log's environment
--     retry      function(attempt, message) -> whether to read again, after a pause | nil
--     store_of   function(host) -> store | nil, err
--     recorder
--     waiting    function(host) -> what waits in the journal, see queue.lua
--   }
local function new(context)
	local now = context.now;

	-- Calls read() until it returns something, or retry() says to stop: the result | nil, message
	local function patiently(read, ...)
		local attempt = 0;
		while true do
			local result, err = read(...);
			if result then
				return result, err;
			end
			attempt = attempt + 1;
			local message = cause_of(err);
			if not context.retry or not context.retry(attempt, message) then
				return nil, message;
			end
		end
	end

	-- The names of a store's archive users that have entries | nil, message
	local function visible_users(store)
		local users, err = patiently(users_of, store);
		if not users then
			return nil, err;
		end
		-- An unfinished copy is not read. The partition that it is made from is read instead.
		local old_is_empty = false;
		if context.recorder.is_moving(users) then
			local rows;
			rows, err = patiently(read_page, store, { limit = 1 });
			if not rows then
				return nil, err;
			end
			old_is_empty = #rows == 0;
		end
		return context.recorder.visible(users, old_is_empty);
	end

	-- Opens the store of a host for reading: store, names of its archive users | nil, message
	local function open(host)
		local store, err = patiently(context.store_of, host);
		if not store then
			return nil, err;
		end
		local users;
		users, err = visible_users(store);
		if not users then
			return nil, err;
		end
		return store, users;
	end

	-- Notes how long the loop was held: breathe(pause | nil) -> seconds of a pause, which calls pause() when it was held for long enough.
	local function new_breath(haste)
		local held_since = now();
		local slice = slices[haste] or native.reading_slice;
		return function (pause)
			local began = now();
			if not pause or began - held_since <= slice then
				return 0;
			end
			pause();
			held_since = now();
			return held_since - began;
		end
	end

	-- Begins to read what is asked for.
	--   begin(asked, breathe, pause | nil, following | nil, haste | nil, is_in_batches | nil) -> query, advance, conclude
	-- advance(pause) reads the next page, and returns whether there may be another one, and why entries of it or of an earlier page are
	-- missing | nil. Then there may be events to take from the query. conclude() returns what scan() does. `following` and
	-- `haste` are described there, too. is_in_batches: all that is found is taken in batches before the next page, and the query is told how
	-- long using them took.
	local function begin(asked, breathe, pause, following, haste, is_in_batches)
		local host = asked.host;
		-- The journal is read first, so that no entry is missed. An entry that goes to the store in between is read twice, and
		-- recognised by its id.
		local waiting = context.waiting(host);
		local store, users = open(host);
		breathe(pause);
		-- A follower remembers the last row of each partition, so it reads all of them.
		local wanted = store and not following and filters(store) and store:wanted(asked) or nil;
		if wanted then
			local some, err = patiently(store.users_with, store, wanted, users, function () breathe(pause); end);
			if some then
				users = some;
			else
				store, users = nil, err;
			end
		end
		local problem;
		if not store then
			problem, users = users, {};
		end
		local unread = waiting.problem and "what waits in the journal can't be read: "..waiting.problem;
		local missing = unread;
		-- The embedded driver has no index. To find a few entries of one user it would read a whole partition at once.
		local without_index = pause and store and is_embedded(store);
		-- Other drivers read a partition up to a page to find it: smaller pages would make readings several times as long.
		local finds_rows = store and seeks(store) == "rows";
		local small_pages = haste == "beside" or haste and finds_rows;
		-- If pages of ten rows take too long for another driver, it gets the largest ones.
		local page_slice = not small_pages and native.reading_page or finds_rows and slices[haste] or native.brief_slice;
		local query = following and context.recorder.look(following, users, waiting.since ~= nil, now())
			or context.recorder.query(asked, users, waiting.since, now(), pause and page_slice or nil,
				store and seeks(store) or nil, context.clock(host), store ~= nil and store.former ~= nil,
				is_in_batches and (slices[haste] or native.reading_slice) or nil);

		-- How long the query took to parse the rows of the page before.
		local parsing = 0;

		local function advance(pause_now)
			local page = query:next_page();
			if not page then
				return false;
			end
			local began, paused = now(), 0;
			local rows, skipped = {}, 0;
			if page.journal then
				rows, skipped = waiting.page(page.limit, page.behind, page.oldest_first);
				missing = missing or skipped > 0 and "entries that wait in the journal can't be read now" or nil;
			elseif not problem then
				if without_index then
					page.with = nil;
				end
				page.wanted = wanted;
				rows, skipped = patiently(read_page, page.former and store.former or store, page, function ()
					paused = paused + breathe(pause_now);
				end);
				if not rows then
					rows, skipped, problem = {}, 0, skipped;
				elseif not following and not page.partition and #rows == 0 and (page.former or is_embedded(store)) then
					-- The entries may have been moved since the store was listed.
					local users_now;
					users_now, problem = visible_users(store);
					query:moved(users_now or {});
				end
			end
			if rows.gone then
				query:lost_place();
			else
				local fed_at = now();
				local took = fed_at - began;
				if is_in_batches and small_pages then
					took = took - paused + parsing;
				end
				query:feed(rows, skipped, took);
				parsing = now() - fed_at;
			end
			breathe(pause_now);
			return true, problem or missing;
		end

		local function conclude()
			local damaged, places = query:damaged();
			return {
				shown = query:shown(); hidden = query:hidden(); damaged = damaged + waiting.damaged; places = places;
				last = query:last();
				problem = problem or store and store.missing or unread;
			};
		end

		return query, advance, conclude;
	end

	-- Reads what is asked for.
	--   scan(asked, take, pause | nil, keeps | nil, following | nil, haste | nil) -> { shown =, hidden = number of entries that are hidden unless
	--     they are asked for, damaged =, places = text, last = position | nil, problem = message | nil: the store or the
	--     journal can't be read, so that entries are missing }
	-- take(query, missing | nil) is called when there may be events to take from the query, and returns false to stop; and how many
	-- seconds it held the loop, if it may have paused. `missing` says why events may be missing from now on, also some that are damaged
	-- and not a problem for others. pause() is called when the loop was blocked for long enough. keeps: take() keeps the events until the
	-- end. following: the result of recorder.follower(); only entries are read that are new since the last look, oldest first, and none in
	-- the first look. haste: the loop is held for a shorter time than usual. "batches": entries are taken in small batches, and the pages
	-- of drivers that find where a page begins are small, too. "beside": for readers that read on and on; it is shorter still, and the
	-- pages of all drivers are small.
	local function scan(asked, take, pause, keeps, following, haste)
		local breathe = new_breath(haste);
		local query, advance, conclude = begin(asked, breathe, pause, following, haste, pause and not keeps);
		local going_on, is_more, missing;
		repeat
			is_more, missing = advance(pause);
			repeat
				local began = now();
				local wants_more, held = take(query, missing);
				going_on = wants_more ~= false;
				query:use_took(held or now() - began);
				breathe(pause);
			until not going_on or query:is_taken() or keeps;
		until not going_on or not is_more;
		local result = conclude();
		while pause and not keeps and not query:release() do
			breathe(pause);
		end
		return result;
	end

	-- Reads what is asked for, for a caller who takes some entries at a time: lists(asked) -> {
	--   next      function(pause) -> list of entries, each a table with the fields of the schema | nil at the end
	--   breathe   function(pause): for the caller to call between two entries, as they hold the loop too
	--   conclude  function() -> what scan() returns, after the first next()
	-- }
	local function lists(asked)
		local breathe = new_breath();
		local query, advance, is_over;
		local reading = { breathe = breathe };
		function reading.next(pause)
			if not query then
				query, advance, reading.conclude = begin(asked, breathe, pause);
			end
			while not is_over or not query:is_taken() do
				if query:is_taken() then
					is_over = not advance(pause);
				end
				local list = query:tables(asked.host);
				breathe(pause);
				if list[1] then
					return list;
				end
			end
			return nil;
		end
		return reading;
	end

	-- Writes the entries that are asked for, in a format.
	--   write(asked, out, view) -> result of scan(), with stopped = true if out() returned false
	-- out(text, number of entries so far) returns false to stop.
	--   view = {
	--     width, coloured   of the terminal
	--     backwards         true: write all entries at once, the last one first
	--     pause, haste      as for scan()
	--     piece             out() gets at most that many bytes at once; it may pause
	--     each_page         function(number of entries so far)
	--     writing           a result of writing(): write to it, without a beginning and an end
	--     following         as for scan()
	--     saw               following: entries that are written are not new for it
	--   }
	local function write(asked, out, view)
		local writing = view.writing or new_writing(asked, view.width, view.coloured or false);
		local stopped, kept = false, nil;
		local function put(text, shown)
			if text ~= "" and not stopped then
				stopped = out(text, shown) == false;
			end
			return not stopped;
		end
		if not view.writing then
			put(writing:begin(), 0);
		end
		local result = scan(asked, function (query)
			if view.each_page then
				view.each_page(query:shown());
			end
			if view.saw then
				view.saw:saw(query);
			end
			if view.backwards then
				kept = query;
				return true;
			end
			if not view.piece then
				return put(writing:entries(query), query:shown());
			end
			local began = now();
			local text = writing:text(query);
			local held = now() - began;
			local piece = text:next(view.piece);
			while piece and put(piece, query:shown()) do
				piece = text:next(view.piece);
			end
			return not stopped, held;
		end, view.pause, view.backwards, view.following, view.haste);
		if kept then
			local text = writing:entries(kept, true);
			result.shown, result.hidden = kept:shown(), kept:hidden();
			put(text, result.shown);
		end
		if not view.writing then
			put(writing:ending(), result.shown);
		end
		result.stopped = stopped;
		return result;
	end

	-- The entries that are asked for, each a list with a text for each column.
	--   cells(asked, columns, pause | nil) -> list, result of scan()
	local function cells(asked, columns, pause)
		local list = {};
		local result = scan(asked, function (query)
			for _, entry in ipairs(query:cells(columns)) do
				list[#list + 1] = entry;
			end
		end, pause);
		return list, result;
	end

	-- The request for an account, without entries about earlier accounts of the same name.
	--   of_account(asked, since | nil, pause | nil) -> asked, position of the entry that begins the account | nil, or
	--     nil, message
	-- No entry before `since` is about the account.
	local function of_account(asked, since, pause)
		local horizon = context.recorder.account_horizon(asked.host, now());
		since = since and horizon and max(since, horizon) or since or horizon;
		local found, result = cells(asked:beginning(since and since - 1), { "event" }, pause);
		if result.problem then
			return nil, result.problem;
		end
		return asked:of_account(since, result.last, found[1] and found[1][1]), result.last;
	end

	-- For the next page: whether the name belongs to another account since then. `place` is the position of the entry that began the
	-- account.
	--   is_other_account(asked, since, place | nil, pause | nil) -> true | false | nil, message
	local function is_other_account(asked, since, place, pause)
		local _, result = cells(asked:beginning(since), { "event" }, pause);
		if result.problem then
			return nil, result.problem;
		end
		return result.last ~= nil and result.last ~= place;
	end

	-- follower(asked, pause | nil) -> following, result of scan(). `following` remembers the end of the log.
	local function follower(asked, pause)
		local following = context.recorder.follower(asked);
		return following, scan(asked, function () end, pause, nil, following);
	end

	return {
		open = open; scan = scan; patiently = patiently; new_breath = new_breath; write = write; cells = cells; lists = lists;
		follower = follower; of_account = of_account; is_other_account = is_other_account;
	};
end

return { new = new; writing = new_writing };
