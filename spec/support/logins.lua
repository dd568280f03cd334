-- Whether a fault of the log has got to a login: for specs that break things on purpose.
--
--   local logins = require "support.logins";
--   local prosody = logins.start { series = series };   -- all modules for logins and accounts; romeo has the password "secret"
--   logins.assert_work(prosody);
--   logins.complaints(prosody)   --> lines of the server's log

local assert = require "luassert";
local process = require "support.process";
local raw = require "support.raw_client";
local server = require "support.server";

local host = server.default_host;

local logins = {};

function logins.start(options)
	options.modules = options.modules or { "audit", "audit_auth", "audit_register", "audit_user_accounts", "audit_tokens", "audit_status" };
	local prosody = server.start(options);
	prosody:adduser("romeo@"..host, "secret");
	return prosody;
end

-- A client with the right password gets in, one with a wrong password does not, and the server answers. Three logins.
function logins.assert_work(prosody)
	assert.is_true((raw.login(prosody, "romeo", "secret")));
	assert.same({ false, "not-authorized" }, { (raw.login(prosody, "romeo", "wrong")), (select(2, raw.login(prosody, "romeo", "wrong"))) });
	assert.equal("alive", prosody:eval("return 'alive'"));
	assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*"));
end

-- The errors in the server's log that are ours. The path of the checkout may have our name too.
function logins.complaints(prosody)
	local lines = {};
	for line in prosody:log():gsub(process.root:gsub("%p", "%%%0"), ""):gmatch("[^\n]+") do
		if line:find("%serror%s") and line:find("udit") then
			table.insert(lines, line);
		end
	end
	return lines;
end

-- Records an event on the host: id | nil, condition
function logins.audit(prosody, user, event_type)
	return prosody:eval("local host, user, event_type = ...; return module:context(host):audit(user, event_type);", host, user, event_type);
end

return logins;
