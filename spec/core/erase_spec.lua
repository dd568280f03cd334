-- Erasing a person's data from the log of a host: src/lua/person/erase.lua.

local core = require "audit_core";
local journals = require "support.journal";
local st = require "util.stanza";
local support = require "support.log";

local noon, host, NAMESPACE = support.noon, support.host, support.NAMESPACE;
local day = 86400;
local romeo, juliet = "romeo@"..host, "juliet@"..host;

-- An entry about `user` by `actor`, with an address.
local function entry(event_type, user, actor)
	local stanza = st.stanza("audit-event", { type = event_type; source = "mod_test"; user = user });
	stanza:tag("session", { xmlns = NAMESPACE }):text_tag("remote-ip", "203.0.113.80"):up();
	if actor then
		stanza:tag("actor", { xmlns = NAMESPACE; kind = "user"; jid = actor }):up();
	end
	return stanza;
end

-- type/user/actor/with of each entry
local function content(log)
	local found = {};
	for name in log.store:names():gmatch("%S+") do
		for _, row in ipairs(log.store:rows(name ~= "false" and name or nil)) do
			local actor = row.value:get_child("actor", NAMESPACE);
			if row.value.attr.type ~= "audit-erased" then
				table.insert(found, ("%s %s %s %s%s"):format(row.value.attr.type, row.value.attr.user or "-", actor and actor.attr.jid or "-", row.with,
					row.value:get_child("erased", NAMESPACE) and " erased" or ""));
			end
		end
	end
	table.sort(found);
	return found;
end

for _, kind in ipairs({ "embedded", "sql", "other" }) do
	describe("the erasure from a store of the kind "..kind, function ()
		local log;

		before_each(function ()
			log = support.new({}, support.new_store(nil, kind));
			log.time = noon;
			for back = 0, 2 do
				local time = noon - back * day;
				local partition = "@events."..os.date("!%Y-%m-%d", time);
				log.store:append(partition, nil, entry("own"..back, romeo), time, romeo);
				log.store:append(partition, nil, entry("other"..back, juliet), time, juliet);
				log.store:append(partition, nil, entry("user-deleted", juliet, romeo.."/x"), time, juliet);
			end
			-- As the community's modules wrote them.
			log.store:append(nil, nil, entry("old"), noon, "romeo");
			log.store:append(nil, nil, entry("old"), noon, "juliet");
		end);

		it("changes what tells of the person and nothing else, and counts it", function ()
			local before = content(log);
			local preview = log.log.erase(host, { person = romeo; preview = true });
			assert.same(before, content(log));
			local result = log.log.erase(host, { person = romeo; receipt = "R-1" });
			assert.same(preview, result);
			assert.same({ 4, 3, 0, 0 }, { result.count, result.kept, result.held, result.damaged });
			assert.same({
				"old - - @ erased", "old - - juliet";
				"other0 juliet@example.com - juliet@example.com", "other1 juliet@example.com - juliet@example.com";
				"other2 juliet@example.com - juliet@example.com";
				"own0 - - @ erased", "own1 - - @ erased", "own2 - - @ erased";
				"user-deleted juliet@example.com romeo@example.com/x juliet@example.com";
				"user-deleted juliet@example.com romeo@example.com/x juliet@example.com";
				"user-deleted juliet@example.com romeo@example.com/x juliet@example.com";
			}, content(log));
			assert.equal(0, log.log.erase(host, { person = romeo; receipt = "R-2" }).count);
			local acted = log.log.erase(host, { person = romeo; acted = true; receipt = "R-3" });
			assert.same({ 3, 0 }, { acted.count, acted.kept });
			assert.is_nil(table.concat(content(log)):find("romeo", 1, true));
		end);

		it("leaves what was stored later", function ()
			assert.equal(2, log.log.erase(host, { person = romeo; before = noon; receipt = "R" }).count);
		end);

		it("changes what was stored before the clock was set back, unless a time was asked for", function ()
			log.time = noon - day;
			local before = noon - day + 1;
			assert.equal(2, log.log.erase(host, { person = romeo; before = before; preview = true }).count);
			assert.equal(4, log.log.erase(host, { person = romeo; before = before; all = true; preview = true }).count);
			assert.equal(4, log.log.erase(host, { person = romeo; receipt = "R" }).count);
		end);

		it("leaves what is held", function ()
			log.options.audit_log_hold = { romeo };
			local result = log.log.erase(host, { person = romeo; receipt = "R" });
			assert.same({ 0, 4 }, { result.count, result.held });
			log.options.audit_log_hold = { "events" };
			log.log.forget();
			result = log.log.erase(host, { person = romeo; receipt = "R" });
			assert.same({ 0, 4 }, { result.count, result.held });
		end);

		it("fails in one line if the driver can't change entries, or does not now", function ()
			local set = log.store.set;
			log.store.set = false;
			assert.is_truthy(select(2, log.log.erase(host, { person = romeo; receipt = "R" })):find("can't change entries", 1, true));
			log.store.set = function () return nil, "disk full"; end;
			assert.same({ nil, "disk full" }, { log.log.erase(host, { person = romeo; receipt = "R" }) });
			log.store.set = set;
			assert.equal(4, log.log.erase(host, { person = romeo; receipt = "R" }).count);
			assert.is_nil((log.log.erase(host, { person = "*@example.com"; receipt = "R" })));
		end);

		it("says how many entries can't be read", function ()
			require "support.pruning".damage(log.store, "other1");
			local result = log.log.erase(host, { person = romeo; receipt = "R" });
			assert.same({ 4, 1 }, { result.count, result.damaged });
		end);
	end);
end

