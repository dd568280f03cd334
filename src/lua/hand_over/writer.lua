-- Appends entries to a store. The core decides on the partition and the time (src/archive/placement.rs).

local native, chunks = ...;
local cause_of, newest, places_of = chunks.driver.cause_of, chunks.page.newest, chunks.page.places_of;

local OCCURRED = native.namespace.."\1occurred";

local pairs, type = pairs, type;
local floor, huge = math.floor, math.huge;

-- new(recorder, classes, trust, ensure_configured, rolled, unknown) -> writer
--   writer.put(host, store, at, stanza, with) -> the driver's key | nil, err; `at` is when the entry was recorded
--   writer.takes_bytes(store) -> whether hand_over() can be used
--   writer.hand_over(host, store, journal, entries, now, deadline) -> number of entries | nil, err: gives the store a batch of a journal
--   writer.undone(host): what put() has appended lately is not in the store, or that is not known
-- `rolled(host, partition, number of entries, whether its class has a limit)` is called when a partition is full, and `unknown(host)` when
-- that was said of partitions that may have fewer entries.
local function new(recorder, classes, trust, ensure_configured, rolled, unknown)
	-- The classes of each host that have a slot.
	local open = {};

	-- Asks the core where to append an entry, and reads from the store what the core needs to know: a slot { second, partition, when,
	-- left, used } | nil, err. The slot is valid for `left` entries within that second, and `used` says how many were appended, which
	-- is nil after a failure: the driver may have stored the entry nevertheless, so the core has them counted again.
	local function ask(host, class, store, at)
		local slot = class.slot;
		local appended = class.host.slot and 0 or nil;
		if slot then
			appended = slot.used;
		end
		while true do
			local step, partition, a, b = recorder.place(host, class.name, at, appended);
			if slot then
				slot.used = 0;
			end
			if step == "append" then
				slot = { second = floor(at); partition = partition; when = a; left = b or huge; used = 0 };
				-- All classes share archive user nil.
				class.slot, class.host.slot = partition and slot or nil, not partition and slot or nil;
				open[host] = open[host] or {};
				open[host][class] = true;
				return slot;
			elseif step == "list" then
				local users, closed = places_of(store);
				if not users then
					return nil, closed;
				end
				recorder.listed(host, users, at, closed);
			elseif step == "survey" then
				local time, count = newest(store, partition, a);
				if not time and store.time_before then
					time = store:time_before(partition);
				end
				recorder.surveyed(host, class.name, at, time, count);
			else
				rolled(host, partition, a, b);
			end
			appended = 0;
		end
	end

	local function put(host, store, at, stanza, with)
		local stands, problem = trust.stands(store);
		if not stands then
			return nil, problem;
		end
		local class = classes.of(host, stanza.attr.type);
		local slot = class.slot or class.host.slot;
		if not slot or not slot.used or slot.second ~= floor(at) or slot.left <= 0 then
			slot, problem = ask(host, class, store, at);
			if not slot then
				return nil, problem;
			end
		end
		while true do
			if slot.when ~= slot.second and not stanza.attr[OCCURRED] then
				stanza.attr[OCCURRED] = recorder.occurred(nil, at, slot.when);
			end
			local used = slot.used;
			slot.used = nil; -- the driver may raise an error
			local key, err = store:append(slot.partition, nil, stanza, slot.when, with);
			if key then
				slot.left, slot.used = slot.left - 1, used + 1;
				local kept;
				kept, err = trust.appended(host, store, slot.partition, key, stanza);
				if not kept then
					return nil, err;
				end
				return key;
			elseif cause_of(err) ~= "quota-limit" or not recorder.full(host, class.name, at) then
				return nil, err;
			end
			slot, problem = ask(host, class, store, at);
			if not slot then
				return nil, problem;
			end
		end
	end

	-- The core has the entries counted again.
	local function undone(host)
		for class in pairs(open[host] or {}) do
			local slot = class.slot or class.host.slot;
			if slot then slot.used = nil; end
		end
		unknown(host);
	end

	-- Forgets the slots of a host: entries are appended that put() does not know of. The core is told what was appended.
	local function settle(host)
		local of_host = open[host];
		if not of_host then
			return;
		end
		open[host] = nil;
		for class in pairs(of_host) do
			local slot = class.slot or class.host.slot;
			if slot then
				recorder.appended(host, class.name, slot.used);
				class.slot, class.host.slot = nil, nil;
			end
		end
	end

	local function hand_over(host, store, journal, entries, now, deadline)
		ensure_configured(host);
		settle(host);
		local count, full = store:hand_over(recorder, journal, entries, now, deadline);
		if not count then
			return nil, full;
		end
		for i = 1, #full, 3 do
			rolled(host, full[i], full[i + 1], full[i + 2]);
		end
		return count;
	end

	return {
		put = put, undone = undone, hand_over = hand_over;
		takes_bytes = function (store) return store ~= nil and type(store.hand_over) == "function"; end;
	};
end

return { new = new };
