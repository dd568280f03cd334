-- prosodyctl mod_audit --report and --stats: their contents, and the page of a hostile log in a real browser.

local json = require "dkjson";
local lfs = require "lfs";
local browser = require "support.browser";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;

-- Each would make itself known by the title if it ran.
local attacks = {
	"<script>document.title='ran'</script>";
	"</title><script>document.title='ran'</script>";
	"</style><script>document.title='ran'</script><style>";
	"<img src=x onerror=\"document.title='ran'\">";
	"<svg onload=\"document.title='ran'\"><animate onbegin=\"document.title='ran'\" attributeName=x dur=1s></svg>";
	"\" onmouseover=\"document.title='ran'\" x=\"";
	"' onfocus='document.title=`ran`' autofocus tabindex=0 '";
	"<iframe srcdoc=\"<script>parent.document.title='ran'</script>\"></iframe>";
	"<base href=\"javascript:document.title='ran'//\"><a href=\"javascript:document.title='ran'\">x</a>";
	"<meta http-equiv=refresh content=\"0;url=javascript:document.title='ran'\">";
	"<details open ontoggle=\"document.title='ran'\">";
	"{style}{hash}{title}<!--";
	"\226\128\174gnp.exe\226\128\172\194\155\227\128\128";
};

local record = [==[
	local host, attacks = ...;
	local core = require "audit_core";
	local context, at = module:context(host), os.time() - 6 * 86400;
	local types = { "authentication-success", "authentication-failure", "new-client", "user-role-changed", "shell-command", "server-crashed",
		"audit-entries-lost", "audit-pruned", "registration-refused" };
	for n, attack in ipairs(attacks) do
		for m, event_type in ipairs(types) do
			context:audit(m % 2 == 0 and attack.."@"..host or "user"..m.."@"..host, event_type, {
				session = { id = attack, type = attack, ip = "203.0.113."..n, client_id = attack }; timestamp = at + n * 40000 + m;
				actor = m == 4 and { kind = "adhoc", jid = attack } or nil;
				custom = { core.detail("note", { name = attack, reason = attack, condition = attack }, attack),
					m == 7 and core.detail("lost", { count = 3 }) or nil };
			});
		end
		context:audit(nil, attack, { custom = { core.detail("note", nil, attack) } });
	end
	context:audit("often@"..host, "authentication-failure", { session = { ip = "198.51.100.9" };
		custom = { core.detail("repeated", { count = 4321; first = "2026-11-24T11:59:00Z"; last = "2026-11-24T12:00:00Z" }) } });
	flush_audit_log();
]==];

