-- prosodyctl mod_audit --format: every event type and hostile text, parsed again by the readers of each format.

local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local python = process.target.."/python/bin/python";
local formats = { "json", "csv", "xml", "ocsf", "ecs", "cef", "syslog" };

-- Records an event of each type, with different details and with hostile text in every place.
local record = [==[
	local host, names = ...;
	local core, types = require "audit_core", {};
	for name in names:gmatch("%S+") do table.insert(types, name); end
	local hostile = {
		"=cmd|' /C calc'!A0"; "@SUM(1,2)"; "-2+3"; "a,b;c\td\"e'f"; "</audit-event></entry><x>&amp;]]>"; "CEF:0|a|b=c\\d\\";
		"] x=\"y\" \\]\\\""; "line\nline\r\nline"; "\27[2J\194\155\226\128\174\226\128\168\239\187\191"; ("ä"):rep(3000);
		"\0nul\1\31\127\11\12"; "\255\254 \237\160\128 \244\144\128\128 \192\128"; "%s%d%n ${jndi:ldap://x} {{7*7}} `id`";
		"--><script>alert(1)</script><svg onload=x>"; "\239\191\190\239\191\191\240\159\146\169\226\129\166x\226\129\169";
		"\\u0000\\n\\\"'\r\n<14>1 - x y z - - z\r\n\r\n"; "audit-anchor:"..("A"):rep(22)..":"..("A"):rep(22)..":1:"..("A"):rep(43);
	};
	local sessions = {
		{ id = "c2s1", type = "c2s", ip = "203.0.113.7", client_id = "phone" }; { ip = "2001:db8::7", id = "c2s2" }; {};
		{ ip = "/run/socket", client_id = hostile[3] };
	};
	local actors = {
		{ kind = "user", jid = "juliet@"..host.."/desk", session = sessions[1] }; { kind = "admin-shell" }; { kind = "adhoc", jid = "admin@"..host };
	};
	local context, count = module:context(host), 0;
	local function audit(event_type, n)
		local text = hostile[n % #hostile + 1];
		local detail = core.detail("note", { name = text, reason = text }, text, { core.detail("inner", { text = "a" }, "b") });
		context:audit(n % 3 ~= 0 and "user"..n.."@"..host or nil, event_type, {
			session = sessions[n % 5 + 1]; actor = actors[n % 4 + 1]; timestamp = n % 7 == 0 and os.time() - 3600 or nil;
			custom = n % 6 ~= 0 and { detail, core.detail("note", nil, text) } or nil;
		});
		count = count + 1;
	end
	for n, event_type in ipairs(types) do
		for variant = 0, 3 do audit(event_type, n + variant * 5); end
	end
	for n, text in ipairs(hostile) do audit(text, n); end
	context:audit(nil, "authentication-failure", { custom = { core.detail("repeated", {
		count = 17; first = "2026-11-24T11:59:00Z"; last = "2026-11-24T12:00:00Z"; accounts = 1; networks = 2; ["at-least"] = "true" },
		nil, { core.detail("sample", { ip = "203.0.113.7" }) }) } });
	flush_audit_log();
	return count + 1;
]==];

server.each_series(describe, pending, function (series)
	describe("the formats of prosodyctl mod_audit", function ()
		if not lfs.attributes(python, "mode") then
			pending("formats: the Python packages that validate them could not be had");
			return;
		end

		local prosody, recorded;
		setup(function ()
			prosody = server.start { series = series, modules = { "audit" } };
			local names = {};
			for name in select(2, prosody:ctl("mod_audit", "--events")):gmatch("\n([%l%d-]+) ") do
				table.insert(names, name);
			end
			assert.is_true(#names >= 15);
			recorded = prosody:eval(record, host, table.concat(names, " "));
			-- So that the reading itself adds no entry.
			prosody:stop();
		end);
		teardown(function ()
			if prosody then prosody:stop(); end
		end);

		it("are lines in a terminal, one for each entry, without control characters", function ()
			local status, text, err = prosody:ctl({ env = { COLUMNS = "200"; NO_COLOR = "1" } }, "mod_audit", "--all", host);
			assert.equal(0, status, err);
			assert.is_truthy(utf8.len(text));
			assert.is_true(select(2, text:gsub("\n", "")) >= recorded + 1);
			for _, code in utf8.codes(text) do
				assert.is_false(code < 32 and code ~= 10 or code >= 127 and code < 160 or code >= 0x202A and code <= 0x202E
					or code >= 0x2066 and code <= 0x2069 or code == 0x2028 or code == 0xFEFF, ("U+%04X"):format(code));
			end
		end);

		it("name an internationalized host in syslog as DNS has it", function ()
			local idn = server.start { series = series, modules = { "audit" }; hosts = { "bücher.test" } };
			finally(function () idn:stop(); end);
			idn:eval([[module:context("bücher.test"):audit(nil, "test", {}); flush_audit_log();]]);
			local status, text, err = idn:ctl("mod_audit", "--format", "syslog", "bücher.test");
			assert.equal(0, status, err);
			assert.matches("^<%d+>1 %S+Z xn%-%-bcher%-kva%.test prosody%-audit ", text);
			assert.is_truthy(text:find(' host="bücher.test"', 1, true), text);
		end);

		it("begin with a byte order mark in CSV for Excel", function ()
			local first_bytes = function (...) return select(2, prosody:ctl("mod_audit", "--limit", "1", "--format", "csv", ...)):sub(1, 9); end;
			assert.equal("schema,id", first_bytes(host));
			assert.equal("\239\187\191schema", first_bytes("--bom", host));
			local status, out, err = prosody:ctl("mod_audit", "--format", "json", "--bom", host);
			assert.same({ 2, "" }, { status, out });
			assert.is_truthy(err:find("--bom is for --format csv only", 1, true), err);
		end);

		it("have the anchors of their entries, and none that an entry quotes", function ()
			local compare = { "mod_audit", "--verify" };
			for _, format in ipairs { "json", "csv", "xml", "ocsf", "ecs", "cef", "syslog", "otlp" } do
				local status, text, err = prosody:ctl("mod_audit", "--all", "--format", format, host);
				assert.equal(0, status, err);
				process.write(prosody.folder.."/anchors."..format, text);
				table.insert(compare, "--anchor");
				table.insert(compare, prosody.folder.."/anchors."..format);
			end
			table.insert(compare, host);
			local status, out, err = prosody:ctl(table.unpack(compare));
			assert.equal(0, status, out..err);
			assert.is_true(tonumber(out:match("anchors: (%d+) entries compared")) >= recorded, out);
		end);

		for _, format in ipairs(formats) do
			it("are what receivers of "..format.." take", function ()
				local status, text, err = prosody:ctl("mod_audit", "--all", "--format", format, host);
				assert.equal(0, status, err);
				local file = prosody.folder.."/log."..format;
				process.write(file, text);
				local valid, out, problems = process.capture({ python, process.support.."/validate.py", format, file,
					process.root.."/docs/audit-event.schema.json" }, { timeout = 60 });
				assert.equal(0, valid, out..problems);
				local read = tonumber(out:match("entries: (%d+)"));
				assert.is_true(read >= recorded, ("%d of %d"):format(read, recorded));
				if format == "ocsf" then
					assert.equal("0 1008 3001 3002 3004 4001 6002 6003", out:match("classes: ([^\n]*)"));
				end
			end);
		end
	end);
end);
