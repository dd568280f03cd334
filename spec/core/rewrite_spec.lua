-- Addresses that expire before their entries: src/lua/prune/rewrite.lua.

local pruning = require "support.pruning";
local support = require "support.log";

local noon, day, host = support.noon, 86400, support.host;
local new_log, entry, name_of, damage, done, shown = pruning.new_log, pruning.entry, pruning.name_of, pruning.damage, pruning.done, pruning.shown;
local NAMESPACE = support.NAMESPACE;

for _, kind in ipairs({ "embedded", "sql", "other" }) do
	describe("addresses in a store of the kind "..kind, function ()
		local function new(options)
			return new_log(options, kind);
		end

		it("cuts addresses that have expired, and keeps the rest of the entry", function ()
			local log = new { audit_log_classes = {
				events = { ips_expire_after = "7d" };
				bare = { types = { "bare*" }, ips_expire_after = "7d", ips_expire_to = "none" };
			} };
			for _, class in ipairs({ "events", "bare" }) do
				for _, back in ipairs({ 20, 8, 7, 1 }) do
					local time = noon - back * day;
					local event = entry(class..back, "203.0.113.80");
					event:tag("actor", { xmlns = NAMESPACE, kind = "user" }):text_tag("remote-ip", "2001:db8:1:2::5"):up();
					event:tag("repeated", { xmlns = NAMESPACE }):tag("sample", { ip = "203.0.113.81", name = "203.0.113.81" }):up():up();
					event:text_tag("note", "203.0.113.80");
					event:tag("query", { filter = "--client=203.0.113.80 --limit=5" }):up();
					log.store:append(name_of(class, time), nil, event, time, "@");
				end
			end
			log.store:append(name_of("events", noon - 20 * day), nil, entry("hashed"):tag("session"):tag("ip-hash", { key = "k" }):text("0a"):reset(),
				noon - 20 * day, "@");
			local before = shown(log);
			assert.equal("bare addresses 2 in 2, events addresses 3 in 2", (done(log)));
			assert.equal(before, shown(log));
			assert.equal("@bare.2026-11-17 @bare.2026-11-23 @cut-bare.2026-11-04 @cut-bare.2026-11-16 @cut-events.2026-11-04 @cut-events.2026-11-16 "
				.."@events.2026-11-17 @events.2026-11-23 @events.2026-11-24", log.store:names());
			local cut = log.store:rows("@cut-events.2026-11-04");
			assert.equal([[<audit-event source='mod_test' type='events20'><session xmlns='xmpp:prosody.im/audit'>]]
				..[[<remote-ip>203.0.113.0/24</remote-ip><location country='DE'/></session>]]
				..[[<actor kind='user' xmlns='xmpp:prosody.im/audit'><remote-ip>2001:db8:1::/48</remote-ip></actor>]]
				..[[<repeated xmlns='xmpp:prosody.im/audit'><sample ip='203.0.113.0/24' name='203.0.113.81'/></repeated>]]
				..[[<note>203.0.113.80</note>]]
				..[[<query filter='--client=203.0.113.0/24 --limit=5'/></audit-event>]],
				tostring(cut[1].value):gsub("<([%w-]+) ([^>]-)(/?)>", function (name, attr, slash)
					local list = {};
					for one in attr:gmatch("[%w-]+='[^']*'") do list[#list + 1] = one; end
					table.sort(list);
					return "<"..name.." "..table.concat(list, " ")..slash..">";
				end));
			assert.same({ noon - 20 * day, "@", nil }, { cut[1].when, cut[1].with, cut[2].value:find("session/ip-hash#") });
			local bare = tostring(log.store:rows("@cut-bare.2026-11-16")[1].value);
			assert.is_nil(bare:find("remote%-ip") or bare:find("ip=", 1, true));
			assert.is_truthy(bare:find("country='DE'", 1, true));
			assert.is_truthy(bare:find("filter='--client=*** --limit=5'", 1, true), bare);
			assert.equal("", (done(log)));
			log.time = noon + 30 * day;
			done(log);
			assert.is_nil(log.store:names():find("@cut-events.2026-11-04", 1, true), "a copy expires as its original would have");
		end);

		it("does not cut a day for which entries still wait", function ()
			local path = os.tmpname();
			local log = new_log({ audit_log_ips_expire_after = "1d" }, kind, path);
			local append = log.store.append;
			log.store:append("@events.2026-11-24", nil, entry("first", "203.0.113.80"), noon, "@");
			log.store.append = function (self, user, ...)
				if log.locked then return nil, "locked"; end
				return append(self, user, ...);
			end;
			log.locked = true;
			log.log.open(host);
			log.audit(host, nil, "mod_test", "second", { session = { ip = "203.0.113.81" } });
			log.time = noon + 3 * day;
			assert.equal("", (done(log)));
			log.locked = false;
			log:pass(100);
			assert.equal(2, #log.store:rows("@events.2026-11-24"));
			assert.equal("events addresses 2 in 1", (done(log)));
			log.log.close();
			os.execute("rm -f '"..path.."'*");
		end);

		it("leaves what can't be read where it is", function ()
			local log = new { audit_log_ips_expire_after = "1d" };
			for _, back in ipairs({ 3, 2 }) do
				for i = 1, 3 do
					local time = noon - back * day + i;
					log.store:append(name_of("events", time), nil, entry("e"..back..i, "203.0.113.80"), time, "@");
				end
			end
			local mend = damage(log.store, "e32");
			assert.equal("events addresses 3 in 1", (done(log)));
			mend();
			assert.equal("@cut-events.2026-11-22 @events.2026-11-21 @events.2026-11-24", log.store:names());
			assert.is_truthy(log.lines[#log.lines]:find("@events.2026-11-21 were not removed: 1 damaged entries", 1, true));
			assert.equal("e21 e22 e23 e31 e32 e33", shown(log));
		end);
	end);
end
