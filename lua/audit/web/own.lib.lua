-- "My account activity" in a browser: what the ad-hoc command shows (lua/audit/reading/history.lib.lua), page by page.

local core = require "audit_core";

local answers = library "web/answers";

local shared = module:shared("/*/audit/log");
local web = core.web;

local labels = { time = "Time"; event = "Event"; ip = "Address"; location = "Country"; client = "Client"; actor = "Done by" };

-- new_own(host) -> { is_offered(), show(request, reader) -> answer }
return function (host)
	local own = {};

	function own.is_offered()
		return shared.histories ~= nil and shared.histories[host] ~= nil;
	end

	function own.show(request, reader)
		if not own.is_offered() then
			return answers.notice(404, "Not offered", "This server does not show users the activity of their accounts.");
		end
		local form, problem = web.form(request.url.query or "");
		if not form then
			return answers.notice(400, "This can't be shown", problem);
		end
		local size = web.limits.page;
		local columns, rows, result = shared.histories[host](reader.account, size, form.after);
		if not columns then
			return answers.notice(503, "The log can't be read now", rows, { retry_after = "2" });
		end
		local titles, remarks = {}, {};
		for i, column in ipairs(columns) do titles[i] = labels[column] or column; end
		if result.problem then
			table.insert(remarks, "The log can't be read completely now. Entries are missing here.");
		elseif result.damaged > 0 then
			table.insert(remarks, ("%d damaged entries are not shown."):format(result.damaged));
		end
		return answers.page(web.own {
			account = reader.account; csrf = reader.csrf; columns = titles; rows = rows; remarks = remarks;
			next = result.shown == size and result.last or nil; is_first = not form.after;
		});
	end

	return own;
end
