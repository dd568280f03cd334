-- A simulated host for the embedded Lua: one seed decides which events come, when the clock moves, what the store does wrong and when
-- the process dies. The journal is a real one. Beside it stands what must be true, in plain code.
--
--   local simulated = require "support.simulated";
--   local host = simulated.new(seed, "target/scratch/simulated.7.journal");
--   host:run(steps);     -- raises an error that says what is wrong
--   host.steps           -- what was done, one line for each step

local core = require "audit_core";
local rows = dofile(require "support.process".support.."/modules/rows.lib.lua");
local st = require "util.stanza";
local modules = require "support.simulated_modules";
local support = require "support.log";

local HOST, NAMESPACE = support.host, support.NAMESPACE;
local DAY = 86400;

-- How long entries are kept, in seconds. Their whole day must have passed before they are removed.
local KEPT = 4 * DAY;

-- By how much an entry may be removed too early: what the log allows a clock to differ, and what a driver takes.
local SLACK = 3 * 3600;

-- The time after a jump of the clock after which what has expired must be gone: a clock is trusted after a day, and pruning is daily.
local TRUSTED = 3 * DAY;

-- The bound of each wait for something that must happen, in simulated seconds. The longest pause of the hand-over is a minute.
local SETTLED = 900;

-- What a driver does wrong, and whether it has done what it was asked nevertheless.
local moods = { "refuses", "raises", "yields", "keeps and says no", "keeps and raises", "says yes and forgets", "never returns" };

local simulated = {};
local methods = {};
for _, part in ipairs { "readers", "alerts", "evidence" } do
	for name, method in pairs(require("support.simulated_"..part)) do methods[name] = method; end
end
local simulated_mt = { __index = methods };

-- A generator that gives the same numbers on every machine.
local function new_random(seed)
	local state = seed * 2 + 1;
	return function (most)
		state = (state * 6364136223846793005 + 1442695040888963407);
		return (state >> 33) % most + 1;
	end
end

-- The store -----------------------------------------------------------------------------------------------------------

