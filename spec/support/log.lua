-- A log of the native core on a store in a table, with a clock and timers that a spec moves.
--
--   local log = require "support.log".new({ audit_log_layout = "single" });
--   log.audit("example.com", nil, "mod_test", "test-event");
--   log.store:rows("@events.2026-11-24") --> { { key, value, when, with }, … }

local core = require "audit_core";
local rows = dofile(require "support.process".support.."/modules/rows.lib.lua");
local st = require "util.stanza";

local noon = 1795521600; -- 2026-11-24T12:00:00Z
local host = "example.com";

-- An archive store in a table. It behaves like the driver that `kind` names, as far as the core can tell drivers apart:
-- "embedded" | "sql" | nil, any other. With a quota, a partition takes no more entries than that.
local function new_store(quota, kind)
	local store = { caps = {}, name = "fake", partitions = {} };
	local key = 0;
	local function name(user) return user or false; end
	function store:append(user, _, value, when, with)
		local list = self.partitions[name(user)] or {};
		if quota and #list >= quota then return nil, "quota-limit"; end
		key = key + 1;
		self.partitions[name(user)] = list;
		table.insert(list, { key = "k"..key, value = value, when = when, with = with });
		return "k"..key;
	end
	function store:find(user, query)
		-- A copy: entries may be appended and removed while they are read.
		local list = self.partitions[name(user)] or {};
		return rows.find(table.move(list, 1, #list, 1, {}), query);
	end
	function store:users()
		return rows.users(self.partitions);
	end
	function store:set(user, id, value, when, with)
		for _, row in ipairs(self.partitions[name(user)] or {}) do
			if row.key == id then
				row.value, row.when, row.with = value or row.value, when or row.when, with or row.with;
				return true;
			end
		end
		return nil, "item-not-found";
	end
	function store:delete(user, query)
		local list, kept = self.partitions[name(user)], {};
		if not query then
			self.partitions[name(user)] = nil;
			-- SQL drivers return how many there were, the embedded one does not.
			return kind ~= "sql" or list and #list or 0;
		end
		for _, row in ipairs(list) do
			if query.key and row.key ~= query.key or query["end"] and row.when > query["end"] then table.insert(kept, row); end
		end
		self.partitions[name(user)] = #kept > 0 and kept or nil;
		return #list - #kept;
	end
	function store:rows(user)
		return self.partitions[name(user)] or {};
	end
	-- The rows of a partition and of those that continue it: ".2", ".3" …
	function store:day(first)
		local found, part = {}, 1;
		repeat
			local more = self:rows(first..(part > 1 and "."..part or ""));
			table.move(more, 1, #more, #found + 1, found);
			part = part + 1;
		until #more == 0;
		return found;
	end
	function store:names()
		local names = {};
		for user in pairs(self.partitions) do table.insert(names, tostring(user)); end
		table.sort(names);
		return table.concat(names, " ");
	end
	local append = store.append;
	if kind == "embedded" then
		local datamanager = { append = append };
		function store.append(...) return datamanager.append(...); end
	elseif kind == "sql" then
		local engine = { transactions = 0 };
		function engine:transaction(run, ...)
			self.transactions = self.transactions + 1;
			return pcall(run, ...);
		end
		function store.append(...)
			local _, appended, err = engine:transaction(append, ...);
			return appended, err;
		end
	end
	return store;
end

-- `library` is another instance of the library | nil
local function new_log(options, store, journal, library)
	local self = { time = noon + 0.5, options = options or {}, store = store or new_store(), lines = {}, opened = 0 };
	self.environment = {
		stanza_mt = getmetatable(st.stanza("x"));
		get_option = function (_, name) return self.options[name]; end;
		open_store = function ()
			self.opened = self.opened + 1;
			if self.open then return self.open(); end
			return self.store;
		end;
		log = function (level, message) table.insert(self.lines, level..": "..message); end;
		now = function () return self.time; end;
		schedule = journal and function (delay, run) table.insert(self.timers, { at = self.time + delay, run = run }); end;
		journal_path = journal and function () return journal; end;
		erased_path = journal and function () return self.erased_path or (journal:gsub("journal$", "erased")); end;
	};
	self.log = (library or core).new(self.environment);
	self.audit = self.log.audit;
	self.timers = {};
	-- Runs the timers that are due, and new ones that become due.
	function self.pass(_, seconds)
		local goal = self.time + seconds;
		while true do
			local due;
			for i, timer in ipairs(self.timers) do
				if timer.at <= goal and (not due or timer.at < self.timers[due].at) then due = i; end
			end
			if not due then break; end
			local timer = table.remove(self.timers, due);
			self.time = math.max(self.time, timer.at);
			timer.run();
		end
		self.time = math.max(self.time, goal);
	end
	function self.last()
		local list = self.store:rows("@events.2026-11-24");
		return list[#list] and list[#list].value, list[#list];
	end
	-- Reads with these flags -> the result of the reading
	function self.read(_, out, ...)
		local asked = assert(core.command({ "example.com", ... }, self.time)).asked;
		return self.log.read(asked, out, {});
	end
	function self.shown(_, ...)
		local text = {};
		local result = self:read(function (lines) table.insert(text, lines); end, ...);
		return table.concat(text), result.shown, result.damaged;
	end
	return self;
end

return { new = new_log, new_store = new_store, noon = noon, host = host, NAMESPACE = "xmpp:prosody.im/audit" };
