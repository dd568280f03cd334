-- Starts, stops and crashes of real servers.

local dump = require "support.dump";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local modules = { "audit", "audit_status" };
local quick = { audit_status_heartbeat_interval = 1 };

server.each_series(describe, pending, function (series)
	for _, storage in ipairs { "internal", "sqlite" } do
		describe("mod_audit_status on "..storage, function ()
			local prosody;

			after_each(function ()
				prosody:stop();
			end);

			local function types()
				return dump.types(dump.entries(prosody));
			end

			it("tells a stop from a crash", function ()
				prosody = server.start { series = series, storage = storage, modules = modules, config = quick };
				assert.equal("server-started", types());
				prosody:restart();
				local entries = dump.entries(prosody);
				assert.equal("server-started server-stopped server-started", dump.types(entries));
				assert.equal("<note>Received SIGTERM</note>", entries[2]:line("note"));
				-- As readers of the modules before us look for it.
				assert.is_nil(entries[2]:child("note").attr.xmlns);
				for _, entry in ipairs(entries) do
					assert.is_nil(entry.user);
					assert.equal("@", entry.with);
				end

				socket.sleep(2.2); -- two heartbeats
				local killed = os.time();
				prosody:kill();
				socket.sleep(2);
				local started = os.time();
				prosody:start();
				entries = dump.entries(prosody);
				assert.equal("server-started server-stopped server-started server-crashed server-started", dump.types(entries));
				local crashed = entries[4];
				-- It happened when the server was last alive, and is appended now.
				assert.is_true(crashed.when >= started);
				assert.is_truthy(crashed.occurred);
				local last_alive = os.date("!%Y-%m-%dT%H:%M:%S", killed - 4);
				local last_possible = os.date("!%Y-%m-%dT%H:%M:%S", killed + 1);
				assert.is_true(crashed.occurred >= last_alive and crashed.occurred:sub(1, 19) <= last_possible, crashed.occurred);
				local previous = 0;
				for _, entry in ipairs(entries) do
					assert.is_true(entry.when >= previous);
					previous = entry.when;
				end
			end);
		end);
	end

	describe("mod_audit_status", function ()
		local prosody;

		after_each(function ()
			prosody:stop();
		end);

		local function types(host)
			return dump.types(dump.entries(prosody, host));
		end

		it("says why the shell stopped the server", function ()
			prosody = server.start { series = series, modules = modules };
			prosody:shell("server:shutdown('for a new disk')");
			assert.is_truthy(process.wait_until(function () return not prosody:alive(); end, 10));
			prosody:start();
			local entries = dump.entries(prosody);
			assert.equal("server-started server-stopped server-started", dump.types(entries));
			assert.equal("<note>for a new disk</note>", entries[2]:line("note"));
		end);

		it("takes neither a reload nor being loaded for a start, and knows a crash from then on", function ()
			prosody = server.start { series = series, modules = { "audit" } };
			assert.equal(0, (prosody:shell("module:load('audit_status', 'example.test')")));
			socket.sleep(0.5);
			assert.equal(0, (prosody:shell("module:reload('audit_status', 'example.test')")));
			assert.equal("", types());
			prosody:kill();
			prosody:start { modules = modules };
			assert.equal("server-crashed server-started", types());
		end);

		it("records on each host", function ()
			prosody = server.start { series = series, modules = modules, hosts = { "example.test", "example.org" } };
			assert.equal("server-started", types("example.test")); -- the answer comes after the start
			prosody:kill();
			prosody:start();
			assert.equal("server-started server-crashed server-started", types("example.test"));
			assert.equal("server-started server-crashed server-started", types("example.org"));
		end);

		it("does not take an unreadable status for a first start or a crash", function ()
			prosody = server.start { series = series, modules = modules, config = quick };
			assert.equal("server-started", types());
			prosody:kill();
			local file = process.capture({ "sh", "-c", "find "..process.quote(prosody.data).." -name 'audit_status.dat' | grep ." });
			assert.equal(0, file);
			process.run("find "..process.quote(prosody.data).." -name 'audit_status.dat' -exec sh -c 'echo \"return {\" >\"$1\"' - {} ';'");
			prosody:start();
			local entries = dump.entries(prosody);
			assert.equal("server-started server-started", dump.types(entries));
			assert.is_truthy(entries[2]:child("note"));
			assert.is_truthy(prosody:log():find("not known yet whether it crashed", 1, true));
			-- It can't be read at any heartbeat: it is damaged, and a new one is begun.
			assert.is_truthy(prosody:wait_log("still can't be read and is replaced", 60));
			assert.is_truthy(process.wait_until(function ()
				return process.first_line("find "..process.quote(prosody.data).." -name 'audit_status.dat' -exec grep -l heartbeat {} ';'");
			end, 60));
			prosody:kill();
			prosody:start();
			assert.equal("server-started server-started server-crashed server-started", types());
		end);

		it("starts, runs and stops without a working store", function ()
			prosody = server.start { series = series, modules = modules, storage = { audit = "internal", audit_status = "none" }, config = quick };
			socket.sleep(2.2);
			prosody:restart();
			assert.equal("server-started server-stopped server-started", types());
			prosody:kill();
			prosody:start();
			assert.equal("server-started server-stopped server-started server-started", types());
		end);
	end);
end);
