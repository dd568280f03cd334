-- Stores that claim to have stored entries and have not: this is noticed, and no stored entry is destroyed.

local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local modules = { "audit" };

-- The lines of a server's log about entries that can't be stored.
local function refusals(prosody)
	local lines = {};
	for line in prosody:log():gmatch("[^\n]+") do
		if line:find("can't be stored", 1, true) then table.insert(lines, line); end
	end
	return lines;
end

-- All lines of level "error".
local function errors(prosody)
	local lines = {};
	for line in prosody:log():gmatch("[^\n]+") do
		if line:find("%serror%s") then table.insert(lines, line); end
	end
	return lines;
end

local function audit(prosody, count, event_type)
	prosody:eval([[
		local host, count, event_type = ...;
		for i = 1, count do
			local session = { id = "c2s"..i, ip = "203.0.113."..i };
			assert(module:context(host):audit("user"..i.."@"..host, event_type, { session = session }));
		end
	]], host, count, event_type or "thing-happened");
end

local function state(prosody)
	return prosody:eval("return module:shared('/*/audit/log').log.state(...)", host);
end

local function flush(prosody)
	prosody:eval("flush_audit_log()");
end

local function wait_until_stored(prosody, seconds)
	return process.wait_until(function () return state(prosody).waiting == 0; end, seconds or 10, 0.05);
end

-- How often each event type is in what prosodyctl shows, by type.
local function shown(prosody, options)
	local status, out, err = prosody:ctl(options or {}, "mod_audit", "--format=json", host);
	assert.equal(0, status, err);
	local counts = {};
	for event_type in out:gmatch('"type":"([^"]+)"') do
		counts[event_type] = (counts[event_type] or 0) + 1;
	end
	return counts, err;
end

-- Appends entries as another module would: with the driver alone.
local function append_as_others(prosody, user, count, event_type, at)
	prosody:eval([[
		local host, user, count, event_type, at = ...;
		local st = require "util.stanza";
		local store = module:context(host):open_store("audit", "archive");
		for i = 1, count do
			local stanza = st.stanza("audit-event", { source = "mod_x", type = event_type, user = "user"..i.."@"..host })
				:tag("session", { xmlns = "xmpp:prosody.im/audit", id = "c2s"..i }):text_tag("remote-ip", "203.0.113."..i);
			assert(store:append(user, nil, stanza:reset(), at, "user"..i.."@"..host));
		end
	]], host, user or require "dkjson".null, count, event_type, at or os.time());
end

-- Those of a table whose names match a pattern.
local function only(map, pattern)
	local found = {};
	for name, value in pairs(map) do
		if name:find(pattern) then found[name] = value; end
	end
	return found;
end

local encoded_host = host:gsub("%W", function (c) return ("%%%02x"):format(c:byte()); end);

