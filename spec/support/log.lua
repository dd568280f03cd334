-- A log of the native core on a store in a table, with a clock and timers that a spec moves.
--
--   local log = require "support.log".new({ audit_log_layout = "single" });
--   log.audit("example.com", nil, "mod_test", "test-event");
--   log.store:rows("@events.2026-11-24") --> { { key, value, when, with }, … }

local core = require "audit_core";
local st = require "util.stanza";

local noon = 1795521600; -- 2026-11-24T12:00:00Z
local host = "example.com";

-- An archive store in a table, as the embedded driver behaves where it matters here; or as another one does, by what the core
-- knows a driver by: kind = "embedded" | "sql" | nil
local function new_store(quota, kind)
	local store = { caps = {}, name = "fake", partitions = {} };
	local key = 0;
	local function name(user) return user or false; end
	function store:append(user, _, value, when, with)
		local rows = self.partitions[name(user)] or {};
		if quota and #rows >= quota then return nil, "quota-limit"; end
		key = key + 1;
		self.partitions[name(user)] = rows;
		table.insert(rows, { key = "k"..key, value = value, when = when, with = with });
		return "k"..key;
	end
	function store:find(user, query)
		local rows, found, skip = self.partitions[name(user)] or {}, {}, query.before ~= nil or query.after ~= nil;
		for i = 1, #rows do
			local row = rows[query.reverse and #rows + 1 - i or i];
			if not skip and #found < (query.limit or math.huge) then
				table.insert(found, row);
			end
			if row.key == query.before or row.key == query.after then skip = false; end
		end
		local i = 0;
		return function ()
			i = i + 1;
			local row = found[i];
			if row then return row.key, row.value, row.when, row.with; end
		end
	end
	function store:users()
		local user;
		return function ()
			repeat user = next(self.partitions, user); until user ~= false;
			return user;
		end
	end
	function store:delete(user, query)
		local rows, kept = self.partitions[name(user)], {};
		if not query then
			self.partitions[name(user)] = nil;
			-- SQL drivers say how many there were, the embedded one does not.
			return kind ~= "sql" or rows and #rows or 0;
		end
		for _, row in ipairs(rows) do
			if query.key and row.key ~= query.key or query["end"] and row.when > query["end"] then table.insert(kept, row); end
		end
		self.partitions[name(user)] = #kept > 0 and kept or nil;
		return #rows - #kept;
	end
	function store:rows(user)
		return self.partitions[name(user)] or {};
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

local function new_log(options, store, journal)
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
	};
	self.log = core.new(self.environment);
	self.audit = self.log.audit;
	self.timers = {};
	-- Runs what is due, and what that makes due.
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
		local rows = self.store:rows("@events.2026-11-24");
		return rows[#rows] and rows[#rows].value, rows[#rows];
	end
	-- Reads with these flags: text, what came of it.
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
