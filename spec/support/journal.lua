-- Logs with a journal, whose files are removed after each test.
--
--   local journal = require "support.journal".new("queue");
--   before_each(journal.begin);
--   after_each(journal.finish);
--   local log = journal:log(options, store);    -- as support.log has them
--   journal:audit(log, 1, 3);                   -- events with the numbers 1, 2 and 3
--   journal.numbers(log) --> "1 2 3", in the order of the store

local assert = require "luassert";
local core = require "audit_core";
local lfs = require "lfs";
local support = require "support.log";

local NAMESPACE, host = support.NAMESPACE, support.host;
local folder = lfs.currentdir().."/target/scratch";

local journal = {};
local methods = {};
local journal_mt = { __index = methods };

function journal.new(name)
	local self = setmetatable({ logs = {} }, journal_mt);
	local number = 0;

	function self.begin()
		lfs.mkdir(folder);
		number = number + 1;
		self.prefix = ("%s/%s-%s-%d-%d."):format(folder, name, prosody_series, os.time(), number);
		self.path = self.prefix.."journal";
		self.logs = {};
	end

	function self.finish()
		for _, log in ipairs(self.logs) do pcall(log.log.close); end
		for _, path in ipairs(self:files()) do
			if not os.remove(path) then lfs.rmdir(path); end
		end
	end

	return self;
end

function methods:log(options, store)
	local log = support.new(options, store, self.path);
	table.insert(self.logs, log);
	return log;
end

-- The paths of all files of the journal, sorted.
function methods:files()
	local found = {};
	for name in lfs.dir(folder) do
		if (folder.."/"..name):sub(1, #self.prefix) == self.prefix then table.insert(found, folder.."/"..name); end
	end
	table.sort(found);
	return found;
end

-- The paths of the files that have entries in them.
function methods:segments()
	local found = {};
	for _, path in ipairs(self:files()) do
		if path:match("%.journal%.%x+$") and #path:match("%x+$") == 16 then table.insert(found, path); end
	end
	return found;
end

-- Ends a log as a killed process does: nothing is closed in order. The lock is released with its file descriptor.
function methods:kill(log)
	for i, other in ipairs(self.logs) do
		if other == log then table.remove(self.logs, i); end
	end
	log.log, log.environment, log.audit, log.timers = nil, nil, nil, nil;
	collectgarbage();
	collectgarbage();
end

-- Records numbered events that have all that entries can have. Even ones are about an account.
function methods.audit(_, log, first, last)
	for i = first, last do
		local extra = { session = { ip = "203.0.113.80", id = "c2s"..i }, custom = { core.detail("n", { v = i }, "tab\tand\nnewline") } };
		assert.is_string(log.log.audit(host, i % 2 == 0 and "romeo@example.com" or nil, "mod_test", "t", extra));
	end
end

-- The numbers of the entries in the store, in its order.
function journal.numbers(log)
	local found, names = {}, {};
	for name in pairs(log.store.partitions) do table.insert(names, name); end
	table.sort(names, function (a, b) return tostring(a) < tostring(b); end);
	for _, name in ipairs(names) do
		for _, row in ipairs(log.store.partitions[name]) do
			table.insert(found, row.value:get_child("n", NAMESPACE).attr.v);
		end
	end
	return table.concat(found, " ");
end

-- count_to(3) -> "1 2 3"
function journal.count_to(last)
	local list = {};
	for i = 1, last do list[i] = i; end
	return table.concat(list, " ");
end

return journal;
