-- Retention classes on real servers: separate partitions, expiry and address policy of each, also after a crash or with another
-- configuration.

local dump = require "support.dump";
local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local day = 86400;

local config = {
	audit_log_flood = false;
	audit_log_classes = {
		failures = { expires_after = "7d"; ips = "hash" };
		accounts = { types = { "user-*" }; expires_after = "1y"; ips = "prefix"; limit = 200 };
		events = { ips_expire_after = "2d" };
	};
};

-- Stores entries as they lay there before: { archive user or false, type, days ago, how many }
local function seed(prosody, list)
	prosody:eval([[
		local host, list = ...;
		local st = require "util.stanza";
		local store = require "core.storagemanager".open(host, "audit", "archive");
		local function append_all()
			for _, item in ipairs(list) do
				local user, event_type, ago, count = item[1], item[2], item[3], item[4];
				local when = os.time() - ago * 86400;
				if user then user = user:gsub("DAY", os.date("!%Y-%m-%d", when)); end
				for i = 1, count do
					local entry = st.stanza("audit-event", { source = "mod_test", type = event_type.."-"..i })
						:tag("session", { xmlns = "xmpp:prosody.im/audit" }):text_tag("remote-ip", "203.0.113.80"):up();
					assert(store:append(user or nil, nil, entry, when, "@"));
				end
			end
		end
		local engine;
		for i = 1, 60 do
			local name, value = debug.getupvalue(store.append, i);
			if name == "engine" then engine = value; end
		end
		if not engine then return append_all(); end
		assert(engine:transaction(function ()
			engine.transaction = function (_, run, ...) return true, run(...); end;
			append_all();
			engine.transaction = nil;
			return true;
		end));
	]], host, list);
end

