-- Moves entries from one store to another, in rounds. Which steps a round has is decided in the core (src/archive/transfer).

local native, chunks = ...;
local batches, drivers = chunks.batch, chunks.driver;

local OCCURRED = native.namespace.."\1occurred";
local NIL = "nil"; -- in marks

local error, ipairs, pcall = error, ipairs, pcall;
local find = string.find;
local cause_of = drivers.cause_of;

-- new(context) -> run
--   context = {
--     now, log   as the log's environment has them
--     slices     see slices.lua
--     recorder, classes
--   }
local function new(context)
	local now, recorder, slices = context.now, context.recorder, context.slices;
	local call, each = slices.call, slices.each;

	local function user_of(original)
		return original ~= NIL and original or nil;
	end

	-- Where an entry of archive user nil goes: partition, time, `with`. There may be any order of times in it.
	local function place(host, move, stanza, when, with)
		local partition, time = recorder.place_moved(move, host, context.classes.of(host, stanza.attr.type or "").name, when);
		if time > when and not stanza.attr[OCCURRED] then
			stanza.attr[OCCURRED] = recorder.date_time(when);
		end
		if with and with ~= "" and not find(with, "@", 1, true) then
			-- The first version of the community's module stored the name of the account.
			with = with.."@"..host;
		end
		return partition, time, with;
	end

	-- Copies an archive user -> number of entries, number of those that can't be read
	local function copy(host, joined, mark, breathe)
		local source, target = joined.source, joined.target;
		local move = mark.original == NIL and recorder.move_of(mark.copy) or nil;
		-- The embedded driver looks for a key in all entries.
		local keeps_keys = batches.can(target);
		local rows, count, pace = {}, 0, native.transfer_pace();
		local function flush()
			if not rows[1] then return; end
			breathe(true);
			local began = now();
			slices.append_all(target, mark.copy, rows);
			pace:took(now() - began);
			count, rows = count + #rows, {};
		end
		if drivers.is_embedded(source) then
			-- On Prosody 0.12 it reads the whole archive user at once. That gets a slice of its own.
			breathe(true);
		end
		local _, damaged = each(source, user_of(mark.original), breathe, function (key, stanza, when, with)
			local partition = mark.copy;
			if move then
				partition, when, with = place(host, move, stanza, when, with);
			end
			rows[#rows + 1] = { stanza, when, with, keeps_keys and key or nil, partition };
			if #rows >= pace:size() then
				flush();
			end
		end, flush);
		flush();
		return count, damaged;
	end

	-- Removes an archive user. Archive user nil may be large; a store with transactions can remove a part of it.
	local function remove(store, user, breathe)
		if user or not batches.can(store) then
			call(store, "delete", user);
			return;
		end
		local pace = native.row_pace();
		while true do
			local keys, began = {}, now();
			local rows = call(store, "find", nil, { limit = pace:size() });
			for _ = 1, pace:size() do
				local ok, key = pcall(rows or function () end);
				if not ok or key == nil then break; end
				keys[#keys + 1] = key;
			end
			if not keys[1] then
				-- Also what can't be read. It was copied as far as it can be.
				call(store, "delete", nil);
				return;
			end
			slices.run(store, function ()
				for _, key in ipairs(keys) do
					call(store, "delete", nil, { key = key });
				end
			end);
			pace:took(now() - began);
			breathe(true);
		end
	end

	local function settle(host, store, copies, breathe)
		if drivers.is_native(store) then
			slices.settle_native(store, breathe);
		else
			slices.settle(host, store, copies, breathe);
		end
	end

	-- run(host, joined, transfer, breathe, begun) -> number of entries that were moved, number of archive users that are left
	--   begun(left, whether the older log is among them): called before the first step
	-- A failure is raised as { problem =, original = the archive user that was copied | nil }.
	local function run(host, joined, transfer, breathe, begun)
		local source, nil_is_empty, target, marks = joined:listing(true);
		breathe();
		local steps, left = transfer:round(joined.joint, source, nil_is_empty, target, marks);
		begun(left, not nil_is_empty);
		local moved, copies, skipped, current = 0, {}, {}, nil;
		local actions = {};
		function actions.mark(step)
			joined.marks.put(step.mark);
		end
		function actions.copy(step)
			local mark = step.mark;
			current = mark.original;
			local count, damaged = copy(host, joined, mark, breathe);
			if damaged > 0 then
				-- They would be lost if the original were removed. The copy is removed by the next round.
				transfer:skip(mark.original);
				skipped[mark.original] = true;
				context.log("warn", ("%s of %s was not moved from the storage driver %s: %d damaged entries there can't be copied"):format(
					mark.original == NIL and "The older log" or mark.original, host, joined.from, damaged));
			else
				transfer:copied(mark.original);
				moved = moved + count;
				copies[#copies + 1] = mark.copy;
			end
			current = nil;
		end
		function actions.settle(step)
			settle(host, joined[step.side], copies, breathe);
		end
		function actions.remove(step)
			for _, user in ipairs(step.users) do
				-- To remove a large file takes long.
				breathe(true);
				remove(joined[step.side], user_of(user), breathe);
			end
			if step.mark then
				joined.marks.remove(step.mark);
			end
		end
		local ok, err = pcall(function ()
			for _, step in ipairs(steps) do
				if not (step.mark and skipped[step.mark.original]) then
					actions[step.step](step);
					breathe();
				end
			end
		end);
		if not ok then
			error({ problem = cause_of(err), original = current }, 0);
		end
		return moved, left, #steps;
	end

	return run;
end

return { new = new };
