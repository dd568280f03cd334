-- prosodyctl mod_attack FOLDER HOST OTHER DAY NAME: edits the log of a host in its store, with the driver that is configured and nothing
-- else. FOLDER is the checkout. Prints what the edit returns.

local core = require "audit_core";

local st = require "util.stanza";
local storagemanager = require "core.storagemanager";

local unpack = table.unpack or unpack; -- luacheck: ignore 113/unpack

function module.command(arg)
	local folder, host, other, day, name = unpack(arg, 1, 5);
	local attacks = dofile(folder.."/spec/support/attacks.lua");
	local stores = {};
	for _, of in ipairs { host, other } do
		storagemanager.initialize_host(of);
		stores[of] = assert(storagemanager.open(of, "audit", "archive"));
	end

	local function read(of, class)
		local rows = {};
		local found = stores[of]:find("@"..class.."."..day, {});
		for key, value, when, with in found or function () end do
			rows[#rows + 1] = { key = key, value = value, when = when, with = with };
		end
		return rows;
	end

	local function write(class, rows)
		local user = "@"..class.."."..day;
		if #read(host, class) > 0 then assert(stores[host]:delete(user, {})); end
		for _, row in ipairs(rows) do
			assert(stores[host]:append(user, row.key, row.value, row.when, row.with));
		end
	end

	-- What prosodyctl has recorded meanwhile has no link.
	local rows, unlinked = {}, {};
	for _, row in ipairs(read(host, "events")) do
		table.insert(row.value:get_child("chain", attacks.NAMESPACE) and rows or unlinked, row);
	end
	local log = { rows = rows, failures = read(host, "failures"), other = read(other, "events"), copy = {}, clone = st.clone };

	function log.expire()
		local options = { audit_log_ips_expire_after = "1d" };
		local own = core.new {
			stanza_mt = getmetatable(st.stanza("x")); open_store = function (of) return stores[of]; end; log = function () end;
			get_option = function (_, option) return options[option]; end; now = function () return os.time() + 3 * 86400; end;
		};
		assert(own.prune(host));
		-- What it says of that has no link.
		log.cut, log.rows, unlinked = {}, {}, {};
		for _, row in ipairs(read(host, "cut-events")) do
			if row.value:get_child("chain", attacks.NAMESPACE) then table.insert(log.cut, row); end
		end
		log.failures = read(host, "failures");
	end

	function log.link(row)
		return row.value:get_child("chain", attacks.NAMESPACE).attr;
	end

	function log.follow(row, before)
		local path = os.tmpname();
		local file = assert(io.open(path, "w"));
		file:write(tostring(row.value));
		file:close();
		local pipe = assert(io.popen(("python3 '%s/tests/verifier/verify.py' --link '%s' events '%s' <'%s'")
			:format(folder, host, log.link(before).hash, path)));
		local hash = pipe:read("*l");
		pipe:close();
		os.remove(path);
		log.link(row).hash = assert(hash);
	end

	for _, attack in ipairs(attacks.list) do
		if attack.name == name then
			local results = { attack.edit(log) };
			for _, row in ipairs(unlinked) do table.insert(log.rows, row); end
			write("events", log.rows);
			write("failures", log.failures);
			if log.copy[1] then write("cut-events", log.copy); end
			if log.cut then write("cut-events", log.cut); end
			print("edited "..table.concat(results, " "));
			return 0;
		end
	end
	error("no such attack: "..name);
end
