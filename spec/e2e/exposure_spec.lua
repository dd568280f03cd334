-- Other users of the machine do not read the log: its own files are for Prosody's user only, whatever the umask is. If the storage
-- driver's files are open to others, a line at the start says so.

local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local quote = process.quote;

server.each_series(describe, pending, function (series)
	for _, storage in ipairs { "internal", "sqlite" } do
		it("files of the log with umask 0, on "..storage, function ()
			if not require "audit_core".others_can_read(process.target) then
				return pending("the folder of this checkout is closed to others");
			end
			local prosody = server.start {
				series = series; storage = storage; modules = { "audit", "audit_auth", "audit_status" };
				config = { audit_log_classes = { events = { ips = "hash" } } };
			};
			local done <close> = setmetatable({}, { __close = function () prosody:stop(); end }); -- luacheck: ignore 211
			prosody:stop();
			-- The test's own folder is closed to others.
			process.run(("chmod o+x %s && rm -rf %s && mkdir -m 755 %s"):format(quote(prosody.folder), quote(prosody.data), quote(prosody.data)));
			prosody:start { prefix = "umask 0" };
			prosody:eval([[
				module:context(...):audit(nil, "test-event", { session = { ip = "203.0.113.80" } });
				flush_audit_log();
			]], host);
			prosody:stop();
			local _, own = process.capture { "find", prosody.data, "-name", "audit.*", "-not", "-name", "audit.l[id]*" };
			for _, name in ipairs { "journal", "losses", "clock", "key", "lock" } do
				assert.is_truthy(own:find("/audit."..name, 1, true), name.." is not in\n"..own);
			end
			local _, open = process.capture {
				"find", prosody.data, "(", "-name", "audit.*", "-o", "-name", "audit", ")", "-not", "-name", "audit.l[id]*", "-perm", "/007" };
			assert.equal("", open);

			-- How often the next start says so, and what.
			local function told()
				local before = #prosody:log();
				prosody:start {};
				prosody:eval("return true"); -- all that is done at the start is done
				prosody:stop();
				local text = prosody:log():sub(before + 1);
				local found = {};
				for line in text:gmatch("All users of this machine can read the audit log, such as [^\n]*") do table.insert(found, line); end
				return #found, found[1];
			end
			prosody.options.prefix = nil;
			process.run("chmod -R o-rwx "..quote(prosody.data));
			assert.equal(0, (told()));
			process.run("chmod -R o+rX "..quote(prosody.data));
			local count, line = told();
			assert.equal(1, count);
			assert.matches("chmod o%-rwx "..prosody.data:gsub("%p", "%%%0").."$", line);
			-- The command in it helps.
			process.run(line:match("chmod .*$"));
			assert.equal(0, (told()));
		end);
	end
end);
