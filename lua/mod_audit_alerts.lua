-- Sends alerts about what the log records to the administrators of a host, and tells users of new logins if the option
-- audit_user_notices is on. The core decides what is an alert; this module says who the administrators are, reads from the log what
-- accounts are known for if the file with that is lost, and sends.

module:set_global();

local mod_audit = module:depends("audit");
local library = mod_audit.library;
if not library then return; end -- mod_audit has said why
local faults = library "faults";
local new_audit = library "audit";
local new_recipients, new_notices = library "recipients", library "notices";
local timers = library "timers";

local datamanager = require "util.datamanager";
local datetime = require "util.datetime";
local jid_host = require "util.jid".host;
local new_runner = require "util.async".runner;
local time = require "util.time";

local alerts = module:shared("/*/audit/log").log.alerts;
-- mod_audit_sinks, if it is loaded: its functions, and which sinks get the alerts of a host, by host and name
local sinks, takers = module:shared("/*/audit_sinks/sinks"), module:shared("/*/audit_sinks/alerts");

local ipairs, pairs, type = ipairs, pairs, type;

-- How often what has come up is sent, and how often the store and the list of administrators are looked at, in seconds.
local TURN, LOOK, ADMINISTRATORS = 1, 30, 600;
-- How long the store may fail before that is an alert, in seconds.
local PATIENCE = 300;
-- How late entries of a sink that is behind are, and for how long it may be, in seconds.
local LATE, BEHIND = 60, 900;
-- How many of the newest logins are read to find out what accounts are known for. After a failure it is tried again; in seconds.
local LOGINS, AGAIN = 50000, 60;

local on_hosts = {};

