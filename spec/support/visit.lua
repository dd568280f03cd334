-- Visits of the log in a real Chromium.
--
--   local visit = require "support.visit";
--   visit.is_due(series)             --> whether it is the newest series: the pages are the core's own, so once is enough
--   visit.missing()                  --> why there can be no visit in the evening | nil
--   visit.evening()                  --> environment of a server for which it is evening
--   visit.link(prosody, jid)         --> a link for an administrator
--   visit.sign_in(prosody, page, jid)    signs in by a new link

local browser = require "support.browser";
local clock = require "support.clock";
local server = require "support.server";

local visit = {};

function visit.is_due(series)
	local all_series = server.series();
	return series == all_series[#all_series];
end

function visit.missing()
	local here, why = browser.available();
	if not here then return why; end
	return not clock.available() and "libfaketime is not here: tools/setup test installs it" or nil;
end

-- What happened on the day before it was recorded is shown where it was recorded. In the evening, hours ago are the same day.
function visit.evening()
	local evening = clock.new();
	evening:set(os.date("!@%Y-%m-%d 20:10:00"));
	return evening.env;
end

function visit.link(prosody, jid)
	local status, url, err = prosody:ctl("mod_audit", "--link", jid);
	assert(status == 0, err);
	return (url:gsub("\n", ""));
end

function visit.sign_in(prosody, page, jid)
	page:go(visit.link(prosody, jid));
	page:eval("document.querySelector('form[action=sign-in] button').click()");
	assert(page:wait("document.title.startsWith('Audit log of')"), page:eval("document.body.innerText"));
end

return visit;
