-- Seals on real servers: how they are made, and that they verify. What they find is in attacks_on_seals_spec.lua.

local dump = require "support.dump";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	local prosody;

	local function start(options)
		options = options or {};
		options.series, options.modules = series, { "audit", "audit_auth", "audit_status" };
		prosody = server.start(options);
		prosody:adduser("romeo@"..host, "secret");
		return prosody;
	end

	local function new_seal(...)
		local status, out, err = prosody:ctl("mod_audit", "--new-seal", ...);
		assert.equal(0, status, out..err);
		local key = out:match("^(audit%-seal%-[%w_-]+)\n$");
		assert.is_string(key, out);
		return key;
	end

	local function verify(keys, ...)
		return prosody:ctl({ stdin = keys }, "mod_audit", "--verify", "--seal-key", ..., host);
	end

	local function is_intact(keys)
		local status, out, err = verify(keys);
		assert.equal(0, status, out..err);
		return tonumber(out:match("\nsealed: (%d+) seals? verified, the last one of %d%d%d%d%-"));
	end

	local function login()
		assert.is_true((raw.login(prosody, "romeo", "secret")));
	end

	local function restart()
		prosody:stop();
		prosody:start();
	end

	after_each(server.stop_all);

	for _, storage in ipairs { "internal", "native" } do
		it("are made at each stop and verify, also after a kill, in "..storage, function ()
			start { storage = storage };
			login();
			local key = new_seal();
			local first = is_intact(key);
			assert.equal(1, first);
			login();
			restart();
			assert.equal(2, is_intact(key));
			login();
			prosody:kill();
			prosody:start();
			login();
			restart();
			assert.equal(3, is_intact(key));
			-- The key is nowhere: not in Prosody's data, not in its log.
			local _, found = process.capture { "grep", "-rlF", key, prosody.data, prosody.folder };
			assert.equal("", found);
			local _, mode = process.capture { "stat", "-c", "%a", prosody.data.."/audit.seal" };
			assert.equal("600\n", mode);
		end);
	end

	it("are made while the server runs, with anchors in Prosody's log", function ()
		start();
		local key = new_seal();
		login();
		prosody:stop();
		prosody:start();
		login();
		process.wait_until(function ()
			local _, out = prosody:ctl("mod_audit", "--format=json", "--type=audit-sealed", host);
			return select(2, out:gsub("audit%-sealed", "")) >= 3;
		end, 30, 0.2);
		-- The first seal is that of --new-seal.
		assert.is_true(is_intact(key) >= 3);
		local status, out, err = prosody:ctl("mod_audit", "--verify", "--anchor", prosody.log_file, host);
		assert.equal(0, status, out..err);
		assert.is_truthy(out:find("\nanchors: %d+ entries compared"), out);
	end);

	it("go on with another key, while the server runs and while it does not", function ()
		start();
		login();
		local first = new_seal();
		local status, out, err = prosody:ctl("mod_audit", "--new-seal");
		assert.equal(2, status);
		assert.equal("", out);
		assert.equal("Nothing was changed: there is a seal key already, and standard input is no terminal that could be asked. "
			.."Use --yes to replace it\n", err);
		local second = new_seal("--yes");
		login();
		local replaced = dump.of_type(prosody, host, "audit-seal-replaced");
		assert.same({ 1, "admin-shell" }, { #replaced, replaced[1]:child("actor").attr.kind });
		assert.is_string(replaced[1]:child("seal").attr.proof);
		assert.equal(2, #dump.of_type(prosody, host, "audit-seal-created"));
		prosody:stop();
		local third = new_seal("--yes");
		prosody:start();
		login();
		prosody:stop();
		assert.is_true(is_intact(first.."\n"..second.."\n"..third) >= 5);
		status, out = verify(third);
		assert.equal(0, status, out);
		assert.is_truthy(out:find("\nnot verified: %d+ seals of a key that was not given"), out);
		status, out = prosody:ctl("mod_audit", "--format=json", "--type=audit-seal-*", host);
		assert.equal(0, status, out);
		assert.equal(5, select(2, out:gsub("audit%-seal%-%l+", "")), out);
	end);

	it("need the right key", function ()
		start();
		new_seal();
		for text, expected in pairs {
			[""] = { 2, "--seal-key: no seal key was given\n" };
			secret = { 2, "--seal-key: that is no seal key: one begins with \"audit-seal-\" and has 59 characters\n" };
			["audit-seal-"..("A"):rep(48)] = { 2, "--seal-key: that is no seal key: it was mistyped, or is not complete\n" };
			["audit-seal-BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwdKFjYg"] = { 1,
				"The audit log of "..host.." can't be verified: the seal key is of another server: none of the seals was made with it\n" };
		} do
			local status, out, err = verify(text);
			assert.same({ expected[1], "", expected[2] }, { status, out, err });
		end
		process.write(prosody.data.."/audit.seal", "damaged");
		local status, _, err = verify("audit-seal-"..("A"):rep(48));
		assert.equal(2, status, err);
	end);

	it("are made anew if the file is damaged, which the log says at the start", function ()
		start();
		local key = new_seal();
		login();
		prosody:stop();
		process.write(prosody.data.."/audit.seal", "damaged");
		prosody:start { expected = { "holds no seal key" } };
		local status, out, err = verify(key);
		assert.equal(1, status, out);
		assert.is_truthy(err:find("audit.seal holds no seal key: restore it, or begin anew with prosodyctl mod_audit --new-seal", 1, true), err);
		new_seal("--yes");
		status, out = verify(key);
		assert.equal(3, status, out);
	end);
end);
