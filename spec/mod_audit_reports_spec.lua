local module_api = require "support.module_api";
local st = require "util.stanza";

-- The events as mod_spam_reporting fires them.
describe("mod_audit_reports", function ()
	local host;

	before_each(function ()
		host = module_api.host();
		host:load("audit_reports");
		module_api.complaints();
	end);

	local romeo = "romeo@example.test/orchard";
	local session = { id = "c2s1", type = "c2s", ip = "203.0.113.80", full_jid = romeo, username = "romeo" };

	local function report(kind, fields)
		local item = st.stanza("item", { jid = "spammer@remote.test" });
		local event = {
			origin = session, stanza = st.iq({ type = "set", id = "1", from = romeo }), jid = "spammer@remote.test";
			item = item, report = st.stanza("report"), reason = "Buy & buy";
		};
		for name, value in pairs(fields or {}) do event[name] = value; end
		assert.is_nil(host:fire("spam_reporting/"..kind.."-report", event));
	end

	local by_romeo = '<actor jid="romeo@example.test/orchard" kind="user"><remote-ip>203.0.113.80</remote-ip></actor>';

	for _, kind in ipairs { "spam", "abuse", "unknown" } do
		it("records a report of kind "..kind, function ()
			report(kind);
			assert.same({}, module_api.complaints());
			assert.equal(1, #host:entries());
			local entry = host:entries()[1];
			assert.equal("mod_audit_reports", entry.attr.source);
			assert.equal("abuse-reported", entry.attr.type);
			assert.equal("spammer@remote.test", entry.attr.user);
			assert.same({ by_romeo, ('<report jid="spammer@remote.test" type="%s">Buy & buy</report>'):format(kind) }, module_api.lines(entry));
		end);
	end

	it("records one without a reason, of a whole server, or of a resource", function ()
		host:fire("spam_reporting/spam-report", { origin = session, stanza = st.iq({ type = "set", id = "1", from = romeo }), jid = "remote.test" });
		report("abuse", { jid = "spammer@remote.test/bot" });
		local entries = host:entries();
		assert.is_nil(entries[1].attr.user);
		assert.equal('<report jid="remote.test" type="spam"/>', module_api.lines(entries[1])[2]);
		assert.equal("spammer@remote.test", entries[2].attr.user);
		assert.equal('<report jid="spammer@remote.test/bot" type="abuse">Buy & buy</report>', module_api.lines(entries[2])[2]);
	end);

	it("limits the length of a reason", function ()
		report("spam", { reason = ("x"):rep(100000) });
		local text = host:entries()[1]:get_child_text("report", "xmpp:prosody.im/audit");
		assert.is_true(#text <= 4096, #text);
		assert.equal("…", text:sub(-3));
	end);

	it("never breaks a report: its own fault is logged once for each event", function ()
		local trap = setmetatable({}, { __index = function () error("trapped"); end });
		for _ = 1, 2 do
			for _, kind in ipairs { "spam", "abuse", "unknown" } do
				assert.has_no.errors(function () assert.is_nil(host:fire("spam_reporting/"..kind.."-report", trap)); end);
			end
		end
		assert.equal(3, #module_api.complaints("trapped"));
	end);
end);
