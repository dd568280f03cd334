local module_api = require "support.module_api";

-- The events as the mod_firewall in Debian for Prosody 13.0 fires them.
describe("mod_audit_firewall", function ()
	local host, user;

	before_each(function ()
		host = module_api.host();
		host:load("audit_firewall");
		user = {};
		module_api.prosody.hosts[host.name].sessions.romeo = user;
		-- Its own handler, which is after ours.
		host:hook("firewall/marked/user", function (event)
			user.firewall_marks = user.firewall_marks or {};
			user.firewall_marks[event.mark] = event.timestamp;
			return true;
		end, -1);
		host:hook("firewall/unmarked/user", function (event)
			user.firewall_marks = user.firewall_marks or {};
			user.firewall_marks[event.mark] = nil;
			return true;
		end, -1);
		module_api.complaints();
	end);

	local function mark(name)
		assert.is_true(host:fire("firewall/marked/user", { username = "romeo", mark = name, timestamp = 1700000000 }));
	end
	local function unmark(name)
		assert.is_true(host:fire("firewall/unmarked/user", { username = "romeo", mark = name }));
	end
	local function types()
		local found = {};
		for i, entry in ipairs(host:entries()) do
			found[i] = entry.attr.type.." "..entry.tags[#entry.tags].attr.name;
		end
		return table.concat(found, ", ");
	end

	it("records a mark that is set, and cleared", function ()
		mark("spammer");
		unmark("spammer");
		assert.same({}, module_api.complaints());
		assert.equal("mark-set spammer, mark-cleared spammer", types());
		for _, entry in ipairs(host:entries()) do
			assert.equal("mod_audit_firewall", entry.attr.source);
			assert.equal("romeo@"..host.name, entry.attr.user);
			assert.same({ '<actor kind="server"/>', '<mark name="spammer"/>' }, module_api.lines(entry));
		end
	end);

	it("records only changes", function ()
		for _ = 1, 3 do mark("spammer"); end
		mark("loud");
		for _ = 1, 3 do unmark("spammer"); end
		mark("spammer");
		assert.equal("mark-set spammer, mark-set loud, mark-cleared spammer, mark-set spammer", types());
	end);

	it("reads the stored marks if they are not loaded", function ()
		host.values.firewall_marks = { romeo = { spammer = 1600000000 } };
		host:reload("audit_firewall");
		mark("spammer");
		assert.equal("", types());
		user.firewall_marks = nil;
		module_api.prosody.hosts[host.name].sessions.romeo = nil;
		unmark("spammer");
		assert.equal("mark-cleared spammer", types());
	end);

	it("names the administrator who does it", function ()
		local acting = host:library "audit/acting";
		acting.run({ kind = "admin-shell", entries = { [host.name] = "the-entry" } }, mark, "spammer");
		assert.equal('<actor caused-by="the-entry" kind="admin-shell"/>', module_api.lines(host:entries()[1])[1]);
	end);

	it("never breaks mod_firewall: its own fault is logged once for each event", function ()
		module_api.prosody.hosts[host.name].sessions.romeo = setmetatable({}, { __index = function () error("trapped"); end });
		for _ = 1, 2 do
			mark("spammer");
			unmark("spammer");
		end
		assert.equal(2, #module_api.complaints("trapped"));
	end);
end);
