-- What `make install` installs, and that Debian's Prosody finds it without configured paths.

local lfs = require "lfs";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;
local destination = process.new_folder("install");

local function make(...)
	local status, out, err = process.capture({ "make", "-s", "-C", process.root, ... }, { timeout = 600 });
	assert(status == 0, out..err);
	return out;
end

-- Builds the library for another Lua. Without optimisation, which takes minutes and changes nothing about that.
local function build_for(version)
	return make("build", "LUA="..version, version ~= "5.4" and "PROFILE=dev" or nil);
end

local function installed()
	local files = {};
	local _, found = process.capture({ "sh", "-c", "cd \"$0\" && find . -type f | LC_ALL=C sort", destination });
	for path in found:gmatch("[^\n]+") do
		table.insert(files, path);
	end
	return files;
end

describe("make install", function ()
	setup(function () make("install", "DESTDIR="..destination); end);

	it("installs the modules, the library, the manual page and completions, and nothing else", function ()
		local expected = {
			"./usr/local/lib/lua/5.4/audit_core.so";
			"./usr/local/share/bash-completion/completions/prosodyctl.bash";
			"./usr/local/share/fish/vendor_completions.d/prosodyctl.fish";
			"./usr/local/share/man/man1/prosody-audit.1";
			"./usr/local/share/zsh/site-functions/_prosodyctl";
		};
		local _, sources = process.capture({ "sh", "-c", "cd \"$0\" && find . -name '*.lua'", process.root.."/lua" });
		for path in sources:gmatch("%./([^\n]+)") do
			table.insert(expected, "./usr/local/lib/prosody/modules/"..path);
		end
		table.sort(expected);
		assert.same(expected, installed());
	end);

	server.each_series(describe, pending, function (series)
		it("installs the modules where Debian's configuration finds them, and the library where Lua looks", function ()
			local shipped = process.read(process.target.."/prosody/"..series.."/etc/prosody/prosody.cfg.lua");
			assert.is_truthy(shipped:match("\nplugin_paths = {[^}]*\"/usr/local/lib/prosody/modules\""));
			local _, cpath = process.capture({ "lua5.4", "-e", "print(package.cpath)" }, { env = { LUA_CPATH = false, LUA_CPATH_5_4 = false } });
			assert.is_truthy(cpath:find("/usr/local/lib/lua/5.4/?.so", 1, true), cpath);
			local prosody = server.start {
				series = series; modules = { "audit", "audit_auth" };
				plugin_paths = { destination.."/usr/local/lib/prosody/modules" };
				cpath = destination.."/usr/local/lib/lua/5.4/?.so";
			};
			prosody:adduser("romeo@"..host, "secret");
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			-- Installing again makes new files: the library that the server has mapped stays as it is.
			local before = lfs.attributes(destination.."/usr/local/lib/lua/5.4/audit_core.so", "ino");
			make("install", "DESTDIR="..destination);
			assert.are_not.equal(before, lfs.attributes(destination.."/usr/local/lib/lua/5.4/audit_core.so", "ino"));
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			local status, out = prosody:ctl("mod_audit", host);
			assert.equal(0, status);
			assert.equal(2, (select(2, out:gsub("authentication%-success", ""))));
			prosody:stop();
		end);
	end);

	it("removes what older versions installed, which would be found first", function ()
		local folder = destination.."/usr/local/lib/prosody/modules/";
		local before = installed();
		for _, old in ipairs({ "audit.lib.lua", "audit_forms.lib.lua", "audit_readings.lib.lua", "audit/reading/gone.lib.lua" }) do
			process.write(folder..old, "error('an old library was loaded')");
		end
		make("install", "DESTDIR="..destination);
		assert.same(before, installed());
	end);

	it("takes another prefix", function ()
		make("install", "DESTDIR="..destination.."/other", "PREFIX=/opt/x");
		assert.is_truthy(lfs.attributes(destination.."/other/opt/x/lib/lua/5.4/audit_core.so", "mode"));
		assert.is_truthy(lfs.attributes(destination.."/other/opt/x/lib/prosody/modules/mod_audit.lua", "mode"));
		process.run("rm -r "..process.quote(destination.."/other"));
	end);

	it("is undone by make uninstall", function ()
		local said = make("uninstall", "DESTDIR="..destination);
		assert.same({}, installed());
		assert.is_truthy(said:find("the recorded entries stay in Prosody's data, and your configuration is unchanged", 1, true), said);
		assert.is_truthy(said:find("remove the lines with audit modules from modules_enabled", 1, true), said);
	end);
end);

