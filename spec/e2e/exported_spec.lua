-- Evidence that leaves the machine: --export-evidence, --verify --from where neither the host nor its store is, and --anchors. The verifier
-- in tests/verifier, which was written from the documents alone, finds the same.

local attacks = require "support.attacks";
local lfs = require "lfs";
local moving = require "support.moving";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host, other = server.default_host, "other.test";

server.each_series(describe, pending, function (series)
	local prosody;
	after_each(server.stop_all);

	local function start(options)
		options.series, options.modules, options.hosts = series, { "audit", "audit_auth", "audit_status" }, { host, other };
		prosody = server.start(options);
	end

	local function audit(of, count, event_type)
		prosody:eval([[
			local host, count, event_type = ...;
			for i = 1, count do
				module:context(host):audit("user"..i.."@"..host, event_type, { session = { id = "c2s"..i, ip = "203.0.113."..i } });
			end
		]], of, count, event_type or "thing-happened");
	end

	local number = 0;
	local function export()
		number = number + 1;
		local path = ("%s/evidence-%d.jsonl"):format(prosody.folder, number);
		local status, out, err = prosody:ctl("mod_audit", "--export-evidence", path, host);
		assert.equal(0, status, out..err);
		assert.equal("", out);
		assert.is_truthy(("\n"..err):find("\nWrote [^\n]+: %d+ entries, [%d,]+ bytes\n$"), err);
		assert.equal("rw-------", lfs.attributes(path, "permissions"));
		return path;
	end

	-- On another machine: a Prosody with other hosts and no data.
	local function elsewhere(...)
		local folder = prosody.folder.."/elsewhere";
		if not lfs.attributes(folder, "mode") then
			process.run("mkdir -p "..process.quote(folder.."/data").." "..process.quote(folder.."/certs"));
			process.write(folder.."/prosody.cfg.lua", ("run_as_root = true\npidfile = %q\ndata_path = %q\nplugin_paths = { %q }\n"
				.."modules_enabled = { \"audit\" }\nVirtualHost \"elsewhere.test\"\n"):format(folder.."/pid", folder.."/data", process.root.."/lua"));
		end
		local here = prosody.config_file;
		prosody.config_file = folder.."/prosody.cfg.lua";
		local status, out, err = prosody:ctl("mod_audit", "--verify", ...);
		prosody.config_file = here;
		return status, out, err;
	end

	-- The findings as words by number, of our lines or of those of the other verifier.
	local function findings(text, pattern)
		local found = {};
		for n, upto, word in text:gmatch(pattern) do
			found[n] = found[n] or {};
			found[n][word] = tonumber(upto) or true;
		end
		return found;
	end

	-- Both verifiers agree on the file -> status, our lines
	local function both(path)
		local status, out, err = elsewhere("--from", path);
		assert.equal("", err);
		local _, theirs = process.capture { "python3", process.root.."/tests/verifier/verify.py", path };
		assert.equal(out:match(": (%d+) entr"), theirs:match(": (%d+) verified"), theirs);
		local ours = findings("\n"..out:gsub(" %(key [^)]+%)", ""):gsub("\n", "\n\n"), "\n%w+ ([%d-]+) ?t?o? ?(%d*): (%w+): [^\n]+");
		local others = findings("\n"..theirs:gsub("\n", "\n\n"), "\n([%d-]+)( )(%w+)\n");
		for n, words in pairs(others) do
			for word in pairs(words) do assert.is_truthy(ours[n] and ours[n][word], n.." "..word.."\n"..out..theirs); end
		end
		for n in pairs(ours) do assert.is_truthy(others[n], n.."\n"..out..theirs); end
		return status, out;
	end

	for _, storage in ipairs { "internal", "sqlite", "native", "postgresql" } do
		it("is verified elsewhere, also by another verifier, from "..storage, function ()
			start { storage = storage };
			prosody:adduser("romeo@"..host, "secret");
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			assert.is_false((raw.login(prosody, "romeo", "wrong")));
			audit(host, 12);
			audit(host, 3, "authentication-failure");
			audit(other, 2);
			prosody:eval("flush_audit_log()");
			audit(host, 5);
			local status, out = both(export());
			assert.equal(0, status, out);
			prosody:kill();
			local path = export();
			status, out = both(path);
			assert.equal(0, status, out);
			-- As it is verified here.
			local _, here = prosody:ctl("mod_audit", "--verify", host);
			assert.equal(here:match("^[^\n]+"):gsub("%d+ entries", ""), out:match("^[^\n]+"):gsub("%d+ entries", ""), nil);
			prosody:start();
			prosody:eval("flush_audit_log()");
			prosody:stop();
			local day = os.date("!%Y-%m-%d");
			for i, attack in ipairs(attacks.list) do
				-- A few of them, one on top of the other.
				if attack.edit and (i == 1 or i == 5 or i == 9 or i == 14 or i == 16) then
					local edited, said, err = prosody:ctl("mod_attack", server.root, host, other, day, attack.name);
					assert.equal(0, edited, said..err);
					status, out = both(export());
					assert.equal(3, status, out);
				end
			end
		end);
	end

	it("has what was erased, which both verifiers know", function ()
		start {};
		audit(host, 5);
		prosody:stop();
		local copy = process.new_folder("exported").."/data";
		assert(process.capture { "cp", "-a", prosody.data, copy } == 0);
		local status, out, err = prosody:ctl("mod_audit", "--erase", "user2@"..host, "--yes");
		assert.equal(0, status, out..err);
		status, out = both(export());
		assert.equal(0, status, out);
		assert.is_truthy(out:find("\nerased: 1 entry, receipt ", 1, true), out);
		local _, list = process.capture { "find", prosody.data, "-name", "audit.erased" };
		list = list:match("[^\n]+");
		local text = process.read(list);
		os.remove(list);
		status, out = both(export());
		assert.equal(3, status, out);
		assert.is_truthy(out:find(": altered: a name was removed from it, and no erasure did that", 1, true), out);
		-- The entry is there again.
		assert(process.capture { "sh", "-c", ("rm -r %s && cp -a %s %s"):format(process.quote(prosody.data), process.quote(copy),
			process.quote(prosody.data)) } == 0);
		process.write(list, text);
		local path = export();
		status, out = elsewhere("--from", path);
		assert.equal(4, status, out);
		local entry = out:match("\nerased, and there again: events (%d+): ");
		local theirs;
		status, theirs = process.capture { "python3", process.root.."/tests/verifier/verify.py", path };
		assert.same({ 4, entry }, { status, theirs:match("\n(%d+) again\n") });
	end);

	it("has its seals, which both verifiers verify with the key", function ()
		start {};
		local _, key = prosody:ctl("mod_audit", "--new-seal");
		audit(host, 5);
		prosody:stop();
		local copy = process.new_folder("exported").."/data";
		assert(process.capture { "cp", "-a", prosody.data, copy } == 0);
		prosody:start();
		audit(host, 5);
		prosody:stop();
		local function verified(path, with)
			local status, out, err = prosody:ctl({ stdin = with }, "mod_audit", "--verify", "--seal-key", "--from", path);
			local there, theirs = process.capture({ "python3", process.root.."/tests/verifier/verify.py", "--seal-key", path }, { stdin = with });
			assert.equal(status, there, out..err..theirs);
			return status, out..err, theirs;
		end
		local status, ours, theirs = verified(export(), key);
		assert.equal(0, status, ours);
		assert.equal("3", ours:match("\nsealed: (%d+) seals verified"), ours);
		assert.equal("3", theirs:match("\nsealed: (%d+)\n"), theirs);
		-- The key of another server.
		status, ours = verified(export(), "audit-seal-BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwdKFjYg");
		assert.equal(1, status);
		assert.is_truthy(ours:find("the seal key is of another server", 1, true), ours);
		-- Everything but the seal file is set back.
		local seal = process.read(prosody.data.."/audit.seal");
		assert(process.capture { "rm", "-r", prosody.data } == 0 and process.capture { "cp", "-a", copy, prosody.data } == 0);
		process.write(prosody.data.."/audit.seal", seal);
		status, ours, theirs = verified(export(), key);
		assert.equal(3, status, ours);
		assert.is_truthy(ours:find("\nseals: resealed: the seals end with epoch"), ours);
		assert.is_truthy(theirs:find("\nseals: the seals end with epoch"), theirs);
	end);

	it("is recorded, goes to standard output, and is whole or not there", function ()
		start {};
		audit(host, 3);
		local path = export();
		local status, out, err = prosody:ctl("mod_audit", "--export-evidence", path, host);
		assert.same({ 1, "" }, { status, out });
		assert.is_truthy(err:find("^%-%-export%-evidence: [^\n]+ exists already\n$"), err);
		status, out, err = prosody:ctl("mod_audit", "--export-evidence", "-", host);
		assert.equal(0, status, err);
		assert.equal(0, (process.capture({ "sh", "-c", "head -n 1" }, { stdin = out })));
		process.write(prosody.folder.."/stdout", out);
		assert.equal(0, (both(prosody.folder.."/stdout")));
		status, out, err = prosody:ctl("mod_audit", "--format=json", "--type=audit-exported", host);
		assert.equal(0, status, err);
		assert.equal(2, select(2, out:gsub("\n", "")), out);
		assert.is_truthy(out:find('"query.format":"evidence"', 1, true), out);
		assert.is_truthy(out:find('"query.filter":"--export-evidence"', 1, true), out);
		-- Cut, changed, of another host.
		local text = process.read(path);
		process.write(prosody.folder.."/cut", text:sub(1, -200));
		process.write(prosody.folder.."/changed", (text:gsub("thing%-happened", "thing-imagined", 1)));
		for _, row in ipairs {
			{ { "--from", prosody.folder.."/cut" }, 1, "it was cut off" };
			{ { "--from", prosody.folder.."/changed" }, 1, "its checksum does not fit" };
			{ { "--from", prosody.folder.."/missing" }, 1, "No such file" };
			{ { "--from", path, "elsewhere.test" }, 1, "it is the log of "..host };
			{ { "--from", path, "--limit=5" }, 2, "do not go together" };
			{ { "--from", path, "--anchor", prosody.folder.."/missing" }, 2, "--anchor: " };
		} do
			status, out, err = elsewhere(table.unpack(row[1]));
			assert.same({ row[2], "" }, { status, out }, err);
			assert.is_truthy(err:find(row[3], 1, true), err);
			assert.equal(1, select(2, err:gsub("\n", "")), err);
		end
	end);

	it("is compared with the anchors that were printed", function ()
		start {};
		local status, out, err = prosody:ctl("mod_audit", "--anchors", other);
		if status == 0 then
			-- Something was recorded when it started.
			assert.is_truthy(out:find("^audit%-anchor:"), out);
		else
			assert.same({ 1, "There are no anchors: no entry of "..other.." is linked\n" }, { status, err });
		end
		audit(host, 3);
		audit(host, 2, "authentication-failure");
		status, out, err = prosody:ctl("mod_audit", "--anchors", host);
		assert.equal(0, status, err);
		assert.equal(2, select(2, out:gsub("audit%-anchor:[%w_-]+:[%w_-]+:%d+:[%w_-]+\n", "")), out);
		process.write(prosody.folder.."/anchors", out);
		local path = export();
		status, out = elsewhere("--from", path, "--anchor", prosody.folder.."/anchors");
		assert.equal(0, status, out);
		assert.is_truthy(out:find("anchors: 2 entries compared", 1, true), out);
		process.write(prosody.folder.."/anchors", (process.read(prosody.folder.."/anchors"):gsub(":(%d+):", ":9%1:")));
		status, out = elsewhere("--from", path, "--anchor", prosody.folder.."/anchors");
		assert.equal(3, status, out);
		assert.is_truthy(out:find("rolled back", 1, true), out);
	end);

	it("verifies after prosody-migrator has moved it", function ()
		start { storage = "internal" };
		audit(host, 6);
		prosody:eval("flush_audit_log()");
		audit(host, 2);
		prosody:stop();
		local status, out = moving.migrate(prosody, "internal", "sql");
		assert.equal(0, status, out);
		moving.use(prosody, "sqlite");
		prosody:start();
		audit(host, 3);
		status, out = both(export());
		assert.equal(0, status, out);
		assert.is_true(tonumber(out:match(": (%d+) entr")) >= 11, out);
	end);
end);
