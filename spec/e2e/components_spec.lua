-- Components have the modules that their own section names, and some that they inherit: mod_admin_shell since 13.0.6. Ours are never
-- inherited, and an inherited one changes nothing of what is recorded.

local dump = require "support.dump";
local releases = require "support.releases";
local server = require "support.server";

local host, rooms, plain = server.default_host, "rooms.example.test", "plain.example.test";

server.each_series(describe, pending, function (series)
	describe("components", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series; modules = { "audit", "audit_admin", "audit_status" };
				components = {
					[rooms] = { module = "muc"; modules_enabled = { "audit", "audit_admin" } };
					[plain] = { module = "muc" };
				};
			};
		end);

		teardown(function () prosody:stop(); end);

		local function loaded(of_host)
			return prosody:eval([[
				local found = {};
				for name in pairs(prosody.hosts[...].modules) do
					if name == "admin_shell" or name:find("^audit") then table.insert(found, name); end
				end
				table.sort(found);
				return table.concat(found, " ");
			]], of_host);
		end

		it("have our modules only if their section names them", function ()
			local inherited = releases.is_since_patch(series, 6) and "admin_shell" or "";
			assert.equal(inherited, loaded(plain));
			assert.equal((inherited.." audit audit_admin"):gsub("^ ", ""), (loaded(rooms)));
			assert.same({}, dump.entries(prosody, plain));
		end);

		it("have each command of the shell recorded once", function ()
			assert.equal(0, (prosody:shell("host:list()")));
			for _, of_host in ipairs { host, rooms } do
				local entries = dump.of_type(prosody, of_host, "shell-command");
				assert.equal(1, #entries, of_host);
				assert.equal("host:list()", entries[1]:child("command").text);
			end
			assert.same({}, dump.entries(prosody, plain));
		end);

		it("are read like other hosts: by prosodyctl, by the shell, and by modules", function ()
			local status, out = prosody:ctl("mod_audit", "--type=shell-command", rooms);
			assert.equal(0, status);
			assert.is_truthy(out:find("host:list()", 1, true), out);
			status, out = prosody:shell(('audit:show("%s", "--type=shell-command")'):format(rooms));
			assert.equal(0, status);
			assert.is_truthy(out:find("host:list()", 1, true), out);
			local command, without = prosody:eval([[
				local rooms, plain = ...;
				local log = module:depends("audit").log;
				local entry = log(rooms):query { types = "shell-command", oldest_first = true }();
				return entry["command.text"], tostring(select(2, log(plain)));
			]], rooms, plain);
			assert.same({ "host:list()", "item-not-found" }, { command, without });
		end);
	end);
end);
