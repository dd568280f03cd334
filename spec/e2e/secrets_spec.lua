-- No secret that an administrator types is logged: every command of the shell and every ad-hoc command of the server gets marked
-- secrets, and none of them is found in a store, in the server's log or in a report.

local admin_socket = require "support.admin_socket";
local client = require "support.client";
local dump = require "support.dump";
local process = require "support.process";
local server = require "support.server";

local host, rooms, items = "example.test", "rooms.example.test", "pubsub.example.test";
local admin = "admin@"..host;
local mark = "hunter2";

-- The arguments of Prosody's commands that are secrets, by its sources. Independent of the table that is tested.
local secret_arguments = {
	["config:set"] = 3;
	["host:activate"] = 2, ["hosts:activate"] = 2;
	["invite:delete"] = 2, ["invite:show"] = 2;
	["module:load"] = 3;
	["muc:create"] = 2;
	["pubsub:set_node_config_option"] = 4;
	["user:create"] = 2, ["user:password"] = 2;
};

-- These take any number of addresses, which are no secrets.
local takes_any_number = { ["dns:addnameserver"] = true, ["dns:setnameserver"] = true };

-- Commands that stop the server, or never end, come last.
local function is_last(name)
	return name:find("^server:") and 1 or name:find("^watch:") and 1 or 0;
end

local function shell_commands(prosody)
	local count, names = prosody:eval([[
		local names = {};
		for section, commands in pairs(module:shared("/*/admin_shell/env")) do
			for name, f in pairs(type(commands) == "table" and commands or {}) do
				if type(f) == "function" then table.insert(names, section..":"..name); end
			end
		end
		table.sort(names);
		return #names, names;
	]]);
	assert.is_true(count > 50, count.." commands");
	table.sort(names, function (a, b)
		if is_last(a) ~= is_last(b) then return is_last(a) < is_last(b); end
		return a < b;
	end);
	return names;
end

-- Lines for a command, with the mark in places where it must be hidden.
local function lines_for(name)
	local section, command = name:match("^(.-):(.*)$");
	local place = secret_arguments[name];
	local lines = {
		-- An unknown command.
		('%s:%s_not("%s", \'%s\', [[%s]])'):format(section, command, mark, mark, mark);
		('{"%s","%s_not","%s"}'):format(section, command, mark);
		('%s %s_not %s'):format(section, command, mark);
		('> local x = "%s"; --[[ %s ]] return #x -- %s'):format(mark, mark, mark);
	};
	if not takes_any_number[name] then
		-- More than it takes.
		table.insert(lines, 1, ('%s:%s(nil, nil, nil, nil, nil, nil, nil, nil, "%s")'):format(section, command, mark));
	end
	if place then
		local before = {};
		for i = 1, place - 1 do before[i] = i == 1 and '"nobody@'..host..'"' or '"'..host..'"'; end
		for _, secret in ipairs { '"'..mark..'"', "'"..mark.."'", "[["..mark.."]]", '{ password = "'..mark..'" }', '"'..mark..'" .. "x"' } do
			local arguments = { table.unpack(before) };
			arguments[place] = secret;
			table.insert(lines, ("%s:%s(%s)"):format(section, command, table.concat(arguments, ", ")));
		end
		table.insert(lines, ('{"%s","%s",%s,"%s"}'):format(section, command, table.concat(before, ","), mark));
	end
	return lines;
end

