-- Checks before Prosody's embedded storage driver is used: src/lua/store/embedded.lua. With the real
-- driver and its files.

local datamanager = require "util.datamanager";
local lfs = require "lfs";
local module_api = require "support.module_api";
local process = require "support.process";

describe("the embedded driver", function ()
	local host, module;

	local function new_host(options)
		options = options or {};
		options.storage, options.audit_user_history = "internal", false;
		host = module_api.host(options);
		module = host:load("audit").module;
		module_api.complaints();
	end

	local function state()
		return module_api.log().log.state(host.name);
	end

	-- How many entries can be read.
	local function count()
		local asked = assert(require "audit_core".command({ host.name, "--type=thing" }, require "util.time".now())).asked;
		local result;
		require "util.async".runner(function ()
			result = module_api.log().log.read(asked, function () end, {});
		end):run(true);
		for _ = 1, 5 do module_api.pass(0); end
		return result.shown, result.problem;
	end

	-- A module that makes Prosody keep nothing of the host, until stop() is called.
	local function keep_nothing()
		local name = host.name;
		local function refuse(username, of_host, datastore, data)
			if of_host == name then return false; end
			return username, of_host, datastore, data;
		end
		datamanager.add_callback(refuse);
		return function () datamanager.remove_callback(refuse); end
	end

	local function partition()
		return datamanager.getpath("@events."..os.date("!%Y-%m-%d"), host.name, "audit", "list");
	end

	it("stores entries and returns them", function ()
		new_host();
		for _ = 1, 5 do assert.is_string(module:audit(nil, "thing")); end
		assert.same({ 5, nil }, { count() });
		assert.is_truthy(lfs.attributes(partition(), "mode"));
		assert.same({}, module_api.complaints());
	end);

	it("has all entries read that another version of Prosody wrote without an index", function ()
		new_host();
		for _ = 1, 3 do module:audit(nil, "thing"); end
		-- 0.12 appends to the list, and knows no index.
		local text = process.read(partition());
		local item = text:match("^(item%b());\n") or text:match("^item.-\n(item%b());\n");
		process.write(partition(), text..item:gsub('%["key"%]%s*=%s*"[^"]*"', '["key"] = "other"')..";\n");
		-- A file is believed for a moment after it was looked at.
		local until_then = require "util.time".now() + 0.02;
		repeat until require "util.time".now() > until_then;
		assert.equal(4, (count()));
		module:audit(nil, "thing");
		assert.equal(5, (count()));
	end);

	it("that a module keeps from storing anything is named in one line, and entries wait", function ()
		new_host();
		local stop = keep_nothing();
		for _ = 1, 3 do module:audit(nil, "thing"); end
		module_api.pass(1);
		local lines = module_api.complaints("a module makes Prosody keep nothing of this host in its internal storage; set storage = { audit = \"sql\" }");
		assert.equal(1, #lines);
		assert.equal(3, state().waiting);
		stop();
		module_api.pass(61);
		assert.equal(0, state().waiting);
		assert.equal(3, (count()));
	end);

	it("of an anonymous host is named with the reason", function ()
		new_host { authentication = "anonymous" };
		local stop = keep_nothing();
		module:audit(nil, "thing");
		module_api.pass(1);
		stop();
		assert.equal(1, #module_api.complaints("with authentication = \"anonymous\" Prosody keeps nothing of a host"));
	end);

	it("whose file can't be a list is not asked to append to it: entries wait, and one line names the file", function ()
		new_host();
		local path = partition();
		process.run("mkdir -p "..process.quote(path));
		for _ = 1, 3 do module:audit(nil, "thing"); end
		assert.equal(3, state().waiting);
		module_api.pass(1);
		local lines = module_api.complaints("can't be stored");
		assert.equal(1, #lines);
		process.run("rmdir "..process.quote(path));
		module_api.pass(61);
		assert.same({ 0, 3 }, { state().waiting, (count()) });
	end);

	-- Damages the entry of that type in a file: what is behind it keeps its place. Prosody 13 has an index of the file.
	local function damage(path, event_type)
		local text = process.read(path);
		local at = assert(text:find('"'..event_type..'"', 1, true), event_type);
		process.write(path, text:sub(1, at - 1).."\n"..text:sub(at + 1));
		-- A file is believed for a moment after it was looked at.
		local until_then = require "util.time".now() + 0.02;
		repeat until require "util.time".now() > until_then;
	end

	local has_index = type(string.packsize) == "function" and type(datamanager.list_open) == "function";

	-- Reads with these flags: number of entries, of damaged ones, what went wrong
	local function read(...)
		local asked = assert(require "audit_core".command({ host.name, ... }, require "util.time".now())).asked;
		local result;
		require "util.async".runner(function ()
			result = module_api.log().log.read(asked, function () end, {});
		end):run(true);
		for _ = 1, 5 do module_api.pass(0); end
		return result.shown, result.damaged, result.problem;
	end

	for _, damaged in ipairs { "thing-1", "thing-7", "thing-20" } do
		it("with a damaged entry ("..damaged..") has all others read, or says that it can't read them", function ()
			new_host();
			for i = 1, 20 do module:audit(nil, "thing-"..i); end
			damage(partition(), damaged);
			for _, order in ipairs { "--limit=100", "--oldest-first" } do
				local shown, number, problem = read("--type=thing-*", order);
				if has_index then
					assert.same({ 19, 1, nil }, { shown, number, problem });
				else
					assert.same({ 0, "Error reading storage" }, { shown, problem });
				end
			end
			-- It is read in pages, too.
			local reading = module_api.log().log.lists(require "audit_core".command({ "--type=thing-*"; host.name }, os.time()).asked);
			local listed = 0;
			for list in function () return reading.next(function () end); end do listed = listed + #list; end
			assert.same({ has_index and 19 or 0, has_index and 1 or 0 }, { listed, reading.conclude().damaged });
		end);
	end

	it("with a damaged entry in the archive of the community's modules: nothing of it is moved or lost", function ()
		new_host { audit_log_expires_after = "never" };
		local st = require "util.stanza";
		local store = module:open_store("audit", "archive");
		for i = 1, 20 do
			assert(store:append(nil, nil, st.stanza("audit-event", { source = "mod_audit_auth", type = "thing-"..i }), os.time() - 100 + i, "@"));
		end
		local path = datamanager.getpath(nil, host.name, "audit", "list");
		damage(path, "thing-7");
		local before = process.read(path);
		local problem;
		require "util.async".runner(function ()
			problem = select(2, module_api.log().log.prune(host.name, { settle = 0 }));
		end):run(true);
		for _ = 1, 20 do module_api.pass(1); end
		assert.equal(before, process.read(path));
		if has_index then
			assert.is_truthy(module_api.complaints("was not moved: 1 damaged entries there can't be copied")[1]);
			assert.same({ 19, 1 }, { read("--type=thing-*") });
		else
			assert.is_truthy(problem:find("Error reading storage", 1, true), problem);
		end
	end);

	it("with a damaged entry in a partition whose addresses expire: the partition is left as it is", function ()
		new_host { audit_log_classes = { events = { ips_expire_after = "60s" } } };
		local st = require "util.stanza";
		local store = module:open_store("audit", "archive");
		local at = os.time() - 2 * 86400;
		local name = "@events."..os.date("!%Y-%m-%d", at);
		for i = 1, 20 do
			local entry = st.stanza("audit-event", { source = "mod_test", type = "thing-"..i })
				:tag("session", { xmlns = "xmpp:prosody.im/audit" }):text_tag("remote-ip", "203.0.113.80");
			assert(store:append(name, nil, entry, at - at % 86400 + i, "@"));
		end
		local path = datamanager.getpath(name, host.name, "audit", "list");
		damage(path, "thing-7");
		local before = process.read(path);
		local done, problem;
		require "util.async".runner(function ()
			-- After two days without entries the clock is not believed by itself.
			done, problem = module_api.log().log.prune(host.name, { settle = 0, trust_clock = true });
		end):run(true);
		for _ = 1, 20 do module_api.pass(1); end
		assert.equal(before, process.read(path));
		if has_index then
			assert.is_table(done, problem);
			assert.is_truthy(module_api.complaints("were not removed: 1 damaged entries there can't be copied")[1]);
		else
			assert.is_truthy(problem:find("Error reading storage", 1, true), problem);
		end
	end);
end);
