-- Removes addresses that expire before their entries. A partition is replaced by a copy without addresses, or with only a prefix of
-- each address.

local native, chunks = ...;
local batches = chunks.batch;
local decode, is_native = chunks.stanza.decode, chunks.driver.is_native;

local ipairs, tostring = ipairs, tostring;

--   context = { stanza_mt, now, log, recorder } as prune.lua has them
local function new(context, slices)
	local now, recorder = context.now, context.recorder;
	local call, each = slices.call, slices.each;

	-- Makes the copy -> number of entries, number of those that can't be read, time of the first, time of the last
	local function make_copy(host, store, partition, class, copy, breathe)
		local batch, first, last, refused = {}, nil, nil, 0;
		local function write()
			if #batch > 0 then
				slices.append_all(store, copy, batch);
				batch = {};
			end
		end
		local paged = batches.can(store);
		local count, damaged = each(store, partition, breathe, function (_, stanza, when, with)
			local left = recorder.without_addresses(host, class, stanza) and decode(context.stanza_mt);
			if not left then
				refused = refused + 1;
				return;
			end
			first, last = first or when, when;
			batch[#batch + 1] = { left, when, with };
			if not paged then
				write();
			end
		end, write);
		return count - refused, damaged + refused, first, last;
	end

	-- Has the driver "audit" make the copy and remove the original -> as make_copy(). No stanza is made of an entry.
	local function replace(store, partition, class, copy, pace, breathe)
		local rewriting = store:rewriting(partition, copy);
		local done;
		repeat
			local began = now();
			done = call(store, "cut", recorder, class, rewriting, pace:size()) == "done";
			pace:took(now() - began);
			breathe(true);
		until done;
		return rewriting:result();
	end

	-- Cuts the addresses of entries that are not held where they lie. A copy without addresses would never be looked at again, also if
	-- its entries are not held any more. Returns whether there are entries that are held.
	local function cut_others(host, store, partition, class, breathe)
		local changes, held = {}, false;
		each(store, partition, breathe, function (key, stanza, _, with)
			if recorder.holds(host, class, with, stanza) then
				held = true;
				return;
			end
			local before = tostring(stanza);
			local left = recorder.without_addresses(host, class, stanza) and decode(context.stanza_mt);
			if left and tostring(left) ~= before then
				changes[#changes + 1] = { key = key; stanza = left };
			end
		end);
		if held then
			slices.set_all(store, partition, changes, breathe);
		end
		return held;
	end

	-- Makes the copies, then removes the originals.
	local function cut(host, store, partitions, breathe, add, wish)
		local copies, copied, pace = {}, {}, native.row_pace(true);
		local function cut_one(partition)
			local class, copy = recorder.home(partition), recorder.cut_name(partition);
			if recorder.holds_anything(host) and cut_others(host, store, partition, class, breathe) then
				return;
			end
			local count, damaged, first, last;
			local replaces = is_native(store);
			if replaces then
				count, damaged, first, last = replace(store, partition, class, copy, pace, breathe);
			else
				count, damaged, first, last = make_copy(host, store, partition, class, copy, breathe);
			end
			if damaged > 0 then
				-- Rows that can't be read can't be copied, and must not be removed.
				if not replaces then
					call(store, "delete", copy);
				end
				context.log("warn", ("Addresses of %s in %s were not removed: %d damaged entries there can't be copied"):format(host, partition, damaged));
			elseif replaces then
				add(class, "addresses", count, 1, first, last);
			else
				copies[#copies + 1] = copy;
				copied[#copied + 1] = { partition = partition; class = class; count = count; first = first; last = last };
			end
		end
		for _, partition in ipairs(partitions) do
			cut_one(partition);
		end
		slices.settle(host, store, copies, breathe, wish.settle);
		for _, done in ipairs(copied) do
			call(store, "delete", done.partition);
			add(done.class, "addresses", done.count, 1, done.first, done.last);
			breathe();
		end
	end

	return cut;
end

return { new = new };
