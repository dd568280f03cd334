-- An example for authors of modules: once an hour, logs the accounts with many failed logins.
--
--   login_report_failures = 10; -- how many are many

local log = assert(module:depends("audit").log(module.host));

local many = module:get_option_number("login_report_failures", 10);

local function report()
	local failures = {};
	-- Tasks run in an async context, so that the loop may wait for the store. The server goes on meanwhile.
	for entry, condition, text in log:query { types = "authentication-failure", global = false, since = "1h" } do
		if not entry then
			module:log("error", "The audit log can't be read: %s (%s)", text, condition);
			return;
		end
		-- An entry may stand for several events.
		local user = entry.user or "accounts that do not exist";
		failures[user] = (failures[user] or 0) + (entry["repeated.count"] or 1);
	end
	for user, count in pairs(failures) do
		if count >= many then
			module:log("warn", "%d failed logins of %s in the last hour", count, user);
		end
	end
end

module:hourly("Report accounts with many failed logins", report);
