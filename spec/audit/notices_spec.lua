-- What users are told of logins: lua/audit/notices.lib.lua.

local module_api = require "support.module_api";
local st = require "util.stanza";

describe("a notice to a user", function ()
	local host, notices, of_host, stored;

	before_each(function ()
		host = module_api.host();
		of_host = module_api.prosody.hosts[host.name];
		local new_audit, new_notices = host:library "audit/audit", host:library "audit/notices";
		local module = host:load("audit").module;
		notices = new_notices(new_audit(module), {
			notice_text = function (_, language, notice) return (language or "-").." "..notice.account; end;
		});
		of_host.modules.offline = { module = {} };
		of_host.users = { name = "internal_hashed" };
		stored = {};
		host:hook("message/offline/handle", function (event)
			table.insert(stored, event.stanza.attr.to.." "..event.stanza:get_child_text("body"));
			return true;
		end);
		module_api.complaints();
	end);

	local function session(id, language)
		local got = {};
		return {
			id = id; full_jid = "romeo@"..host.name.."/"..id; got = got; username = "romeo";
			presence = language and st.presence({ ["xml:lang"] = language });
			send = function (stanza) table.insert(got, stanza:get_child_text("body")); end;
		};
	end

	local function bind(...)
		local sessions = {};
		for _, one in ipairs { ... } do sessions[one.id] = one; end
		of_host.sessions.romeo = { sessions = sessions };
	end

	local function notice()
		return { account = "romeo@"..host.name; session = "new"; at = 1 };
	end

	it("goes to all other sessions in their language, and never to the one that has logged in", function ()
		local old, other, silent, new = session("old", "de"), session("other", "en"), session("silent"), session("new", "fr");
		bind(old, other, silent, new);
		notices.send(notice());
		notices.look();
		assert.same({ { "de romeo@"..host.name }, { "en romeo@"..host.name }, {}, {} }, { old.got, other.got, silent.got, new.got });
		assert.equal(1, #stored);
	end);

	it("is stored after the session that has logged in can't get it any more", function ()
		notices.send(notice());
		notices.look();
		assert.same({}, stored);
		local new = session("new");
		bind(new);
		module_api.pass(100);
		notices.look();
		assert.same({}, stored);
		new.presence = st.presence();
		notices.look();
		notices.look();
		assert.same({ "romeo@"..host.name.." - romeo@"..host.name }, stored);
		assert.same({}, new.got);
	end);

	it("is stored in the language that the account used last, a minute after a session is gone", function ()
		host:fire("presence/initial", { origin = { username = "romeo" }, stanza = st.presence({ ["xml:lang"] = "it" }) });
		notices.send(notice());
		module_api.pass(61);
		notices.look();
		assert.same({ "romeo@"..host.name.." it romeo@"..host.name }, stored);
	end);

	it("is not in the language of the session that has logged in, which may be somebody else's", function ()
		local function presence(id, language)
			host:fire("presence/initial", { origin = { username = "romeo", id = id }, stanza = st.presence({ ["xml:lang"] = language }) });
		end
		presence("old", "it");
		presence("new", "fr");
		local silent = session("silent");
		silent.presence = st.presence();
		bind(silent);
		notices.send(notice());
		module_api.pass(61);
		notices.look();
		assert.same({ "it romeo@"..host.name }, silent.got);
		assert.same({ "romeo@"..host.name.." it romeo@"..host.name }, stored);
	end);

	it("is not stored without an offline store, for a guest, or if the account is gone", function ()
		of_host.modules.offline = nil;
		notices.send(notice());
		module_api.pass(61);
		notices.look();
		of_host.modules.offline = { module = {} };
		of_host.users = { name = "anonymous" };
		notices.send(notice());
		module_api.pass(61);
		notices.look();
		of_host.users = { name = "internal_hashed" };
		notices.send(notice());
		notices.forget("romeo");
		module_api.pass(61);
		notices.look();
		assert.same({}, stored);
		assert.same({}, module_api.complaints());
	end);

	it("that can't be stored is reported, and the others are stored", function ()
		local has_failed = false;
		host:hook("message/offline/handle", function ()
			if not has_failed then
				has_failed = true;
				error("out of order");
			end
		end, 10);
		notices.send(notice());
		notices.send(notice());
		module_api.pass(61);
		notices.look();
		assert.equal(1, #stored);
		assert.equal(1, #module_api.complaints("A notice to a user can't be stored"));
	end);
end);
