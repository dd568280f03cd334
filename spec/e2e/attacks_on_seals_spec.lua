-- The attacks of the table in docs/evidence.md on a log that is sealed, on real stores: support/attacks.lua has them. Who does them is root,
-- and has every key but the first one.

local attacks = require "support.attacks";
local copies = require "support.copies";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

server.each_series(describe, pending, function (series)
	-- What is kept of seals does not depend on the series.
	for _, storage in ipairs(series == "0.12" and { "internal" } or { "internal", "sqlite", "postgresql" }) do
		describe("an attack on the seals of a log in "..storage, function ()
			local prosody, key, anchors;

			local function audit(event_type, count)
				prosody:eval([[
					local host, event_type, count = ...;
					for i = 1, count do module:context(host):audit("user"..i.."@"..host, event_type, {}); end
				]], host, event_type, count);
			end

			local function restart()
				prosody:stop();
				prosody:start();
			end

			-- verify(keys | nil, ...) -> exit status, what it says without the keys of entries
			local function verify(keys, ...)
				local arguments = { "mod_audit", "--verify", keys and "--seal-key" or host };
				for _, argument in ipairs { ... } do table.insert(arguments, argument); end
				if keys then table.insert(arguments, host); end
				local status, out, err = prosody:ctl({ stdin = keys }, table.unpack(arguments));
				return status, "\n"..(out..err):gsub(" %(key [^)]+%)", "");
			end

			local function seal_file(name)
				return (name and copies.path(prosody, name) or prosody.data).."/audit.seal";
			end

			local function put_seals(name)
				process.write(seal_file(), process.read(seal_file(name)));
			end

			-- The seals of the log that is there, as one XML document.
			local function seals()
				local status, out, err = prosody:ctl("mod_audit", "--format=xml", "--type=audit-sealed", host);
				assert.equal(0, status, out..err);
				return out;
			end

			setup(function ()
				prosody = server.start { series = series, storage = storage, modules = { "audit" } };
				audit("thing-happened", 3);
				local status, out, err = prosody:ctl("mod_audit", "--new-seal");
				assert.equal(0, status, err);
				key = out;
				audit("thing-happened", 3);
				prosody:stop();
				copies.keep(prosody, "older");
				prosody:start();
				for i = 1, 3 do
					audit("thing-done-"..i, 2);
					restart();
				end
				prosody:stop();
				copies.keep(prosody, "whole");
				status, out, err = prosody:ctl("mod_audit", "--anchors", host);
				assert.equal(0, status, err);
				anchors = prosody.folder.."/anchors";
				process.write(anchors, out);
				status, out = verify(key, "--anchor", anchors);
				assert.equal(0, status, out);
			end);
			teardown(server.stop_all);
			before_each(function () copies.restore(prosody, "whole"); end);

			local states = {};

			states["all"] = function () copies.restore(prosody, "older"); end
			states["all but the seals"] = function ()
				copies.restore(prosody, "older");
				put_seals("whole");
			end
			states["goes on"] = function ()
				states["all but the seals"]();
				prosody:start();
				audit("thing-imagined", 8);
				prosody:stop();
			end
			states["older seals"] = function () put_seals("older"); end
			states["no seals"] = function () os.remove(seal_file()); end
			states["anew"] = function ()
				local text = seals();
				copies.restore(prosody, "older");
				os.remove(seal_file());
				prosody:start();
				prosody:eval([[
					local host, text = ...;
					local xml, st = require "util.xml", require "util.stanza";
					local all = {};
					local function collect(element)
						for tag in element:childtags() do
							if tag.name == "audit-event" then table.insert(all, tag:get_child("seal", "xmpp:prosody.im/audit")); else collect(tag); end
						end
					end
					collect(assert(xml.parse(text)));
					table.sort(all, function (a, b) return tonumber(a.attr.epoch) < tonumber(b.attr.epoch); end);
					local log = module:shared("/*/audit/log").log;
					local count = #all;
					local function audit(event_type) module:context(host):audit("user1@"..host, event_type, {}); end
					-- The two seals before them are in the older copy.
					for i = 3, count do
						audit("thing-done-"..(i - 2));
						if i > 3 then audit("thing-done-"..(i - 3)); end
						log.audit(host, nil, "mod_audit", "audit-sealed", { actor = { kind = "server" }, custom = { all[i] } });
					end
				]], host, text);
				prosody:stop();
				put_seals("whole");
			end

			for _, attack in ipairs(attacks.of("seals")) do
				it("has a result with a seal key, with an anchor and without them: "..attack.name, function ()
					states[attack.state]();
					local status, out = verify();
					assert.equal(0, status, out);
					status, out = verify(key);
					assert.equal(attack.with == "found" and 3 or 0, status, out);
					if attack.with == "found" then
						assert.is_truthy(out:find("\n"..attack.found:gsub("%%d", "0"):gsub("%p", "%%%0"):gsub("0", "%%d+").."\n"), out);
					end
					status, out = verify(nil, "--anchor", anchors);
					assert.equal(attack.anchor == "found" and 3 or 0, status, out);
				end);
			end
		end);
	end
end);
