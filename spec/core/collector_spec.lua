-- Garbage collection while a store is given entries: src/lua/hand_over/collector.lua.

local journals = require "support.journal";
local support = require "support.log";

describe("the hand-over, if the driver is known to be done when it returns,", function ()
	local journal = journals.new("collector");
	local cycles, heap, watch;

	before_each(function ()
		journal.begin();
		-- The size of the heap is known after the first full collection that follows a hand-over.
		local first = journal:log(nil, support.new_store(nil, "embedded"));
		journal:audit(first, 1, 1);
		first:pass(1);
		first.log.close();
		journal.finish();
		journal.begin();
		-- As in Prosody, but each collection is done sooner.
		collectgarbage("incremental", 105, 1000);
		cycles, watch = 0, {};
		function watch.__gc()
			cycles = cycles + 1;
			if watch then setmetatable({}, watch); end
		end
		setmetatable({}, watch);
	end);

	after_each(function ()
		watch = nil;
		collectgarbage("incremental", 200, 100);
		journal.finish();
	end);

	local function begin()
		collectgarbage();
		collectgarbage();
		cycles, heap = 0, collectgarbage("count");
	end

	-- Hands over entries, for which the driver makes garbage() KiB of garbage in all. Returns how often the heap was
	-- collected, and its largest size as a multiple of its size before.
	local function hand_over(kind, entries, garbage)
		local store, peak = support.new_store(nil, kind), 0;
		local log = journal:log(nil, store);
		local function waste()
			local _ = ("x"):rep(math.floor(garbage() * 1024 / entries));
			peak = math.max(peak, collectgarbage("count"));
		end
		if kind then
			local datamanager = { append = store.append };
			function store.append(...) waste(); return datamanager.append(...); end
		else
			local append = store.append;
			function store.append(...) waste(); return append(...); end
		end
		journal:audit(log, 1, entries);
		begin();
		log:pass(60);
		local collected, ratio = cycles, peak / heap;
		log.log.close();
		assert.equal(entries, select(2, journals.numbers(log):gsub("%d+", "")));
		return collected, ratio;
	end

	it("causes no garbage collection for a little garbage", function ()
		-- The credit for a slice is at most 4 MiB, whatever the size of the heap.
		local function little() return math.min(0.2 * heap, 3000); end
		assert.equal(0, (hand_over("embedded", 50, little)));
		assert.is_true(hand_over(nil, 50, little) > 0);
	end);

	it("does not let the heap grow by more than a part of its size", function ()
		local collected, peak = hand_over("embedded", 200, function () return 5 * heap; end);
		assert.is_true(collected > 1);
		assert.is_true(peak < 2, peak);
	end);

	it("does not put off the next garbage collection", function ()
		local log = journal:log(nil, support.new_store(nil, "embedded"));
		begin();
		for i = 1, 200 do
			journal:audit(log, i, i);
			log:pass(0.3);
		end
		cycles = 0;
		for _ = 1, 100 do
			local _ = ("x"):rep(math.floor(heap * 1024 * 0.005));
		end
		assert.is_true(cycles > 0);
	end);
end);
