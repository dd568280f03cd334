-- Removes addresses that expire before their entries. A partition is replaced by a copy without addresses, or with only a prefix of
-- each address.

local native, chunks = ...;
local batches = chunks.batch;

-- Which parts of an entry hold an address: sets of names.
local personal = native.personal;

local ipairs, pairs, type = ipairs, pairs, type;

-- Replaces each address in an entry by the result of cut(text), and each text with addresses in it by that of cut_text(text).
local function narrow(stanza, cut, cut_text)
	for name, value in pairs(stanza.attr) do
		if personal.address_attributes[name] then
			stanza.attr[name] = cut(value);
		elseif personal.text_attributes[name] and stanza.name == personal.text_element then
			stanza.attr[name] = cut_text(value);
		end
	end
	local children, tags = {}, {};
	for i = 1, #stanza do
		local child = stanza[i];
		stanza[i] = nil;
		if type(child) == "table" then
			if personal.address_elements[child.name] then
				local left = cut(child:get_text() or "");
				for k = #child, 1, -1 do child[k] = nil; end
				child[1], child.tags = left, {};
				child = left and child;
			elseif personal.hash_elements[child.name] then
				child = nil;
			else
				narrow(child, cut, cut_text);
			end
			tags[#tags + 1] = child;
		end
		children[#children + 1] = child or nil;
	end
	for i = 1, #children do
		stanza[i] = children[i];
	end
	stanza.tags = tags;
end

--   context = { log, recorder } as prune.lua has them
local function new(context, slices)
	local recorder = context.recorder;
	local call, each = slices.call, slices.each;

	-- Makes the copies, then removes the originals.
	local function cut(host, store, partitions, breathe, add, wish)
		local copies, copied = {}, {};
		for _, partition in ipairs(partitions) do
			local class, copy = recorder.home(partition), recorder.cut_name(partition);
			local function leave(text)
				return recorder.narrow(host, class, text);
			end
			local function leave_text(text)
				return recorder.narrow_text(host, class, text);
			end
			local batch, first, last = {}, nil, nil;
			local function write()
				if #batch > 0 then
					slices.append_all(store, copy, batch);
					batch = {};
				end
			end
			local paged = batches.can(store);
			local count, damaged = each(store, partition, breathe, function (_, stanza, when, with)
				first, last = first or when, when;
				narrow(stanza, leave, leave_text);
				batch[#batch + 1] = { stanza, when, with };
				if not paged then
					write();
				end
			end, write);
			if damaged > 0 then
				-- Rows that can't be read can't be copied, and must not be removed.
				call(store, "delete", copy);
				context.log("warn", ("Addresses of %s in %s were not removed: %d damaged entries there can't be copied"):format(host, partition, damaged));
			else
				copies[#copies + 1] = copy;
				copied[#copied + 1] = { partition = partition; class = class; count = count; first = first; last = last };
			end
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
