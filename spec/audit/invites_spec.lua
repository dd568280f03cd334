-- Invites in entries: lua/audit/invites.lib.lua, as mod_audit_tokens uses it.

local module_api = require "support.module_api";
local sha256 = require "util.hashes".sha256;

describe("an invite", function ()
	local host;
	local token = "uTVbfRRSHEAUVPXk";

	before_each(function ()
		host = module_api.host { audit_user_history = false };
		host:load("audit_tokens");
		module_api.complaints();
	end);

	local function created(invite)
		host:fire("invite-created", invite);
		local entries = host:entries();
		local lines = module_api.lines(entries[#entries]);
		return lines[#lines], entries[#entries];
	end

	it("has the hash of its token, and not the token", function ()
		local line, entry = created { token = token, type = "register" };
		assert.equal(('<invite token-sha256="%s" type="register"/>'):format(sha256(token, true)), line);
		assert.is_nil(tostring(entry):find(token, 1, true));
	end);

	it("has all that mod_invites knows of it, with names in order", function ()
		local line, entry = created {
			token = token, type = "roster", jid = "juliet@"..host.name, inviter = "juliet";
			allow_registration = true, reusable = true, expires = 1700000000;
			additional_data = { roles = { "prosody:member", "prosody:admin" }, groups = { b = true, a = true } };
		};
		assert.equal(('<invite expires="2023-11-14T22:13:20Z" groups="a b" inviter="juliet@%s" jid="juliet@%s" registers="true" reusable="true"'
			..' roles="prosody:admin prosody:member" token-sha256="%s" type="roster"/>'):format(host.name, host.name, sha256(token, true)), line);
		assert.equal("juliet@"..host.name, entry.attr.user);
	end);

	it("that resets a password is about the account that it is for", function ()
		local line, entry = created { token = token, type = "register", additional_data = { allow_reset = "romeo" } };
		assert.is_truthy(line:find(('resets-password-of="romeo@%s"'):format(host.name), 1, true), line);
		assert.equal("romeo@"..host.name, entry.attr.user);
	end);

	it("without any fields is an empty element", function ()
		assert.equal("<invite/>", (created { token = 7, additional_data = true }));
		assert.same({}, module_api.complaints());
	end);

	it("of a registration is the one of the event, or else of its session", function ()
		local invite, other = { token = token, type = "register" }, { token = "other", type = "register" };
		host:fire("user-registered", { username = "a", host = host.name, validated_invite = invite, session = { validated_invite = other } });
		host:fire("user-registered", { username = "b", host = host.name, session = { validated_invite = other } });
		host:fire("user-registered", { username = "c", host = host.name, session = { validated_invite = "none" } });
		host:fire("user-registered", { username = "d", host = host.name });
		assert.equal("invite-used invite-used", host:types());
		for i, used in ipairs { invite, other } do
			assert.is_truthy(tostring(host:entries()[i]):find(sha256(used.token, true), 1, true));
		end
		assert.same({}, module_api.complaints());
	end);
end);
