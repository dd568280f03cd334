-- Erasing inside the server: lua/audit/erasing.lib.lua.

local async = require "util.async";
local lfs = require "lfs";
local json = require "util.json";
local module_api = require "support.module_api";
local st = require "util.stanza";

describe("the server", function ()
	local host, erasures;

	local function files()
		local found = {};
		for name in lfs.dir(module_api.prosody.paths.data) do
			if name:find("^audit%.erasure") then table.insert(found, module_api.prosody.paths.data.."/"..name); end
		end
		return found;
	end

	local function load(options)
		host = module_api.host(options);
		host:load("audit");
		erasures = host:library "audit/erasures";
	end

	after_each(function ()
		for _, path in ipairs(files()) do os.remove(path); end
		module_api.complaints();
	end);

	-- Asks as the admin socket does.
	local function ask(attr)
		local answer;
		attr.action = "erase";
		local request = { origin = { send = function (stanza) answer = stanza; end }; stanza = st.stanza("request", attr) };
		async.runner(function () module_api.fire_global("admin/xmpp:prosody.im/audit:request", request); end):run(true);
		for _ = 1, 200 do
			if answer then break; end
			module_api.pass(0.02);
		end
		assert(answer, "there was no answer");
		return answer.attr.status, answer:get_text();
	end

	local function record(username)
		host:load("audit").module:audit(username and username.."@"..host.name, "test-event");
	end

	it("erases what prosodyctl asks for, after a preview", function ()
		load();
		record("romeo");
		record("juliet");
		local preview = json.decode((select(2, ask { person = "romeo@"..host.name; preview = "true" })));
		assert.equal(1, preview.count);
		local results = json.decode((select(2, ask { person = "romeo@"..host.name; by = "root"; reason = "romeo asked" })));
		assert.equal(1, results.count);
		assert.same({}, files());
		local text = "";
		for _, entry in ipairs(host:entries()) do text = text..tostring(entry); end
		assert.is_nil(text:find("romeo", 1, true));
		assert.is_truthy(text:find("juliet", 1, true) and text:find("audit-erased", 1, true) and text:find("*** asked", 1, true));
	end);

	it("refuses what is no account", function ()
		load();
		for _, wrong in ipairs { "", "example.com", "*@example.com" } do
			assert.same({ "error", "this is not the name of one account" }, { ask { person = wrong } });
		end
	end);

	it("erases the data of a deleted account when they are due, and not those of the next one of that name", function ()
		load { audit_log_on_user_deleted = "1h" };
		record("romeo");
		module_api.prosody.events.fire_event("user-deleted", { username = "romeo"; host = host.name });
		assert.is_true(#files() >= 1);
		module_api.pass(10);
		record("romeo");
		module_api.pass(3000);
		assert.is_true(#files() >= 1);
		module_api.pass(1300);
		assert.same({}, files());
		local users = {};
		for _, entry in ipairs(host:entries()) do
			if entry.attr.type == "test-event" then table.insert(users, entry.attr.user or "-"); end
		end
		table.sort(users);
		assert.same({ "-", "romeo@"..host.name }, users);
	end);

	it("keeps the data of a deleted account if nothing is said", function ()
		load();
		module_api.prosody.events.fire_event("user-deleted", { username = "romeo"; host = host.name });
		assert.same({}, files());
	end);

	it("goes on after a crash", function ()
		load();
		record("romeo");
		assert(erasures.new { person = "romeo@"..host.name });
		module_api.pass(610);
		assert.same({}, files());
		assert.is_nil(tostring(host:entries()[1]):find("romeo", 1, true));
	end);
end);
