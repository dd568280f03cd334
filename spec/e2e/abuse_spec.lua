-- Marks of mod_firewall and reports to mod_spam_reporting, on real servers.

local client = require "support.client";
local dump = require "support.dump";
local process = require "support.process";
local server = require "support.server";

local rules = [[
::preroute

KIND: message
PAYLOAD: urn:test:mark
MARK USER=spammer

KIND: message
PAYLOAD: urn:test:unmark
UNMARK USER=spammer
]];

server.each_series(describe, pending, function (series)
	describe("mod_audit_firewall and mod_audit_reports", function ()
		local prosody, romeo;

		local function start(options)
			local script = process.new_folder("firewall").."/marks.pfw";
			process.write(script, rules);
			options.series = series;
			options.modules = { "message", "audit_firewall", "audit_reports", table.unpack(options.community) };
			options.config = { firewall_scripts = { script }, firewall_experimental_user_marks = true };
			prosody = server.start(options);
			prosody:adduser("romeo@example.test", "secret");
			romeo = assert(client.open(prosody, "romeo@example.test", "secret", { resource = "orchard" }));
		end

		local function stop()
			romeo:close();
			prosody:stop();
		end

		local function say(payload)
			romeo:send(("<message to='example.test'><x xmlns='urn:test:%s'/></message>"):format(payload));
			assert.is_true(romeo:iq("<ping xmlns='urn:xmpp:ping'/>").ok);
		end

		if series == "0.12" then
			describe("with the mod_firewall of its time", function ()
				setup(function () start { community = { "firewall" } }; end);
				teardown(stop);

				it("records nothing, as there are no events for marks", function ()
					say "mark";
					assert.is_true(prosody:eval("return not not prosody.full_sessions['romeo@example.test/orchard'].firewall_marks.spammer"));
					say "unmark";
					assert.same({}, dump.entries(prosody));
				end);
			end);
		end

		-- What Debian has for 13.0 runs on 0.12 too.
		local here, why = server.available("13.0");
		if not here then
			pending("mod_firewall and mod_spam_reporting of Prosody 13.0: "..why);
			return;
		end

		describe("with the modules of 13.0", function ()
			setup(function () start { community = { "firewall", "spam_reporting" }, community_of = "13.0" }; end);
			teardown(stop);

			it("records that an account was marked, once, and that it is no more", function ()
				say "mark";
				say "mark";
				assert.is_true(prosody:eval("return not not prosody.bare_sessions['romeo@example.test'].firewall_marks.spammer"));
				say "unmark";
				say "unmark";
				local entries = dump.entries(prosody);
				assert.equal("mark-set mark-cleared", dump.types(entries));
				for _, entry in ipairs(entries) do
					assert.equal("mod_audit_firewall", entry.source);
					assert.equal("romeo@example.test", entry.user);
					assert.equal('<mark name="spammer"/>', entry:line("mark"));
					assert.equal('<actor kind="server"/>', entry:line("actor"));
				end
			end);

			it("knows a mark from before the last login", function ()
				say "mark";
				romeo:close();
				romeo = assert(client.open(prosody, "romeo@example.test", "secret", { resource = "orchard" }));
				say "mark";
				assert.equal("mark-set mark-cleared mark-set", dump.types(dump.entries(prosody)));
			end);

			it("records reports of spam and abuse, with the reporter", function ()
				for _, report in ipairs {
					"<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>Buys &amp; sells</text></report>";
					"<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:abuse'/>";
					"<report xmlns='urn:xmpp:reporting:0'/>";
					"";
				} do
					assert.is_true(romeo:iq("<block xmlns='urn:xmpp:blocking'><item jid='tybalt@remote.test'>"..report.."</item></block>",
						{ type = "set", to = "romeo@example.test" }).ok);
				end
				local entries = dump.of_type(prosody, nil, "abuse-reported");
				assert.equal(3, #entries);
				for i, line in ipairs {
					'<report jid="tybalt@remote.test" type="spam">Buys & sells</report>';
					'<report jid="tybalt@remote.test" type="abuse"/>';
					'<report jid="tybalt@remote.test" type="unknown"/>';
				} do
					assert.equal("mod_audit_reports", entries[i].source);
					assert.equal("tybalt@remote.test", entries[i].user);
					assert.equal(line, entries[i]:line("report"));
					assert.equal('<actor jid="romeo@example.test/orchard" kind="user"><remote-ip>127.0.0.1</remote-ip></actor>',
						entries[i]:line("actor"));
				end
			end);

			it("marks and blocks all the same when it fails", function ()
				prosody:break_audit("injected fault");
				say "unmark";
				say "mark";
				assert.is_true(prosody:eval("return not not prosody.bare_sessions['romeo@example.test'].firewall_marks.spammer"));
				assert.is_true(romeo:iq("<block xmlns='urn:xmpp:blocking'><item jid='paris@remote.test'>"
					.."<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>",
					{ type = "set", to = "romeo@example.test" }).ok);
				assert.truthy(romeo:iq("<blocklist xmlns='urn:xmpp:blocking'/>", { to = "romeo@example.test" }).xml:find("paris@remote.test", 1, true));
				prosody:mend_audit();
				assert.equal(3, select(2, prosody:log():gsub("injected fault", "")));
				assert.is_nil(prosody:log():find("Traceback[", 1, true));
			end);
		end);
	end);
end);