-- Lines that are typed by mistake.
local mistakes = {
	mark, mark.."&3", "Correct-"..mark.."-battery", mark.." "..mark, "12345"..mark, '"'..mark..'"', mark..":create()", mark.."()";
	"user "..mark, "user:"..mark, "user:"..mark.."()", "help "..mark, "user create "..mark, "user password nobody@"..host.." "..mark;
	'user:create("nobody@%s" "@")', 'user:create("nobody@%s"; "@")', 'user:create("nobody@%s" "@", "prosody:admin")';
	'user:create("nobody@%s, @")', 'user:create("nobody@%s @")', 'user:create("nobody@%s@")', 'user:create({"nobody@%s","@"})';
	'user:create("@", "nobody@%s")', 'user:create("nobody@%s", "x", "@")', 'user:create("nobody@%s", "x", "x", "@")';
	'user:create "@"', 'user.create("nobody@%s", "@")', 'return user:create("nobody@%s", "@")', 'c2s:count() user:create("nobody@%s", "@")';
	'user:delete("nobody@nowhere.test"); user:create("nobody@%s", "@")', 'user:create("nobody@%s", "a".."@")';
	'user:create("nobody@%s", "@" --[[ ]])', 'user:create("nobody@%s", "a\\"@", "x")', 'user:create("nobody@%s/@")', 'user:create("nobody@%s", [[@]]';
	'config:set("*","component_secret" "@")', 'config:set("component_secret", "@")', 'config:set("*", "@", "component_secret")';
	'config:set("*", component_secret, "@")', 'config:set("@")', 'module:load("@", "%s")', 'c2s:close("nobody@%s", "@")';
	'xmpp:ping("%s", "@")', 'announce:all("%s", "@")', 'user:list("%s", "@")', 'server:memory("@")';
	'{"user","@"}', '{"@","create"}', '{"user","create","@"}', '{"user","create","nobody@%s","x","@"}', '{"user","create","nobody@%s","@"';
	'{"user","create","nobody@%s" "@"}', "{'user','create','nobody@%s','@'}", '{"user","delete","nobody@%s:@"}';
	'audit:show("%s", "--text=@")', 'audit:show("@")', 'audit:show("%s", { text = "@" })';
};
for i, line in ipairs(mistakes) do
	if line:find("@", 1, true) and not line:find(mark, 1, true) then
		-- An @ that is no part of the JID is the secret.
		mistakes[i] = line:gsub("nobody@", "nobody\0"):gsub("@", mark):gsub("%z", "@"):gsub("%%s", host);
	end
end

-- Forms are filled with useful values in public fields, and with the mark in all others.
local public_values = {
	FORM_TYPE = "http://jabber.org/protocol/admin";
	accountjid = "nobody@"..host, accountjids = { "nobody@"..host };
	-- After so many seconds the server is shut down.
	delay = "3600", details = "1", max_items = "25";
	host = "nowhere.test", module = "nothing", modules = { "nothing" };
	role = "prosody:member";
};

local function run_adhoc_commands(prosody)
	local count, nodes = prosody:eval([[
		local nodes = {};
		for _, key in ipairs { "adhoc", "adhoc-provider" } do
			for _, item in ipairs(module:context(...):get_host_items(key)) do
				if item.permission ~= "any" then table.insert(nodes, item.node); end
			end
		end
		return #nodes, nodes;
	]], host);
	assert.is_true(count > 15, count.." ad-hoc commands");
	local session = assert(client.open(prosody, admin, "secret"));
	local wrong_form = { FORM_TYPE = public_values.FORM_TYPE };
	for name, value in pairs(public_values) do
		-- A host that is activated has that name, and is recorded by it.
		if name ~= "FORM_TYPE" and name ~= "host" then wrong_form[name] = type(value) == "table" and { mark } or mark; end
	end
	for _, node in ipairs(nodes) do
		local asked = session:command(node);
		local form = { ["password"] = mark, ["password-verify"] = mark, ["what-nobody-knows"] = mark };
		for name, value in pairs(public_values) do form[name] = value; end
		for _, field in ipairs(asked.form and asked.form.fields or {}) do
			if field.var and field.var ~= "" then form[field.var] = public_values[field.var] or mark; end
		end
		session:command(node, { forms = { form } });
		session:command(node, { forms = { form }, action = "cancel" });
		-- A password in a public field.
		for _, action in ipairs { "complete", "cancel" } do
			session:command(node);
			session:command(node, { forms = { wrong_form }, action = action });
		end
	end
	session:close();
	return nodes;
end

