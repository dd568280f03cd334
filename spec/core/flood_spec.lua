-- Flood control as modules and operators meet it: mod_audit and mod_audit_auth on a clock that the spec moves.

local lfs = require "lfs";
local module_api = require "support.module_api";

local xmlns_audit = "xmpp:prosody.im/audit";

describe("flood control", function ()
	local host;
	local function load(options)
		host = module_api.host(options);
		host:load("audit_auth");
		module_api.complaints();
	end

	local function session(username, ip)
		return { id = "c2s1", type = "c2s_unauthed", ip = ip or "203.0.113.80", sasl_handler = { username = username, selected = "PLAIN" } };
	end

	local function fail(count, username, ip)
		for _ = 1, count do
			host:fire("authentication-failure", { session = session(username or "romeo", ip), condition = "not-authorized", text = "No." });
		end
	end

	-- How many entries stand for themselves, the sum of the others' counts, and the others.
	local function stored()
		local single, counted, summaries = 0, 0, {};
		for _, entry in ipairs(host:entries()) do
			local repeated = entry:get_child("repeated", xmlns_audit);
			if repeated then
				counted = counted + tonumber(repeated.attr.count);
				table.insert(summaries, entry);
			else
				single = single + 1;
			end
		end
		return single, counted, summaries;
	end

	local function checkpoint()
		return require "util.datamanager".getpath(nil, host.name, "audit", "flood");
	end

	it("stores the first few, and one summary when the window is over", function ()
		load();
		fail(25);
		assert.same({ 5, 0 }, { (stored()), (select(2, stored())) });
		module_api.pass(62);
		local single, counted, summaries = stored();
		assert.same({ 5, 20, 1 }, { single, counted, #summaries });
		local entry = summaries[1];
		assert.equal("mod_audit_auth", entry.attr.source);
		assert.equal("authentication-failure", entry.attr.type);
		assert.equal("romeo@"..host.name, entry.attr.user);
		assert.equal("romeo@"..host.name, host.appended[#host.appended].with);
		local lines = module_api.lines(entry);
		assert.equal("<session><remote-ip>203.0.113.80</remote-ip></session>", lines[1]);
		assert.matches('^<repeated accounts="1" count="20" first="%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ" last="[^"]+Z" networks="1">'
			..'<sample condition="not%-authorized" network="203%.0%.113%.0/24" user="romeo@[^"]+"/></repeated>$', lines[2]);
		for _, child in ipairs(entry.tags) do
			assert.equal(xmlns_audit, child.attr.xmlns);
		end
		assert.same({}, module_api.complaints());
		fail(1);
		assert.equal(6, (stored()));
	end);

	it("has no addresses that the options do not allow to store", function ()
		load { audit_log_ips = false };
		fail(10);
		module_api.pass(62);
		local _, _, summaries = stored();
		assert.equal(0, select(2, tostring(summaries[1]):gsub("203%.0%.113", "")));
		assert.matches('networks=.1.', tostring(summaries[1]));
		load { audit_log_ipv4_prefix = 16 };
		fail(10);
		local file = assert(io.open(checkpoint()) or io.open("/dev/null"));
		file:close();
		module_api.pass(1);
		file = assert(io.open(checkpoint()));
		local text = file:read("a");
		file:close();
		assert.matches("203.0.0.0/16", text, 1, true);
		assert.is_nil(text:find("203.0.113", 1, true));
		module_api.pass(62);
		_, _, summaries = stored();
		assert.equal("<session><remote-ip>203.0.0.0/16</remote-ip></session>", module_api.lines(summaries[1])[1]);
		assert.is_nil(tostring(summaries[1]):find("203.0.113", 1, true));
	end);

	it("does not describe what it only counts", function ()
		load();
		fail(5);
		local asked = 0;
		local counted_session = session("romeo");
		counted_session.secure = true;
		counted_session.conn = { ssl_info = function () asked = asked + 1; end };
		host:fire("authentication-failure", { session = counted_session, condition = "not-authorized" });
		assert.equal(0, asked);
		counted_session.ip = "198.51.100.1";
		host:fire("authentication-failure", { session = counted_session, condition = "not-authorized" });
		assert.equal(1, asked);
	end);

	local function id_of(entry)
		return entry.attr[xmlns_audit.."\1id"];
	end

	it("returns no id for an event that is only counted; a summary gets its id when it is written", function ()
		load();
		local module = host:load("audit_auth").module;
		local from = { ip = "203.0.113.80" };
		for i = 1, 8 do
			local id, condition = module:audit("romeo@"..host.name, "thing-refused", { session = from });
			if i <= 5 then
				assert.is_string(id);
			else
				assert.is_nil(id);
				assert.equal("counted", condition);
			end
		end
		module_api.pass(30);
		local between = assert(module:audit("romeo@"..host.name, "thing-done"));
		module_api.pass(32);
		local after = assert(module:audit("romeo@"..host.name, "thing-done"));
		local _, counted, summaries = stored();
		assert.same({ 3, 1 }, { counted, #summaries });
		assert.is_true(id_of(summaries[1]) > between and id_of(summaries[1]) < after);
		-- In the order in which they were recorded.
		local ids = {};
		for i, entry in ipairs(host:entries()) do ids[i] = id_of(entry); end
		for i = 2, #ids do
			assert.is_true(ids[i - 1] < ids[i], i);
		end
	end);

	it("gives a new id to a summary that could not be stored at first", function ()
		load();
		fail(25);
		host.behaviour.append = function () return nil, "resource-constraint"; end;
		module_api.pass(62);
		host.behaviour.append = nil;
		local later = assert(host:load("audit_auth").module:audit(nil, "thing-done"));
		module_api.pass(62);
		local _, counted, summaries = stored();
		assert.same({ 20, 1 }, { counted, #summaries });
		assert.is_string(id_of(summaries[1]));
		assert.is_string(later);
	end);

	it("counts what one user does, or one server, and stores what others do", function ()
		load();
		local module = host:load("audit_auth").module;
		local function change(name, ip)
			return module:audit(name.."@"..host.name, "user-password-changed", {
				session = { ip = ip }; actor = { kind = "user"; jid = name.."@"..host.name.."/phone"; session = { ip = ip } };
			});
		end
		local kept = 0;
		for i = 1, 330 do
			-- Wherever the account is used from.
			kept = kept + (change("romeo", "203.0."..i % 250 ..".80") and 1 or 0);
		end
		assert.equal(20, kept);
		assert.is_string(change("juliet", "203.0.113.80"));
		local function establish(remote)
			return module:audit(nil, "s2s-established", {
				session = { ip = "198.51.100.9" }; custom = { require "audit_core".detail("s2s", { direction = "incoming"; remote = remote }) };
			});
		end
		kept = 0;
		for _ = 1, 160 do kept = kept + (establish("evil.example") and 1 or 0); end
		assert.equal(20, kept);
		assert.is_string(establish("good.example"));
		-- Servers that have one network, and any number of names.
		kept = 0;
		for i = 1, 1000 do kept = kept + (establish("host"..i..".example") and 1 or 0); end
		assert.equal(200 - 21, kept);
		module_api.pass(62);
		local _, counted, summaries = stored();
		assert.same({ 310 + 140 + 821, 3 }, { counted, #summaries });
		local by_actor = {};
		for _, entry in ipairs(summaries) do
			local lines = table.concat(module_api.lines(entry), "\n");
			if entry.attr.type == "user-password-changed" then
				assert.equal("romeo@"..host.name, entry.attr.user);
				assert.matches('<actor jid="romeo@'..host.name..'" kind="user"/>', lines, 1, true);
				assert.matches('count="310" .* networks="250"', lines);
			else
				by_actor[#by_actor + 1] = lines;
			end
		end
		table.sort(by_actor, function (a, b) return a:find("evil", 1, true) and not b:find("evil", 1, true); end);
		assert.matches('<s2s remote="evil.example"/>', by_actor[1], 1, true);
		assert.matches('actors="821"', by_actor[2], 1, true);
	end);

	it("leaves most of a class with a limit to other actors", function ()
		load { audit_log_classes = { all = { types = { "*" }; limit = 100 } } };
		local module = host:load("audit_auth").module;
		local text = ("x"):rep(4000);
		local function ban(i, reason)
			return module:audit("guest"..i.."@example.net", "room-affiliation-changed", {
				actor = { kind = "user"; jid = "owner@"..host.name.."/x"; session = { ip = "203.0.113.80" } };
				custom = { require "audit_core".detail("room", { jid = "room@rooms.example" }),
					require "audit_core".detail("affiliation", { jid = "guest"..i.."@example.net"; from = "none"; to = "outcast" }, reason) };
			});
		end
		local kept = 0;
		for i = 1, 300 do kept = kept + (ban(i, text) and 1 or 0); end
		assert.equal(1, kept, "long ones count several times");
		module_api.pass(62);
		kept = 0;
		for i = 1, 300 do kept = kept + (ban(i) and 1 or 0); end
		assert.equal(2, kept, "half as many as of one who was not counted before");
		-- One network with many accounts gets at most a fifth of the limit at once.
		kept = 0;
		for i = 1, 1000 do
			kept = kept + (module:audit("user"..i.."@"..host.name, "authentication-success", { session = { ip = "203.0."..i % 250 ..".1" } }) and 1 or 0);
		end
		assert.is_true(kept <= 20, kept);
	end);

	it("stores a list of affiliations that a moderator imports, and the servers that reconnect after a restart", function ()
		load();
		local module = host:load("audit_auth").module;
		local detail = require "audit_core".detail;
		for i = 1, 200 do
			assert.is_string(module:audit("guest"..i.."@example.net", "room-affiliation-changed", {
				actor = { kind = "user"; jid = "owner@"..host.name.."/x"; session = { ip = "203.0.113.80" } };
				custom = { detail("room", { jid = "room@rooms.example" }), detail("affiliation", { from = "none"; to = "member" }) };
			}), i);
		end
		for i = 1, 1000 do
			assert.is_string(module:audit(nil, "s2s-established", {
				session = { ip = ("198.%d.%d.9"):format(i % 200, i // 200) }; custom = { detail("s2s", { remote = "server"..i..".example" }) };
			}), i);
		end
		for i = 1, 3000 do
			assert.is_string(module:audit("user"..i.."@"..host.name, "authentication-success", { session = { ip = "10.0.0.1" } }), i);
		end
	end);

	it("never applies to what an administrator does", function ()
		load { audit_log_classes = { all = { types = { "*" }; limit = 100 } } };
		local module = host:load("audit_auth").module;
		for i = 1, 500 do
			local actor = i % 2 == 0 and { kind = "admin-shell" } or { kind = "adhoc"; jid = "admin@"..host.name; administers = true };
			assert.is_string(module:audit("user"..i.."@"..host.name, "invite-created", { actor = actor }));
			assert.is_string(module:audit(nil, "shell-command", {}));
		end
		local kept = 0;
		for _ = 1, 500 do
			kept = kept + (module:audit(nil, "invite-created", { actor = { kind = "adhoc"; jid = "user@"..host.name } }) and 1 or 0);
		end
		assert.equal(5, kept);
	end);

	it("names an account that is attacked among thousands of other names", function ()
		load();
		for i = 1, 4000 do fail(1, "noise"..i, "203.0.113.80"); end
		fail(300, "admin", "203.0.113.80");
		module_api.pass(62);
		local single, counted, summaries = stored();
		assert.equal(4300, single + counted);
		local often, longest = 0, 0;
		for _, entry in ipairs(summaries) do
			local repeated = entry:get_child("repeated", xmlns_audit);
			often = often + (entry.attr.user == "admin@"..host.name and tonumber(repeated.attr.count) or 0);
			for child in repeated:childtags("often") do
				often = often + (child.attr.user == "admin@"..host.name and tonumber(child.attr.count) or 0);
			end
			longest = math.max(longest, #(repeated:get_child_text("names") or ""));
		end
		assert.is_true(often > 200, often);
		assert.is_true(longest > 100, longest);
	end);

	it("uses its options", function ()
		load { audit_log_flood = { burst = 2; window = 10 } };
		fail(6);
		module_api.pass(12);
		assert.same({ 2, 4 }, { select(1, stored()), (select(2, stored())) });
		load { audit_log_flood = false };
		fail(50);
		assert.equal(50, (stored()));
		module_api.complaints();
		host = module_api.host { audit_log_flood = { burst = 0 } };
		host:load("audit_auth");
		local lines = module_api.complaints("audit_log_flood");
		assert.equal(1, #lines);
		assert.matches("{ burst = 0 }", lines[1], 1, true);
		assert.matches("a whole number from 1 to 1000", lines[1], 1, true);
		fail(10);
		assert.equal(5, (stored()));
	end);

	it("ends its windows when the server stops", function ()
		load();
		fail(25);
		module_api.fire_global("server-stopped", {});
		assert.same({ 5, 20 }, { (stored()), (select(2, stored())) });
		local repeated = host:entries()[6]:get_child("repeated", xmlns_audit);
		assert.is_nil(repeated.attr["at-least"]);
	end);

	it("loses nothing by a reload of modules and options", function ()
		load();
		fail(10);
		host:reload("audit_auth");
		fail(10);
		module_api.fire_global("config-reloaded");
		fail(10);
		require "core.modulemanager".reload("*", "audit");
		host:load("audit");
		host:reload("audit_auth");
		fail(10);
		module_api.pass(130);
		local single, counted = stored();
		assert.equal(40, single + counted);
		assert.equal(10, single, "a reload of the log itself ends windows");
	end);

	it("reports how many events it has suppressed", function ()
		load();
		fail(25);
		local module = host:load("audit").module;
		module_api.pass(11);
		if module.get_status then
			assert.equal("0 events wait, 20 suppressed in the last minute", (select(2, module:get_status())));
		end
		module_api.pass(70);
		if module.get_status then
			assert.equal("0 events wait", (select(2, module:get_status())));
		end
	end);

	it("keeps its counts in a file beside the journal that only its owner can read", function ()
		load();
		fail(6);
		assert.is_nil(lfs.attributes(checkpoint(), "mode"));
		module_api.pass(1);
		assert.equal("rw-------", lfs.attributes(checkpoint(), "permissions"));
		module_api.pass(62);
		assert.is_nil(lfs.attributes(checkpoint(), "mode"));
	end);

	-- What a process that died has left.
	local function leave(id, count)
		local file = assert(io.open(require "util.datamanager".getpath(nil, host.name, "audit", "flood", true), "w"));
		file:write(([[{"version":1,"at":%d,"tokens":300,"open":[{"id":"%s","type":"authentication-failure","source":"mod_audit_auth",
			"user":"romeo@%s","remote_ip":"203.0.113.80","count":%d,"first":%d,"last":%d,"accounts":1,"networks":1,
			"samples":[{"user":"romeo@%s","condition":"not-authorized"}]}]}]]):format(os.time(), id, host.name, count, os.time() - 20,
			os.time() - 10, host.name));
		file:close();
	end

	it("stores what a crashed process had counted, marked as \"at least\"", function ()
		host = module_api.host();
		local id = "01a20e7e-d2b8-75d1-8370-6296c154b976";
		leave(id, 17);
		host:load("audit_auth");
		module_api.pass(2);
		local single, counted, summaries = stored();
		assert.same({ 0, 17, 1 }, { single, counted, #summaries });
		assert.equal(id, summaries[1].attr[xmlns_audit.."\1id"]);
		assert.equal("true", summaries[1]:get_child("repeated", xmlns_audit).attr["at-least"]);
		assert.is_true(os.time() - host.appended[1].when >= 10, "it happened before the other one died");
		assert.is_nil(lfs.attributes(checkpoint(), "mode"));
		-- It had stored that one, and died before it could write so down.
		host:restart();
		leave(id, 17);
		host:load("audit_auth");
		module_api.pass(5);
		assert.equal(17, (select(2, stored())));
		assert.same({}, module_api.complaints());
	end);

	it("does not store a count twice if the first one still waits in the journal", function ()
		host = module_api.host();
		local id = "01a20e7e-d2b8-75d1-8370-6296c154b977";
		host.behaviour.append = function () return nil, "resource-constraint"; end;
		leave(id, 17);
		host:load("audit_auth");
		module_api.pass(2);
		host:restart();
		leave(id, 17);
		host:load("audit_auth");
		module_api.pass(2);
		host.behaviour.append = nil;
		module_api.pass(120);
		assert.equal(17, (select(2, stored())));
	end);

	it("reports a file that it can't read, and continues", function ()
		host = module_api.host();
		local file = assert(io.open(require "util.datamanager".getpath(nil, host.name, "audit", "flood", true), "w"));
		file:write("{ this is not it");
		file:close();
		module_api.complaints();
		host:load("audit_auth");
		assert.equal(1, #module_api.complaints("audit.flood.damaged"));
		local aside = checkpoint()..".damaged";
		assert.equal("{ this is not it", io.open(aside):read("a"));
		os.remove(aside);
		fail(6);
		module_api.pass(62);
		assert.equal(1, (select(2, stored())));
	end);

	it("takes up later what it can't read when the server starts, and does not replace it", function ()
		host = module_api.host();
		leave("01a20e7e-d2b8-75d1-8370-6296c154b978", 17);
		local file = checkpoint();
		-- A link to a file on a disk that is not mounted.
		os.rename(file, file..".elsewhere");
		assert(lfs.link(file..".unmounted", file, true));
		module_api.complaints();
		host:load("audit_auth");
		assert.equal(1, #module_api.complaints("can't be read now"));
		fail(6);
		module_api.pass(62);
		assert.equal(1, (select(2, stored())));
		assert.equal("link", lfs.symlinkattributes(file, "mode"));
		os.rename(file..".elsewhere", file..".unmounted");
		module_api.pass(62);
		assert.equal(1 + 17, (select(2, stored())));
		assert.same({}, module_api.complaints());
		os.remove(file..".unmounted");
	end);

	it("stores a summary later if neither the store nor the journal took it", function ()
		load();
		fail(25);
		host.behaviour.append = function () return nil, "resource-constraint"; end;
		module_api.pass(62);
		host.behaviour.append = nil;
		module_api.pass(62);
		assert.same({ 5, 20 }, { (stored()), (select(2, stored())) });
	end);

	it("makes at most 1,000 entries from 20,000 failures in a minute", function ()
		load();
		for i = 1, 20000 do
			fail(1, "user"..i, ("10.%d.%d.7"):format(i // 250 % 250, i % 250));
			if i % 500 == 0 then module_api.pass(1); end
		end
		module_api.pass(18);
		local single, _, summaries = stored();
		assert.is_true(single + #summaries <= 1000, single + #summaries);
		module_api.pass(70);
		local counted;
		single, counted = stored();
		assert.equal(20000, single + counted);
	end);
end);
