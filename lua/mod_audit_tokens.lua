-- Records what mod_tokenauth grants and takes back: token-grant-created, token-grant-revoked, token-revoked. Never a
-- token, nor the hash of one. Prosody 0.12 fires no such events: there the module records nothing.

module:depends("audit");
local audit = module:require("audit");

local type = type;

local function table_or_empty(value)
	return type(value) == "table" and value or {};
end

-- The client as mod_http_oauth2 describes it. Its hash tells one registered client from another, as a name does not.
local function describe_grant(id, grant)
	local data = table_or_empty(table_or_empty(grant).data);
	local client = table_or_empty(data.oauth2_client);
	return audit.detail("grant", {
		id = id;
		client = client.hash;
		name = client.name;
		version = client.version;
		uri = client.uri;
		scopes = data.oauth2_scopes;
		expires = audit.datetime(table_or_empty(grant).expires);
	});
end

audit.hook("token-grant-created", function (event)
	return audit.jid(event.username, event.host), "token-grant-created", {
		custom = { describe_grant(event.id, event.grant) };
	};
end);

audit.hook("token-grant-revoked", function (event)
	return audit.jid(event.username, event.host), "token-grant-revoked", {
		custom = { describe_grant(event.id) };
	};
end);

audit.hook("token-revoked", function (event)
	local info = table_or_empty(event.info);
	return audit.jid(event.username, event.host), "token-revoked", {
		custom = {
			describe_grant(event.grant_id, event.grant);
			audit.detail("token", { purpose = info.purpose; role = info.role; expires = audit.datetime(info.expires) });
		};
	};
end);
