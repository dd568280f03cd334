-- Appends entries to a store: where each goes, and under which time.

local native, chunks = ...;

local OCCURRED = native.namespace.."\1occurred";

local SECONDS_A_DAY = 86400;

local floor = math.floor;
local cause_of, newest, users_of = chunks.driver.cause_of, chunks.page.newest, chunks.page.users_of;

-- A writer over a recorder, which decides, the classes of events, and what is known of stores (trust.lua).
--   writer.put(host, store, at, stanza, with) -> the driver's key | nil, err; `at` is when it was recorded
-- `rolled(host, class, partition, count)` is called where a partition has got as many entries as it should have.
local function new(recorder, classes, trust, rolled)
	-- Entries go on where the day has got to, as an earlier life of this process, or another one, may have written.
	local function locate(host, class, store, at)
		local day, shared = floor(at / SECONDS_A_DAY), class.host;
		if class.day and day >= class.day then
			class.day = day;
			return true;
		end
		if shared.listed ~= floor(at) then
			local users, err = users_of(store);
			if not users then
				return nil, err;
			end
			shared.users, shared.listed = users, floor(at);
		end
		recorder.locate(host, class.name, at, shared.users);
		class.room, class.has_limit = recorder.room(host, class.name);
		class.day = day;
		return true;
	end

	-- Where entries of a class go is kept until the second is over: { second, partition, when }. With everything under archive
	-- user nil it is one place for all classes.
	local function slot_at(host, class, store, at)
		local ok, err = locate(host, class, store, at);
		if not ok then
			return nil, err;
		end
		local partition, when, fresh = recorder.slot(host, class.name, at);
		if fresh or partition and not class.count then
			local time, count = newest(store, partition, partition and class.room or 1);
			recorder.resume(host, class.name, at, time);
			class.count = count;
			partition, when = recorder.slot(host, class.name, at);
		end
		local slot = { second = floor(at); partition = partition; when = when };
		if partition then
			class.slot = slot;
		else
			class.host.slot = slot;
		end
		return slot;
	end

	local function put(host, store, at, stanza, with)
		local stands, problem = trust.stands(store);
		if not stands then
			return nil, problem;
		end
		local class = classes.of(host, stanza.attr.type);
		local slot = class.slot or class.host.slot;
		if not slot or slot.second ~= floor(at) then
			local err;
			slot, err = slot_at(host, class, store, at);
			if not slot then
				return nil, err;
			end
		end
		while true do
			if slot.partition and class.count >= class.room then
				rolled(host, class, slot.partition, class.count);
				class.count = 0;
				if recorder.roll(host, class.name, at) then
					slot = slot_at(host, class, store, at);
				end
			end
			if slot.when ~= slot.second and not stanza.attr[OCCURRED] then
				stanza.attr[OCCURRED] = recorder.occurred(nil, at, slot.when);
			end
			local key, err = store:append(slot.partition, nil, stanza, slot.when, with);
			if key then
				if slot.partition then
					class.count = class.count + 1;
				end
				local kept;
				kept, err = trust.appended(host, store, slot.partition, key, stanza);
				if not kept then
					return nil, err;
				end
				return key;
			elseif cause_of(err) ~= "quota-limit" or not recorder.full(host, class.name, at) then
				return nil, err;
			end
			slot = slot_at(host, class, store, at);
		end
	end

	return { put = put };
end

return { new = new };
