-- What else uses the log of a simulated host (spec/support/simulated.lua): a sink, whose receiver lies and dies, and erasures, which go
-- on after a crash. The loops are those of lua/mod_audit_sinks.lua and lua/audit/erasing.lib.lua.

local core = require "audit_core";
local support = require "support.log";

local HOST = support.host;

-- After how long a position is saved, and the pause if the log can't be read; seconds.
local SAVE, UNREADABLE = 5, 10;
-- How long an answer takes.
local ANSWER = 0.05;
-- After how long an erasure is tried again, and after how long a process looks for what is not done.
local AGAIN, AT_FIRST = 600, 5;

local methods = {};

-- What a receiver does wrong.
methods.replies = { "takes and says no", "is busy", "refuses", "says nothing", "answers late" };

-- A sink -----------------------------------------------------------------------------------------------------------------

-- Opens the sink of a new process, at the position that was saved last.
function methods:open_sink()
	local native = core.sinks({ receiver = { to = "http://collector.example.com/", batch = 20 + self.random(80) } })[1];
	local sink = { native = native };
	local reader = assert(self.log.reader(HOST, self.position));
	local sent_to = self.receiver;

	local schedule;
	local function pump()
		-- Another turn goes on where this one waits.
		if sink.is_running then
			sink.again = true;
			return;
		end
		sink.is_running = true;
		repeat
			sink.again = false;
			local what, value = native:step(self.uptime, self.time);
			if what == "send" then
				sink.body = value;
				self:after(ANSWER, function () self:answer(sink); end);
			elseif what == "fill" then
				local more, problem = reader.fill(function () coroutine.yield(0); end);
				native:news(HOST, more);
				if problem then
					self.unreadable = self.unreadable + 1;
					self:after(UNREADABLE, function ()
						native:news(HOST, true);
						schedule(0);
					end);
				elseif not more then
					reader.wait(function ()
						native:news(HOST, true);
						schedule(1);
					end);
				end
			elseif what == "wait" then
				schedule(value);
			end
		until what ~= "fill" and not sink.again;
		sink.is_running = false;
	end

	function schedule(delay)
		local due = self.uptime + delay;
		if sink.due and sink.due <= due then return; end
		sink.due = due;
		self:after(delay, function ()
			if sink.due == due then
				sink.due = nil;
				self:resume(coroutine.create(pump));
			end
		end);
	end

	function sink.save()
		sink.is_saved_soon = false;
		self.position = native:saved(HOST, self.time) or self.position;
	end

	-- The module looks all the time.
	function sink.save_soon()
		if not sink.is_saved_soon then
			sink.is_saved_soon = true;
			self:after(SAVE, sink.save);
		end
	end

	sink.schedule, self.sink = schedule, sink;
	native:join(HOST, reader.cursor);
	sent_to.starts = sent_to.starts + 1;
	sink.save();
	schedule(0);
end

-- The receiver answers.
function methods:answer(sink)
	local receiver, native, body = self.receiver, sink.native, sink.body;
	local mood = receiver.mood;
	if mood and mood.left > 0 then
		mood.left = mood.left - 1;
		receiver.moods[mood.name] = (receiver.moods[mood.name] or 0) + 1;
	else
		mood = nil;
	end
	local name = mood and mood.name;
	if name == "answers late" then
		mood.left = 0;
		self:after(20, function () self:answer(sink); end);
		return;
	end
	if not name or name == "takes and says no" then
		for line in body:gmatch("[^\n]+") do
			local id = line:match('"id":"([^"]+)"');
			if id then receiver.got[id] = true; end
			receiver.missing = receiver.missing + (line:find("sink%-gap") and tonumber(line:match('"[%w_.-]*count":"?(%d+)')) or 0);
		end
	end
	if not name then
		native:accepted(nil, self.uptime);
	elseif name == "refuses" then
		local _, id = native:refused();
		if id then receiver.refused[id] = true; end
	else
		native:failed(name, name == "is busy" and 2 or nil, self.uptime);
	end
	sink.save_soon();
	sink.schedule(0);
end

-- Erasing ----------------------------------------------------------------------------------------------------------------

-- The data of a person are to be erased. The wish outlives the process.
function methods:ask_to_erase(person)
	local ids = {};
	for id in pairs(self.acknowledged) do ids[id] = true; end
	-- As erasures.new() does: times in the log are whole seconds.
	local wish = { person = person, receipt = core.receipt(), before = math.floor(self.time) + 1, ids = ids };
	table.insert(self.wishes, wish);
	self:erase_soon(0);
end

function methods:erase_soon(delay)
	self:after(delay or AT_FIRST, function ()
		self:resume(coroutine.create(function () self:erase_due(); end));
	end);
end

function methods:erase_due()
	if self.is_erasing then return; end
	self.is_erasing = true;
	while self.wishes[1] do
		local wish = self.wishes[1];
		local result, problem = self.log.erase(HOST, { person = wish.person, receipt = wish.receipt, before = wish.before, all = true, wait = true });
		if not result then
			self.problem = problem;
			self:erase_soon(AGAIN);
			break;
		end
		self.log.erased(HOST, { receipt = wish.receipt }, result);
		table.remove(self.wishes, 1);
		table.insert(self.erased, wish);
	end
	self.is_erasing = false;
end

-- What must be true -------------------------------------------------------------------------------------------------------

-- The receiver has everything that the store has.
function methods:check_sink()
	local receiver, missing, first = self.receiver, 0, nil;
	for id in pairs(self:stored()) do
		if not receiver.got[id] and not receiver.refused[id] then
			missing, first = missing + 1, first or id;
		end
	end
	if missing > 0 then
		error(("the receiver lacks %d entries that the store has, among them %s"):format(missing, first));
	end
end

-- Nothing of who was erased is in an entry that was there before.
function methods:check_erased()
	if self.wishes[1] then
		error(("the data of %s are not erased: %s"):format(self.wishes[1].person, tostring(self.problem)));
	end
	for _, list in pairs(self.store.partitions) do
		for _, item in ipairs(list) do
			local id, text = item.value.attr[support.NAMESPACE.."\1id"], tostring(item.value);
			for _, wish in ipairs(self.erased) do
				if wish.ids[id] and (item.with == wish.person or text:find(wish.person, 1, true)) then
					error(("the data of %s were erased, and are in %s"):format(wish.person, text));
				end
			end
		end
	end
end

return methods;
