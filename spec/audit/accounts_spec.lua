-- What is happening to an account: lua/audit/accounts.lib.lua, as the modules for accounts use it.

local module_api = require "support.module_api";
local st = require "util.stanza";

describe("what happens to an account", function ()
	local host;

	before_each(function ()
		host = module_api.host { audit_user_history = false };
		host:load("audit_user_accounts", "audit_register");
		module_api.complaints();
	end);

	local function deleted(username)
		module_api.fire_global("user-deleted", { username = username, host = host.name });
		module_api.pass(0);
	end

	-- The request of a user to remove the own account.
	local function ask_for_removal(username)
		local sent = {};
		local session = {
			id = "c2s1", type = "c2s", username = username, ip = "203.0.113.80", full_jid = username.."@"..host.name.."/phone";
			send = function (stanza) table.insert(sent, stanza); end;
		};
		local stanza = st.iq({ type = "set", id = "x" }):query("jabber:iq:register"):tag("remove"):reset();
		host:fire("iq/self/jabber:iq:register:query", { origin = session, stanza = stanza });
		return session, stanza;
	end

	it("is one entry if its owner removes it, with the session of the request", function ()
		local session = ask_for_removal("romeo");
		-- Prosody closes the session before it fires the events.
		session.ip, session.full_jid = nil, nil;
		deleted("romeo");
		host:fire("user-deregistered", { username = "romeo", host = host.name, session = session });
		assert.equal("user-deregistered", host:types());
		local lines = module_api.lines(host:entries()[1]);
		assert.equal('<session id="c2s1" type="c2s"><remote-ip>203.0.113.80</remote-ip></session>', lines[1]);
		assert.equal(('<actor jid="romeo@%s/phone" kind="user"><remote-ip>203.0.113.80</remote-ip></actor>'):format(host.name), lines[2]);
	end);

	it("is another entry if an administrator deletes another account meanwhile", function ()
		ask_for_removal("romeo");
		deleted("juliet");
		assert.equal("user-deleted", host:types());
		assert.equal("juliet@"..host.name, host:entries()[1].attr.user);
	end);

	it("is not hidden by a request that was refused", function ()
		local session, stanza = ask_for_removal("romeo");
		session.send(st.error_reply(stanza, "cancel", "not-allowed"));
		deleted("romeo");
		assert.equal("user-deleted", host:types());
	end);

	it("is hidden for a minute at most by a request that never came to its end", function ()
		ask_for_removal("romeo");
		module_api.pass(59);
		deleted("romeo");
		assert.equal("", host:types());
		module_api.pass(2);
		deleted("romeo");
		assert.equal("user-deleted", host:types());
	end);

	it("is done by a web client if only an address is known, and by an unknown actor if nothing is", function ()
		host:fire("user-registered", { username = "romeo", host = host.name, ip = "2001:db8::7" });
		host:fire("user-registered", { username = "juliet", host = host.name });
		local actors = {};
		for i, entry in ipairs(host:entries()) do
			for _, line in ipairs(module_api.lines(entry)) do
				if line:find("^<actor") then actors[i] = line; end
			end
		end
		assert.same({ '<actor kind="http"><remote-ip>2001:db8::7</remote-ip></actor>', '<actor kind="unknown"/>' }, actors);
	end);

	it("is still known after a reload of the module", function ()
		ask_for_removal("romeo");
		host:reload("audit_user_accounts");
		deleted("romeo");
		assert.equal("", host:types());
	end);
end);
