-- What the other end-to-end specs are based on: real servers of each series
-- on each store, without our modules.

local client = require "support.client";
local dump = require "support.dump";
local lfs = require "lfs";
local postgres = require "support.postgres";
local process = require "support.process";
local raw_client = require "support.raw_client";
local releases = require "support.releases";
local server = require "support.server";

local jid = "romeo@example.test";

local function process_exists(pid)
	local stat = process.read("/proc/"..pid.."/stat");
	return stat ~= nil and not stat:match("^%d+ %b() Z");
end

server.each_series(describe, pending, function (series)
	for _, store in ipairs(server.stores) do
		describe("with the store "..store, function ()
			if store == "postgresql" and not postgres.available() then
				pending((select(2, postgres.available())));
				return;
			end

			local prosody;

			setup(function ()
				prosody = server.start { series = series; storage = store };
			end);

			teardown(function ()
				prosody:stop();
			end);

			it("is the series that was asked for", function ()
				local version = prosody:eval("return prosody.version");
				if series == "trunk" then
					-- The name of a revision, or of a release that was checked out.
					local built = process.read(releases.folder.."/trunk/usr/lib/prosody/prosody.version"):match("%S+");
					assert.is_truthy(version:find(built, 1, true), version);
					return;
				end
				assert.equal(releases.number(series), releases.number(version));
				assert.equal(version, releases.title(series):match("^%S+"));
			end);

			it("keeps accounts in that store", function ()
				local driver = prosody:eval([[
					return require "core.storagemanager".get_driver("example.test", "accounts", "keyval").name;
				]]);
				local expected = (store == "sqlite" or store == "postgresql") and "sql" or store;
				assert.equal(expected, driver);
			end);

			it("lets a client register, log in and log in again after a change of password", function ()
				assert.same({ ok = true, jid = jid }, client.register(prosody, jid, "secret"));
				assert.equal("conflict", client.register(prosody, jid, "secret").condition);
				assert.is_true(client.login(prosody, jid, "secret").ok);
				assert.same({ ok = true }, client.change_password(prosody, jid, "secret", "another"));
				assert.is_true(client.login(prosody, jid, "another").ok);
			end);

			it("refuses a wrong password and an unknown name", function ()
				for _, account in ipairs { jid, "mercutio@example.test" } do
					local result = client.login(prosody, account, "guess");
					assert.is_false(result.ok);
					assert.equal("not-authorized", result.condition);
				end
			end);

			it("has its accounts in the admin shell", function ()
				local status, output = prosody:shell('user:list("example.test")');
				assert.equal(0, status);
				assert.truthy(output:find(jid, 1, true));
			end);

			it("takes accounts from the specs, and deletes them in-band", function ()
				prosody:adduser("juliet@example.test", "secret");
				assert.is_true(client.login(prosody, "juliet@example.test", "secret").ok);
				assert.same({ ok = true }, client.delete_account(prosody, "juliet@example.test", "secret"));
				assert.equal("not-authorized", client.login(prosody, "juliet@example.test", "secret").condition);
			end);

			it("keeps accounts over a restart, but in memory", function ()
				prosody:adduser("benvolio@example.test", "secret");
				local first = prosody.pid;
				prosody:restart();
				assert.not_equal(first, prosody.pid);
				assert.equal(store ~= "memory", client.login(prosody, "benvolio@example.test", "secret").ok);
			end);

			it("is gone after a stop", function ()
				local pid = prosody.pid;
				assert.is_true(process_exists(pid));
				assert.is_true(prosody:stop());
				assert.is_false(process_exists(pid));
				assert.is_false(prosody:alive());
				assert.equal("connection-failed", client.login(prosody, jid, "another").condition);
				prosody:start();
			end);
		end);
	end

	describe("a server of the specs", function ()
		it("comes up again after it was killed", function ()
			local prosody = server.start { series = series };
			prosody:adduser(jid, "secret");
			prosody:kill();
			assert.is_false(process_exists(prosody.pid));
			prosody:start();
			assert.is_true(client.login(prosody, jid, "secret").ok);
			prosody:stop();
		end);

		it("reads new options on reload", function ()
			local prosody = server.start { series = series; config = { color = "green" } };
			local read = 'return module:context("example.test"):get_option_string("color")';
			assert.equal("green", prosody:eval(read));
			prosody:reload { config = { color = "red" } };
			assert.equal("red", prosody:eval(read));
			prosody:stop();
		end);

		it("says why it does not come up", function ()
			local prosody, why = server.try_start { series = series; config = "this is no configuration" };
			assert.is_nil(prosody);
			assert.truthy(why:find("ended while starting", 1, true));
			assert.truthy(why:find("prosody.cfg.lua", 1, true));
		end);

		it("returns an error of the code that it runs", function ()
			local prosody = server.start { series = series };
			assert.error_matches(function () prosody:eval("error('no such luck')"); end, "no such luck");
			assert.same({ 1, nil, "<x>&lt;</x>", n = 3 },
				table.pack(prosody:eval("return 1, nil, require 'util.stanza'.stanza('x'):text(...)", "<")));
			prosody:stop();
		end);

		it("has its files below its data folder", function ()
			local prosody = server.start { series = series; files = { ["given/place.txt"] = "here" } };
			assert.equal("here", process.read(prosody.data.."/given/place.txt"));
			local status, output = prosody:ctl("about");
			assert.equal(0, status);
			assert.truthy(output:find("Data directory:     "..prosody.data, 1, true));
			assert.truthy(output:find(process.root.."/lua", 1, true));
			prosody:stop();
		end);

		it("runs behind a shell's limits", function ()
			local prosody = server.start { series = series; prefix = "ulimit -n 200" };
			assert.truthy(process.read("/proc/"..prosody.pid.."/limits"):find("Max open files%s+200 "));
			prosody:stop();
		end);

		it("has hosts, components and community modules as asked", function ()
			if not lfs.attributes(server.community_modules(series), "mode") then
				pending("Prosody "..series..": its community modules are not here");
				return;
			end
			local prosody = server.start {
				series = series;
				hosts = { "a.test", "b.test" };
				components = { ["rooms.a.test"] = "muc" };
				host_config = { ["b.test"] = { modules_enabled = { "lastlog" } } };
				community = { "lastlog" };
			};
			assert.same({ false, true, true }, { prosody:eval([[
				local mm = require "core.modulemanager";
				local function loaded(host, name) return mm.is_loaded(host, name) == true; end
				return loaded("a.test", "lastlog"), loaded("b.test", "lastlog"), loaded("rooms.a.test", "muc");
			]]) });
			prosody:adduser("romeo@b.test", "secret");
			assert.is_true(client.login(prosody, "romeo@b.test", "secret").ok);
			prosody:stop();
		end);

		it("does not outlive a test run that is killed", function ()
			local script = process.new_folder("orphan").."/run.lua";
			process.write(script, ([[
				package.path = %q.."/?.lua;"..package.path;
				local prosody = require "support.server".start { series = %q };
				io.stdout:write(prosody.pid, "\n");
				io.stdout:flush();
				os.execute("kill -KILL $PPID");
			]]):format(process.root.."/spec", series));
			local status, output = process.capture { "lua5.4", script };
			local pid = tonumber(output);
			assert.equal(137, status);
			assert.truthy(process.wait_until(function () return not process_exists(pid); end, 10));
		end);
	end);

	describe("a stream by hand", function ()
		local prosody;

		setup(function ()
			prosody = server.start { series = series };
			prosody:adduser(jid, "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		it("logs in by STARTTLS and by direct TLS, and not without", function ()
			assert.is_true(raw_client.login(prosody, "romeo", "secret"));
			assert.is_true(raw_client.login(prosody, "romeo", "secret", { tls = "direct" }));
			assert.same({ false, "encryption-required" }, { raw_client.login(prosody, "romeo", "secret", { tls = false }) });
		end);

		it("is answered whatever it sends, and logs in at last", function ()
			local stream = assert(raw_client.connect(prosody));
			local function condition(ok, name)
				assert.is_false(ok);
				return name;
			end
			assert.equal("incorrect-encoding", condition(stream:auth("PLAIN", "!!! not base64")));
			assert.equal("malformed-request", condition(stream:plain("", "")));
			assert.equal("malformed-request", condition(stream:plain(("x"):rep(3000), "secret")));
			assert.equal("malformed-request", condition(stream:plain("\255\254", "secret")));
			assert.equal("invalid-mechanism", condition(stream:auth("NONE")));
			assert.equal("not-authorized", condition(stream:plain("romeo", "guess")));
			assert.is_true(stream:plain("romeo", "secret"));
			assert.equal(jid.."/orchard", stream:bind("orchard"));
			stream:close();
		end);
	end);

	it("is started again with nothing left of the first attempt if a port was taken meanwhile", function ()
		local taken = assert(require "socket".bind("127.0.0.1", 0));
		local real, attempts = process.free_ports, 0;
		function process.free_ports(count)
			local ports = real(count);
			attempts = attempts + 1;
			if attempts == 1 then ports[1] = tonumber((select(2, taken:getsockname()))); end
			return ports;
		end
		local prosody, err = server.try_start { series = series; modules = { "audit", "audit_status" }; files = { ["note.txt"] = "kept" } };
		process.free_ports = real;
		taken:close();
		assert(prosody, err);
		local found, note = dump.types(dump.entries(prosody)), process.read(prosody.data.."/note.txt");
		prosody:stop();
		assert.same({ 2, "server-started", "kept" }, { attempts, found, note });
	end);
end);

describe("PostgreSQL of the specs", function ()
	if not postgres.available() then
		pending((select(2, postgres.available())));
		return;
	end

	it("keeps its data while it is stopped", function ()
		local pg = postgres.start();
		local database = pg:database();
		assert(pg:query("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (7)", database));
		local pid = pg.child.pid;
		assert.is_true(pg:stop());
		assert.is_false(process_exists(pid));
		assert.is_nil((pg:query("SELECT n FROM t", database)));
		pg:start();
		assert.equal("7", pg:query("SELECT n FROM t", database));
		pg:stop("immediate");
	end);
end);
