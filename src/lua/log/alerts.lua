-- Alerts, for mod_audit_alerts: what has come up is recorded, and returned to be sent.

local _, chunks = ...;
local detail = chunks.stanza.detail;

local ipairs = ipairs;

local SOURCE, TYPE = "mod_audit_alerts", "audit-alert";

-- new(context) -> alerts
--   context = { environment =, recorder =, monotonic =, as log.lua has them; audit = function, ensure_configured = function(host),
--     forget = function(host): flood control forgets what it knows of event types }
local function new(context)
	local environment, recorder, monotonic = context.environment, context.recorder, context.monotonic;
	local log, now = environment.log, environment.now;
	local told = {};

	local function tell_once(host, problem)
		if told[host] ~= problem then
			told[host] = problem;
			if problem then
				log("error", ("What accounts of %s are known for, which alerts need: %s"):format(host, problem));
			end
		end
	end

	local function getter(host)
		return function (name) return environment.get_option(host, name); end;
	end

	local alerts = {};

	-- start(host, path | nil) -> { to = list of JIDs | nil, rooms = list, sinks = list, notices =, everyone = } : begins, or reads the options again
	function alerts.start(host, path)
		context.ensure_configured(host);
		local settings, refused, problem = recorder.start_alerts(host, getter(host), path);
		for _, line in ipairs(refused) do
			log("error", line);
		end
		tell_once(host, problem);
		context.forget(host);
		return settings;
	end

	function alerts.stop(host)
		tell_once(host, recorder.stop_alerts(host, monotonic(), now()));
		context.forget(host);
	end

	-- rules(host) -> the rules as text, list of refused values
	function alerts.rules(host)
		return recorder.list_alerts(getter(host));
	end

	-- news(host) -> list of { rule =, text =, … }, list of notices. The alerts are recorded already.
	function alerts.news(host)
		local found, notices, problem = recorder.alert_news(host, monotonic(), now());
		tell_once(host, problem);
		for _, alert in ipairs(found) do
			context.audit(host, alert.account, SOURCE, TYPE, { actor = { kind = "server" }; custom = { detail(environment.stanza_mt, "alert", {
				rule = alert.rule; key = alert.key; count = alert.count; since = alert.since; network = alert.network; sink = alert.sink;
			}) } });
		end
		return found, notices;
	end

	-- trouble(host, subject, problem | nil, patience, sink | nil): a part of the log works, or does not; an alert after that many seconds
	function alerts.trouble(host, subject, problem, patience, sink)
		recorder.alert_trouble(host, subject, problem, patience, sink, monotonic(), now());
	end

	-- with_news() -> list of the hosts for which news() is to be called
	alerts.with_news = recorder.with_alert_news;
	-- admins(host, list of JIDs) -> list of those that nothing is known of
	alerts.admins = recorder.alert_admins;
	-- history(host) -> since when logins must be read from the log | nil
	alerts.history = recorder.alert_history;
	-- learn(host, JID, country | nil, client | nil, time); learned(host)
	alerts.learn, alerts.learned = recorder.learn_login, recorder.learned_logins;
	-- forget(host, JID): forgets what an account is known for, as its owner may ask
	alerts.forget = recorder.forget_account;
	-- notice_text(host, language | nil, notice) -> text
	alerts.notice_text = recorder.notice_text;

	return alerts;
end

return { new = new };
