-- What somebody can do to a log in its store, and what verifying finds: the table of docs/evidence.md. Prosody is stopped meanwhile.
--
-- attacks.list: {
--   name       as in the document
--   edit       function(log) -> what `found` is formatted with. support/modules/mod_attack.lua calls it in a process of its own:
--     log.rows     the entries of today's partition of the class "events", as the driver returns them: key, value (a stanza), when, with
--     log.failures, log.other   the same of the class "failures", and of another host
--     log.copy     rows for a partition "cut-events" beside it
--     log.expire() lets the addresses expire. Then log.cut has the entries, and log.rows and log.failures have none.
--     log.link(row)  the attributes of its <chain/>
--     log.follow(row, before)  computes the hash of its link anew, behind the entry `before`
--   found      the line that says so; "" if nothing is found. If it is sealed, the line with a seal key, where %d is any number.
--   without, with, anchor   the columns of the document: without a seal key, with it, only with an anchor
--   state      instead of edit: what is done to the files, see spec/e2e/attacks_spec.lua
--   sealed     true: it is tried on a log that is sealed, see spec/e2e/attacks_on_seals_spec.lua; "too": there as well
-- }
-- attacks.of("store" | "seals") -> list of those that are tried there

local NAMESPACE = "xmpp:prosody.im/audit";
local ALTERED, MOVED = "altered: it is not what was recorded", "moved: it lies under another time, account, day or class than it was recorded with";
local REMOVED, UNLINKED = "removed: no rule has removed it", "inserted: it has no link";
local ENDED = "resealed: the seals end with epoch %d, and the seal file is of a later one or of others";
local FOREIGN, TWICE = "inserted: this server does not know its chain", "inserted: another entry has the same number";

-- An entry in the middle, whose neighbours are there too.
local function middle(log)
	return #log.rows - 3;
end

local function unlink(log, row)
	row.value:maptags(function (tag) return not (tag.name == "chain" and tag.attr.xmlns == NAMESPACE) and tag or nil; end);
	return log;
end

local function copy_of(log, row, key)
	return { key = key or row.key, value = log.clone(row.value), when = row.when, with = row.with };
end

local function number(log, row)
	return tonumber(log.link(row).n);
end

