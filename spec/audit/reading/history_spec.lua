-- The recent activity of the own account, by ad-hoc command: lua/audit/reading/history.lib.lua.

local module_api = require "support.module_api";

local NODE = "xmpp:prosody.im/audit#history";

describe("the recent activity of an account", function ()
	local host, module;

	local function new_host(options)
		host = module_api.host(options);
		module = host:load("audit").module;
		module_api.complaints();
	end

	before_each(function () new_host(); end);

	local function jid(name) return name.."@"..host.name; end

	local function history(name, action, state)
		return host:adhoc(NODE, { from = jid(name).."/phone", action = action }, state);
	end

	local function rows(answer)
		local found = {};
		for item in answer.other:childtags("item") do
			local row = {};
			for i, field in ipairs(item.tags) do row[i] = field:get_child_text("value"); end
			-- Without the time.
			table.insert(found, table.concat(row, "|", 2));
		end
		return found;
	end

	it("is that of the user who asks, and of no other", function ()
		module:audit(jid "romeo", "authentication-failure", { session = { ip = "203.0.113.80" } });
		module:audit(jid "juliet", "authentication-failure", { session = { ip = "203.0.113.81" } });
		module:audit(nil, "authentication-failure", { session = { ip = "203.0.113.82" } });
		assert.same({ "authentication-failure|203.0.113.80|||" }, rows(history("romeo").answer));
	end);

	it("has only event types about accounts", function ()
		for _, event_type in ipairs { "user-password-changed", "token-revoked", "room-affiliation-changed", "abuse-reported" } do
			module:audit(jid "romeo", event_type);
		end
		assert.same({ "token-revoked||||", "user-password-changed||||" }, rows(history("romeo").answer));
	end);

	it("says that an administrator did it, but not who and from where", function ()
		local session = { ip = "203.0.113.80" };
		for _, by in ipairs { jid "admin", jid "romeo" } do
			module:audit(jid "romeo", "user-password-changed", { session = session, actor = { kind = "user", jid = by.."/x", session = session } });
		end
		assert.same({
			"user-password-changed|203.0.113.80|||you";
			"user-password-changed||||an administrator";
		}, rows(history("romeo").answer));
	end);

	it("can be downloaded, without the data of others", function ()
		local session = { ip = "203.0.113.80" };
		local actor = { kind = "user", jid = jid "admin".."/x", session = { ip = "203.0.113.9" } };
		module:audit(jid "romeo", "user-password-changed", { session = session, actor = actor });
		module:audit(jid "juliet", "authentication-failure", { session = session });
		local answer = host:adhoc(NODE.."-download", { from = jid "romeo".."/phone" }).answer;
		assert.equal("completed", answer.status);
		local lines = {};
		for value in answer.other:get_child("field"):childtags("value") do table.insert(lines, value:get_text()); end
		assert.equal(1, #lines);
		assert.is_truthy(lines[1]:find('"type":"user-password-changed"', 1, true) and lines[1]:find("203.0.113.80", 1, true), lines[1]);
		assert.is_truthy(lines[1]:find('"withheld.actor":"true"', 1, true), lines[1]);
		assert.is_nil(lines[1]:find("admin", 1, true) or lines[1]:find("203.0.113.9", 1, true));
	end);

	it("begins when the account was registered", function ()
		module:audit(jid "romeo", "authentication-success");
		module_api.pass(10);
		host:fire("user-registered", { username = "romeo", host = host.name });
		module:audit(jid "romeo", "authentication-failure");
		assert.same({ "authentication-failure||||", "user-registered||||" }, rows(history("romeo").answer));
		-- Recorded here, as no module for accounts is loaded.
		assert.equal("mod_audit", host:entries()[2].attr.source);
	end);

	it("ends when the account was deleted", function ()
		host:fire("user-registered", { username = "romeo", host = host.name });
		module_api.pass(10);
		module_api.fire_global("user-deleted", { username = "romeo", host = host.name });
		module_api.pass(10);
		assert.equal("user-registered user-deleted", host:types());
		host:fire("user-registered", { username = "romeo", host = host.name });
		assert.same({ "user-registered||||" }, rows(history("romeo").answer));
	end);

	it("has pages, which are for nobody else", function ()
		for _ = 1, 60 do module:audit(jid "romeo", "user-enabled", { actor = { kind = "admin-shell" } }); end
		local first = history("romeo");
		assert.same({ 50, "executing" }, { #rows(first.answer), first.answer.status });
		local stolen = history("juliet", "next", first.state);
		assert.same({ "completed", nil }, { stolen.answer.status, stolen.answer.other });
		assert.equal(10, #rows(history("romeo", "next", history("romeo").state).answer));
	end);

	it("is for accounts of the host", function ()
		local result = host:adhoc(NODE, { from = "romeo@elsewhere.test/x" });
		assert.equal("completed", result.answer.status);
		assert.is_truthy(result.answer.error);
		assert.is_nil(result.answer.other);
	end);

	it("is not offered if the option says so", function ()
		new_host { audit_user_history = false };
		assert.has_error(function () history("romeo"); end, "there is no ad-hoc command "..NODE);
	end);

	it("that can't be read says so to the user without the reason, which is logged", function ()
		module:audit(jid "romeo", "authentication-success");
		local store = module_api.log().log.stores[host.name];
		store.find = function () error("secret reason"); end;
		local answer = history("romeo").answer;
		store.find = nil;
		assert.is_nil(require "util.serialization".serialize(answer.error or {}):find("secret", 1, true));
		assert.is_truthy(answer.error or answer.warn);
	end);
end);
