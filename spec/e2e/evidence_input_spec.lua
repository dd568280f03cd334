-- What an operator types or has wrongly: seal keys, seal files, anchors, names of persons. Each leads to one clear line and a status, and
-- nothing is half done. The rest of what can be wrong with a request is in evidence_spec.lua and seals_spec.lua.

local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	local prosody;

	before_each(function ()
		prosody = server.start { series = series; modules = { "audit", "audit_auth" } };
		prosody:eval([[
			local host = ...;
			for i = 1, 3 do module:context(host):audit("romeo@"..host, "thing-happened", { session = { ip = "203.0.113."..i } }); end
		]], host);
	end);
	after_each(server.stop_all);

	local function new_seal()
		local status, out, err = prosody:ctl("mod_audit", "--new-seal");
		assert.equal(0, status, out..err);
		return out:match("audit%-seal%-%S+");
	end

	-- Runs the command, which says one line to standard error, and nothing else.
	local function says(expected_status, text, options, ...)
		local status, out, err = prosody:ctl(options, "mod_audit", ...);
		assert.equal(expected_status, status, out..err);
		assert.equal("", out);
		assert.is_truthy(err:find(text, 1, true), err);
		assert.equal(1, select(2, err:gsub("\n", "")), err);
	end

	local function verify(key)
		return prosody:ctl({ stdin = key }, "mod_audit", "--verify", "--seal-key", host);
	end

	it("is a seal key that was cut, mistyped or is of another server", function ()
		local key = new_seal();
		local other = key:sub(-2, -2) == "A" and "B" or "A";
		local last = key:match("^(.*).$");
		for _, wrong in ipairs { last, key.."A", key:sub(1, 30), key:sub(2), (key:gsub(".(.)$", other.."%1")), (key:gsub("%-(%w)", "-%1%1", 2)) } do
			if wrong ~= key then
				says(2, "--seal-key: that is no seal key", { stdin = wrong }, "--verify", "--seal-key", host);
			end
		end
		says(1, "the seal key is of another server", { stdin = "audit-seal-BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwdKFjYg" },
			"--verify", "--seal-key", host);
		-- It is never an argument.
		says(2, "--seal-key takes no value", {}, "--verify", "--seal-key="..key, host);
		local status, out, err = verify(key);
		assert.equal(0, status, out..err);
	end);

	it("is a seal file that is missing, damaged or can't be read", function ()
		local key, path = new_seal(), prosody.data.."/audit.seal";
		prosody:stop();
		local content = process.read(path);
		os.remove(path);
		local status, out, err = verify(key);
		assert.same({ 3, "" }, { status, err });
		assert.is_truthy(out:find("the seal file is missing", 1, true), out);
		-- Not a file at all: root could read one that is protected.
		process.run("mkdir "..process.quote(path));
		says(1, "audit.seal: not a file", { stdin = key }, "--verify", "--seal-key", host);
		prosody:start { expected = { "can't be sealed" } };
		assert.equal(1, #prosody:lines_with("The audit log can't be sealed: "..path..": not a file"), prosody:log():sub(-2000));
		prosody:stop();
		process.run("rmdir "..process.quote(path));
		for _, damaged in ipairs { "", content:sub(1, 40), ("x"):rep(#content), (content:gsub("^PASeal1", "PASeal9")) } do
			process.write(path, damaged);
			says(1, "audit.seal holds no seal key", { stdin = key }, "--verify", "--seal-key", host);
		end
		process.write(path, content);
		status, out, err = verify(key);
		assert.equal(0, status, out..err);
	end);

	it("is an anchor of an entry that is not recorded yet, of another log, or none", function ()
		local status, out, err = prosody:ctl("mod_audit", "--anchors", host);
		assert.equal(0, status, err);
		local path = prosody.folder.."/anchors.txt";
		local function compare(text)
			process.write(path, text);
			return prosody:ctl("mod_audit", "--verify", "--anchor", path, host);
		end
		status, out, err = compare((out:gsub(":(%d+):", function (n) return (":%d:"):format(n + 1000); end)));
		assert.equal(3, status, out..err);
		assert.is_truthy(out:find("rolled back: an anchor was kept of it", 1, true), out);
		assert.equal("", err);
		for _, none in ipairs { "", "audit-ancho:x\n", "no anchor\n" } do
			process.write(path, none);
			says(2, "there is no anchor in it", {}, "--verify", "--anchor", path, host);
		end
		says(2, "No such file", {}, "--verify", "--anchor", path..".not", host);
	end);

	it("is somebody who does not exist, or a pattern", function ()
		local function stored()
			local _, text = process.capture { "sh", "-c", "cd "..process.quote(prosody.data).." && find . -name '*.list' -path '*audit*' | sort | xargs cat" };
			return text;
		end
		prosody:eval("flush_audit_log()");
		local before = stored();
		says(0, "none of them tells of nobody@"..host, {}, "--erase", "nobody@"..host, "--yes");
		says(0, "No audit events found.", {}, "--person", "nobody@"..host);
		for _, name in ipairs { "*", "*@"..host, "rom*@"..host, "romeo@*", host, "romeo@"..host.."/phone", "@", "" } do
			for _, action in ipairs { "--erase", "--person" } do
				local status, out, err = prosody:ctl("mod_audit", action, name, "--yes");
				assert.equal(2, status, name..": "..out..err);
				assert.equal(1, select(2, err:gsub("\n", "")), err);
			end
		end
		-- Without a terminal and without --yes, nothing is done.
		says(2, "Nothing was erased: standard input is no terminal", { stdin = "y\n" }, "--erase", "romeo@"..host);
		prosody:eval("flush_audit_log()");
		assert.equal(before, stored():sub(1, #before));
		assert.equal("", select(2, process.capture { "find", prosody.data, "-name", "audit.erasure-*" }));
	end);
end);
