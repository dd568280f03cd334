-- Makes a month of a busy server's audit log, the same each time. generate(store, entries, last) fills an empty archive store of
-- Prosody with that many entries over the 28 days before `last` (UNIX time), in the same partitions as the log uses. Needs Prosody's
-- util libraries.
--
-- Most entries are logins. The frequencies of accounts, networks and types differ much, nights are quiet, and on one day there is an
-- attack from one network.

local st = require "util.stanza";

local xmlns = "xmpp:prosody.im/audit";
local days, accounts = 28, 2000;
-- The number of entries in a partition: Rules::room in src/archive/retention.rs.
local room = 500;
-- On SQL, the number of entries in one transaction.
local batch = 500;

local failure_text = "Unable to authorize you with the authentication credentials you've sent.";
local places = { { "DE", "EU", "Germany", 80 }, { "FR", "EU", "France", 81 }, { "IT", "EU", "Italy", 82 }, { "US", "NA", "United States", 52 } };

local function add(stanza, name, attr, text)
	attr = attr or {};
	attr.xmlns = xmlns;
	return stanza:text_tag(name, text or "", attr);
end

-- One entry: stanza, user | "@", class
local function entry(random, when, attack)
	local number = random(accounts) ^ 2 // accounts + 1;
	local user, kind = ("user%d@example.com"):format(number), random(1000);
	local place = places[number // 1 % #places + 1];
	local address = ("%d.%d.%d.%d"):format(place[4], number % 200, number % 7, random(250));
	local event_type, source, class = "authentication-success", "mod_audit_auth", "events";
	if attack and kind <= 900 then
		event_type, class, address = "authentication-failure", "failures", "198.51.100."..random(40);
	elseif kind > 995 then
		event_type, source, user = "shell-command", "mod_audit_admin", nil;
	elseif kind > 985 then
		event_type, source = "user-password-changed", "mod_audit_user_accounts";
	elseif kind > 950 then
		event_type = "new-client";
	elseif kind > 830 then
		event_type, class = "authentication-failure", "failures";
	end
	local id = ("%08x-%04x-7%03x-8%03x-%012x"):format(when >> 16 & 0xffffffff, when & 0xffff, random(0, 4095), random(0, 4095),
		random(0, 0xffffffffffff));
	local stanza = st.stanza("audit-event", { source = source, type = event_type, user = user, [xmlns.."\1id"] = id });
	if user then
		stanza:tag("session", { xmlns = xmlns, id = ("c2s%012x"):format(random(0, 0xffffffffffff)), type = "c2s" });
		stanza:text_tag("remote-ip", address);
		stanza:text_tag("location", place[3], { country = place[1], continent = place[2] });
		stanza:text_tag("client", ("%08x-4d72-4749-b3d3-740edbf87770"):format(number * 77 // 1)):up();
	end
	if event_type == "authentication-success" then
		add(stanza, "authentication", { mechanism = "SCRAM-SHA-1-PLUS" });
		add(stanza, "tls", { version = "TLSv1.3", cipher = "TLS_AES_256_GCM_SHA384" });
	elseif event_type == "authentication-failure" then
		add(stanza, "authentication", { mechanism = "PLAIN", condition = "not-authorized" }, failure_text);
	elseif event_type == "shell-command" then
		add(stanza, "actor", { kind = "admin-shell" });
		add(stanza, "command", { name = "user:roles" }, "user:roles(…)");
	end
	return stanza, user or "@", class;
end

-- The SQL engine of a store | nil. The driver keeps it in a local variable.
local function engine_of(store)
	for i = 1, 60 do
		local name, value = debug.getupvalue(store.append, i);
		if not name then return nil; end
		if name == "engine" then return value; end
	end
end

-- Runs write() as one transaction, as the library does: appends in it do not begin transactions.
local function in_one_transaction(store, engine, write)
	if store.batch then
		assert(store:batch(write));
		return;
	elseif not engine then
		return write();
	end
	assert(engine:transaction(function ()
		engine.transaction = function (_, run, ...) return true, run(...); end;
		local ok, err = pcall(write);
		engine.transaction = nil;
		assert(ok, err);
		return true;
	end));
end

-- progress(number of entries so far) is called from time to time, if it is given.
return function (store, entries, last, progress)
	math.randomseed(7, 28);
	local random = math.random;
	local engine = engine_of(store);
	local partitions = {};
	local function append(class, when, stanza, with)
		local day = os.date("!%Y-%m-%d", when);
		local partition = partitions[class];
		if not partition or partition.day ~= day then
			partition = { day = day, name = ("@%s.%s"):format(class, day), number = 1, count = 0 };
			partitions[class] = partition;
		elseif partition.count == room then
			partition.number, partition.count = partition.number + 1, 0;
			partition.name = ("@%s.%s.%d"):format(class, day, partition.number);
		end
		partition.count = partition.count + 1;
		return assert(store:append(partition.name, nil, stanza, when, with));
	end

	local first = last - days * 86400;
	-- Three quarters by day, one by night, and a twentieth of all entries in the six hours of the attack.
	local attack_begin = last - 5 * 86400;
	local written, time = 0, first + 0.0;
	local step = days * 86400 / (entries * 0.95);
	while written < entries do
		in_one_transaction(store, engine, function ()
			for _ = 1, math.min(batch, entries - written) do
				local hour = time // 3600 % 24;
				local attack = time >= attack_begin and time < attack_begin + 6 * 3600;
				local pace = attack and 1 / 6.6 or (hour >= 6 and hour < 22) and 0.8 or 1.4;
				time = math.min(time + step * pace * random() * 2, last - 1);
				local when = time // 1 | 0;
				local stanza, with, class = entry(random, when, attack);
				append(class, when, stanza, with);
				written = written + 1;
			end
		end);
		if progress then progress(written); end
	end
end
