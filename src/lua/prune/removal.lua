-- Announces which linked entries pruning is about to remove, before it removes them. Otherwise they would be missing when the log is
-- verified (src/chain/chains.rs).

local native, chunks = ...;
local batches = chunks.batch;

local NAMESPACE = native.namespace;

local error, pcall, tonumber, type = error, pcall, tonumber, type;

-- link_of(stanza) -> the attributes of its link | nil
local function link_of(stanza)
	local tags = type(stanza) == "table" and stanza.tags;
	for i = tags and #tags or 0, 1, -1 do
		local tag = tags[i];
		if tag.name == "chain" and tag.attr.xmlns == NAMESPACE and tag.attr.hash then
			return tag.attr;
		end
	end
end

-- context = { now; evidence = function(host) -> evidence as the core has it (src/lua/evidence) | nil: nothing is linked; raises a message }
local function new(context, slices)
	local call, each = slices.call, slices.each;

	-- The first row of a page, and how many rows there are in all: link | nil, whether there is one that can be read, total
	local function row_of(store, query)
		local rows, total = call(store, "find", query.user, query);
		if not rows then return nil, false, 0; end
		local ok, key, stanza = pcall(rows);
		-- To its end, as the driver closes what it has opened then.
		pcall(rows);
		return ok and link_of(stanza) or nil, ok and key ~= nil, tonumber(total);
	end

	-- of(host) -> removal = { entry, partition, before, announce, close }
	return function (host)
		local removal, noted, evidence = {}, {}, nil;

		-- entry(stanza): it is about to be removed
		function removal.entry(stanza)
			local link = link_of(stanza);
			if link then
				noted[#noted + 1] = { link.id, link.n, link.n, link.hash, link.at };
			end
		end

		local function note_all(store, user, breathe, upto)
			each(store, user, breathe, function (_, stanza, when)
				if upto and when > upto then
					return false;
				end
				removal.entry(stanza);
			end);
		end

		-- partition(store, archive user, breathe): all of its entries. They need not be read if their numbers follow each other.
		function removal.partition(store, user, breathe)
			if not batches.can(store) then
				note_all(store, user, breathe);
				return;
			end
			local first, _, total = row_of(store, { user = user; limit = 1; total = true });
			local last = row_of(store, { user = user; limit = 1; reverse = true });
			if not first and not last then
				return;
			end
			local from, to = first and tonumber(first.n), last and tonumber(last.n);
			if from and to and first.id == last.id and to - from + 1 == total then
				noted[#noted + 1] = { first.id, first.n, last.n, last.hash, last.at };
			else
				note_all(store, user, breathe);
			end
		end

		-- before(store, time, breathe): the entries of archive user nil up to that time, inclusive. Those without a link come first.
		function removal.before(store, time, breathe)
			local last, is_readable = row_of(store, { limit = 1; reverse = true; ["end"] = time });
			if last or not is_readable then
				note_all(store, nil, breathe, time);
			end
		end

		-- announce(): must be called before they are removed. Raises a message if it can't be written down.
		function removal.announce()
			if #noted == 0 then
				return;
			end
			evidence = evidence or context.evidence(host);
			if evidence then
				for i = 1, #noted do
					local range = noted[i];
					evidence:remove(range[1], range[2], range[3], range[4], range[5], context.now());
				end
				local done, problem = evidence:announce();
				if not done then
					error("what is to be removed can't be written down: "..problem, 0);
				end
			end
			noted = {};
		end

		function removal.close()
			if evidence then evidence:close(); end
		end

		return removal;
	end
end

return { new = new, link_of = link_of };
