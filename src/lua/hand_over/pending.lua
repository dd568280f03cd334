-- Reads the entries that wait in a journal.

local native, chunks = ...;
local decode = chunks.stanza.decode;

local ID = native.namespace.."\1id";

local error, tonumber, tostring = error, tonumber, tostring;
local floor, max, min = math.floor, math.max, math.min;

-- item_of(stanza_mt, at) -> the entry that was opened last by the native library: { at, stanza, with } | nil. `at` is when it was
-- recorded.
local function item_of(stanza_mt, at)
	local stanza = at and decode(stanza_mt);
	if stanza then
		return { at = at; stanza = stanza; with = stanza.attr.user or native.host_wide };
	end
end

-- item_at(stanza_mt, journal, sequence) -> the entry of a sequence | nil, why it can't be read now
local function item_at(stanza_mt, journal, sequence)
	local is_there, at, err = journal:open(sequence);
	if err or not is_there then
		return nil, err;
	end
	local item = item_of(stanza_mt, at);
	if not item then
		journal:spoil(sequence);
	end
	return item;
end

-- take(stanza_mt, journal, count) -> the next entries that wait, without those that the store has already, and the sequence after
-- the last of them
local function take(stanza_mt, journal, count)
	local items = {};
	local recognises = journal:recognises();
	local sequence, last = journal:first(), journal:next();
	while sequence < last and #items < count do
		local item, err = item_at(stanza_mt, journal, sequence);
		if err then
			-- The file can't be read now. Its entries must not count as lost.
			if #items > 0 then break; end
			error(err, 0);
		end
		if item and not (recognises and journal:is_recognised(item.stanza.attr[ID])) then
			item.sequence = sequence;
			items[#items + 1] = item;
		end
		sequence = sequence + 1;
	end
	return items, sequence;
end

-- of(stanza_mt, snapshot) -> the entries that wait, as a query reads them: { since = UNIX time, page =, damaged =, problem = }
--   since    no entry was recorded before this time | nil: nothing waits
--   problem  why entries may be missing | nil
--   page(limit, behind | nil, oldest_first) -> rows as a query takes them, number of records that are no entries
local function of(stanza_mt, snapshot)
	local count, damaged, problem = snapshot:count();
	local function item_of_index(index)
		local _, payload = snapshot:get(index);
		return payload and item_of(stanza_mt, native.open(payload));
	end
	local function page(limit, behind, oldest_first)
		local rows, n, skipped = {}, 0, 0;
		local step = oldest_first and 1 or -1;
		local first = behind and tonumber(behind) + step or oldest_first and 1 or count;
		for index = first, oldest_first and min(count, first + limit - 1) or max(1, first - limit + 1), step do
			local item = item_of_index(index);
			if item then
				rows[n + 1], rows[n + 2], rows[n + 3], rows[n + 4] = tostring(index), floor(item.at), item.with, tostring(item.stanza);
				n = n + 4;
			else
				skipped = skipped + 1;
			end
		end
		return rows, skipped;
	end
	local since = snapshot:since();
	return { since = since and floor(since); page = page; damaged = damaged; problem = problem };
end

return { item_at = item_at; of = of; take = take };
