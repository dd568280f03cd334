-- Retention classes: src/lua/log/classes.lua.

local st = require "util.stanza";
local support = require "support.log";

local new_log, noon, day, NAMESPACE = support.new, support.noon, 86400, support.NAMESPACE;

describe("a retention class", function ()
	local classes = {
		accounts = { types = { "user-*" }, expires_after = "1y", ips = "none" };
		failures = { expires_after = "1d", ips = "prefix" };
	};
	local session = { ip = "203.0.113.80" };

	local function ip_of(row)
		return row.value:find("{"..NAMESPACE.."}session/remote-ip#");
	end

	it("has partitions and an address policy of its own", function ()
		local log = new_log { audit_log_classes = classes };
		for _, event_type in ipairs({ "user-registered", "authentication-failure", "s2s-refused", "other" }) do
			log.audit("example.com", nil, "mod_test", event_type, { session = session, actor = { kind = "user", session = session } });
		end
		assert.equal("@accounts.2026-11-24 @events.2026-11-24 @failures.2026-11-24", log.store:names());
		assert.is_nil(ip_of(log.store:rows("@accounts.2026-11-24")[1]));
		assert.is_nil(tostring(log.store:rows("@accounts.2026-11-24")[1].value):find("203", 1, true));
		local failures = log.store:rows("@failures.2026-11-24");
		assert.same({ "203.0.113.0/24", "203.0.113.0/24" }, { ip_of(failures[1]), ip_of(failures[2]) });
		assert.equal("203.0.113.0/24", failures[1].value:find("{"..NAMESPACE.."}actor/remote-ip#"));
		assert.equal("203.0.113.80", ip_of(log.store:rows("@events.2026-11-24")[1]));
		assert.same({}, log.lines);
	end);

	it("is the one in the configuration when an entry is handed over", function ()
		local path = os.tmpname();
		local log = new_log({}, nil, path);
		log.log.open("example.com");
		log.audit("example.com", nil, "mod_test", "user-registered");
		log.options.audit_log_classes = classes;
		log.log.forget("example.com");
		log:pass(1);
		assert.equal("@accounts.2026-11-24", log.store:names());
		log.log.close();
		os.execute("rm -f "..path.."*");
	end);

	it("has an expiry of its own, and entries of a class that is not configured any more are kept", function ()
		local log = new_log { audit_log_classes = classes };
		local names = { "@accounts", "@events", "@failures", "@former" };
		for _, name in ipairs(names) do
			for _, ago in ipairs({ 400, 200, 10, 0 }) do
				local time = noon - ago * day;
				log.store:append(name..os.date("!.%Y-%m-%d", time), nil, st.stanza("audit-event", { type = name:sub(2).."-"..ago }), time, "@");
			end
		end
		local shown = {};
		for event_type in log:shown():gmatch("%S+ [%d:]+[* ] +(%l+%-%d+)") do shown[event_type] = true; end
		local expected = { "accounts-200", "accounts-10", "accounts-0", "events-10", "events-0", "failures-0", "former-200", "former-10", "former-0" };
		for _, name in ipairs(expected) do
			assert.is_true(shown[name], name);
			shown[name] = nil;
		end
		assert.same({}, shown);
		local dropped = 0;
		for _, result in ipairs(log.log.prune("example.com")) do dropped = dropped + result.partitions; end
		assert.equal(7, dropped);
		assert.equal("@accounts.2026-05-08 @accounts.2026-11-14 @accounts.2026-11-24 @events.2026-11-14 @events.2026-11-24 "
			.."@failures.2026-11-24 @former.2026-05-08 @former.2026-11-14 @former.2026-11-24", log.store:names());
	end);

	it("that has wrong fields is reported once, and the other fields are used", function ()
		local log = new_log { audit_log_classes = { accounts = { types = { "user-*" }, ips = "some", expire = 1 } } };
		log.audit("example.com", nil, "mod_test", "user-registered", { session = session });
		log.audit("example.com", nil, "mod_test", "user-registered", { session = session });
		assert.equal(2, #log.lines);
		assert.is_truthy(log.lines[1]:find("class accounts has expire = 1, but there is no such field: use types, expires_after, limit, "
			.."ips, ips_expire_after, ips_expire_to", 1, true));
		assert.is_truthy(log.lines[2]:find("class accounts has ips = \"some\", which is not allowed: use \"full\", \"prefix\"", 1, true));
		assert.is_nil(ip_of(log.store:rows("@accounts.2026-11-24")[1]));
	end);

	it("shares archive user nil with the others in the single layout, in order of time", function ()
		local log = new_log { audit_log_layout = "single", audit_log_classes = classes };
		for _, step in ipairs({ { 0, "user-a" }, { 5, "other" }, { 0, "user-b" }, { 3, "other" }, { 5, "user-c" } }) do
			log.time = noon + step[1];
			log.audit("example.com", nil, "mod_test", step[2]);
		end
		local times = {};
		for i, row in ipairs(log.store:rows(nil)) do times[i] = row.when - noon; end
		assert.same({ 0, 5, 5, 5, 5 }, times);
	end);
end);
