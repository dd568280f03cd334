-- A log with entries in a storage driver, to be moved to another one. For the specs and benches of moves.
--
--   moving.fill(prosody, { partitions = 6, each = 50, older = 40 });   -- in the driver that is configured
--   moving.shown(prosody)                                             -- the types of all entries, as prosodyctl shows them
--   moving.use(prosody, "native")                                     -- another driver, at the next start

local process = require "support.process";

local moving = {};

-- Adds entries to the store of the log: in partitions of the last days, two a day, and under archive user nil, as the community's
-- modules wrote them. Each entry has another type: "p-1", "p-2", … and "older-1", "older-2", …
function moving.fill(prosody, options)
	prosody:eval([[
		local host, partitions, each, older = ...;
		local st, datetime = require "util.stanza", require "util.datetime";
		local store = module:context(host):open_store("audit", "archive");
		local number, midnight = 0, os.time() - os.time() % 86400;
		local function append(user, event_type, when)
			number = number + 1;
			local attr = { source = "mod_test", type = event_type, user = "romeo@"..host };
			local entry = st.stanza("audit-event", attr)
				:tag("session", { xmlns = "xmpp:prosody.im/audit", id = "c2s"..number, type = "c2s" })
					:text_tag("remote-ip", "203.0.113.7")
				:up();
			assert(store:append(user, nil, entry, when, "romeo@"..host));
		end
		for i = 1, older do
			append(nil, "older-"..i, midnight - 20 * 86400 + i * 60);
		end
		for i = 0, partitions - 1 do
			-- The last ones are of today.
			local day = midnight - math.floor((partitions - 1 - i) / 2) * 86400;
			local name = "@events."..os.date("!%Y-%m-%d", day)..(i % 2 == (partitions - 1) % 2 and ".2" or "");
			if partitions % 2 == 1 and i == 0 then name = name:gsub("%.2$", ""); end
			for j = 1, each do
				append(name, "p-"..(i * each + j), day + (i % 2 == (partitions - 1) % 2 and each or 0) + j);
			end
		end
	]], prosody.host, options.partitions, options.each, options.older);
end

-- The types of all entries of mod_test, oldest first, separated by spaces, as prosodyctl mod_audit shows them. The flags are added.
function moving.shown(prosody, flag)
	local status, out, err = prosody:ctl("mod_audit", prosody.host, "--all", "--oldest-first", "--format=json", "--type=p-*", "--type=older-*", flag);
	assert(status == 0, err);
	local types = {};
	for line in out:gmatch("[^\n]+") do
		table.insert(types, (line:match('"event":"([^"]+)"') or line:match('"type":"([^"]+)"')));
	end
	return table.concat(types, " ");
end

-- Copies the log from one driver to another with Prosody's own prosody-migrator, as docs/migrating.md describes it. The server must be
-- stopped. -> exit status, output
function moving.migrate(prosody, from, to)
	local program = assert(process.read(prosody.program_folder.."/prosody-migrator"));
	local function set(name, change)
		local count;
		program, count = program:gsub(name.."='([^'\n]*)'", function (value) return ("%s='%s'"):format(name, change(value)); end);
		assert(count == 1, name);
	end
	set("CFG_DATADIR", function () return prosody.data; end);
	-- Where "make install" puts the modules is in this path.
	set("CFG_PLUGINDIR", function (value) return process.root.."/lua;"..value; end);
	process.write(prosody.folder.."/migrator.lua", program);
	local stores = { ("hosts = { [%q] = { \"audit-archive\" } };"):format(prosody.host) };
	local function store(name, driver)
		return ("%s { %s type = %q; database = %q; driver = \"SQLite3\" }\n"):format(name, stores[1], driver, "prosody.sqlite");
	end
	process.write(prosody.folder.."/migrator.cfg.lua", store("from", from)..store("to", to));
	local status, out, err = process.capture({
		"lua5.4", prosody.folder.."/migrator.lua", "--config="..prosody.folder.."/migrator.cfg.lua", "from", "to";
	}, { env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;" } });
	return status, out..err;
end

-- Changes the driver of the log, and options, for the next start.
function moving.use(prosody, storage, config)
	prosody.options.storage = storage;
	for name, value in pairs(config or {}) do
		prosody.options.config = prosody.options.config or {};
		prosody.options.config[name] = value;
	end
end

-- What the log says of a move | nil: nothing is being moved
function moving.state(prosody)
	return prosody:eval("return module:shared('/*/audit/log').log.state(...).moving", prosody.host);
end

-- Waits until nothing is being moved any more -> whether that has come within so many seconds.
function moving.finish(prosody, seconds)
	return process.wait_until(function () return moving.state(prosody) == nil; end, seconds or 60, 0.2);
end

-- The lines of the server's log that have this text.
function moving.lines(prosody, text)
	local found = {};
	for line in prosody:log():gmatch("[^\n]+") do
		if line:find(text, 1, true) then table.insert(found, line); end
	end
	return found;
end

return moving;