-- Files of the embedded driver that end so.
local function driver_files(prosody, ending)
	local files = {};
	local folder = prosody.data.."/"..encoded_host.."/audit";
	for name in lfs.dir(folder) do
		if name:sub(-#ending) == ending then table.insert(files, folder.."/"..name); end
	end
	return files;
end

local function chown(owner, files)
	process.run("chown "..owner..": "..process.quote_all(files));
end

-- Files and folders of a server's data that do not belong to the server's user. Prosody's own socket is not looked at.
local function foreign(prosody, user)
	local pipe = io.popen("find "..process.quote(prosody.data).." ! -type s ! -user "..user);
	local found = pipe:read("a");
	pipe:close();
	return found;
end

local function in_driver(prosody)
	return prosody:eval("local state = module:shared('/*/storage_pretending/state'); return state.appended;");
end

local function set_mode(prosody, mode)
	prosody:eval("module:shared('/*/storage_pretending/state').mode = ...", mode);
end

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(server.stop_all);

	describe("a driver that says that it has stored an entry, and", function ()
		for _, mode in ipairs { "forgets", "raises", "gives_something_else", "loses_attributes", "loses_content", "loses_times" } do
			it((mode:gsub("_", " "))..": is refused in one line, and entries wait", function ()
				prosody = server.start { series = series, modules = modules, storage = { audit = "pretending" }, config = { pretending_storage = mode } };
				audit(prosody, 5);
				assert.is_truthy(process.wait_until(function () return #refusals(prosody) > 0; end, 10));
				for _ = 1, 3 do flush(prosody); end
				audit(prosody, 5);
				flush(prosody);
				assert.equal(1, #refusals(prosody), table.concat(refusals(prosody), "\n"));
				assert.is_truthy(refusals(prosody)[1]:find("the storage driver pretending", 1, true), refusals(prosody)[1]);
				assert.is_truthy(refusals(prosody)[1]:find('storage = { audit = "sql" }', 1, true), refusals(prosody)[1]);
				assert.same({ 10, 0 }, { state(prosody).waiting, state(prosody).lost });
				assert.is_truthy(state(prosody).problem:find("does not give it back", 1, true));
				assert.equal(1, in_driver(prosody), "it is not filled with what nobody can read");
				-- Another store takes all of it, once.
				prosody:restart { storage = "internal" };
				assert.is_truthy(wait_until_stored(prosody));
				assert.equal(10, (shown(prosody))["thing-happened"]);
			end);
		end

		it("mends its ways: takes it all, once", function ()
			prosody = server.start { series = series, modules = modules, storage = { audit = "pretending" }, config = { pretending_storage = "forgets" } };
			audit(prosody, 5);
			assert.is_truthy(process.wait_until(function () return #refusals(prosody) > 0; end, 10));
			set_mode(prosody, "keeps");
			flush(prosody);
			assert.same({ 0, 0, 5 }, { state(prosody).waiting, state(prosody).lost, in_driver(prosody) });
		end);

		for _, mode in ipairs { "keeps", "adds_attributes", "waits", "lags" } do
			it((mode:gsub("_", " "))..(mode == "keeps" and "" or " it")..": is believed, and has each entry once", function ()
				prosody = server.start { series = series, modules = modules, storage = { audit = "pretending" }, config = { pretending_storage = mode } };
				audit(prosody, 5);
				assert.is_truthy(wait_until_stored(prosody, 20));
				audit(prosody, 5);
				assert.is_truthy(wait_until_stored(prosody, 20));
				assert.same({ 10, 0 }, { in_driver(prosody), state(prosody).lost });
			end);
		end

		it("forgets: is refused if entries are written directly", function ()
			prosody = server.start {
				series = series, modules = modules, storage = { audit = "pretending" };
				config = { pretending_storage = "forgets", audit_log_write = "direct" };
			};
			audit(prosody, 5);
			flush(prosody);
			assert.same({ 1, 5, 0, 1 }, { #refusals(prosody), state(prosody).waiting, state(prosody).lost, in_driver(prosody) });
		end);
	end);

	for _, storage in ipairs { "internal", "memory", "sqlite", "native" } do
		it("a driver that keeps its entries is trusted: "..storage, function ()
			prosody = server.start { series = series, modules = modules, storage = storage };
			audit(prosody, 5);
			flush(prosody);
			assert.same({ 0, 0 }, { state(prosody).waiting, #refusals(prosody) });
		end);
	end

	describe("a host with authentication = \"anonymous\", of which the embedded driver keeps nothing:", function ()
		local config = { authentication = "anonymous" };

		it("one line names a storage that works, and entries wait for it", function ()
			prosody = server.start { series = series, modules = modules, host_config = { [host] = config } };
			audit(prosody, 5);
			assert.is_truthy(process.wait_until(function () return #refusals(prosody) > 0; end, 10));
			audit(prosody, 5);
			flush(prosody);
			assert.equal(1, #refusals(prosody));
			assert.is_truthy(refusals(prosody)[1]:find('authentication = "anonymous"', 1, true), refusals(prosody)[1]);
			assert.is_truthy(refusals(prosody)[1]:find('set storage = { audit = "sql" }', 1, true), refusals(prosody)[1]);
			assert.same({ 10, 0 }, { state(prosody).waiting, state(prosody).lost });
			assert.equal(10, (shown(prosody))["thing-happened"]);
			prosody:restart {
				storage = { audit = "sql" }, config = { sql = { driver = "SQLite3", database = "audit.sqlite" } };
			};
			assert.is_truthy(wait_until_stored(prosody));
			assert.equal(10, (shown(prosody))["thing-happened"]);
		end);

		it("the number of waiting entries has a limit, and lost events are counted", function ()
			prosody = server.start { series = series, modules = modules, host_config = { [host] = config }, log_level = "info" };
			local kept = prosody:eval([[
				local host = ...;
				local core = require "audit_core";
				local log, children, kept = module:shared("/*/audit/log").log, {}, 0;
				for i = 1, 3 do children[i] = core.detail("n", nil, ("x"):rep(10000)); end
				while log.state(host).lost < 50 and kept < 10000 do
					if module:context(host):audit(nil, "large-thing", { custom = { core.detail("large", nil, nil, children) } }) then kept = kept + 1; end
				end
				return kept;
			]], host);
			assert.equal(50, state(prosody).lost);
			local size = 0;
			for name in lfs.dir(prosody.data.."/"..encoded_host) do
				if name:find("^audit%.journal%.%x+$") then size = size + lfs.attributes(prosody.data.."/"..encoded_host.."/"..name, "size"); end
			end
			assert.is_true(size > 60 << 20 and size <= 64 << 20, tostring(size));
			assert.is_true(kept > 2000 and kept < 10000, tostring(kept));
		end);

		it("unless another storage is configured", function ()
			prosody = server.start {
				series = series, modules = modules;
				host_config = { [host] = { authentication = "anonymous", allow_anonymous_storage = true } };
			};
			audit(prosody, 5);
			flush(prosody);
			assert.same({ 0, 0, 5 }, { state(prosody).waiting, #refusals(prosody), (shown(prosody))["thing-happened"] });
		end);
	end);

	describe("beside a server of another user,", function ()
		local user = "nobody";
		local can, why = server.can_run_as(user);
		if not can then return pending(why); end

		local function start(options)
			options = options or {};
			options.series, options.modules, options.user = series, modules, user;
			prosody = server.start(options);
		end

		it("a partition of root's is not replaced: entries wait, and one line names it", function ()
			start();
			audit(prosody, 20);
			flush(prosody);
			assert.equal(20, (shown(prosody))["thing-happened"]);
			local lists = driver_files(prosody, ".list");
			-- While it runs, and when it is started.
			for round = 1, 2 do
				chown("root", lists);
				process.run("chmod 644 "..process.quote_all(lists));
				local before = #refusals(prosody);
				if round == 2 then prosody:restart(); end
				audit(prosody, 1, "late-thing");
				for _ = 1, 3 do flush(prosody); end
				assert.equal(before + 1, #refusals(prosody), table.concat(refusals(prosody), "\n"));
				local line = refusals(prosody)[before + 1];
				assert.is_truthy(line:find(".list belongs to root (mode 0644) and can't be written by nobody", 1, true), line);
				assert.is_true(state(prosody).waiting > 0);
				assert.equal(#refusals(prosody), #errors(prosody), "nobody else complains");
				assert.same({ 20, round }, { (shown(prosody))["thing-happened"], (shown(prosody))["late-thing"] });
				chown(user, lists);
				flush(prosody);
				assert.equal(0, state(prosody).waiting);
				assert.same({ 20, round }, { (shown(prosody))["thing-happened"], (shown(prosody))["late-thing"] });
			end
		end);

		it("a partition that only root can read is named in one line, too", function ()
			start();
			audit(prosody, 20);
			flush(prosody);
			local lists = driver_files(prosody, ".list");
			chown("root", lists);
			process.run("chmod 600 "..process.quote_all(lists));
			prosody:restart();
			audit(prosody, 1, "late-thing");
			for _ = 1, 3 do flush(prosody); end
			assert.equal(1, #errors(prosody), table.concat(errors(prosody), "\n"));
			assert.is_truthy(errors(prosody)[1]:find(".list belongs to root (mode 0600) and can't be read by nobody", 1, true), errors(prosody)[1]);
			local status, _, err = prosody:ctl({ user = user }, "mod_audit", host);
			assert.equal(1, status);
			assert.is_truthy(err:find("belongs to root", 1, true), err);
			chown(user, lists);
			flush(prosody);
			assert.same({ 20, 1 }, { (shown(prosody))["thing-happened"], (shown(prosody))["late-thing"] });
		end);

		it("files of a server that root once started belong to its user", function ()
			local class = { types = { "thing-*" }, ips = "hash" };
			start { modules = { "audit", "audit_auth", "audit_status" }, config = { audit_log_classes = { hashed = class } } };
			prosody:stop();
			process.run("rm -rf "..process.quote(prosody.data.."/"..encoded_host));
			prosody:start { user = false };
			audit(prosody, 5);
			flush(prosody);
			audit(prosody, 5);
			prosody:kill();
			chown(user, { prosody.folder.."/prosody.pid", prosody.log_file });
			local found = {};
			for path in foreign(prosody, user):gmatch("[^\n]+") do
				-- What other modules keep is not ours to give.
				if path:find("/audit[^_]") then table.insert(found, path); end
			end
			assert.same({}, found);
			prosody:start { user = user };
			audit(prosody, 5);
			flush(prosody);
			assert.same({ 0, {} }, { state(prosody).waiting, refusals(prosody) });
			assert.equal(15, (shown(prosody))["thing-happened"]);
		end);

		it("an index of root's is made again", function ()
			start();
			audit(prosody, 20);
			flush(prosody);
			local files = driver_files(prosody, ".lidx");
			if #files > 0 then
				chown("root", files);
				process.run("chmod 600 "..process.quote_all(files));
			end
			audit(prosody, 5, "late-thing");
			flush(prosody);
			audit(prosody, 5, "late-thing");
			flush(prosody);
			assert.same({ 0, {} }, { state(prosody).waiting, refusals(prosody) });
			assert.same({ 20, 10 }, { (shown(prosody))["thing-happened"], (shown(prosody))["late-thing"] });
		end);

		it("a folder of root is named in the log, and its contents stay", function ()
			start();
			prosody:eval("return 1");
			local folder = prosody.data.."/"..encoded_host.."/audit";
			process.run("mkdir -p "..process.quote(folder).." && chmod 755 "..process.quote(folder));
			chown("root", { folder });
			audit(prosody, 5);
			for _ = 1, 3 do flush(prosody); end
			assert.equal(1, #errors(prosody), table.concat(errors(prosody), "\n"));
			assert.is_truthy(errors(prosody)[1]:find(folder.." belongs to root (mode 0755) and can't be written by nobody", 1, true), errors(prosody)[1]);
			chown(user, { folder });
			flush(prosody);
			assert.equal(5, (shown(prosody))["thing-happened"]);
		end);

		it("files that prosodyctl makes as root belong to the server's user", function ()
			start { config = { audit_log_classes = {
				hashed = { types = { "thing-*" }, ips = "hash" };
				cut = { types = { "old-*" }, ips_expire_after = "1d" };
			} } };
			audit(prosody, 5);
			flush(prosody);
			-- Of some days ago, and of other modules.
			local days_ago = os.date("!%Y-%m-%d", os.time() - 3 * 86400);
			append_as_others(prosody, "@cut."..days_ago, 20, "old-thing", os.time() - 3 * 86400);
			append_as_others(prosody, nil, 20, "older-thing", os.time() - 86400);
			prosody:stop();
			assert.equal("", foreign(prosody, user));
			for _, file in ipairs(driver_files(prosody, ".lidx")) do os.remove(file); end
			local status, _, err = prosody:ctl("mod_audit", host);
			assert.equal(0, status, err);
			assert.equal("", foreign(prosody, user));
			local out;
			status, out, err = prosody:ctl("mod_audit", "--prune", host);
			assert.equal(0, status, err);
			assert.is_truthy(out:find("cut the addresses in 20 entries", 1, true) and out:find("moved 20 entries", 1, true), out);
			assert.equal("", foreign(prosody, user));
			assert.equal(0, (prosody:ctl("mod_audit", "--new-key", host)));
			assert.equal("", foreign(prosody, user));
			-- On a new machine prosodyctl may come first.
			process.run("rm -rf "..process.quote(prosody.data.."/"..encoded_host));
			assert.equal(0, (prosody:ctl("mod_audit", "--prune", host)));
			assert.equal(0, (prosody:ctl("mod_audit", host)));
			assert.equal("", foreign(prosody, user));
			prosody:start();
			audit(prosody, 5);
			flush(prosody);
			assert.same({ 0, {} }, { state(prosody).waiting, errors(prosody) });
			assert.equal(5, (shown(prosody))["thing-happened"]);
			prosody:stop();
			assert.equal("", foreign(prosody, user));
		end);
	end);

	it("the folder of the host is moved away and back: one line, and nothing is lost", function ()
		prosody = server.start { series = series, modules = modules };
		audit(prosody, 5);
		flush(prosody);
		local folder = prosody.data.."/"..encoded_host;
		process.run(("mv %s %s"):format(process.quote(folder), process.quote(folder..".away")));
		-- For the length of a slice, files that were looked at are believed to be there.
		require "socket".sleep(0.05);
		local before = #errors(prosody);
		audit(prosody, 20, "late-thing");
		for _ = 1, 5 do flush(prosody); audit(prosody, 1, "late-thing"); end
		assert.equal(before + 1, #errors(prosody), table.concat(errors(prosody), "\n"));
		process.run(("rm -rf %s && mv %s %s"):format(process.quote(folder), process.quote(folder..".away"), process.quote(folder)));
		flush(prosody);
		assert.equal(0, state(prosody).waiting);
		assert.same({ 5, 25 }, { (shown(prosody))["thing-happened"], (shown(prosody))["late-thing"] });
	end);
end);

-- Prosody 13 keeps an index beside each list. 0.12 does not know it.
describe("one data folder, written by Prosody 13, 0.12 and 13 again,", function ()
	for _, series in ipairs(server.all_series) do
		if series ~= "0.12" then
			for _, way in ipairs { "by this module", "by others" } do
				for _, layout in ipairs { "partitions", "single" } do
					it(("with Prosody %s, %s, in the layout %s: every entry is read"):format(series, way, layout), function ()
						local here, why = server.available(series);
						if not here or not server.available("0.12") then return pending(why or "0.12 is not here"); end
						local config = { audit_log_layout = layout ~= "partitions" and layout or nil };
						local prosody = server.start { series = series, modules = modules, config = config };
						local ok, err = pcall(function ()
							audit(prosody, 10, "first-thing");
							flush(prosody);
							assert.same({ ["first-thing"] = 10 }, only(shown(prosody), "%-thing$"));
							local user = prosody:eval("for user in module:context(...):open_store('audit', 'archive'):users() do return user; end", host);
							prosody:change_series("0.12");
							if way == "by this module" then
								audit(prosody, 10, "second-thing");
								flush(prosody);
							else
								append_as_others(prosody, layout ~= "single" and user or nil, 10, "second-thing");
							end
							prosody:stop();
							-- What reads first is prosodyctl, then the server. The second time it appends first.
							prosody:change_series(series, true);
							assert.same({ ["first-thing"] = 10, ["second-thing"] = 10 }, only(shown(prosody), "%-thing$"));
							prosody:start();
							audit(prosody, 10, "third-thing");
							flush(prosody);
							local all = { ["first-thing"] = 10, ["second-thing"] = 10, ["third-thing"] = 10 };
							assert.same(all, only(shown(prosody), "%-thing$"));
							prosody:change_series("0.12");
							append_as_others(prosody, layout ~= "single" and user or nil, 10, "fourth-thing");
							prosody:change_series(series);
							audit(prosody, 10, "fifth-thing");
							flush(prosody);
							all["fourth-thing"], all["fifth-thing"] = 10, 10;
							assert.same(all, only(shown(prosody), "%-thing$"));
							assert.same({}, errors(prosody));
						end);
						prosody:stop();
						assert(ok, err);
					end);
				end
			end
		end
	end
end);

-- 13.0.6 changed the format of the index.
it("one data folder, written by Prosody 13.0.1, the newest 13.0.x and 13.0.1 again: every entry is read", function ()
	local newest, why = server.available("13.0-newest");
	if not newest or not server.available("13.0") then return pending(why or "13.0.1 is not here"); end
	local prosody = server.start { series = "13.0", modules = modules };
	local ok, err = pcall(function ()
		local all = {};
		for i, series in ipairs { "13.0", "13.0-newest", "13.0" } do
			if i > 1 then
				prosody:change_series(series, true);
				assert.same(all, only(shown(prosody), "%-thing$")); -- by prosodyctl, before the server
				prosody:start();
			end
			all["time-"..i.."-thing"] = 10;
			audit(prosody, 10, "time-"..i.."-thing");
			flush(prosody);
			assert.same(all, only(shown(prosody), "%-thing$"));
		end
		assert.same({}, errors(prosody));
	end);
	prosody:stop();
	assert(ok, err);
end);

-- After a loss of power a file may end in the middle of an entry.
server.each_series(describe, pending, function (series)
	for name, damage in pairs {
		["is cut short"] = function (text) return text:sub(1, -20); end;
		["ends with zeros"] = function (text) return text:sub(1, -20)..("\0"):rep(19); end;
		["has a damaged entry"] = function (text) return (text:gsub('"thing%-happened"', '"thing\nhappened"', 1)); end;
	} do
		it("a file of the embedded driver that "..name.." keeps no entry from being stored", function ()
			local prosody = server.start { series = series, modules = modules };
			local ok, err = pcall(function ()
				audit(prosody, 20, "thing-happened");
				flush(prosody);
				local path = prosody:eval([[return require "util.datamanager".getpath("@events."..os.date("!%Y-%m-%d"), ..., "audit", "list")]], host);
				prosody:stop();
				local text = damage(process.read(path));
				process.write(path, text);
				prosody:start();
				audit(prosody, 5, "late-thing");
				flush(prosody);
				assert.equal(0, state(prosody).waiting);
				assert.equal(text, process.read(path));
				local lines = select(2, prosody:log():gsub("A file with stored audit events of "..host.." is damaged, and new ones go to another one: ", ""));
				assert.equal(1, lines);
				if series ~= "0.12" then
					local status, out, problem = prosody:ctl("mod_audit", "--columns=event", "--type=*-thing,thing-*", host);
					assert.equal(1, status);
					assert.same({ 5, 19 }, { (select(2, out:gsub("late%-thing", ""))), (select(2, out:gsub("thing%-happened", ""))) });
					assert.matches("^1 entry is damaged and is not shown: @events%.", problem);
				end
				-- Another start goes on behind the new entries.
				prosody:stop();
				prosody:start();
				audit(prosody, 5, "later-thing");
				flush(prosody);
				assert.equal(0, state(prosody).waiting);
			end);
			prosody:stop();
			assert(ok, err);
		end);
	end
end);