server.each_series(describe, pending, function (series)
	describe("marked secrets", function ()
		local prosody;

		setup(function ()
			local modules = { "audit", "audit_admin", "audit_register", "audit_user_accounts", "audit_tokens", "audit_status", "adhoc",
				"admin_adhoc", "announce", "invites", "invites_adhoc", "uptime" };
			if series ~= "0.12" then
				for _, name in ipairs { "cron", "flags", "account_activity", "user_account_management" } do table.insert(modules, name); end
			end
			prosody = server.start {
				series = series, modules = modules, community = { "firewall" };
				components = { [rooms] = "muc", [items] = "pubsub" };
				config = { admins = { admin }, component_admins_as_room_owners = true, audit_log_flood = false };
			};
			prosody:adduser(admin, "secret");
			prosody:adduser("someone@"..host, "secret");
		end);

		teardown(function ()
			prosody:stop();
		end);

		local names, nodes;

		it("are hidden in every command that the shell has, and every one is known", function ()
			names = shell_commands(prosody);
			local known, unknown = {}, {};
			for _, name in ipairs(require "audit_core".shell_commands()) do known[name] = true; end
			for _, name in ipairs(names) do
				if not known[name] then table.insert(unknown, name); end
			end
			assert.same({}, unknown);

			local shell, given = admin_socket.connect(prosody), 0;
			for _, name in ipairs(names) do
				if is_last(name) == 0 then
					for _, line in ipairs(lines_for(name)) do
						assert.is_truthy(shell:run(line, mark), line);
						given = given + 1;
					end
				end
			end
			for _, line in ipairs(mistakes) do
				assert.is_truthy(line:find(mark, 1, true), line);
				assert.is_truthy(shell:run(line, mark), line);
			end
			if series ~= "0.12" then
				-- The password is asked for.
				assert.matches("^OK", (shell:run(('user:password("someone@%s")'):format(host), mark)));
			end
			shell:close();
			for _, name in ipairs(names) do
				if is_last(name) == 1 and name ~= "server:shutdown" then
					shell = admin_socket.connect(prosody, 0.2);
					for _, line in ipairs(lines_for(name)) do
						shell:run(line);
						given = given + 1;
					end
					shell:close();
				end
			end
			-- As prosodyctl does it.
			prosody:ctl("shell", "user", "create", "nobody@"..host, mark);
			prosody:ctl("shell", "user", mark);
			prosody:ctl("shell", mark);
			prosody:ctl("shell", "user", "create", mark, "nobody@"..host);
			prosody:ctl("shell", ('user:create("nobody@%s", "%s")'):format(host, mark));
			assert.is_true(given > 250);
			assert.is_true(#dump.of_type(prosody, host, "shell-command") > 200);
		end);

		it("are hidden in every ad-hoc command that the server has", function ()
			nodes = run_adhoc_commands(prosody);
			local seen = {};
			for _, entry in ipairs(dump.of_type(prosody, host, "adhoc-command")) do
				seen[entry:child("command").attr.node] = true;
			end
			for _, node in ipairs(nodes) do
				assert.is_true(seen[node], node.." is not recorded");
			end
		end);

		it("are in no store, no line of the log and no report", function ()
			local shell = admin_socket.connect(prosody, 1);
			local lines = lines_for("server:shutdown");
			-- The first one does it.
			for i = #lines, 1, -1 do shell:run(lines[i]); end
			shell:close();
			if not process.wait_until(function () return not prosody:alive(); end, 10) then prosody:stop(); end
			-- What the audit modules store, and what waits for that.
			local _, found = process.capture { "grep", "-rlF", mark, prosody.data };
			for path in found:gmatch("[^\n]+") do
				assert.is_nil(path:find("audit", 1, true), process.read(path):match("[^\n]*"..mark.."[^\n]*"));
			end
			for line in prosody:log():gmatch("[^\n]*"..mark.."[^\n]*") do
				-- Prosody itself says which module it can't load, and which host it looks up.
				if line:find("audit", 1, true) then assert.equal("", line); end
			end
			local reports = 0;
			for _, arguments in ipairs { {}, { "--global" }, { "--show-note" } } do
				local status, out, err = prosody:ctl({ env = { COLUMNS = "1000" } }, "mod_audit", host, table.unpack(arguments));
				assert.equal(0, status, err);
				assert.is_nil((out..err):find(mark, 1, true));
				reports = reports + select(2, out:gsub("shell%-command", ""));
			end
			assert.is_true(reports > 400, reports.." lines");
		end);
	end);
end);
