-- Sends entries to other machines and programs as they are recorded: syslog, HTTP, files. docs/sinks.md describes the option
-- audit_log_sinks. What is sent next is decided in the library (src/sink), and here are the connections.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local equal = library "equal";
local faults = library "faults";
local timers = library "timers";

local core = require "audit_core";

local async = require "util.async";
local datamanager = require "util.datamanager";
local encodings = require "util.encodings";
local time = require "util.time";

local io_open, ipairs, max, min, pairs = io.open, ipairs, math.max, math.min, pairs;
local monotonic, now = time.monotonic, time.now;
local concat, sort = table.concat, table.sort;

-- How often a sink is looked at, how often its positions are saved, and the pause if the log can't be read; seconds. What was sent since a
-- position was saved is sent again after a crash.
local LOOK, SAVE, UNREADABLE = 1, 5, 10;
-- The shortest and the longest pause if the receiver of datagrams is busy. Linux keeps ten datagrams for a Unix socket, if nobody has
-- changed that.
local BUSY, BUSIEST = 0.005, 0.1;
-- How long a stop may take to write what waits to files, in seconds.
local LAST = 0.25;
-- A position that is not known: everything that the log keeps.
local BEGINNING = "1 00000000-0000-0000-0000-000000000000 0 0";

local transports = {
	tls = "stream", tcp = "stream", udp = "datagram", unix = "datagram", file = "file", http = "http", https = "http";
};

local audit_log = module:shared("/*/audit/log").log;
-- Which sinks get the alerts of a host in any case, by host and name. mod_audit_alerts knows that.
local alerts = module:shared("/*/audit_sinks/alerts");
local try = faults.trier(module);

-- All sinks, by name; the hosts that have the module; the option as it was read last
local sinks, hosts, configured = {}, {}, nil;

local delivered = module:metric("counter", "sink_delivered", "", "Audit events that were delivered to a sink", { "sink" });
local errors = module:metric("counter", "sink_errors", "", "Failures to deliver audit events to a sink", { "sink" });
local refused = module:metric("counter", "sink_refused", "", "Audit events that a sink refused", { "sink" });
local behind = module:metric("gauge", "sink_behind", "seconds", "Age of the oldest audit event that was not delivered to a sink", { "sink" });

local function position_path(host, name)
	return datamanager.getpath(nil, host, "audit", name..".position", true);
end

-- Reads the position of a sink on a host: text | nil, if there is none
local function read_position(host, name)
	local file, err, code = io_open(position_path(host, name));
	if not file then
		if code ~= 2 then -- it may be there
			return BEGINNING, err;
		end
		return nil;
	end
	local text = file:read("*a");
	file:close();
	return text;
end

-- What changed -------------------------------------------------------------------------------------------------------

