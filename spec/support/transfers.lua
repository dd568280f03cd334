-- A log whose entries are moved from one store to another: one in a table, and one of the driver "audit" in a file.
--
--   local log = transfers.new({ kind = "embedded" });           -- from log.other to log.native
--   local log = transfers.new({ kind = "sql", out = true });    -- from log.native to log.other
--   transfers.fill(log, log.other);
--   log:start(); log:pass(60);                                  -- moves
--   log:restart();                                              -- as after a crash

local core = require "audit_core";
local json = require "util.json";
local process = require "support.process";
local pruning = require "support.pruning";
local st = require "util.stanza";
local support = require "support.log";

local host, noon, day = support.host, support.noon, 86400;

local transfers = {};

-- new(options) -> log; options: kind of the other store, out: it is the target, options: of the log
function transfers.new(options)
	options = options or {};
	local made = 0;
	local driver = assert(core.storage {
		host = host; path = process.new_folder("transfer").."/audit.sqlite3"; is_server = false; patience = 0.05; shared = {};
		now = function () return noon; end;
		new_key = function () made = made + 1; return "native-"..made; end;
		stanza_mt = st.stanza_mt; to_json = json.encode; from_json = json.decode;
	});
	local log = support.new(options.options);
	log.native, log.other = driver:open("audit", "archive"), support.new_store(nil, options.kind);
	log.marks = driver:open("audit_moves", "archive");
	log.options.storage = { audit = options.out and "internal" or "audit" };
	if options.out then log.options.audit_log_move_from = "audit"; end
	local environment = log.environment;
	function environment.open_store()
		return options.out and log.other or log.native;
	end
	function environment.open_with(_, name, store)
		if name == "audit" then
			return driver:open(store, "archive");
		elseif log.refused then
			return nil, log.refused;
		end
		return log.other;
	end
	function environment.has_native()
		return true;
	end
	function environment.schedule(delay, run)
		table.insert(log.timers, { at = log.time + delay, run = run });
	end
	function environment.pause(seconds)
		log.time = log.time + seconds;
		if log.on_pause then log.on_pause(); end
	end
	-- Opens the log, which begins a move.
	function log:start()
		self.log.open(host);
	end
	-- From the next restart on, work pauses wherever it can: the clock says that a slice is over.
	function log.tick()
		local now, passed = environment.now, 0;
		environment.now = function ()
			passed = passed + 0.01;
			return now() + passed;
		end;
	end
	-- A new process on the same stores.
	function log:restart()
		self.timers, self.on_pause = {}, nil;
		self.log = core.new(environment);
		self.audit = self.log.audit;
		self:start();
	end
	log.log = core.new(environment);
	log.audit = log.log.audit;
	return log;
end

-- fill(log, store, older | nil): entries of three days, some of them in a second partition, and the older log, with 7 entries or so
-- many. Each has another type.
function transfers.fill(_, store, older)
	local number = 0;
	local function append(user, when, key)
		number = number + 1;
		assert(store:append(user, key, pruning.entry(("t%03d"):format(number)), when, "@"));
	end
	for i = 1, older or 7 do append(nil, noon - 9 * day + i); end
	for back = 2, 0, -1 do
		local name = pruning.name_of("events", noon - back * day);
		for i = 1, 5 do append(name, noon - back * day - 100 + i); end
		for i = 1, 3 do append(name..".2", noon - back * day - 50 + i); end
	end
end

-- The types that the log shows, in the order of --oldest-first. Fails if one is there twice.
function transfers.shown(log)
	local types, seen = {}, {};
	local text = log:shown("--all", "--oldest-first");
	for event_type in text:gmatch("%f[%w](t%d%d%d)%f[%W]") do
		assert(not seen[event_type], event_type.." is shown twice");
		seen[event_type] = true;
		table.insert(types, event_type);
	end
	return table.concat(types, " ");
end

-- The names of a store's archive users.
function transfers.names(store)
	local names = {};
	for name in store:users() do
		if name ~= "" then table.insert(names, tostring(name)); end
	end
	table.sort(names);
	return table.concat(names, " ");
end

return transfers;
