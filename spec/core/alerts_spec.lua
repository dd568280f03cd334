-- The functions for alerts that mod_audit_alerts uses, on a log without Prosody.

local core = require "audit_core";
local st = require "util.stanza";
local support = require "support.log";

describe("alerts of a log", function ()
	local log, lines, store, options, at;

	before_each(function ()
		lines, store, options, at = {}, support.new_store(), {}, support.noon;
		log = core.new {
			stanza_mt = getmetatable(st.stanza("x")); open_store = function () return store; end;
			get_option = function (_, name) return options[name]; end;
			log = function (level, line) lines[#lines + 1] = level..": "..line; end;
			now = function () return at; end;
			schedule = function () end; -- with timers there is flood control
		};
	end);

	local function fail(count, user, ip)
		for _ = 1, count do
			log.audit("example.com", user, "mod_audit_auth", "authentication-failure", { session = { ip = ip } });
		end
	end

	local function texts()
		local found = {};
		for i, alert in ipairs((log.alerts.news("example.com"))) do found[i] = alert.text; end
		return found;
	end

	it("are returned once, and recorded", function ()
		log.alerts.start("example.com");
		fail(60, "juliet@example.com", "203.0.113.7");
		local found = texts();
		assert.equal(1, #found);
		assert.matches('^%[guessing%] Somebody is guessing the password of "juliet@example%.com": 50 logins failed', found[1]);
		assert.same({}, texts());
		local rows = store:rows("@events.2026-11-24");
		local entry = rows[#rows].value;
		assert.same({ "audit-alert", "juliet@example.com" }, { entry.attr.type, entry.attr.user });
		local alert = entry:get_child("alert", support.NAMESPACE);
		assert.same({ "guessing", "account", "50", "203.0.113.0/24" },
			{ alert.attr.rule, alert.attr.key, alert.attr.count, alert.attr.network });
	end);

	it("are there if flood control is off, also for what it is asked before", function ()
		options.audit_log_flood = false;
		log.alerts.start("example.com");
		for _ = 1, 60 do
			assert.is_true(log.admits("example.com", "juliet", "mod_audit_auth", "authentication-failure", { ip = "203.0.113.7" }));
		end
		assert.equal(1, #texts());
	end);

	it("are none before they are started, and after they are stopped", function ()
		fail(60, "juliet@example.com", "203.0.113.7");
		assert.same({}, texts());
		log.alerts.start("example.com");
		log.alerts.stop("example.com");
		fail(60, "juliet@example.com", "203.0.113.7");
		assert.same({}, texts());
	end);

	it("show an address only as far as the host stores it", function ()
		options.audit_log_ips = false;
		log.alerts.start("example.com");
		fail(60, "juliet@example.com", "203.0.113.7");
		assert.is_nil(texts()[1]:find("203.0.113", 1, true));
	end);

	it("come from what accounts were used with before", function ()
		options.audit_alerts = { rules = { ["new-client"] = { accounts = "all" } } };
		assert.is_true(log.alerts.start("example.com").everyone);
		assert.equal(0, log.alerts.history("example.com"));
		log.alerts.learn("example.com", "juliet@example.com", nil, "phone", at - 60);
		log.alerts.learned("example.com");
		assert.is_nil(log.alerts.history("example.com"));
		local function login(client)
			log.audit("example.com", "juliet@example.com", "mod_audit_auth", "authentication-success", { session = { client_id = client } });
			return #texts();
		end
		assert.same({ 0, 1, 0 }, { login("phone"), login("laptop"), login("laptop") });
		log.alerts.forget("example.com", "juliet@example.com");
		assert.equal(0, login("tablet"));
	end);

	it("say when the store has failed for long", function ()
		log.alerts.start("example.com");
		for _, seconds in ipairs { 0, 299, 301 } do
			at = support.noon + seconds;
			log.alerts.trouble("example.com", "The store fails", "disk full", 300);
		end
		assert.matches("^%[log%-trouble%] The store fails since 2026%-11%-24 12:00:00 UTC: \"disk full\"%.", texts()[1]);
	end);

	it("are refused with a line if a rule is wrong, and the others work", function ()
		options.audit_alerts = { rules = { guessing = { threshold = 0 }; mine = { types = "user-registerd" } } };
		log.alerts.start("example.com");
		assert.equal(2, #lines);
		assert.matches("^error: Option audit_alerts%.rules%[\"guessing\"%]%.threshold is 0", lines[1]);
		assert.matches("user%-registerd", lines[2]);
		fail(60, "juliet@example.com", "203.0.113.7");
		assert.equal(1, #texts());
		local rules, refused = log.alerts.rules("example.com");
		assert.matches("^RULE ", rules);
		assert.equal(2, #refused);
	end);

	it("have a text for users in their language", function ()
		options.audit_user_notices, options.audit_user_notices_text = true, { de = "Neu: {client}" };
		assert.is_true(log.alerts.start("example.com").notices);
		local notice = { account = "juliet@example.com", at = at, client = "phone" };
		assert.equal("Neu: phone", log.alerts.notice_text("example.com", "de-AT", notice));
		assert.matches("^Your account juliet@example%.com was used", log.alerts.notice_text("example.com", nil, notice));
	end);
end);