local function set_status()
	local troubled, count = {}, 0;
	for name, sink in pairs(sinks) do
		count = count + 1;
		if sink.native:state().problem then troubled[#troubled + 1] = name; end
	end
	if #troubled > 0 then
		sort(troubled);
		module:set_status("warn", ("audit events are not delivered to: %s"):format(concat(troubled, ", ")), true);
	else
		module:set_status("info", ("%d sinks"):format(count), true);
	end
end

-- Reports when trouble begins, and when it ends.
local function report(sink)
	local what, problem = sink.native:trouble();
	if not what then return; end
	if what == "begins" then
		module:log("warn", "Audit events can't be sent to the sink %s (%s): %s. It is tried again; nothing is lost as long as the log keeps it.",
			sink.name, sink.settings.shown, problem);
	else
		module:log("info", "Audit events are sent to the sink %s (%s) again", sink.name, sink.settings.shown);
	end
	set_status();
end

local function update_metrics(sink)
	local state = sink.native:state();
	local counted = sink.counted;
	delivered:with_labels(sink.name):add(state.delivered - counted.delivered);
	errors:with_labels(sink.name):add(state.errors - counted.errors);
	refused:with_labels(sink.name):add(state.refused - counted.refused);
	behind:with_labels(sink.name):set(state.oldest and max(0, now() - state.oldest) or 0);
	sink.counted = state;
end

local function save(sink)
	for host in pairs(sink.readers) do
		local text = sink.native:saved(host, now());
		if text then
			local ok, err = core.write_position(position_path(host, sink.name), text);
			if not ok and not sink.unsaved then
				module:log("error", "The position of the sink %s on %s can't be saved: %s. After a crash, events will be sent again.", sink.name, host, err);
			end
			sink.unsaved = not ok;
		end
	end
end

-- Sending ------------------------------------------------------------------------------------------------------------

local pump;

-- Runs the sink after this many seconds, unless it runs sooner.
local function schedule(sink, delay)
	local due = monotonic() + delay;
	if sink.closed or sink.due and sink.due <= due then return; end
	sink.due = due;
	timers.add(module, delay, function ()
		if sink.due == due and not sink.closed then
			sink.due = nil;
			sink.runner:run(true);
		end
	end);
end

local function pause()
	async.sleep(0);
end

-- Reads more entries of a host.
local function fill(sink, host)
	local reader = sink.readers[host];
	if not reader then return; end
	local more, problem = reader.fill(pause);
	if sink.readers[host] ~= reader then return; end
	sink.native:news(host, more);
	if problem and not sink.unreadable then
		module:log("error", "The audit log of %s can't be read for the sink %s: %s. It is tried again.", host, sink.name, problem);
	end
	sink.unreadable = problem;
	if more then return; end
	if problem then
		timers.add(module, UNREADABLE, function ()
			sink.native:news(host, true);
			schedule(sink, 0);
		end);
	else
		reader.wait(function ()
			sink.native:news(host, true);
			schedule(sink, sink.settings.collects);
		end);
	end
end

-- Sends the next batch, if there is one and the receiver is ready. The batch after it is sent in another turn of the loop.
function pump(sink)
	while not sink.closed do
		local what, value = sink.native:step(monotonic(), now());
		if what == "send" then
			sink.transport.send(value);
			return;
		elseif what == "fill" then
			fill(sink, value);
			-- Reading and making messages are two steps, each as long as one may hold the loop.
			pause();
		elseif what == "wait" then
			schedule(sink, value);
			return;
		else
			return;
		end
	end
end

-- An entry was set aside. The entry that says so must not be refused and recorded again and again.
local function set_aside(sink, host, id, event_type, why)
	if not event_type then return; end
	if not sink.has_refused then
		sink.has_refused = true;
		module:log("error", "The sink %s (%s) refuses an audit event, which is left out there: id %s, type %s: %s. Further ones are counted.",
			sink.name, sink.settings.shown, id or "none", event_type, why);
	end
	if event_type ~= "audit-sink-rejected" and hosts[host] then
		hosts[host]:audit(nil, "audit-sink-rejected", { custom = {
			core.detail("refused", { sink = sink.name; id = id; type = event_type; reason = why });
		} });
	end
end

-- What a transport reports.
local function reports_of(sink)
	local native, on = sink.native, {};
	local function done()
		report(sink);
		schedule(sink, 0);
	end
	function on.sent(count)
		native:accepted(count, monotonic());
		done();
	end
	local busy = BUSY;
	function on.busy(taken)
		busy = taken > 0 and BUSY or min(busy * 2, BUSIEST);
		native:pause(busy, monotonic());
		done();
	end
	function on.refused(why)
		local host, id, event_type = native:refused(true);
		set_aside(sink, host, id, event_type, why);
		done();
	end
	function on.failed(problem, seconds)
		native:failed(problem, seconds, monotonic());
		done();
	end
	function on.broken(problem)
		native:broken(problem, monotonic());
		done();
	end
	function on.answered(status, retry_after, body)
		local what, seconds = native:answer(status, retry_after, now(), body);
		if what == "accepted" then
			return on.sent();
		elseif what == "later" then
			return on.failed("the receiver answered with status "..status, seconds);
		end
		local host, id, event_type = native:refused();
		set_aside(sink, host, id, event_type, "status "..status);
		done();
	end
	return on;
end

-- Hosts --------------------------------------------------------------------------------------------------------------

local function join(sink, host)
	if sink.readers[host] or not sink.native:wants(host) then return; end
	local text, problem = read_position(host, sink.name);
	local reader, err = audit_log.reader(host, text);
	if not reader and text then
		problem = err;
		reader, err = audit_log.reader(host, BEGINNING);
	end
	if not reader then
		module:log("error", "The sink %s gets no events of %s: %s", sink.name, host, err);
		return;
	elseif problem then
		module:log("warn", "The position of the sink %s on %s can't be read: %s. Everything that the log keeps is sent again.", sink.name, host, problem);
	end
	sink.readers[host] = reader;
	sink.native:join(host, reader.cursor, encodings.idna.to_ascii(host));
	sink.native:take_alerts(host, (alerts[host] or {})[sink.name] or false);
	save(sink); -- otherwise a crash would make it a new sink
	schedule(sink, 0);
end

local function leave(sink, host)
	local reader = sink.readers[host];
	if not reader then return; end
	save(sink);
	sink.readers[host] = nil;
	sink.native:leave(host);
	reader.close();
end

-- The configuration --------------------------------------------------------------------------------------------------

local function close(sink)
	-- What can be written without waiting is written now.
	local deadline = monotonic() + LAST;
	sink.native:hurry();
	while sink.transport.is_immediate and monotonic() < deadline do
		local what, value = sink.native:step(monotonic(), now());
		if what == "send" then
			sink.transport.send(value);
		elseif what == "fill" and sink.readers[value].cursor:wants(now()) == "take" then
			sink.native:news(value, true);
		elseif what == "fill" then
			sink.native:news(value, false);
		else
			break;
		end
	end
	sink.native:finish();
	save(sink);
	sink.closed = true;
	sink.transport.close();
	for _, reader in pairs(sink.readers) do reader.close(); end
	sink.readers = {};
	update_metrics(sink);
end

-- A transport | nil, message
local function new_transport(settings, on)
	local context, problem;
	if settings.transport == "tls" or settings.transport == "https" then
		context, problem = library "sinks/tls" (settings);
		if not context then return nil, problem; end
	end
	return library("sinks/"..transports[settings.transport])(module, settings, on, context);
end

local function open(native)
	local settings = native:settings();
	settings.sign = function (secret, body) return native:sign(secret, body, now()); end
	local sink = { name = settings.name; native = native; settings = settings; readers = {}; counted = { delivered = 0, errors = 0, refused = 0 } };
	local problem;
	sink.transport, problem = new_transport(settings, reports_of(sink));
	if not sink.transport then
		module:log("error", "The sink %s (%s) can't be used: %s. The other sinks work.", sink.name, settings.shown, problem);
		return;
	end
	sink.runner = async.runner(function () try("a sink", pump, sink); end);
	sinks[sink.name] = sink;
	for host in pairs(hosts) do join(sink, host); end
end

local function close_all()
	for name, sink in pairs(sinks) do
		try("the end of a sink", close, sink);
		sinks[name] = nil;
	end
end

local function configure()
	local option = module:get_option("audit_log_sinks");
	if configured and equal(configured.option, option) then
		for _, sink in pairs(sinks) do
			if sink.transport.reopen then sink.transport.reopen(); end
		end
		return;
	end
	configured = { option = option };
	close_all();
	local found, lines = core.sinks(option);
	for _, line in ipairs(lines) do module:log("error", "%s", line); end
	for _, native in ipairs(found) do open(native); end
	set_status();
end

configure();

module:hook("config-reloaded", faults.guard(module, "config-reloaded", configure), -1);

local saved_at = 0;
timers.add(module, LOOK, function ()
	local is_due = monotonic() - saved_at >= SAVE;
	if is_due then saved_at = monotonic(); end
	for _, sink in pairs(sinks) do
		sink.native:tick(monotonic());
		report(sink);
		if is_due then save(sink); end
	end
	return LOOK;
end);

module:hook("stats-update", function ()
	for _, sink in pairs(sinks) do try("metrics", update_metrics, sink); end
end);

-- After the modules that record the stop, and before the log ends.
module:hook("server-stopped", faults.guard(module, "server-stopped", close_all), -900);

function module.unload()
	close_all();
end

library "sinks/answers" (sinks, hosts, new_transport);

function module.add_host(host_module)
	local host = host_module.host;
	hosts[host] = host_module;
	for _, sink in pairs(sinks) do join(sink, host); end

	function host_module.unload()
		hosts[host] = nil;
		for _, sink in pairs(sinks) do leave(sink, host); end
	end
end