-- Partitions with the number of their entries, without the log's own of today, and what they hold of an address.
local function partitions(prosody)
	local found = {};
	for _, entry in ipairs(dump.entries(prosody)) do
		local name = (entry.partition or "nil"):gsub("%d+%-%d+%-%d+", function (date)
			local y, m, d = date:match("(%d+)-(%d+)-(%d+)");
			local ago = math.floor((os.time() // day * day - os.time { year = y, month = m, day = d, hour = 0 } + 43200) / day);
			return ago.."d";
		end);
		if entry.source ~= "mod_audit" then
			local session = entry:child("session");
			local address = session and (session:line("remote-ip") or session:child("ip-hash") and "hash") or "none";
			local text = name.." "..address:gsub("</?remote%-ip/?>", "");
			found[text] = (found[text] or 0) + 1;
		end
	end
	return found;
end

local function prune(prosody, wish)
	return prosody:eval([[
		local host, wish = ...;
		local results, problem = module:shared("/*/audit/log").log.prune(host, wish);
		return results and true or problem;
	]], host, wish or { settle = 0 });
end

-- Types that prosodyctl shows, each with how often.
local function shown(prosody)
	local status, out, err;
	-- A slow disk lets the server hold SQLite's file for longer than prosodyctl waits.
	process.wait_until(function ()
		status, out, err = prosody:ctl({ env = { COLUMNS = "200" } }, "mod_audit", host);
		return status == 0 or not err:find("locked", 1, true);
	end, 60);
	assert.equal(0, status, err);
	local types = {};
	for event_type in out:gmatch("\n%S+ [%d:]+[* ] +(%S+)") do
		-- Without the log's own entries.
		if not event_type:find("^audit%-") then
			types[event_type] = (types[event_type] or 0) + 1;
		end
	end
	return types;
end

local function pruned(prosody)
	local found = {};
	for _, entry in ipairs(dump.of_type(prosody, host, "audit-pruned")) do
		for _, child in ipairs(entry.children) do
			if child.name == "pruned" then
				table.insert(found, ("%s %s %s"):format(child.attr.class, child.attr.reason, child.attr.count));
				assert.is_truthy(child.attr.from:match("^%d+%-%d+%-%d+T") and child.attr["until"]:match("Z$"));
			end
		end
	end
	table.sort(found);
	return found;
end

local function key_file(prosody)
	return prosody.data.."/"..host:gsub("%.", "%%2e").."/audit.key";
end

server.each_series(describe, pending, function (series)
	for _, storage in ipairs({ "internal", "sqlite", "native" }) do
		describe("a retention class, with "..storage, function ()
			local prosody;

			after_each(server.stop_all);

			it("has its own expiry, limit and address policy, and loses nothing by another configuration", function ()
				prosody = server.start { series = series; storage = storage; modules = { "audit" }; config = config };
				prosody:eval([[
					local context = module:context((...));
					for i, ip in ipairs { "203.0.113.80", "::ffff:203.0.113.80", "2001:db8:1:2::5" } do
						for _, event_type in ipairs { "authentication-failure", "user-registered", "other" } do
							context:audit(nil, event_type, { session = { ip = ip } });
						end
					end
				]], host);
				assert.same({ ["@failures.0d hash"] = 3; ["@accounts.0d 203.0.113.0/24"] = 2; ["@accounts.0d 2001:db8:1::/48"] = 1;
					["@events.0d 203.0.113.80"] = 2; ["@events.0d 2001:db8:1:2::5"] = 1 }, partitions(prosody));
				local hashes = {};
				for i, entry in ipairs(dump.of_type(prosody, host, "authentication-failure")) do
					hashes[i] = entry:child("session"):child("ip-hash").text;
				end
				assert.is_true(hashes[1] == hashes[2] and hashes[1] ~= hashes[3] and #hashes[1] == 32);
				assert.equal("rw-------", lfs.attributes(key_file(prosody), "permissions"));
				local _, out = prosody:ctl("mod_audit", host);
				assert.is_truthy(out:find(hashes[1]:sub(1, 10), 1, true), out);

				-- The limit is checked after that many entries.
				prosody:eval([[
					local context = module:context((...));
					for i = 1, 450 do context:audit(nil, "user-"..i); end
				]], host);
				process.wait_until(function () return #pruned(prosody) >= 1; end, 5);
				assert.same({ "accounts limit 200" }, pruned(prosody));
				local kept = 0;
				for _, entry in ipairs(dump.entries(prosody)) do
					kept = kept + (entry.type:find("^user%-%d") and 1 or 0);
				end
				assert.equal(253, kept);

				seed(prosody, {
					{ "@failures.DAY", "f", 10, 2 }, { "@failures.DAY", "f", 6, 2 }, { "@accounts.DAY", "user", 40, 300 };
					{ "@events.DAY", "e", 40, 2 }, { "@events.DAY", "e", 4, 3 }, { "@former.DAY", "former", 40, 1 };
					{ false, "o", 40, 4 }, { false, "o", 5, 5 }, { false, "user", 40, 1 }, { false, "some-refused", 10, 0 };
				});
				local before = shown(prosody);
				assert.same({ 1, 1, 1 }, { before["f-1"], before["o-5"], before["former-1"] }, "what has expired is not shown");
				assert.is_true(prune(prosody));
				local left = partitions(prosody);
				for _, name in ipairs({ "@failures.0d hash", "@events.0d 203.0.113.80", "@events.0d 2001:db8:1:2::5" }) do
					left[name] = nil;
				end
				local expected = { ["@accounts.0d.3 none"] = 100; ["@accounts.0d.4 none"] = 100; ["@accounts.0d.5 none"] = 53;
					 ["@failures.6d 203.0.113.80"] = 2; ["@cut-events.4d 203.0.113.0/24"] = 3; ["@former.40d 203.0.113.80"] = 1 };
				if storage == "internal" then
					expected["@cut-old-events.5d.100001 203.0.113.0/24"] = 5;
				else
					expected["nil 203.0.113.80"] = 6;
				end
				assert.same(expected, left);
				local lines = table.concat(pruned(prosody), ", ");
				for _, line in ipairs({ "failures expired 2", "events expired 6", storage == "internal" and "accounts limit 301" or "accounts limit 300" }) do
					assert.is_truthy((lines..", "):find(line, 1, true), lines);
				end

				-- Another configuration, and a part of it wrong.
				prosody:stop();
				prosody:start { config = { audit_log_flood = false; audit_log_classes = {
					events = { expires_after = "60d" };
					bad = { types = { "bad" }; ips = "some"; expire = "1d" };
				} } };
				local after = shown(prosody);
				for _, event_type in ipairs({ "authentication-failure", "user-450", "f-1", "e-1", "former-1", "o-5" }) do
					assert.is_truthy(after[event_type], event_type);
				end
				local log = prosody:log():sub(prosody.log_start + 1);
				for _, line in ipairs({ "class bad has expire = \"1d\", but there is no such field", "class bad has ips = \"some\", which is not allowed" }) do
					assert.equal(1, select(2, log:gsub(line:gsub("%p", "%%%0"), "")), line);
				end
				assert.is_truthy(process.wait_until(function ()
					return prosody:log():find("The class accounts of audit events of "..host.." is configured no more", 1, true);
				end, 10));
				assert.equal(0, select(2, prosody:log():gsub("Traceback", "")));
			end);

			it("continues what a crash has interrupted, and shows each entry once meanwhile", function ()
				local list = {};
				for ago = 4, 6 do
					for part = 1, 2 do
						list[#list + 1] = { "@events.DAY"..(part > 1 and ".2" or ""), ("e%d%d"):format(ago, part), ago, 400 };
					end
				end
				if storage == "internal" then
					list[#list + 1] = { false, "o", 1, 400 };
				end
				local before;
				local function kill_in_the_middle()
					prosody = server.start { series = series; storage = storage; modules = { "audit" }; config = config };
					-- Wait until the start is over.
					prune(prosody);
					seed(prosody, list);
					before = shown(prosody);
					assert.same({ 1, 1 }, { before["e41-400"], before["e62-1"] });
					prosody:eval([[
						local host = ...;
						require "util.async".runner(function () module:shared("/*/audit/log").log.prune(host); end):run(true);
					]], host);
					local state = process.wait_until(function ()
						local is_alive, found = pcall(prosody.eval, prosody, [[
							local begun, left;
							for user in require "core.storagemanager".open(..., "audit", "archive"):users() do
								if type(user) ~= "string" then
									left = true;
								else
									begun = begun or user:find("@cut-", 1, true) or user:find("@old-", 1, true);
									left = left or user:find("@events.", 1, true);
								end
							end
							-- In this turn of the loop: in the next one it may be done.
							if begun and left then os.execute("kill -KILL "..require "util.pposix".getpid()); end
							return begun and "done" or false;
						]], host);
						return not is_alive and "killed" or found;
					end, 20, 0.001);
					assert.is_truthy(state);
					prosody:kill();
					if state == "killed" then return true; end
					-- On a busy machine it may have been done before this process had its turn.
					server.stop_all();
				end
				local tries = 1;
				while not kill_in_the_middle() do
					tries = tries + 1;
					assert.is_true(tries <= 5, "it was done before each kill");
				end
				assert.same(before, shown(prosody));
				if storage == "internal" then
					-- Without waiting for the disk.
					assert.equal(0, (prosody:ctl("mod_audit", "--prune", host)));
					prosody:start();
				else
					prosody:start();
					assert.is_truthy(process.wait_until(function ()
						return prosody:log():sub(prosody.log_start + 1):find("cut the addresses in", 1, true);
					end, 30));
				end
				assert.same(before, shown(prosody));
				local left = partitions(prosody);
				local expected = {};
				for ago = 4, 6 do
					expected[("@cut-events.%dd 203.0.113.0/24"):format(ago)] = 400;
					expected[("@cut-events.%dd.2 203.0.113.0/24"):format(ago)] = 400;
				end
				for name in pairs(left) do
					if name:find("@old-events.1d", 1, true) then expected[name] = 400; end
				end
				assert.same(expected, left);
			end);

			it("hashes addresses with another key when it is asked to", function ()
				prosody = server.start { series = series; storage = storage; modules = { "audit" }; config = config };
				local function hash()
					prosody:eval([[module:context((...)):audit(nil, "authentication-failure", { session = { ip = "203.0.113.80" } });]], host);
					local found = dump.of_type(prosody, host, "authentication-failure");
					local element = found[#found]:child("session"):child("ip-hash");
					return element.text, element.attr.key;
				end
				local first, first_key = hash();
				local status, out = prosody:ctl("mod_audit", "--new-key", host);
				assert.equal(0, status);
				assert.is_truthy(out:find("(key "..first_key..")", 1, true), out);
				prosody:eval([[module:shared("/*/audit/log").log.look_at_key((...));]], host);
				local second, second_key = hash();
				assert.is_true(second ~= first and second_key ~= first_key);
				assert.is_truthy(out:find("new key "..second_key, 1, true), out);
				assert.equal("rw-------", lfs.attributes(key_file(prosody), "permissions"));
				prosody:stop();
				assert.equal(0, (prosody:ctl("mod_audit", "--new-key")));
				prosody:start();
				local third, third_key = hash();
				assert.is_true(third ~= second);
				local replaced = {};
				for i, entry in ipairs(dump.of_type(prosody, host, "audit-key-replaced")) do
					replaced[i] = entry:child("key").attr.old.." "..entry:child("key").attr.new;
				end
				assert.same({ first_key.." "..second_key, second_key.." "..third_key }, replaced);
			end);
		end);
	end
end);