local list = {
	{ "a value of an entry is changed", function (log)
		local row = log.rows[middle(log)];
		row.value.attr.type = "thing-imagined";
		return number(log, row);
	end, "events %d: "..ALTERED };
	{ "its account is changed, also where the store looks for it", function (log)
		local row = log.rows[middle(log)];
		row.value.attr.user, row.with = "tybalt@example.test", "tybalt@example.test";
		return number(log, row);
	end, "events %d: "..ALTERED };
	{ "its address is removed, as if it had expired", function (log)
		local row = log.rows[middle(log)];
		local session = row.value:get_child("session", NAMESPACE);
		session:maptags(function (tag) return tag.name ~= "remote-ip" and tag or nil; end);
		return number(log, row);
	end, "events %d: "..ALTERED };
	{ "its account is changed, and its address has expired", function (log)
		log.expire();
		local row = log.cut[#log.cut - 3];
		assert(log.link(row).gone, "its address has not expired");
		row.value.attr.user, row.with = "tybalt@example.test", "tybalt@example.test";
		return number(log, row);
	end, "events %d: "..ALTERED };
	{ "its time is changed", function (log)
		local row = log.rows[middle(log)];
		row.when = row.when + 60;
		return number(log, row);
	end, "events %d: "..MOVED };
	{ "the account under which it is found is changed", function (log)
		local row = log.rows[middle(log)];
		row.with = "tybalt@example.test";
		return number(log, row);
	end, "events %d: "..MOVED };
	{ "it is moved to another class", function (log)
		local row = table.remove(log.rows);
		table.insert(log.failures, row);
		return number(log, row);
	end, "events %d: "..MOVED };
	{ "two entries change places", function (log)
		local at = middle(log);
		local one, other = log.rows[at], log.rows[at + 1];
		one.when = other.when;
		log.rows[at], log.rows[at + 1] = other, one;
		return number(log, one);
	end, "events %d: "..MOVED };
	{ "its link is removed", function (log)
		unlink(log, log.rows[#log.rows]);
	end, "events -: "..UNLINKED };
	{ "an entry of the old kind is added", function (log)
		local row = copy_of(log, log.rows[#log.rows], "forged");
		unlink(log, row);
		table.insert(log.rows, row);
	end, "events -: "..UNLINKED };
	{ "an entry is changed, and its hash computed anew", function (log)
		local at = middle(log);
		log.rows[at].value.attr.type = "thing-imagined";
		log.follow(log.rows[at], log.rows[at - 1]);
		return number(log, log.rows[at + 1]);
	end, "events %d: "..ALTERED };
	{ "the same, and all hashes behind it", function (log)
		local at = middle(log);
		log.rows[at].value.attr.type = "thing-imagined";
		for i = at, #log.rows do log.follow(log.rows[i], log.rows[i - 1]); end
		return number(log, log.rows[#log.rows]);
	end, "events %d: "..ALTERED };
	{ "an entry is inserted, and all numbers and hashes behind it computed anew", function (log)
		local at = middle(log);
		table.insert(log.rows, at, copy_of(log, log.rows[at], "forged"));
		for i = at + 1, #log.rows do
			local attr = log.link(log.rows[i]);
			attr.n = ("%d"):format(attr.n + 1);
			log.follow(log.rows[i], log.rows[i - 1]);
		end
		return number(log, log.rows[#log.rows]) - 1;
	end, "events %d: "..ALTERED };
	{ "an entry is there twice", function (log)
		local row = log.rows[#log.rows];
		table.insert(log.rows, copy_of(log, row, "forged"));
		return number(log, row);
	end, "events %d: "..TWICE };
	{ "an entry of another host is added", function (log)
		local row = copy_of(log, log.other[#log.other], "forged");
		table.insert(log.rows, row);
		return number(log, row);
	end, "events %d: "..FOREIGN };
	{ "an entry is removed", function (log)
		return number(log, table.remove(log.rows, middle(log)));
	end, "events %d: "..REMOVED };
	{ "the last entries are removed", function (log)
		local last = number(log, table.remove(log.rows));
		return number(log, table.remove(log.rows)), last;
	end, "events %d to %d: "..REMOVED };
	{ "the first entries are removed", function (log)
		local first = number(log, table.remove(log.rows, 1));
		return first, number(log, table.remove(log.rows, 1));
	end, "events %d to %d: "..REMOVED };
	{ "a whole partition is removed", function (log)
		local first, last = log.failures[1], log.failures[#log.failures];
		for i = #log.failures, 1, -1 do log.failures[i] = nil; end
		return number(log, first), number(log, last);
	end, "failures %d to %d: "..REMOVED };
	{ "a changed copy of a partition is put beside it", function (log)
		for i, row in ipairs(log.rows) do log.copy[i] = copy_of(log, row); end
		log.copy[middle(log)].value.attr.type = "thing-imagined";
	end, "", without = "no: no query shows it" };
	{ "a partition is replaced by a changed copy", function (log)
		for i, row in ipairs(log.rows) do log.copy[i] = copy_of(log, row); end
		local row = log.copy[middle(log)];
		row.value.attr.type = "thing-imagined";
		log.rows = {};
		return number(log, row);
	end, "events %d: "..ALTERED };
	{ "its account is erased by hand, and then who did it", "emptied",
		"events %d: altered: a name was removed from it, and no erasure did that" };
	{ "its account is erased by the command, and then who did it", "erased", "", without = "listed: erased" };
	{ "an older copy of the store is put back", "store", "events %d to %d: "..REMOVED };
	{ "the journal and the file beside it are removed", "no journal", "events %d: "..FOREIGN };
	{ "a limit is set, the log is pruned, and the limit is taken back", "pruned", "", without = "listed: removed under a later rule" };
	{ "the clock is set ahead by a year, the log is pruned, and it is set back", "pruned ahead", "", without = "no: nothing is removed" };
	{ "an older copy of everything is put back", "all", "events %d: rolled back: an anchor was kept of it, and the log ends before it",
		without = "no"; with = "no"; anchor = "found"; sealed = "too" };
	{ "the log goes on from an older copy of everything, or on two machines", "clone", "events %d: forked: an anchor that was kept is of another entry",
		without = "no"; anchor = "found" };
	{ "an older copy of everything but the seal file is put back", "all but the seals", "seals: "..ENDED,
		without = "no"; with = "found"; anchor = "found"; sealed = true };
	{ "the log goes on from that, and is sealed again", "goes on", "seals: resealed: a seal after epoch %d is missing",
		without = "no"; with = "found"; anchor = "found"; sealed = true };
	{ "an older seal file is put back, with a key that was used before", "older seals", "seals: "..ENDED,
		without = "no"; with = "found"; anchor = "no"; sealed = true };
	{ "the seal file is removed", "no seals", "seals: resealed: the seal file is missing, or is of another key, and nothing in the log says "
		.."that the key was replaced", without = "no"; with = "found"; anchor = "no"; sealed = true };
	{ "all is recorded anew with an old entry behind a newer seal, and the same seals", "anew",
		"events %d: resealed: another entry was sealed at this place", without = "no"; with = "found"; anchor = "found"; sealed = true };
};

local attacks = { list = {}, NAMESPACE = NAMESPACE };
for i, row in ipairs(list) do
	local without = row.without or "found";
	attacks.list[i] = {
		name = row[1], edit = type(row[2]) == "function" and row[2] or nil, state = type(row[2]) == "string" and row[2] or nil, found = row[3];
		-- What is found without a seal key is found with one.
		sealed = row.sealed; without = without, with = row.with or without == "found" and "found" or "", anchor = row.anchor or "";
	};
end

function attacks.of(what)
	local list_of = {};
	for _, attack in ipairs(attacks.list) do
		if what == "seals" and attack.sealed or what == "store" and attack.sealed ~= true then table.insert(list_of, attack); end
	end
	return list_of;
end

-- The rows of the table in the document.
function attacks.document()
	local lines = {};
	for i, attack in ipairs(attacks.list) do
		lines[i] = ("| %s | %s | %s | %s |"):format(attack.name, attack.without, attack.with, attack.anchor):gsub("  +", " ");
	end
	return table.concat(lines, "\n");
end

return attacks;