describe("the entry about an erasure", function ()
	it("has who asked, how many and a receipt, and not whose data", function ()
		local log = support.new();
		log.time = noon;
		log.store:append("@events.2026-11-24", nil, entry("own", romeo), noon, romeo);
		local result = log.log.erase(host, { person = romeo; receipt = "R-1" });
		assert(log.log.erased(host, { receipt = "R-1"; by = "root"; by_source = "login"; reason = "asked"; before = "2026-11-25T00:00:00Z" }, result,
			{ kind = "admin-shell" }));
		local stanza = log.last();
		assert.equal("audit-erased", stanza.attr.type);
		local text = tostring(stanza:get_child("erasure", NAMESPACE));
		for _, part in ipairs { "receipt='R-1'", "count='1'", "by='root'", ">asked<", "<class", "name='events'" } do
			assert.is_truthy(text:find(part, 1, true), part.." in "..text);
		end
		assert.is_nil(tostring(stanza):find("romeo", 1, true));
	end);
end);

describe("what waits in the journal", function ()
	local journal = journals.new("erase");
	before_each(journal.begin);
	after_each(journal.finish);

	it("is handed over before, with what flood control counts", function ()
		local log = journal:log();
		for _ = 1, 20 do
			log.audit(host, romeo, "mod_audit_auth", "authentication-failure", { session = { ip = "203.0.113.80" } });
		end
		assert.is_true(log.log.is_counting(host) and log.log.waiting(host) > 0);
		local result = log.log.erase(host, { person = romeo; receipt = "R" });
		assert.is_true(result.count >= 6, tostring(result.count));
		assert.is_false(log.log.is_counting(host));
		for _, path in ipairs(journal:files()) do
			local file = assert(io.open(path, "rb"));
			local bytes = file:read("*a");
			file:close();
			assert.is_nil(bytes:find("romeo", 1, true), path);
		end
	end);

	-- A log with an entry of the person, and its rows as they are in a backup.
	local function with_backup()
		local log = journal:log();
		log.audit(host, romeo, "mod_test", "own", { session = { ip = "203.0.113.80" } });
		log.log.flush(host, 0);
		local rows = log.store:rows("@events.2026-11-24");
		assert.equal(1, #rows);
		return log, { key = rows[1].key; value = st.clone(rows[1].value); when = rows[1].when; with = rows[1].with };
	end

	it("is erased again if it is there again, which needs no name", function ()
		local log, row = with_backup();
		assert.equal(1, log.log.erase(host, { person = romeo; receipt = "R-1" }).count);
		local erased = content(log);
		local verdict = log.log.verify(host);
		assert.same({ 0, 0 }, { verdict.status, verdict.again });
		-- A backup is put back.
		log.store.partitions["@events.2026-11-24"][1] = row;
		verdict = log.log.verify(host);
		assert.same({ 4, 1, true }, { verdict.status, verdict.again, verdict.intact });
		assert.is_truthy(table.concat(verdict.lines, "\n"):find("\nerased, and there again: events 1: ", 1, true));
		local preview = log.log.erase(host, { again = true; preview = true });
		assert.equal(1, preview.count);
		assert.same(preview, log.log.erase(host, { again = true; receipt = "R-2" }));
		assert.same(erased, content(log));
		assert.equal(0, log.log.verify(host).status);
		assert.equal(0, log.log.erase(host, { again = true; receipt = "R-3" }).count);
	end);

	it("is not erased if that can't be written down", function ()
		local log = with_backup();
		local before = content(log);
		log.erased_path = "/nowhere/x.erased";
		local result, problem = log.log.erase(host, { person = romeo; receipt = "R" });
		assert.is_nil(result);
		assert.is_truthy(problem:find("what is to be erased can't be written down: ", 1, true), problem);
		assert.same(before, content(log));
		log.erased_path = nil;
		assert.equal(1, log.log.erase(host, { person = romeo; receipt = "R" }).count);
	end);

	it("is not verified without the list of what was erased, if that is damaged", function ()
		local log = with_backup();
		log.log.erase(host, { person = romeo; receipt = "R" });
		local file = assert(io.open((journal.path:gsub("journal$", "erased")), "w"));
		file:write("nonsense");
		file:close();
		local verdict, problem = log.log.verify(host);
		assert.is_nil(verdict);
		assert.is_truthy(problem:find("erased: it is damaged", 1, true), problem);
	end);

	it("keeps the erasure from beginning if the store does not take it", function ()
		local log = journal:log();
		log.store.append = function () return nil, "disk full"; end;
		log.audit(host, romeo, "mod_test", "own");
		local result, problem = log.log.erase(host, { person = romeo; receipt = "R" });
		assert.is_nil(result);
		assert.is_truthy(problem:find("entries wait in the journal", 1, true));
	end);
end);

describe("the file that says what is being erased", function ()
	local path = require "lfs".currentdir().."/target/scratch/erasure-"..prosody_series.."-"..os.time();

	it("is written, read and removed as a whole", function ()
		assert.is_true(core.save_erasure(path, { person = romeo; before = "1" }));
		assert.same({ person = romeo; before = "1" }, core.read_erasure(path));
		assert.is_true(core.forget_erasure(path));
		assert.same({ nil, "there is no such file" }, { core.read_erasure(path) });
		assert.is_true(core.forget_erasure(path));
		assert.is_nil((core.save_erasure("/nowhere/x", {})));
	end);

	it("is damaged if it is something else", function ()
		local file = assert(io.open(path, "w"));
		file:write("{");
		file:close();
		assert.is_nil((core.read_erasure(path)));
		os.remove(path);
	end);

	it("has a number that nobody can foresee", function ()
		assert.is_truthy(core.receipt():match("^%w%w%w%w%w%-%w%w%w%w%w$"));
		assert.not_equal(core.receipt(), core.receipt());
	end);
end);
