-- The attacks of the table in docs/evidence.md on a log that is not sealed, on real stores: support/attacks.lua has them.

local attacks = require "support.attacks";
local clocks = require "support.clock";
local copies = require "support.copies";
local process = require "support.process";
local server = require "support.server";
local socket = require "socket";

local quote = process.quote;
local keep, restore = copies.keep, copies.restore;
local host, other = server.default_host, "other.test";

local function journals(prosody)
	local _, text = process.capture { "find", prosody.data, "-name", "*.journal*" };
	assert.is_truthy(text:find("journal", 1, true), text);
	return text;
end

server.each_series(describe, pending, function (series)
	for _, storage in ipairs { "internal", "sqlite", "native", "postgresql" } do
		describe("an attack on the log in "..storage, function ()
			local prosody, day, kept;

			local function audit(of, count, event_type)
				prosody:eval([[
					local host, count, event_type = ...;
					for i = 1, count do
						module:context(host):audit("user"..i.."@"..host, event_type, { session = { id = "c2s"..i, ip = "203.0.113."..i } });
					end
					flush_audit_log();
				]], of, count, event_type);
			end

			local function ctl(...)
				local status, out, err = prosody:ctl(...);
				return status, out..err;
			end

			-- Expects one fault, which this line names.
			local function finds(line, ...)
				local status, out = ctl("mod_audit", "--verify", ...);
				out = out:gsub(" %(key [^)]+%)", "");
				assert.equal(3, status, out);
				assert.is_truthy(("\n"..out):find("\n"..line.."\n", 1, true), line.."\n"..out);
			end

			setup(function ()
				prosody = server.start {
					series = series, storage = storage, modules = { "audit" }, hosts = { host, other };
					config = { audit_log_expires_after = "30d" };
				};
				day = os.date("!%Y-%m-%d");
				audit(other, 2, "thing-happened");
				audit(host, 6, "thing-happened");
				prosody:stop();
				keep(prosody, "older");
				prosody:start();
				-- In the second in which a chain begins, an entry may be older than it.
				socket.sleep(1.1);
				prosody:eval([[
					local host = ...;
					module:context(host):audit("mercutio@"..host, "thing-done", { actor = { kind = "user"; jid = "benvolio@"..host } });
				]], host);
				audit(host, 6, "thing-happened");
				audit(host, 3, "authentication-failure");
				prosody:stop();
				keep(prosody, "whole");
				kept = prosody.folder.."/anchors";
				local status, out = ctl("mod_audit", "--format=json", "--all", host);
				assert.equal(0, status, out);
				process.write(kept, out);
				restore(prosody, "whole");
				status, out = ctl("mod_audit", "--verify", "--anchor", kept, host);
				assert.equal(0, status, out);
			end);
			teardown(server.stop_all);
			before_each(function () restore(prosody, "whole"); end);

			-- The numbers of the last entries of a class in the store as it was kept
			local function head(class)
				local highest = 0;
				for n in process.read(prosody.folder.."/export"):gmatch('"class":"'..class..'","n":(%d+)') do highest = math.max(highest, tonumber(n)); end
				return highest;
			end

			local function export()
				os.remove(prosody.folder.."/export");
				local status, out = ctl("mod_audit", "--export-evidence", prosody.folder.."/export", host);
				assert.equal(0, status, out);
			end

			local states = {};

			function states.store(attack)
				local before;
				restore(prosody, "older");
				export();
				before = head("events");
				restore(prosody, "whole");
				export();
				local now = head("events");
				restore(prosody, "older");
				for path in journals(prosody):gmatch("[^\n]+") do os.remove(path); end
				process.run(("cd %s && find . -name '*.journal*' -exec cp -a --parents {} %s \\;"):format(quote(prosody.folder.."/whole"),
					quote(prosody.data)));
				finds(attack.found:format(before + 1, now), host);
			end

			states["no journal"] = function (attack)
				for path in journals(prosody):gmatch("[^\n]+") do os.remove(path); end
				-- Its chains are known from the file beside it.
				local status, out = ctl("mod_audit", "--verify", host);
				assert.equal(4, status, out);
				assert.is_truthy(out:find("\nbehind the journal: "), out);
				process.capture { "find", prosody.data, "-name", "audit.heads", "-delete" };
				finds(attack.found:format(1), host);
			end

			function states.pruned()
				-- More than a partition has.
				prosody:start();
				audit(host, 620, "thing-happened");
				prosody:stop();
				local text = process.read(prosody.config_file);
				process.write(prosody.config_file, (text:gsub('audit_log_expires_after = "30d"', '%0\naudit_log_classes = { events = { limit = 1 } }')));
				local status, out = ctl("mod_audit", "--prune", host);
				assert.equal(0, status, out);
				assert.is_truthy(out:find("removed %d+ entries of class events"), out);
				process.write(prosody.config_file, text);
				status, out = ctl("mod_audit", "--verify", host);
				assert.equal(4, status, out);
				assert.is_truthy(out:find("\nremoved under a later rule: events 1 to %d+, which the rules of their time would still keep\n"), out);
			end

			states["pruned ahead"] = function ()
				local clock = clocks.new();
				clock:set("+365d");
				local status, out = ctl({ env = clock.env }, "mod_audit", "--prune", "--trust-clock", host);
				assert.equal(0, status, out);
				assert.is_truthy(out:find("nothing has expired", 1, true), out);
				status, out = ctl("mod_audit", "--verify", "--anchor", kept, host);
				assert.equal(0, status, out);
				assert.is_nil(out:find("removed by rule", 1, true), out);
			end

			local function erase()
				local status, out = ctl("mod_audit", "--erase", "mercutio@"..host, "--yes");
				assert.equal(0, status, out);
				status, out = ctl("mod_audit", "--erase", "benvolio@"..host, "--yes", "--acted");
				assert.equal(0, status, out);
			end

			function states.erased()
				erase();
				local status, out = ctl("mod_audit", "--verify", "--anchor", kept, host);
				assert.equal(0, status, out);
				assert.equal(2, select(2, out:gsub("\nerased: 1 entry, receipt %w+%-%w+ of %d[^\n]*, asked for by [^\n]+", "")), out);
			end

			-- What the command has made of the store, beside the files of before.
			function states.emptied(attack)
				export();
				local n = process.read(prosody.folder.."/export"):match("[^\n]*mercutio[^\n]*"):match(" n='(%d+)'");
				erase();
				process.run(("cd %s && find . -name '*.journal*' -delete -o -name 'audit.heads' -delete -o -name 'audit.erased' -delete")
					:format(quote(prosody.data)));
				process.run(("cd %s && find . \\( -name '*.journal*' -o -name 'audit.heads' \\) -exec cp -a --parents {} %s \\;"):format(
					quote(prosody.folder.."/whole"), quote(prosody.data)));
				finds(attack.found:format(n), host);
			end

			function states.all(attack)
				export();
				local now = head("events");
				restore(prosody, "older");
				assert.equal(0, (ctl("mod_audit", "--verify", host)));
				finds(attack.found:format(now), "--anchor", kept, host);
			end

			function states.clone(attack)
				restore(prosody, "older");
				export();
				local before = head("events");
				prosody:start();
				audit(host, 8, "thing-happened");
				prosody:stop();
				assert.equal(0, (ctl("mod_audit", "--verify", host)));
				finds(attack.found:format(before + 1), "--anchor", kept, host);
			end

			for _, attack in ipairs(attacks.of("store")) do
				it((attack.without == "found" and "is found: " or "leaves what it can: ")..attack.name, function ()
					if attack.state then
						return states[attack.state](attack);
					end
					local status, out = ctl("mod_attack", server.root, host, other, day, attack.name);
					assert.equal(0, status, out);
					local results = {};
					for number in out:match("edited([ %d]*)"):gmatch("%d+") do table.insert(results, tonumber(number)); end
					if attack.found == "" then
						status, out = ctl("mod_audit", "--verify", "--anchor", kept, host);
						assert.equal(0, status, out);
						status, out = ctl("mod_audit", "--format=json", host);
						assert.equal(0, status, out);
						return assert.is_nil(out:find("thing-imagined", 1, true));
					end
					finds(attack.found:format(table.unpack(results)), host);
				end);
			end
		end);
	end
end);

-- Without a server.
describe("the table of attacks", function ()
	it("is the one of the document", function ()
		local text = process.read(process.root.."/docs/evidence.md");
		local rows = text:match("\n| What somebody does |[^\n]+\n|[^\n]+\n(.-)\n\n");
		assert.equal(attacks.document(), rows);
	end);
end);