describe("the library", function ()
	if process.capture({ "sh", "-c", "test -n \"$CARGO\" || command -v cargo || test -x ~/.cargo/bin/cargo" }) ~= 0 then
		pending("is found wherever cargo puts it: cargo is not here");
		return;
	end

	-- The other folder begins as a copy of links, so that nothing is compiled again. The library is not put where other specs, which run
	-- at the same time, take it from.
	local elsewhere = process.new_folder("elsewhere");
	local library = elsewhere.."/put/audit_core.so";

	local function built_elsewhere(environment)
		local function times()
			return { lfs.attributes(process.target.."/release/libaudit_core.so", "modification"),
				lfs.attributes(process.target.."/lua5.4/audit_core.so", "modification") };
		end
		local before = times();
		process.run(("rm -rf %s/release && cp -al %s/release %s/ && rm -f %s"):format(
			process.quote(elsewhere), process.quote(process.target), process.quote(elsewhere), process.quote(library)));
		local status, out, err = process.capture({ "make", "-s", "-C", process.root, "build", "LUA=5.4", "built="..library },
			{ env = environment, timeout = 900 });
		assert.same({ 0, "" }, { status, out }, err);
		assert.is_truthy(process.read(process.target.."/build-lua54.json"):find(elsewhere.."/release/libaudit_core.so", 1, true));
		assert.equal("file", lfs.attributes(library, "mode"));
		assert.same(before, times());
	end

	setup(function () make("build", "LUA=5.4"); end);

	it("is found where CARGO_TARGET_DIR is set", function ()
		built_elsewhere({ CARGO_TARGET_DIR = elsewhere });
	end);

	it("is found where cargo's configuration has build.target-dir", function ()
		-- A variable is how cargo takes its configuration from the environment.
		built_elsewhere({ CARGO_TARGET_DIR = false; CARGO_BUILD_TARGET_DIR = elsewhere });
	end);
end);

describe("the library builds for", function ()
	if process.capture({ "sh", "-c", "test -n \"$CARGO\" || command -v cargo || test -x ~/.cargo/bin/cargo" }) ~= 0 then
		pending("other Luas: cargo is not here");
		return;
	end

	-- Each takes a minute or two to build. make lint checks that it can be built for all of them.
	for _, version in ipairs(os.getenv("AUDIT_TEST_ALL") and { "5.2", "5.3", "5.4", "luajit" } or { "5.3", "5.4" }) do
		it("Lua "..version, function ()
			build_for(version);
			local interpreter = version == "luajit" and "luajit" or "lua"..version;
			local folder = version == "luajit" and "luajit" or "lua"..version;
			if process.capture({ "sh", "-c", "command -v "..interpreter }) ~= 0 then
				return pending("loading the library into "..interpreter..": it is not installed");
			end
			local status, out, err = process.capture({ interpreter, "-e", ([[
				package.cpath = %q
				local core = require "audit_core"
				print(core.period("2 weeks"), core.command({ "example.com" }, 0).host)
			]]):format(process.target.."/"..folder.."/?.so") });
			assert.same({ 0, "" }, { status, err });
			assert.is_truthy(out:find("^1209600%.?0?\texample.com\n$"), out);
		end);
	end

	server.each_series(describe, pending, function (series)
		it("another Lua than Prosody's, which the log says in one line", function ()
			build_for("5.3");
			local folder = process.new_folder("modules");
			process.run(("cp -r lua/. %s && install -m 644 target/lua5.3/audit_core.so %s"):format(process.quote(folder), process.quote(folder)));
			local prosody = server.start { series = series; modules = { "audit", "audit_auth" }; plugin_paths = { folder }; library = "beside" };
			prosody:adduser("romeo@"..host, "secret");
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			local told = prosody:log():match("[^\n]*the library audit_core can't be used by Lua 5.4: [^\n]*");
			assert.is_truthy(told and told:find("make install LUA=5.4", 1, true), told);
			prosody:stop();
		end);
	end);
end);
