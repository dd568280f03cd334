-- Alerts of a simulated host (spec/support/simulated.lua): lua/mod_audit_alerts.lua runs there, and this says what must be true of it.

local support = require "support.log";

local NAMESPACE = support.NAMESPACE;
local HOUR, DAY = 3600, 86400;

-- How many messages an hour may have, of urgent rules and of all others.
local URGENT, OTHERS = 60, 20;
local is_urgent = { guessed = true, ["log-trouble"] = true };

-- A rule of the operator's own that watches all events, and one that watches alerts and must never raise one.
local OWN, NEVER = "everything", "alerts";

-- Within which time there is one alert for an account, a network or the host, in seconds. Of the other rules an alert does not tell what
-- it was counted by.
local windows = { guessed = HOUR, guessing = 600, privilege = HOUR, summary = HOUR, [OWN] = 6 * HOUR };

local methods = {};

methods.alert_options = { rules = {
	[OWN] = { types = { "*" }, key = "host", threshold = 20, window = "6h" };
	[NEVER] = { types = { "audit-aler*" }, key = "host" };
} };
methods.admins = { "user1@"..support.host };

-- What an alert is about, as far as its rule counts by it.
local function subject(alert)
	local account = alert.key:find("account", 1, true) and alert.account or "";
	return ("%s %s %s %s"):format(alert.rule, alert.key, account, alert.key:find("network", 1, true) and alert.network or "");
end

-- What is the same in an alert and in its entry, also if the account was erased.
local function trace(alert)
	return ("%s %s %s %s"):format(alert.rule, alert.key, alert.count, alert.since);
end

-- The functions for alerts of a log, with a look at what they return.
function methods:watched_alerts(alerts)
	return setmetatable({
		news = function (host)
			local found, notices = alerts.news(host);
			-- Those of now may be from before or after the clock was set.
			self.is_unclear, self.turned = self.turned ~= self.moved, self.moved;
			for _, alert in ipairs(found) do self:check_alert(alert); end
			return found, notices;
		end;
	}, { __index = alerts });
end

function methods:check_alert(alert)
	local now, window = self.time, windows[alert.rule];
	local lately, is_hasty = 0, is_urgent[alert.rule];
	if alert.rule == NEVER then
		error("an alert has raised an alert: "..alert.text);
	end
	for _, before in ipairs(self.alerts) do
		-- The limits are kept in UNIX time: nothing may be silent for longer if the clock is set back.
		local passed = not self.is_unclear and before.set_back == self.set_back and now - before.at or math.huge;
		if window and before.subject == subject(alert) and passed < window - 2 then
			error(("there were two alerts within %d seconds: %s"):format(passed, alert.text));
		end
		if passed < HOUR - 2 and is_urgent[before.rule] == is_hasty then lately = lately + 1; end
	end
	if lately >= (is_hasty and URGENT or OTHERS) then
		error(("there were %d alerts within an hour, the last is %s"):format(lately + 1, alert.text));
	end
	table.insert(self.alerts, {
		rule = alert.rule, subject = subject(alert), trace = trace(alert), at = now, uptime = self.uptime, set_back = not self.is_unclear and self.set_back;
	});
	-- One about the whole server is not sent again because of another host.
	if not alert.once then self.to_send = self.to_send + #self.admins; end
end

function methods:sent()
	self.messages = self.messages + 1;
end

-- All alerts were sent, and their entries are kept as long as others.
function methods:check_alerts(kept)
	if self.messages < self.to_send then
		error(("%d messages about alerts were sent, not %d"):format(self.messages, self.to_send));
	end
	local stored = {};
	for _, list in pairs(self.store.partitions) do
		for _, item in ipairs(list) do
			local alert = item.value:get_child("alert", NAMESPACE);
			if alert then
				local of = trace(alert.attr);
				stored[of] = (stored[of] or 0) + 1;
			end
		end
	end
	for i = #self.alerts, 1, -1 do
		local alert = self.alerts[i];
		local count = (stored[alert.trace] or 0) - 1;
		stored[alert.trace] = count;
		if count < 0 and self.uptime - alert.uptime < kept and not next(self.forgotten) then
			error("the entry of an alert is gone: "..alert.trace);
		elseif self.uptime - alert.uptime > 2 * DAY + kept then
			table.remove(self.alerts, i);
		end
	end
end

return methods;