server.each_series(describe, pending, function (series)
	describe("prosodyctl mod_audit --report", function ()
		local prosody, page;
		setup(function ()
			prosody = server.start { series = series, modules = { "audit" }; options = { audit_log_flood = false } };
			prosody:eval(record, host, attacks);
			-- So that readings are not in it.
			prosody:stop();
			page = prosody.folder.."/report.html";
			local status, out, err = prosody:ctl("mod_audit", "--utc", "--report", page, host);
			assert.same({ 0, "" }, { status, out }, err);
		end);
		teardown(function ()
			if prosody then prosody:stop(); end
		end);

		it("writes one file that only its owner can read, and never replaces another", function ()
			assert.equal("rw-------", lfs.attributes(page, "permissions"));
			local text = process.read(page);
			assert.is_truthy(text:find("^<!DOCTYPE html>\n") and text:find("</html>\n$"));
			assert.is_truthy(text:find("The server did not answer when this was made", 1, true), "it is stopped");
			assert.is_nil(text:find("<script", 1, true) or text:find("http[s]?://") or text:find("url%("));
			local status, out, err = prosody:ctl("mod_audit", "--report", page, host);
			assert.is_true(status ~= 0 and out == "" and err:find("report.html", 1, true) ~= nil, err);
			assert.equal(text, process.read(page));
		end);

		it("counts summaries as their count, as --stats does", function ()
			local status, out, err = prosody:ctl({ env = { COLUMNS = "80" } }, "mod_audit", "--utc", "--stats", host);
			assert.equal(0, status, err);
			for line in out:gmatch("[^\n]+") do
				assert.is_true(utf8.len(line) <= 80, line);
			end
			assert.is_nil(out:find("\27", 1, true) or out:find("\226\128\174", 1, true));
			local text = process.read(page);
			for _, event_type in ipairs({ "authentication%-failure", "authentication%-success" }) do
				local number = out:match("\n"..event_type.." +([%d,]+)");
				local shown = text:match("<span class=\"name\"><bdi>"..event_type.."</bdi></span><svg.-<span class=\"number\">([%d,]+)");
				assert.is_truthy(number);
				assert.equal(number, shown);
			end
			local events, failures = out:match(": ([%d,]+) events"), out:match("\n([%d,]+) of them failures");
			assert.is_truthy(text:find("<b>"..events.."</b> <span>events<", 1, true), events);
			assert.is_truthy(text:find("<b>"..failures.."</b> <span>failures, ", 1, true), failures);
			assert.is_truthy(out:match("\noften@"..host.." +4,321 "), out);
		end);

		-- The page is the core's own: once is enough.
		local all_series = server.series();
		if series ~= all_series[#all_series] then
			return;
		end
		local here, why = browser.available();
		if not here then
			pending("the report in a browser: "..why);
			return;
		end

		-- What the browser finds in a page that it shows so wide.
		local function probe(url, width, dark)
			local document, console = browser.document("file://"..process.support.."/probe.html#"..url,
				{ width = width; dark = dark; flags = { "--allow-file-access-from-files" } });
			local found = document:match("<title>found (.-)</title>");
			assert.is_truthy(found, document:sub(1, 500)..console);
			found = found:gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&quot;", "\""):gsub("&#39;", "'"):gsub("&nbsp;", "\194\160"):gsub("&amp;", "&");
			return assert(json.decode(found)), console;
		end

		it("is a page that shows everything in the log as text, and runs nothing of it", function ()
			local document, console = browser.document("file://"..page);
			assert.equal("", console);
			assert.equal("Audit log of "..host, document:match("<title>(.-)</title>"));
			local found;
			found, console = probe("file://"..page, 1280, false);
			assert.equal("", console);
			assert.same({ "Audit log of "..host, 0, 0, 0, 0, 0, 0 },
				{ found.title, found.scripts, found.handlers, found.links, found.dangling, found.twice, found.unnamed });
			-- Landmarks and headings for screen readers; and every link and row can be reached with the keyboard.
			assert.same({ { 1, 1, 1, 1 }, true, 0 }, { found.landmarks, found.headings, found.hiddenKeyboard });
			assert.is_true(found.keyboard > 20, found.keyboard);
			for _, attack in ipairs(attacks) do
				local shown = attack:gsub("\226\128\174", "\\u{202e}"):gsub("\226\128\172", "\\u{202c}"):gsub("\194\155", "\\u{9b}")
					:gsub("\227\128\128", "\\u{3000}");
				assert.is_truthy(found.text:find(shown, 1, true), shown);
			end
		end);

		it("is watched by a browser that would see a script run", function ()
			local control = prosody.folder.."/control.html";
			process.write(control, "<!DOCTYPE html><title>quiet</title><section>"..attacks[4].."</section>");
			assert.equal("ran", browser.document("file://"..control):match("<title>(.-)</title>"));
			process.write(control, (process.read(page):gsub("</header>", function () return attacks[1]..attacks[4].."</header>"; end, 1)));
			local document, console = browser.document("file://"..control);
			assert.equal("Audit log of "..host, document:match("<title>(.-)</title>"), "the page's policy lets no script run");
			assert.is_truthy(console:find("Content Security Policy", 1, true), console);
		end);

		for _, look in ipairs({ { 1280, false }, { 1280, true }, { 390, false }, { 390, true } }) do
			local width, dark = look[1], look[2];
			local name = (dark and "dark" or "light").."-"..width;
			it("can be read, "..name, function ()
				local found, console = probe("file://"..page, width, dark);
				assert.equal("", console);
				assert.same({ overflow = 0, dark = dark, section = "1px" }, { overflow = found.overflow, dark = found.dark, section = found.section });
				assert.is_true(found.bars <= 1.5, "a bar is "..found.bars.." pixels beside its number");
				assert.is_true(found.contrast >= 4.5, "a contrast of "..found.contrast);
				local folder = process.target.."/report";
				process.run("mkdir -p "..process.quote(folder));
				local picture = ("%s/%s-%s.png"):format(folder, series, name);
				os.remove(picture);
				browser.picture("file://"..page, picture, { width = width; height = 2600; dark = dark });
				local shown_width, shown_height = (">I4I4"):unpack(process.read(picture), 17);
				assert.same({ width, 2600 }, { shown_width, shown_height });
			end);
		end
	end);
end);
