-- Names as people type them, and as the server stores them.

local client = require "support.client";
local server = require "support.server";

-- bücher.test, as the configuration may have it.
local unicode_host, ascii_host = "b\u{fc}cher.test", "xn--bcher-kva.test";
local host = server.default_host;

server.each_series(describe, pending, function (series)
	describe("a name", function ()
		local prosody;

		setup(function ()
			prosody = server.start { series = series; modules = { "audit", "audit_auth" }; hosts = { host, unicode_host, "xn--mnchen-3ya.test" } };
			prosody:adduser("j\u{fc}rgen@"..host, "secret");
			-- A client may send it in either form.
			assert.is_false(client.login(prosody, "j\u{fc}rgen@"..host, "wrong").ok);
			prosody:eval([[
				local unicode, ascii = ...;
				assert(module:context(unicode):audit("user@"..unicode, "on-unicode", { actor = { kind = "user"; jid = "j\u{fc}rgen@"..unicode.."/Desk" } }));
				assert(module:context(ascii):audit("user@"..ascii, "on-ascii"));
				flush_audit_log();
			]], unicode_host, "xn--mnchen-3ya.test");
		end);

		teardown(function ()
			if prosody then prosody:stop(); end
		end);

		local function finds(expected, ...)
			local status, out, err = prosody:ctl("mod_audit", "--format=json", ...);
			assert.equal(0, status, err);
			assert.is_truthy(out:find('"type":"'..expected..'"', 1, true), table.concat({ ... }, " ")..": "..err);
		end

		it("of an account is found in each of its forms", function ()
			for _, form in ipairs { "j\u{fc}rgen", "ju\u{308}rgen", "J\u{dc}RGEN", "JU\u{308}RGEN", "\u{ff4a}\u{fc}rgen" } do
				finds("authentication-failure", "--user="..form, host);
				finds("authentication-failure", form.."@"..host);
				finds("authentication-failure", form.."@EXAMPLE.test./phone");
				finds("authentication-failure", "--user="..form.."@*", host);
				finds("authentication-failure", "--user="..form:gsub("^[jJ]", "*"), host);
				finds("on-unicode", "--actor="..form.."@"..unicode_host, unicode_host);
				finds("on-unicode", "--actor="..form.."@"..ascii_host.."/Desk", unicode_host);
			end
		end);

		it("of a host is found in each of its forms", function ()
			for _, form in ipairs { unicode_host, "bu\u{308}cher.test", "B\u{dc}CHER.TEST", ascii_host, ascii_host:upper(), ascii_host.."." } do
				finds("on-unicode", form);
				finds("on-unicode", "user@"..form);
			end
			-- A host that is configured in the form for the DNS keeps it.
			finds("on-ascii", "xn--mnchen-3ya.test");
		end);

		it("of a host in the shell too", function ()
			local _, out = prosody:shell(('audit:show("%s", "--format=json")'):format(ascii_host));
			assert.is_truthy(out:find("on-unicode", 1, true), out);
			_, out = prosody:shell(('audit:prune("%s")'):format(ascii_host));
			assert.is_truthy(out:find("nothing has expired", 1, true), out);
		end);

		it("that is similar to a host's is refused with a suggestion", function ()
			local status, _, err = prosody:ctl("mod_audit", "user@exmaple.test");
			assert.same({ 1, 'Unknown host "exmaple.test"; did you mean example.test?\n' }, { status, err });
			status, _, err = prosody:ctl("mod_audit", "somewhere.else");
			assert.equal(1, status);
			assert.is_truthy(err:find('Unknown host "somewhere.else"; the configuration has ', 1, true), err);
			local _, out, problem = prosody:shell('audit:show("exmaple.test")');
			assert.is_truthy((out..problem):find("did you mean example.test?", 1, true), out..problem);
		end);

		it("that can be nobody's is refused", function ()
			for _, argument in ipairs { "--user=a b", "--user=a:b@"..host, "--actor=a b@"..host, "--country=Germany" } do
				local status, out, err = prosody:ctl("mod_audit", argument, host);
				assert.same({ 2, "" }, { status, out }, argument);
				assert.is_truthy(err:find("which", 1, true), err);
			end
		end);
	end);
end);
