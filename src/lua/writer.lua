-- Appends entries to a store: where each goes, and under which time.

local native, _, stores = ...;

local OCCURRED = native.namespace.."\1occurred";

local floor = math.floor;
local cause_of, newest = stores.cause_of, stores.newest;

-- A writer over a recorder, which decides, and the classes of events.
--   writer.put(host, store, at, stanza, with) -> the driver's key | nil, err; `at` is when it was recorded
local function new(recorder, classes)
	-- Where entries of a class go is kept until the second is over: { second, partition, when }. With everything under archive
	-- user nil it is one place for all classes.
	local function slot_at(host, class, store, at)
		local partition, when, fresh = recorder.slot(host, class.name, at);
		if fresh then
			recorder.resume(host, class.name, at, newest(store, partition));
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
		local class = classes.of(host, stanza.attr.type);
		local slot = class.slot or class.host.slot;
		if not slot or slot.second ~= floor(at) then
			slot = slot_at(host, class, store, at);
		end
		while true do
			if slot.when ~= slot.second and not stanza.attr[OCCURRED] then
				stanza.attr[OCCURRED] = recorder.occurred(nil, at, slot.when);
			end
			local key, err = store:append(slot.partition, nil, stanza, slot.when, with);
			if key then
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
