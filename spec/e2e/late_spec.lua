-- Reading entries that are not in order of time: those that were stored later than they happened, summaries, entries after the clock
-- was set back. And reading rows while they are removed.

local flood = require "support.flood";
local json = require "dkjson";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

local function ids(text)
	local found = {};
	for line in text:gmatch("[^\n]+") do
		local entry = json.decode(line);
		if entry and entry.type ~= "follow-probe" then found[entry.id] = (found[entry.id] or 0) + 1; end
	end
	return found;
end

-- Starts prosodyctl mod_audit --follow, and waits until it follows.
local function follow(prosody, ...)
	local child = process.start {
		folder = process.new_folder("follow");
		env = { LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false; TZ = "UTC" };
		command = { "lua5.4", prosody.program_folder.."/prosodyctl", "--config", prosody.config_file, "mod_audit", "--follow", "--format=json", host, ... };
	};
	local function is_shown()
		prosody:eval("module:context(...):audit(nil, 'follow-probe')", host);
		return child:output():find("follow-probe", 1, true);
	end
	assert(process.wait_until(is_shown, 20, 0.5), child:output());
	return child;
end

local function stop(child)
	child:signal("INT");
	assert.is_true(process.wait_until(function () return not child:alive(); end, 5) and true);
	local output = child:output();
	child:finish("KILL");
	return output;
end

server.each_series(describe, pending, function (series)
	for _, storage in ipairs { "internal", "sqlite" } do
		describe("reading "..storage, function ()
			local prosody;

			setup(function ()
				prosody = server.start {
					series = series; modules = { "audit", "audit_auth", "test_flood" }; log_level = "info";
					storage = { audit = storage == "sqlite" and "sql" or "internal" };
					config = { audit_log_flood = { window = "2s" }; sql = { driver = "SQLite3"; database = "audit.sqlite" }; authentication = "internal_plain" };
				};
			end);

			teardown(function ()
				if prosody then prosody:stop(); end
			end);

			it("finds what happened before a time, even if it was stored much later", function ()
				-- Within one day (UTC).
				local ago = math.min(7200, os.time() % 86400 - 5);
				if ago < 60 then
					pending("it is midnight");
					return;
				end
				prosody:eval([[
					local host, ago = ...;
					for i = 1, 80 do module:context(host):audit(nil, "filler-"..i); end
					assert(module:context(host):audit(nil, "stored-late", { timestamp = os.time() - ago }));
					for i = 81, 160 do module:context(host):audit(nil, "filler-"..i); end
					flush_audit_log();
				]], host, ago);
				for _, order in ipairs { "--oldest-first", "--limit=500" } do
					local _, out, err = prosody:ctl("mod_audit", host, "--format=json", "--until="..(ago // 2).."s", order);
					assert.is_truthy(out:find("stored-late", 1, true), err);
					assert.is_nil(out:find("filler", 1, true));
					_, out = prosody:ctl("mod_audit", host, "--format=json", "--since="..(ago // 2).."s", order);
					assert.is_nil(out:find("stored-late", 1, true));
					assert.is_truthy(out:find("filler-160", 1, true));
				end
			end);

			it("goes on behind a row that is removed meanwhile", function ()
				for _, order in ipairs { "--limit=1000", "--oldest-first" } do
					local shown, removed, problem = prosody:eval([[
						local host, order = ...;
						local core, log = require "audit_core", module:shared("/*/audit/log").log;
						for i = 1, 300 do assert(module:context(host):audit(nil, "row-"..i)); end
						flush_audit_log();
						local store, removed = log.stores[host], 0;
						local find = store.find;
						-- The last row of a page is gone when the next page is asked for.
						function store:find(user, query)
							local rows, err = find(self, user, query);
							if not rows or removed >= 3 or query.key then return rows, err; end
							local list, i = {}, 0;
							for key, item, when, with in rows do list[#list + 1] = { key, item, when, with }; end
							if #list > 0 and list[#list][2].attr.type:find("^row") then
								self:delete(user, { key = list[#list][1] });
								removed = removed + 1;
							end
							return function ()
								i = i + 1;
								if list[i] then return table.unpack(list[i]); end
							end
						end
						local asked = core.command({ "--type=row-*", order, host }, os.time()).asked;
						local cells, result = log.cells(asked, { "event" }, function () end);
						store.find = nil;
						local events = {};
						for _, cell in ipairs(cells) do events[cell[1] ] = true; end
						local count = 0;
						for _ in pairs(events) do count = count + 1; end
						store:delete("@events."..os.date("!%Y-%m-%d"));
						log.forget(host);
						return count, removed, result.problem or result.damaged > 0 and result.places;
					]], host, order);
					assert.same({ 300, 3 }, { shown, removed, problem or nil }, order);
				end
			end);

			it("follows summaries of floods and late entries, and shows each entry once", function ()
				local child = follow(prosody, "--type=authentication-failure,late-*,follow-probe");
				for round = 1, 3 do
					flood.listen(prosody);
					flood.start(prosody, 2000, 40 * round);
					prosody:eval([[
						local host, round = ...;
						module:context(host):audit(nil, "late-"..round, { timestamp = os.time() - 3600 });
					]], host, round);
					flood.calm(prosody);
				end
				-- What a server writes after its clock was set back by a day, and by two.
				prosody:eval([[
					local host = ...;
					local st, uuid = require "util.stanza", "01890a5d-ac96-774b-bcce-b302099a805";
					flush_audit_log();
					local store = module:shared("/*/audit/log").log.stores[host];
					for n = 1, 2 do
						local at = os.time() - n * 86400;
						store:append("@events."..os.date("!%Y-%m-%d", at), nil, st.stanza("audit-event", {
							source = "mod_x", type = "late-back", ["xmpp:prosody.im/audit\1id"] = uuid..n }), at, "@");
					end
				]], host);
				assert.is_truthy(process.wait_until(function () return select(2, child:output():gsub("late%-back", "")) == 2; end, 15), child:output());
				process.wait_until(function () return false; end, 2.5);
				local followed = ids(stop(child));
				local _, out = prosody:ctl("mod_audit", host, "--format=json", "--type=authentication-failure,late-*");
				local stored, summaries = ids(out), select(2, out:gsub('"repeated', ""));
				assert.is_true(summaries > 0);
				assert.same(stored, followed);
			end);
		end);
	end
end);
