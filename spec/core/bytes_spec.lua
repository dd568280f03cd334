-- The hand-over of entries as bytes to the driver "audit": src/lua/hand_over/bytes.rs and src/recorder/hand_over.rs, beside the way that
-- all other drivers are handed entries.

local core = require "audit_core";
local journals = require "support.journal";
local json = require "util.json";
local process = require "support.process";
local st = require "util.stanza";
local support = require "support.log";

-- An archive of the driver, in a file of its own, or in this one. `change` is what differs from the driver's own methods.
local function new_archive(change, path)
	local made = 0;
	local driver = assert(core.storage {
		host = "example.com"; path = path or process.new_folder("bytes").."/audit.sqlite3"; is_server = false; patience = 0; shared = {};
		now = os.time; new_key = function () made = made + 1; return "key-"..made; end;
		stanza_mt = st.stanza_mt; to_json = json.encode; from_json = json.decode;
	});
	local archive = driver:open("audit", "archive");
	for name, value in pairs(change or {}) do archive[name] = value; end
	return archive, driver;
end

-- Another connection to the file of a driver.
local function sqlite(path)
	local _, driver = new_archive(nil, path);
	return driver.database;
end

-- An element as text, with its attributes in order.
local function canonical(element)
	if type(element) == "string" then return ("%q"):format(element); end
	local attributes, children = {}, {};
	for name, value in pairs(element.attr) do table.insert(attributes, ("%q=%q"):format(name, value)); end
	table.sort(attributes);
	for i, child in ipairs(element) do children[i] = canonical(child); end
	return ("<%s %s>%s</>"):format(element.name, table.concat(attributes, " "), table.concat(children));
end

-- All that an archive has, but the keys.
local function contents(archive)
	local found = {};
	for user in archive:users() do
		for _, stanza, when, with in archive:find(user) do
			table.insert(found, ("%s %s %s %s"):format(user, when, with, canonical(stanza)));
		end
	end
	return found;
end

