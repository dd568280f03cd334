-- Evidence of a simulated host (spec/support/simulated.lua): lua/audit/sealing.lib.lua seals its log there. The log verifies, and an edit
-- of what the store has is found.

local core = require "audit_core";
local process = require "support.process";
local st = require "util.stanza";
local support = require "support.log";

local HOST, NAMESPACE = support.host, support.NAMESPACE;

-- How often a check edits the store.
local EDITS = 3;

local methods = {};

-- Seals ------------------------------------------------------------------------------------------------------------------

-- The seals of a log, whose file is written by a thread. Here that takes simulated time, and the process may die before.
function methods:slow_seals(seals)
	local slow = setmetatable({}, { __index = function (_, name)
		return function (_, ...) return seals[name](seals, ...); end;
	end });

	function slow.save()
		local before, was_writing = process.read(self:file("seal")), seals:is_writing();
		seals:save();
		if not was_writing and seals:is_writing() then
			self.writing = { seals = seals, before = before, ready = self.uptime + self.random(30) / 10 };
		end
	end

	function slow.poll(_, waits)
		if self.writing and not waits and self.uptime < self.writing.ready then return nil; end
		self.writing = nil;
		return seals:poll(true);
	end

	return slow;
end

-- A process has died. What it was writing is in the file, or not.
function methods:lose_seals()
	local writing = self.writing;
	self.writing, self.sealing = nil, nil;
	if writing then
		writing.seals:poll(true);
		if self.random(2) == 1 then process.write(self:file("seal"), writing.before); end
	end
end

function methods:open_seals(log, pause)
	local new_sealing, hosts, path = self.modules.library "sealing", { [HOST] = true }, self:file("seal");
	if not self.keys[1] then
		self.keys[1] = assert(core.new_seal(path..".new"));
		local first = new_sealing(log, hosts, path);
		assert(first.replace { by = "root"; by_source = "login"; actor = { kind = "admin-shell" } });
		first.close();
	end
	self.sealing = new_sealing(log, hosts, path, pause);
	self.sealing.start();
end

-- Verifying --------------------------------------------------------------------------------------------------------------

function methods:verify()
	local result, problem = self.log.verify(HOST, nil, { keys = self.keys });
	return result or error("the log can't be verified: "..tostring(problem));
end

-- Whether what was found is true: the store has forgotten entries, or seals are late as the clock has jumped.
function methods:is_explained(line)
	if line:find(": removed: ", 1, true) or line:find(": rolled back: ", 1, true) then
		return next(self.forgotten) ~= nil;
	elseif line:find("newer entries should have been sealed long ago", 1, true) then
		return self.jumps > 0;
	end
	return line:find(": resealed: ", 1, true) and next(self.forgotten) ~= nil;
end

-- Copies of the items of an archive user, which take the place of the real ones.
local function copied(list)
	local copy = {};
	for i, item in ipairs(list) do
		copy[i] = { key = item.key, value = st.clone(item.value), when = item.when, with = item.with };
	end
	return copy;
end

local function chain_of(item)
	local link = item and item.value:get_child("chain", NAMESPACE);
	return link and link.attr.id;
end

-- What somebody does to an item of the store. Returns whether that changes anything.
local edits = {
	{ "a value", function (list, at)
		local attr = list[at].value.attr;
		attr.source = (attr.source or "").."x";
		return true;
	end };
	{ "the account", function (list, at)
		list[at].with = list[at].with == "@" and "tybalt@example.com" or "@";
		return true;
	end };
	{ "the time", function (list, at, random)
		list[at].when = list[at].when + (random(2) == 1 and 3600 or -3600);
		return true;
	end };
	{ "the order", function (list, at)
		local one, other = list[at], list[at + 1];
		if not chain_of(one) or chain_of(one) ~= chain_of(other) then return false; end
		one.value, other.value = other.value, one.value;
		one.with, other.with = other.with, one.with;
		return true;
	end };
	{ "an entry, removed", function (list, at) return table.remove(list, at); end };
	{ "the last entries, removed", function (list, at)
		for i = #list, at, -1 do list[i] = nil; end
		return true;
	end };
	{ "an entry twice", function (list, at)
		list[#list + 1] = { key = "other", value = st.clone(list[at].value), when = list[#list].when, with = list[at].with };
		return true;
	end };
	{ "the link, removed", function (list, at)
		list[at].value:maptags(function (tag) return tag.name ~= "chain" and tag or nil; end);
		return true;
	end };
};

-- Edits the store somewhere, verifies it, and puts it back.
function methods:check_edit()
	local users = {};
	for user in pairs(self.store.partitions) do users[#users + 1] = user; end
	if not users[1] then return; end
	table.sort(users, function (a, b) return tostring(a) < tostring(b); end);
	local user, edit = users[self.random(#users)], edits[self.random(#edits)];
	local list = self.store.partitions[user];
	local at, copy = self.random(#list), copied(list);
	if not chain_of(list[at]) or not edit[2](copy, at, self.random) then return; end
	self.store.partitions[user] = copy[1] and copy or nil;
	local result = self:verify();
	self.store.partitions[user] = list;
	if result.intact then
		error(("an edit is not found: %s, of %s"):format(edit[1], tostring(list[at].value)));
	end
end

-- The untouched log verifies with the seal key, and edits are found.
function methods:check_evidence()
	local result = self:verify();
	if not result.intact then
		for i = 2, #result.lines do
			local is_finding = result.lines[i]:find("^[^ ]+ [%d-]+[^:]*: ") or result.lines[i]:find("^seals:");
			if is_finding and not self:is_explained(result.lines[i]) then
				error("the untouched log does not verify:\n"..table.concat(result.lines, "\n"));
			end
		end
		return;
	end
	for _ = 1, EDITS do self:check_edit(); end
end

return methods;
