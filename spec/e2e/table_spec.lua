-- The table in a terminal and in a file: one header, and columns of constant width.

local server = require "support.server";

local host = server.default_host;
local rome = "CET-1CEST,M3.5.0,M10.5.0/3";

server.each_series(describe, pending, function (series)
	describe("the table", function ()
		local prosody;

		lazy_setup(function ()
			prosody = server.start { series = series; modules = { "audit" }; config = { audit_log_expires_after = "never" } };
			-- An event an hour. Summer time ended on 25 October 2026 at 01:00 UTC. Those after it have no account and no address, but the
			-- last one has.
			prosody:eval([[
				local context = module:context(...);
				local ended = 1792890000;
				for i = -300, 900 do
					local extra = { timestamp = ended + i * 3600 };
					local user;
					if i < 0 or i == 900 then
						user, extra.session = "juliet-of-the-long-name@"..(...), { ip = "2001:db8:1:2:3:4:5:"..(i % 7 + 1) };
					end
					context:audit(user, i % 2 == 0 and "a-thing" or "another-thing-that-is-long", extra);
				end
				flush_audit_log();
				return true;
			]], host);
		end);

		lazy_teardown(function ()
			if prosody then prosody:stop(); end
		end);

		local function table_of(environment, ...)
			local status, out, err = prosody:ctl({ env = environment }, "mod_audit", host, ...);
			assert.equal(0, status, err);
			local lines = {};
			for line in out:gmatch("[^\n]+") do table.insert(lines, line); end
			return lines;
		end

		it("has one header, whatever comes later", function ()
			for _, arguments in ipairs { {}, { "--oldest-first" }, { "--limit=1200" }, { "--columns=time,ip,event" } } do
				for _, columns in ipairs { "80", "132", false } do
					local lines = table_of({ COLUMNS = columns or nil, TZ = rome }, "--type=*thing*", table.unpack(arguments));
					assert.is_true(#lines >= 1201, #lines);
					for i, line in ipairs(lines) do
						assert.equal(i == 1, line:find("TIME", 1, true) ~= nil, line);
						assert.is_true(not columns or #line:gsub("…", ".") <= tonumber(columns), line);
					end
				end
			end
		end);

		it("keeps its columns when the clock changes", function ()
			for _, arguments in ipairs { {}, { "--oldest-first" }, { "--limit=1100" }, { "--oldest-first", "--limit=310" } } do
				local lines = table_of({ COLUMNS = "160", TZ = rome }, "--type=*thing*", table.unpack(arguments));
				local at = lines[1]:find("EVENT", 1, true);
				local offsets = {};
				for i = 2, #lines do
					local begin = lines[i]:find("a%-thing") or lines[i]:find("another");
					assert.equal(at, begin, lines[1].."\n"..lines[i]);
					-- These events happened long before they were recorded, and say so.
					assert.matches("^%S+ %S+ ?[+:%d]*%* ", lines[i]);
					local offset = lines[i]:match("^%S+ %S+ ([+-][:%d]+)");
					offsets[offset or "none"] = (offsets[offset or "none"] or 0) + 1;
				end
				-- The hour that comes twice has different offsets.
				assert.is_truthy(offsets["+02:00"] or offsets["+01:00"], lines[1]);
			end
		end);

		it("cuts nothing if there is room", function ()
			local lines = table_of({ COLUMNS = "200", TZ = rome }, "--type=*thing*", "--no-show-location");
			local with_user = 0;
			for _, line in ipairs(lines) do
				if line:find("juliet-of-the-long-name@"..host, 1, true) and line:find("2001:db8:1:2:3:4:5:", 1, true) then
					with_user = with_user + 1;
				end
			end
			assert.equal(301, with_user);
		end);
	end);

	describe("flags that would be ignored", function ()
		it("are refused with one line", function ()
			local prosody = server.start { series = series; modules = { "audit" } };
			for _, case in ipairs {
				{ "--prune", "--since=2d" }, { "--prune", "--type=user-*", host }, { "--limit", "5", "--prune", host }, { "--prune", "--utc" };
				{ "--new-key", "--user", "juliet", host }, { "--events", "--class=failures", host }, { "--format=json", "--columns=ip", host };
				{ "--stats", "--columns=ip", host }, { "--stats", "--oldest-first", host }, { "--follow", "--since=2d", host };
				{ "--follow", "--oldest-first", host }, { "--report=x.html", "--no-show-ip", host };
			} do
				local status, out, err = prosody:ctl("mod_audit", table.unpack(case));
				local line = table.concat(case, " ");
				assert.same({ 2, "" }, { status, out }, line..err);
				assert.matches("^[^\n]*%-%-[^\n]* do not go together[^\n]*\n$", err, 1, line);
			end
			local key = io.open(prosody.data.."/"..host:gsub("%.", "%%2e").."/audit.key");
			assert.is_nil(key);
			local _, out, err = prosody:shell(('audit:prune("%s", "--since=2d")'):format(host));
			assert.is_truthy((out..err):find("This takes only a host", 1, true), out..err);
			prosody:stop();
		end);
	end);
end);
