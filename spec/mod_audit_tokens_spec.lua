local module_api = require "support.module_api";

local xmlns_audit = "xmpp:prosody.im/audit";

-- The events as mod_tokenauth of Prosody 13 fires them. Prosody 0.12 fires none: nothing is recorded there, and the
-- module has to load all the same.
local token_hash = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

local oauth_grant = {
	id = "F2Y4_Nn0bFPB", owner = "romeo@example.test", jid = "romeo@example.test", created = 1700000000, accessed = 1700000000;
	expires = 1700604800;
	data = {
		oauth2_scopes = "openid xmpp";
		oauth2_client = { name = "Gajim", uri = "https://gajim.org", id = "b3e0e4f0", version = "1.8.4", hash = "kGs8gk3N" };
	};
	tokens = { [token_hash] = { role = "prosody:registered", created = 1700000000, expires = 1700003600, purpose = "oauth2-refresh" } };
};

local plain_grant = { id = "p4OnGRQ1BL6G", owner = "romeo@example.test", jid = "romeo@example.test", created = 1700000000, tokens = {} };

local shapes = {
	{
		name = "a grant for an OAuth client";
		event = "token-grant-created"; payload = { id = "F2Y4_Nn0bFPB", grant = oauth_grant, username = "romeo" };
		children = {
			'<grant client="kGs8gk3N" expires="2023-11-21T22:13:20Z" id="F2Y4_Nn0bFPB" name="Gajim" scopes="openid xmpp"'
				..' uri="https://gajim.org" version="1.8.4"/>';
		};
	};
	{
		name = "a grant without a client";
		event = "token-grant-created"; payload = { id = "p4OnGRQ1BL6G", grant = plain_grant, username = "romeo" };
		children = { '<grant id="p4OnGRQ1BL6G"/>' };
	};
	{
		name = "a grant taken back";
		event = "token-grant-revoked"; payload = { id = "F2Y4_Nn0bFPB", username = "romeo" };
		children = { '<grant id="F2Y4_Nn0bFPB"/>' };
	};
	{
		name = "a token taken back";
		event = "token-revoked";
		payload = {
			grant_id = "F2Y4_Nn0bFPB", grant = oauth_grant, username = "romeo";
			info = { role = "prosody:registered", created = 1700000000, expires = 1700003600, purpose = "oauth2-refresh" };
		};
		children = {
			'<grant client="kGs8gk3N" expires="2023-11-21T22:13:20Z" id="F2Y4_Nn0bFPB" name="Gajim" scopes="openid xmpp"'
				..' uri="https://gajim.org" version="1.8.4"/>';
			'<token expires="2023-11-14T23:13:20Z" purpose="oauth2-refresh" role="prosody:registered"/>';
		};
	};
	{
		name = "a token of which nothing is known";
		event = "token-revoked"; payload = { grant_id = "F2Y4_Nn0bFPB", grant = { data = true }, info = true, username = "romeo" };
		children = { '<grant id="F2Y4_Nn0bFPB"/>', "<token/>" };
	};
};

