-- Appends entries to a store: where each goes, and under which time.

local native, _, stores = ...;

local OCCURRED = native.namespace.."\1occurred";

local floor = math.floor;
local cause_of, newest = stores.cause_of, stores.newest;

-- A writer over a recorder, which decides.
--   writer.put(host, store, at, stanza, with) -> the driver's key | nil, err; `at` is when it was recorded
--   writer.forget(host | nil)
local function new(recorder)
	-- Where entries of a host go, kept until the second is over: { second, partition, when }.
	local slots = {};

	local function slot_at(host, store, at)
		local partition, when, fresh = recorder.slot(host, at);
		if fresh then
			recorder.resume(host, at, newest(store, partition));
			partition, when = recorder.slot(host, at);
		end
		local slot = { second = floor(at); partition = partition; when = when };
		slots[host] = slot;
		return slot;
	end

	local function put(host, store, at, stanza, with)
		local slot = slots[host];
		if not slot or slot.second ~= floor(at) then
			slot = slot_at(host, store, at);
		end
		while true do
			if slot.when ~= slot.second and not stanza.attr[OCCURRED] then
				stanza.attr[OCCURRED] = recorder.occurred(nil, at, slot.when);
			end
			local key, err = store:append(slot.partition, nil, stanza, slot.when, with);
			if key then
				return key;
			elseif cause_of(err) ~= "quota-limit" or not recorder.full(host, at) then
				return nil, err;
			end
			slot = slot_at(host, store, at);
		end
	end

	local function forget(host)
		if host then
			slots[host] = nil;
		else
			slots = {};
		end
	end

	return { put = put; forget = forget };
end

return { new = new };