-- An archive store that does what `host.mood` says. In a coroutine a call may yield.
local function new_store(host)
	local store = { caps = {}, name = "simulated", partitions = {} };
	local key = 0;
	local function list_of(user)
		return store.partitions[user or false];
	end
	-- Returns whether the call is to be done, and how it ends then.
	local function begin()
		local mood = host.mood;
		if not mood or mood.left == 0 then return true; end
		mood.left = mood.left - 1;
		host.moods[mood.name] = (host.moods[mood.name] or 0) + 1;
		if mood.name == "yields" then
			if coroutine.isyieldable() then coroutine.yield(mood.seconds); end
			return true;
		elseif mood.name == "never returns" then
			if coroutine.isyieldable() then
				-- The coroutine is dropped with the process, and nothing is handed over until then.
				host.is_stuck = true;
				coroutine.yield(math.huge);
			end
			return true;
		elseif mood.name == "refuses" then
			return false, nil, "disk full";
		elseif mood.name == "raises" then
			error("the database is gone");
		end
		return true, mood.name;
	end
	local function ended(how, ...)
		if how == "keeps and raises" then
			error("the connection was lost");
		elseif how == "keeps and says no" then
			return nil, "timeout";
		end
		return ...;
	end
	function store.append(_, user, _, value, when, with)
		local goes_on, how, err = begin();
		if not goes_on then return how, err; end
		key = key + 1;
		local item = { key = "k"..key, value = st.clone(value), when = when, with = with };
		if how == "says yes and forgets" then
			-- The log reads back the first entry of each partition, and the first after a start or a failure, but not each one.
			if host.vouched[user or false] then host.forgotten[value.attr[NAMESPACE.."\1id"]] = true; end
			return item.key;
		end
		local list = list_of(user) or {};
		store.partitions[user or false] = list;
		list[#list + 1] = item;
		host.vouched[user or false] = how == nil or nil;
		return ended(how, item.key);
	end
	function store.find(_, user, query)
		local goes_on, how, err = begin();
		if not goes_on then return how, err; end
		if how == "keeps and raises" then error("the connection was lost"); end
		local list = list_of(user) or {};
		return rows.find(table.move(list, 1, #list, 1, {}), query);
	end
	function store.users()
		local goes_on, how, err = begin();
		if not goes_on then return how, err; end
		if how == "keeps and raises" then error("the connection was lost"); end
		local names = {};
		for user in pairs(store.partitions) do if user then names[user] = true; end end
		return rows.users(names);
	end
	function store.set(_, user, id, value, when, with)
		local goes_on, how, err = begin();
		if not goes_on then return how, err; end
		for _, item in ipairs(list_of(user) or {}) do
			if item.key == id then
				item.value, item.when, item.with = value and st.clone(value) or item.value, when or item.when, with or item.with;
				return ended(how, true);
			end
		end
		return nil, "item-not-found";
	end
	function store.delete(_, user, query)
		local goes_on, how, err = begin();
		if not goes_on then return how, err; end
		local list, left = list_of(user) or {}, {};
		for _, item in ipairs(list) do
			if query and (query.key and item.key ~= query.key or query["end"] and item.when > query["end"]) then left[#left + 1] = item; end
		end
		if how ~= "says yes and forgets" then
			store.partitions[user or false] = #left > 0 and left or nil;
		end
		return ended(how, #list - #left);
	end
	return store;
end

-- The process ---------------------------------------------------------------------------------------------------------

-- new(seed, path): `path` is that of the journal.
function simulated.new(seed, path)
	local random = new_random(seed);
	local self = setmetatable({
		random = random, path = path, time = support.noon + random(DAY), uptime = 1000;
		steps = {}, moods = {}, lines = {}, timers = {};
		jumps = 0, jumped_at = -math.huge;
		-- What was acknowledged: by id, when, and how often the store or the journal must have it.
		acknowledged = {}, forgotten = {}, vouched = {}, counted = 0, refused = 0, events = 0, crashes = 0;
		-- What the receiver of the sink has, by id, and how many entries it was told are missing.
		receiver = { got = {}, refused = {}, moods = {}, missing = 0, starts = 0 }, unreadable = 0;
		-- Whose data are to be erased, and whose were.
		wishes = {}, erased = {};
		-- The alerts that were raised, and how many messages there were about them; the seal keys, of which the operator has copies.
		alerts = {}, to_send = 0, messages = 0, keys = {}, set_back = 0, moved = 0, turned = 0;
		options = {
			audit_alerts = methods.alert_options;
			audit_log_seal_interval = "6h";
			audit_log_expires_after = "4d";
			audit_log_layout = random(4) == 1 and "single" or nil;
			audit_log_write = random(6) == 1 and "direct" or nil;
		};
	}, simulated_mt);
	self.store = new_store(self);
	self:start();
	return self;
end

-- Runs `run` in an async context, as mod_audit does.
function methods:resume(thread)
	local ok, seconds = coroutine.resume(thread);
	if not ok then
		error(debug.traceback(thread, "a timer raised an error: "..tostring(seconds)), 0);
	elseif coroutine.status(thread) ~= "dead" and seconds ~= math.huge then
		self:after(seconds or 0, function () self:resume(thread); end);
	end
end

function methods:after(seconds, run)
	local timer = { at = self.uptime + seconds, run = run };
	table.insert(self.timers, timer);
	return timer;
end

-- The path of a file of the log.
function methods:file(extension)
	return (self.path:gsub("journal$", extension));
end

-- The loop is held for a while.
function methods:block(seconds)
	self.uptime, self.time = self.uptime + seconds, self.time + seconds;
end

function methods:start()
	self.timers, self.vouched, self.is_stuck, self.is_erasing = {}, {}, false, false;
	local path = self.path;
	local environment = {
		stanza_mt = getmetatable(st.stanza("x"));
		get_option = function (_, name) return self.options[name]; end;
		open_store = function () return self.store; end;
		log = function (level, message) table.insert(self.lines, level..": "..message); end;
		now = function () return self.time; end;
		monotonic = function () return self.uptime; end;
		uptime = function () return self.uptime, "boot"; end;
		clock_path = function () return path..".clock"; end;
		clock_files = function () return {}; end;
		erased_path = function () return self:file("erased"); end;
		seal_path = self:file("seal");
		recorded = function () if self.modules then self.modules.hurry(); end end;
		heartbeat = function () end;
		written_elsewhere = function () end;
		schedule = function (delay, run)
			self:after(delay, function () self:resume(coroutine.create(run)); end);
		end;
		pause = function (seconds) if coroutine.isyieldable() then coroutine.yield(seconds); end end;
		journal_path = function () return path; end;
		readable_path = function () return path; end;
		slices = self.slices;
	};
	local log = core.new(environment);
	self.log = log;
	local watched = setmetatable({
		alerts = self:watched_alerts(log.alerts);
		seals = function () return self:slow_seals(log.seals()); end;
	}, { __index = log });
	self.modules = modules.new(self, watched, self.admins);
	-- As mod_audit does.
	self.log.open(HOST);
	local function look()
		self.log.look_at_clock();
		self:after(60, look);
	end
	local function daily()
		self.log.prune_soon(HOST, 0);
		self:after(DAY, daily);
	end
	look();
	daily();
	self:open_sink();
	self:erase_soon();
	self.modules.load "audit_alerts";
	self:open_seals(watched, environment.pause);
end

-- The process ends at once. What it was doing is not finished; the lock of the journal goes with it.
function methods:crash()
	self:lose_seals();
	self.log, self.timers, self.slices, self.sink, self.modules = nil, {}, nil, nil, nil;
	collectgarbage();
	collectgarbage();
	self.crashes = self.crashes + 1;
	self.mood = nil;
	self.uptime = self.uptime + 2;
	self.time = self.time + 2;
	self:start();
end

function methods:restart()
	self.log.stop();
	self.sealing.seal();
	self.sink.native:finish();
	self.sink.save();
	self.log.flush(HOST, 0.1);
	self.log.finish(HOST);
	self.log.close();
	self:crash();
	self.crashes = self.crashes - 1;
end

-- Sets the clock. The time that really passes is `uptime`.
function methods:jump(by)
	self.time = math.max(0, self.time + by);
	self.moved, self.set_back = self.moved + 1, self.set_back + (by < 0 and 1 or 0);
	self.ahead = (self.ahead or 0) + by;
	if math.abs(by) > 60 then
		self.jumps, self.jumped_at = self.jumps + 1, self.uptime;
	end
end

-- Lets time pass, and runs the timers that are due.
function methods:pass(seconds)
	local goal = self.uptime + seconds;
	local function go_to(uptime)
		local more = math.max(0, uptime - self.uptime);
		self.uptime, self.time = self.uptime + more, self.time + more;
	end
	-- An erasure looks often whether the store works again, so what is too many depends on the time.
	for _ = 1, 100000 + 20 * seconds do
		local due;
		for i, timer in ipairs(self.timers) do
			if timer.at <= goal and (not due or timer.at < self.timers[due].at) then due = i; end
		end
		if not due then
			go_to(goal);
			return;
		end
		local timer = table.remove(self.timers, due);
		go_to(timer.at);
		timer.run();
	end
	error("timers run without end");
end

-- The steps -----------------------------------------------------------------------------------------------------------

local types = { "test-event", "test-event", "user-password-changed", "authentication-success", "authentication-failure" };

function methods:record()
	local event_type = types[self.random(#types)];
	local number = self.random(30);
	local extra = {
		session = { id = "c2s"..number, type = "c2s", ip = "203.0.113."..self.random(4) };
		custom = { core.detail("n", { v = self.events }, self.random(5) == 1 and ("x"):rep(3000) or "text\nand \"more\"") };
		timestamp = self.random(6) == 1 and self.time - self.random(7200) or nil;
	};
	self.events = self.events + 1;
	local user = self.random(3) > 1 and "user"..self.random(4).."@"..HOST or nil;
	local id, condition = self.log.audit(HOST, user, "mod_test", event_type, extra);
	if id then
		if self.acknowledged[id] then error("two entries have the id "..id); end
		self.acknowledged[id] = { at = self.uptime, event = self.uptime - (self.time - (extra.timestamp or self.time)) };
	elseif condition == "counted" then
		self.counted = self.counted + 1;
	else
		self.refused = self.refused + 1;
	end
end

-- By how many seconds the clock may jump.
local jumps = { -30, 45, -7200, 7200, -DAY, DAY, -3 * DAY, 3 * DAY, -40 * DAY, 40 * DAY, 400 * DAY, 11000 * DAY };

local steps = {
	{ 40, "events", function (self) for _ = 1, self.random(20) do self:record(); end end };
	{ 8, "a burst", function (self) for _ = 1, 40 + self.random(300) do self:record(); end end };
	{ 25, "a moment", function (self) self:pass(self.random(20) / 10); end };
	{ 8, "minutes", function (self) self:pass(self.random(300)); end };
	{ 5, "hours", function (self) self:pass(self.random(20) * 3600); end };
	{ 1, "days", function (self) self:pass(self.random(3) * DAY); end };
	{ 12, "the store misbehaves", function (self)
		self.mood = { name = moods[self.random(#moods)], left = self.random(12), seconds = self.random(50) / 10 };
	end };
	{ 3, "the store is down", function (self)
		self.mood = { name = moods[self.random(2)], left = math.huge };
		self:pass(self.random(600));
	end };
	{ 4, "the receiver misbehaves", function (self)
		self.receiver.mood = { name = self.replies[self.random(#self.replies)], left = self.random(12) };
	end };
	{ 2, "an erasure", function (self) self:ask_to_erase("user"..self.random(4).."@"..HOST); end };
	{ 6, "the store works", function (self) self.mood = nil; end };
	{ 5, "a crash", function (self) self:crash(); end };
	{ 3, "a restart", function (self) self:restart(); end };
	{ 3, "the clock jumps", function (self) self:jump(jumps[self.random(#jumps)]); end };
	{ 2, "the clock is right again", function (self) self:jump(-(self.ahead or 0)); end };
	{ 2, "a prune", function (self) self.log.prune_soon(HOST, 0); end };
	{ 4, "a check", function (self) self:check(); end };
};
local weight = 0;
for _, step in ipairs(steps) do weight = weight + step[1]; end

-- What must be true ---------------------------------------------------------------------------------------------------

-- How often each id is in the store.
function methods:stored()
	local found = {};
	for user, list in pairs(self.store.partitions) do
		local before = -math.huge;
		for _, item in ipairs(list) do
			local id = item.value.attr[NAMESPACE.."\1id"];
			if id then
				found[id] = (found[id] or 0) + 1;
			end
			if item.when < before then
				error(("in %s an entry lies under %s, behind one under %s"):format(tostring(user), item.when, before));
			end
			before = item.when;
		end
	end
	return found;
end

-- The ids that a reading of everything shows, and how many entries are counted in summaries and announced as lost.
function methods:shown()
	local asked = assert(core.command({ HOST, "--format=json", "--limit=100000", "--all" }, self.time)).asked;
	local text = {};
	local result, problem = self.log.read(asked, function (lines) text[#text + 1] = lines; end, {});
	if not result then error("a reading fails: "..tostring(problem)); end
	local seen, counted, lost = {}, 0, 0;
	for line in table.concat(text):gmatch("[^\n]+") do
		local id = line:match('"id":"([^"]+)"');
		if id then
			if seen[id] then error("a reading shows "..id.." twice"); end
			seen[id] = true;
		end
		counted = counted + (tonumber(line:match('"repeated%.count":(%d+)')) or 0);
		lost = lost + (tonumber(line:match('"lost%.count":"(%d+)"')) or 0);
	end
	return seen, counted, lost;
end

-- Once the store works again and time has passed, nothing is missing, nothing is there twice, and the counts add up.
function methods:check()
	self.mood, self.receiver.mood = nil, nil;
	if self.is_stuck then self:crash(); end
	self:pass(SETTLED);
	if self.wishes[1] then self:pass(SETTLED); end
	local state = self.log.state(HOST);
	if state.waiting > 0 then
		error(("%d entries still wait: %s"):format(state.waiting, tostring(state.problem)));
	end
	local stored, shown, counted, lost = self:stored(), self:shown();
	local missing, first = 0, nil;
	for id, entry in pairs(self.acknowledged) do
		local count = stored[id] or 0;
		if count > 1 then error("the store has "..id.." "..count.." times"); end
		local age = self.uptime - entry.at;
		if count == 0 then
			if age <= KEPT - SLACK and not self.forgotten[id] then
				missing, first = missing + 1, first or id;
			end
			self.acknowledged[id] = nil;
		elseif age > KEPT + 2 * DAY and self.uptime - self.jumped_at > TRUSTED then
			error(("%s has expired %.1f days ago, and is still in the store"):format(id, (age - KEPT) / DAY));
		elseif not shown[id] and self.uptime - entry.event < KEPT - SLACK then
			error("a reading does not show "..id..", which is in the store");
		end
	end
	-- An entry of what was lost expires, too.
	self.lost = math.max(self.lost or 0, lost + self.refused);
	self.missing = (self.missing or 0) + missing;
	if self.missing > self.lost then
		error(("%d entries are missing, and %d were announced, among them %s"):format(self.missing, self.lost, tostring(first)));
	end
	self.summed = math.max(self.summed or 0, counted);
	self:check_sink();
	self:check_erased();
	self:check_alerts(KEPT - SLACK);
	self:check_evidence();
	if self.fault then error("a module has a fault: "..self.fault); end
end

function methods:run(count)
	for _ = 1, count do
		local place = self.random(weight);
		for _, step in ipairs(steps) do
			place = place - step[1];
			if place <= 0 then
				table.insert(self.steps, ("%s, at %.1f"):format(step[2], self.uptime));
				step[3](self);
				break;
			end
		end
	end
	self:check();
end

function methods:finish()
	self:lose_seals();
	if self.log then
		self.log.close();
	end
	self.log, self.timers, self.modules = nil, {}, nil;
end

return simulated;