local function names()
	local list = {};
	for host in pairs(on_hosts) do list[#list + 1] = host; end
	return list;
end

-- Most hosts have no news, and cost nothing.
local noticing = {};
timers.add(module, TURN, function ()
	for _, host in ipairs(alerts.with_news()) do
		if on_hosts[host] then on_hosts[host].turn(); end
	end
	for host in pairs(noticing) do
		if on_hosts[host] then on_hosts[host].notice(); end
	end
	return TURN;
end);
timers.each(module, LOOK, names, function (host)
	if on_hosts[host] then on_hosts[host].look(); end
end);

-- Calls handle(of_host, event) for an event of the whole server that names a host with alerts. A server may have thousands of hosts, and
-- a handler for each of them would take memory for each.
local function watch(event_name, handle)
	module:hook(event_name, faults.guard(module, event_name, function (event)
		local of_host = type(event) == "table" and event.host and on_hosts[event.host];
		if of_host then handle(of_host, event); end
	end));
end

-- The list of administrators changes.
for _, event_name in ipairs { "user-role-changed", "user-roles-changed", "user-role-added", "user-role-removed" } do
	watch(event_name, function (of_host) of_host.look_soon(); end);
end

-- The name may have another owner later.
watch("user-deleted", function (of_host, event) of_host.forget_user(event.username); end);

-- After mod_audit has forgotten its options.
module:hook("config-reloaded", function ()
	for _, of_host in pairs(on_hosts) do of_host.start(); end
end, -10);

function module.add_host(module)
	local host = module.host;
	local audit = new_audit(module, "audit");
	local recipients, notices = new_recipients(audit), new_notices(audit, alerts);
	local of_host, settings, administrators = {}, nil, {};
	local looked, learning = nil, false;

	-- Reads logins from the log. `users` is a list of accounts, or nil for all.
	local function learn(since, users)
		local query = { types = "authentication-success"; since = since; limit = LOGINS; user = users };
		for entry, _, problem in mod_audit.log(host):query(query) do
			if entry == false then
				return nil, problem;
			end
			local at = datetime.parse(entry.time);
			if entry.user and at then
				alerts.learn(host, entry.user, entry.country, entry.client, at);
			end
		end
		return true;
	end

	local function read_history(new)
		local since = alerts.history(host);
		local is_rest = since == nil;
		local users;
		if is_rest or not settings.everyone then
			users = {};
			for _, jid in ipairs(is_rest and new or administrators) do
				if jid_host(jid) == host then users[#users + 1] = jid; end
			end
		end
		if users and #users == 0 then
			return true;
		end
		return learn(since or 0, users);
	end

	local runner;
	local retry_at;
	-- Finds out who the administrators are, and what accounts are known for.
	local function find_out()
		administrators = recipients.administrators();
		looked = time.monotonic();
		local new = alerts.admins(host, administrators);
		if (alerts.history(host) or #new > 0 and not settings.everyone) and not learning then
			learning = true;
			local ok, problem = read_history(new);
			learning = false;
			if ok then
				alerts.learned(host);
				retry_at = nil;
			else
				module:log("warn", "What accounts are known for can't be read from the log, it will be tried again: %s", problem);
				retry_at = time.monotonic() + AGAIN;
			end
		end
	end
	local tasks = { find_out = audit:guard("finding out who the administrators are", find_out); look = audit:guard("a notice", notices.look) };
	runner = new_runner(function (name) tasks[name](); end);

	local function run(name)
		if runner.state == "ready" then runner:run(name); end
	end

	-- The sinks are there when all modules are loaded.
	local function check_sinks()
		for _, name in ipairs(settings.sinks) do
			if not sinks.sends or not sinks.sends(name, host) then
				module:log("error", "Option audit_alerts.sinks has \"%s\", which is not allowed: use names of audit_log_sinks that send events of %s. "
					.."No alerts are sent there.", name, host);
			end
		end
	end

	local function set_sinks(wanted)
		takers[host] = {};
		for _, name in ipairs(wanted) do takers[host][name] = true; end
		if sinks.take_alerts then sinks.take_alerts(host, takers[host]); end
	end

	function of_host.look_soon()
		timers.add(module, 0, function () run("find_out"); end);
	end

	local function start()
		settings = alerts.start(host, datamanager.getpath(nil, host, "audit", "alerts", true));
		set_sinks(settings.sinks);
		timers.add(module, 0, check_sinks);
		of_host.look_soon();
	end
	start();
	of_host.start = audit:guard("config-reloaded", start);

	of_host.turn = audit:guard("alerts", function ()
		local found, told = alerts.news(host);
		for _, alert in ipairs(found) do
			recipients.send(alert, settings.to or administrators, settings.rooms);
		end
		for _, notice in ipairs(told) do
			notices.send(notice);
			noticing[host] = true;
		end
	end);

	function of_host.notice()
		run("look");
		if not notices.waits() then noticing[host] = nil; end
	end

	-- Looks whether a sink has been behind for long. A sink that catches up after a restart is not in trouble yet.
	local seen = {};
	local function look_at_sinks()
		local list = sinks.list and sinks.list(host) or {};
		local late = {};
		for _, sink in ipairs(list) do
			if sink.oldest and time.now() - sink.oldest > LATE then
				late[sink.name] = sink.problem or ("%d entries wait"):format(sink.behind);
			end
			seen[sink.name] = true;
		end
		for name in pairs(seen) do
			if not late[name] then seen[name] = nil; end
			alerts.trouble(host, ("The sink %s is behind"):format(name), late[name], BEHIND, name);
		end
	end

	of_host.look = audit:guard("alerts", function ()
		local now = time.monotonic();
		if looked and now - looked > ADMINISTRATORS or retry_at and now >= retry_at then
			retry_at = nil;
			run("find_out");
		end
		local problem = module:shared("/*/audit/log").log.state(host).problem;
		alerts.trouble(host, "The store of the audit log fails", problem, PATIENCE);
		look_at_sinks();
	end);

	function of_host.forget_user(username)
		alerts.forget(host, audit:jid(username));
		notices.forget(username);
	end

	on_hosts[host] = of_host;

	-- forget(JID): forgets what an account is known for, as its owner may ask. For other modules.
	function module.environment.forget(jid)
		alerts.forget(host, jid);
	end

	function module.unload()
		on_hosts[host], noticing[host] = nil, nil;
		set_sinks {};
		alerts.stop(host);
	end
end
