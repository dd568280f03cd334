-- Erases a person's data from the log of a host. The core decides which entries change, and into what (src/person).
--
-- Entries are changed where they lie, one by one or in short transactions: they keep their keys and their order, and there is no copy
-- that a crash could leave behind. What was erased before is not found again, so an erasure that was interrupted begins again.

local native, chunks = ...;
local drivers, pages, remains, stanzas = chunks.driver, chunks.page, chunks.remains, chunks.stanza;

local error, ipairs, pcall, type = error, ipairs, pcall, type;
local find, floor = string.find, math.floor;
local cause_of, decode, detail = drivers.cause_of, stanzas.decode, stanzas.detail;

-- The element of an entry "audit-erased": which erasure, who asked for it and why, and how many entries of each class. It has nothing
-- that confirms the name.
--   erasure = { receipt, by = | nil, by_source = | nil, before = | nil, acted = | nil, reason = | nil, resumed = | nil,
--     again = | nil }
local function announcement(stanza_mt, erasure, count, totals)
	local of_class, children = {}, {};
	for _, total in ipairs(totals) do
		of_class[total.class] = (of_class[total.class] or 0) + total.count;
	end
	for _, total in ipairs(totals) do
		local number = of_class[total.class];
		if number then
			of_class[total.class] = nil;
			children[#children + 1] = detail(stanza_mt, "class", { name = total.class; count = number });
		end
	end
	return detail(stanza_mt, "erasure", {
		receipt = erasure.receipt; count = count; before = erasure.before; acted = erasure.acted and "true" or nil;
		["at-least"] = erasure.resumed and "true" or nil; by = erasure.by; ["by-source"] = erasure.by_source;
		again = erasure.again and "true" or nil;
	}, erasure.reason, children);
end

--   context = {
--     stanza_mt, now, recorder, classes, slices, turn, open    as prune.lua has them
--     ensure_configured, queues, flood, audit, erased_path                        as log.lua has them
--   }
local function new(context)
	local recorder, slices, stanza_mt = context.recorder, context.slices, context.stanza_mt;

	-- Writes down what is about to be removed. Otherwise nobody could tell it from a change by somebody else, nor erase it again after the
	-- store was restored.
	local function announce(host, erasure)
		local path = context.erased_path and context.erased_path(host);
		if not path then return; end
		local done, problem = erasure:announce(path);
		if not done then
			error("what is to be erased can't be written down: "..problem, 0);
		end
	end

	-- erasure_of(host, wish) -> erasure as the core has it | nil: nothing is to be erased. Raises a message.
	local function erasure_of(host, wish)
		if not wish.again then
			local before = wish.before or floor(context.now()) + 1;
			-- What lies under a time that has not come yet was stored before the clock was set back.
			local beyond = (wish.all or not wish.before) and context.now() or nil;
			local erasure = recorder.erasure(host, wish.person, before, wish.acted or false, wish.receipt or "", beyond);
			return erasure or error(("%s is not the name of an account"):format(wish.person), 0);
		end
		local path = context.erased_path and context.erased_path(host);
		if not path then return nil; end
		local erasure, problem = recorder.erasure_again(host, path, wish.receipt or "");
		if problem then error(problem, 0); end
		return erasure;
	end

	-- Looks at all entries of an archive user -> how many can't be read
	local function erase_in(host, store, user, erasure, preview, breathe)
		local home, changes, unreadable = user and recorder.home(user), {}, 0;
		local function apply()
			if #changes > 0 then
				announce(host, erasure);
				slices.set_all(store, user, changes, breathe);
				changes = {};
			end
		end
		local _, damaged = slices.each(store, user, breathe, function (key, stanza, when, with)
			local class = home or context.classes.of(host, stanza.attr.type or "").name;
			local changed, new_with = erasure:look(class, stanza, when, with);
			if changed == nil then
				unreadable = unreadable + 1;
			elseif changed and not preview then
				changes[#changes + 1] = { key = key; stanza = decode(stanza_mt); with = new_with };
			end
		end, apply);
		return damaged + unreadable;
	end

	-- Whether an entry waits in the journal that was recorded before this time.
	local function waits(host, time)
		local state = context.queues.state(host);
		return state.waiting > 0 and (not state.since or state.since <= time);
	end

	-- Ends what flood control counts, and hands over all that was recorded before the erasure began. A store that takes nothing is left
	-- alone for a while, as each try may wait for a database.
	local function hand_over(host, breathe)
		local began, refused = context.now(), 0;
		context.flood.close(host);
		repeat
			local before = context.queues.state(host).waiting;
			context.queues.flush(host, 0);
			local has_taken = context.queues.state(host).waiting < before;
			refused = has_taken and 0 or refused + 1;
			breathe(true, not has_taken and native.erasures.pause or nil);
		until not waits(host, began) or refused >= native.erasures.tries;
		if waits(host, began) then
			error("entries wait in the journal that the store does not take now", 0);
		end
	end

	local function work(host, wish, breathe)
		hand_over(host, breathe);
		local erasure = erasure_of(host, wish);
		if not erasure then
			return { count = 0; totals = {}; held = 0; kept = 0; damaged = 0 };
		end
		local store, users = context.open(host);
		if not store then
			error(users, 0);
		end
		breathe = slices.for_store(breathe, store);
		local damaged = 0;
		-- While entries are moved from one driver to another, both have some.
		for _, part in ipairs(store.target and { store.source, store.target } or { store }) do
			local names = part == store and users or pages.users_of(part);
			if not names then
				error("the archive can't be listed", 0);
			end
			if not wish.preview then
				remains.before(part);
			end
			damaged = damaged + erase_in(host, part, nil, erasure, wish.preview, breathe);
			for _, name in ipairs(names) do
				if type(name) == "string" and find(name, "^@") and native.is_partition(name) then
					damaged = damaged + erase_in(host, part, name, erasure, wish.preview, breathe);
				end
			end
			if not wish.preview then
				remains.after(part, breathe);
			end
		end
		if not wish.preview then
			announce(host, erasure);
		end
		local totals, count = erasure:totals(), 0;
		for _, total in ipairs(totals) do count = count + total.count; end
		return { count = count; totals = totals; held = erasure:held(); kept = erasure:kept(); damaged = damaged };
	end

	-- Erases, or shows what would be erased.
	--   run(host, wish) -> { count, totals = list of { class, type, count }, held, kept, damaged } | nil, message
	--   wish = {
	--     person      a bare JID
	--     again       instead of it: what was erased before, and is there again
	--     before      UNIX time: only what was stored earlier | nil: now
	--     all         nobody asked for that time: all that is stored is meant
	--     acted       also erase that the person acted on others
	--     receipt     the number of the erasure
	--     preview     change no entry
	--     wait, given_up    see prune.lua
	--   }
	local function run(host, wish)
		context.ensure_configured(host);
		local breathe, done = context.turn.begin(host, wish);
		if not breathe then
			return nil, done;
		end
		local ok, result = pcall(work, host, wish, breathe);
		done();
		if not ok then
			return nil, cause_of(result);
		end
		return result;
	end

	-- record(host, erasure, result, actor | nil) -> id | nil, condition: records that it was done
	local function record(host, erasure, result, actor)
		local what = announcement(stanza_mt, erasure, result.count, result.totals);
		return context.audit(host, nil, "mod_audit", "audit-erased", { custom = { what }, actor = actor });
	end

	-- privacy(host) -> which personal data its log keeps, as a text
	local function privacy(host)
		context.ensure_configured(host);
		return recorder.privacy(host);
	end

	-- on_user_deleted(host) -> after how many seconds the data of an account that was deleted are erased | nil: never
	local function on_user_deleted(host)
		context.ensure_configured(host);
		return recorder.on_user_deleted(host);
	end

	return { run = run; record = record; privacy = privacy; on_user_deleted = on_user_deleted };
end

return { new = new; announcement = announcement };