describe("mod_audit_tokens", function ()
	local host;
	before_each(function ()
		host = module_api.host { audit_user_history = false }; -- With it mod_audit records when accounts begin and end.
		host:load("audit_tokens");
		module_api.complaints();
	end);

	for _, shape in ipairs(shapes) do
		it("records "..shape.name, function ()
			shape.payload.host = host.name;
			assert.is_nil(host:fire(shape.event, shape.payload));
			assert.same({}, module_api.complaints());
			local entry = host:entries()[1];
			assert.is_truthy(entry);
			assert.is_nil(host:entries()[2]);
			assert.equal("mod_audit_tokens", entry.attr.source);
			assert.equal(shape.event, entry.attr.type);
			assert.equal("romeo@"..host.name, entry.attr.user);
			assert.same({ '<actor kind="unknown"/>', table.unpack(shape.children) }, module_api.lines(entry));
			for _, child in ipairs(entry.tags) do
				assert.equal(xmlns_audit, child.attr.xmlns);
			end
			assert.is_nil(tostring(entry):find("2bb80d537b1da3e38bd30361aa8556", 1, true));
		end);
	end

	it("records once after being reloaded", function ()
		host:reload("audit_tokens");
		host:fire("token-grant-revoked", { id = "1", username = "romeo", host = host.name });
		assert.equal(1, #host:entries());
	end);

	describe("invites", function ()
		local sha256 = require "util.hashes".sha256;

		local function recorded()
			local found = {};
			for i, entry in ipairs(host:entries()) do
				found[i] = entry.attr.type.." "..(entry.attr.user or "-")..": "..table.concat(module_api.lines(entry), " ");
			end
			assert.is_nil(table.concat(found):find("uTVbfRRSHEAUVPXk", 1, true));
			assert.same({}, module_api.complaints());
			return found;
		end

		it("are recorded by the hash of their token", function ()
			local hash = sha256("uTVbfRRSHEAUVPXk", true);
			for _, invite in ipairs {
				{ type = "register", jid = host.name, allow_registration = true, expires = 1700000000 };
				{ type = "register", jid = host.name, additional_data = { allow_reset = "romeo", source = "admin@here.test/desk" } };
				{ type = "roster", jid = "romeo@here.test", additional_data = { roles = { ["prosody:admin"] = true }, groups = { "b", "a" } } };
				{ type = "register", jid = host.name, reusable = true, additional_data = { roles = { "prosody:member" } } };
			} do
				invite.token, invite.uri = "uTVbfRRSHEAUVPXk", "xmpp:here.test?register;preauth=uTVbfRRSHEAUVPXk";
				host:fire("invite-created", invite);
			end
			local unknown = '<actor kind="unknown"/> ';
			assert.same({
				"invite-created -: "..unknown..('<invite expires="2023-11-14T22:13:20Z" jid=%q registers="true" token-sha256=%q type="register"/>')
					:format(host.name, hash);
				("invite-created romeo@%s: "):format(host.name)..'<actor jid="admin@here.test/desk" kind="adhoc"/> '
					..('<invite jid=%q resets-password-of="romeo@%s" token-sha256=%q type="register"/>'):format(host.name, host.name, hash);
				"invite-created romeo@here.test: "..unknown
					..('<invite groups="a b" jid="romeo@here.test" roles="prosody:admin" token-sha256=%q type="roster"/>'):format(hash);
				"invite-created -: "..unknown
					..('<invite jid=%q reusable="true" roles="prosody:member" token-sha256=%q type="register"/>'):format(host.name, hash);
			}, recorded());
		end);

		it("are used by registering and by a reset, on the web too", function ()
			local invite = { token = "uTVbfRRSHEAUVPXk", type = "register", inviter = "juliet" };
			host:fire("user-registered", { username = "romeo", host = host.name, validated_invite = invite, ip = "2001:db8::7" });
			host:fire("user-password-reset", { username = "romeo", host = host.name, session = { type = "c2s_unauthed", validated_invite = invite } });
			host:fire("user-registered", { username = "nurse", host = host.name, ip = "2001:db8::7" });
			local detail = ('<invite inviter="juliet@%s" token-sha256=%q type="register"/>'):format(host.name, sha256("uTVbfRRSHEAUVPXk", true));
			assert.same({
				("invite-used romeo@%s: <session><remote-ip>2001:db8::7</remote-ip></session> "):format(host.name)
					..'<actor kind="http"><remote-ip>2001:db8::7</remote-ip></actor> '..detail;
				("invite-used romeo@%s: "):format(host.name)..'<session type="c2s_unauthed"/> <actor kind="user"/> '..detail;
			}, recorded());
		end);

		it("of any shape raise nothing", function ()
			for _, invite in ipairs {
				{}, { jid = 5, token = {}, additional_data = true, expires = "soon" }, { additional_data = { roles = 5, groups = { {} } } };
			} do
				assert.has_no.errors(function ()
					host:fire("invite-created", invite);
					host:fire("user-registered", { username = "romeo", validated_invite = invite });
				end);
			end
		end);
	end);
end);
