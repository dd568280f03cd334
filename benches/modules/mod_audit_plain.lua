-- For benchmarks only: the plain-Lua baseline instead of mod_audit and mod_audit_auth.

module:set_global();

local moduleapi = require "core.moduleapi";
local st = require "util.stanza";
local now = require "util.time".now;

local plain_audit = dofile(module.path:match("^(.*)/") .. "/../plain_audit.lua");
local xmlns_audit = "xmpp:prosody.im/audit";

local log = plain_audit.new {
	get_option = function (host, name) return module:context(host):get_option(name); end;
	open_store = function (host) return module:context(host):open_store("audit", "archive"); end;
	log = function (level, message) module:log(level, "%s", message); end;
	now = now;
};

local function audit(self, user, event_type, extra)
	return log.audit(self.host, user, "mod_" .. self:get_name(), event_type, extra);
end

moduleapi.audit = audit;

function module.unload()
	moduleapi.audit = nil;
end

local function user_of(session, host)
	local sasl_handler = session.sasl_handler;
	local username = session.username or sasl_handler and sasl_handler.username;
	return username and username .. "@" .. host;
end

function module.add_host(host_module)
	local host = host_module.host;

	host_module:hook("authentication-failure", function (event)
		local session = event.session;
		local sasl_handler = session.sasl_handler;
		audit(host_module, user_of(session, host), "authentication-failure", {
			session = session;
			custom = {
				st.stanza("authentication", {
					xmlns = xmlns_audit, mechanism = sasl_handler and sasl_handler.selected, condition = event.condition;
				}):text(event.text);
			};
		});
	end);

	host_module:hook("authentication-success", function (event)
		local session = event.session;
		local sasl_handler = session.sasl_handler;
		audit(host_module, user_of(session, host), "authentication-success", {
			session = session;
			custom = { st.stanza("authentication", { xmlns = xmlns_audit, mechanism = sasl_handler and sasl_handler.selected }) };
		});
	end);
end