local function copy_journal(from, to)
	for _, path in ipairs(from:files()) do
		process.write(to.prefix..path:sub(#from.prefix + 1), process.read(path));
	end
end

describe("entries whose bytes are handed over to the driver \"audit\"", function ()
	local one, two = journals.new("bytes-one"), journals.new("bytes-two");
	before_each(function () one.begin(); two.begin(); end);
	after_each(function () one.finish(); two.finish(); end);

	local types = { "authentication-failure", "authentication-success", "user-registered", "thing", "server-started" };
	local texts = { "", "plain", "<&'\"> \t\n", "Rom\195\169o \240\159\140\185", ("long "):rep(300) };

	-- Records events of all kinds at a clock that jumps now and then. No store takes them.
	local function record(seed, count)
		math.randomseed(seed);
		local function any(list) return list[math.random(#list)]; end
		local refusing = { append = function () return nil, "not now"; end; users = function () return function () end; end };
		local log = one:log({ audit_log_flood = false }, refusing);
		for _ = 1, count do
			local jump = math.random(40);
			log.time = log.time + (jump == 1 and 86400 or jump == 2 and -math.random(100) or math.random() / 10);
			local extra = {
				session = math.random(3) > 1 and { ip = any { "203.0.113.80", "2001:db8::1", "no address" }; id = any(texts); type = "c2s" } or nil;
				custom = { core.detail("n", { v = any(texts); w = any(texts) }, any(texts), { core.detail("inner", nil, any(texts)) }) };
				timestamp = math.random(10) == 1 and log.time - 3600 or nil;
			};
			assert.is_string(log.log.audit("example.com", any { "romeo@example.com", "r\195\169o@example.com", false } or nil, "mod_test", any(types), extra));
		end
		log.log.close();
		copy_journal(one, two);
		return log.time;
	end

	local function hand_over(journal, archive, at)
		local log = journal:log({ audit_log_flood = false }, archive);
		log.time = at;
		log.log.open("example.com");
		for _ = 1, 400 do
			if log.log.waiting("example.com") == 0 then break; end
			log:pass(1);
		end
		assert.equal(0, log.log.waiting("example.com"));
		return log;
	end

	it("are the same as if they had gone through Lua", function ()
		for seed, count in ipairs { 1, 30, 300, 1500 } do
			local at = record(seed, count);
			local appended, batches = 0, 0;
			local through_lua = new_archive { hand_over = false };
			local as_bytes = new_archive();
			local append, take = as_bytes.append, as_bytes.hand_over;
			function as_bytes.append(...) appended = appended + 1; return append(...); end
			function as_bytes.hand_over(...) batches = batches + 1; return take(...); end
			hand_over(one, as_bytes, at);
			hand_over(two, through_lua, at);
			assert.equal(0, appended);
			assert.is_true(batches >= count / 200 and batches < count / 25 + 10, batches.." batches");
			local expected, found = contents(through_lua), contents(as_bytes);
			assert.equal(count, #expected);
			assert.same(expected, found);
			one.finish(); two.finish(); one.begin(); two.begin();
		end
	end);

	it("are appended once, also if the server dies before the journal is told", function ()
		local at = record(5, 150);
		local archive = new_archive();
		hand_over(one, archive, at);
		assert.equal(150, #contents(archive));
		hand_over(two, archive, at);
		assert.equal(150, #contents(archive));
	end);

	it("wait while another process writes, and nobody is told", function ()
		local at = record(6, 20);
		local archive, driver = new_archive();
		local other = sqlite(driver.environment.path);
		other:begin();
		local log = one:log(nil, archive);
		log.time = at;
		log.log.open("example.com");
		log:pass(5);
		assert.same({ 20, {} }, { log.log.waiting("example.com"), log.lines });
		other:roll_back();
		log:pass(0.5);
		assert.same({ 0, {} }, { log.log.waiting("example.com"), log.lines });
	end);

	it("wait, and one line says so, if another process writes for too long", function ()
		local at = record(7, 20);
		local archive, driver = new_archive();
		local other = sqlite(driver.environment.path);
		other:begin();
		local log = one:log(nil, archive);
		log.time = at;
		log.log.open("example.com");
		log:pass(60);
		assert.equal(1, #log.lines);
		assert.matches("^error: .*the database is locked by another process", log.lines[1]);
		other:roll_back();
		log:pass(60);
		assert.same({ 0, 2 }, { log.log.waiting("example.com"), #log.lines });
		assert.equal(20, #contents(archive));
	end);

	it("share the partitions with entries that are written directly", function ()
		local archive = new_archive();
		local options = { audit_log_flood = false };
		local log = one:log(options, archive);
		local function add(count)
			for _ = 1, count do assert.is_string(log.log.audit("example.com", nil, "mod_test", "t")); end
		end
		for round = 1, 6 do
			options.audit_log_write = round % 2 == 0 and "direct" or nil;
			log.log.forget("example.com");
			add(100);
			-- In the same second: where the next entry goes must not be remembered from before.
			log:pass(0.3);
			log.time = log.time + (round == 3 and -20 or 5);
		end
		add(1);
		log:pass(1);
		local last = 0;
		for _, user in ipairs { "@events.2026-11-24", "@events.2026-11-24.2" } do
			for _, _, when in archive:find(user) do
				assert.is_true(when >= last);
				last = when;
			end
		end
		assert.equal(500, select(2, archive:find("@events.2026-11-24", { total = true; limit = 0 })));
		assert.equal(101, select(2, archive:find("@events.2026-11-24.2", { total = true; limit = 0 })));
	end);

	it("follow one that the driver has refused when it was written directly", function ()
		local archive = new_archive();
		local append, refuses = archive.append, false;
		archive.append = function (...)
			if refuses then return nil, "the disk is full"; end
			return append(...);
		end;
		local log = one:log({ audit_log_write = "direct" }, archive);
		log.log.open("example.com");
		for _, answer in ipairs { false, true } do
			refuses = answer;
			assert.is_string(log.log.audit("example.com", nil, "mod_test", "t"));
		end
		assert.equal(1, log.log.waiting("example.com"));
		refuses = false;
		log:pass(1);
		assert.same({ 0, {} }, { log.log.waiting("example.com"), log.lines });
		assert.equal(2, #contents(archive));
	end);

	it("leave the garbage collector and the inside of drivers alone", function ()
		local at = record(8, 400);
		local calls, own, getupvalue = {}, collectgarbage, debug.getupvalue;
		local done <close> = setmetatable({}, { __close = function () -- luacheck: ignore 211
			_G.collectgarbage, debug.getupvalue = own, getupvalue; -- luacheck: ignore 122
			package.loaded["audit_core"] = core;
		end });
		-- luacheck: push ignore 122
		_G.collectgarbage = function (...) table.insert(calls, tostring((...))); return own(...); end;
		debug.getupvalue = function (...) table.insert(calls, "getupvalue"); return getupvalue(...); end;
		-- luacheck: pop
		package.loaded["audit_core"] = nil;
		local again = require "audit_core";
		local function log_of(archive, path)
			local log = support.new({ audit_log_flood = false }, archive, path, again);
			log.time = at;
			log.log.open("example.com");
			log:pass(30);
			assert.equal(0, log.log.waiting("example.com"));
			log.log.close();
		end
		log_of(new_archive(), one.path);
		assert.same({}, calls);
		log_of(support.new_store(nil, "embedded"), two.path);
		assert.is_true(#calls > 0);
	end);
end);
