-- busted's output for tools/test: that of the plain terminal; and also a file
-- (AUDIT_TEST_REPORT) with the counts and the names of failed and skipped tests.

local json = require "dkjson";

return function (options)
	local busted = require "busted";
	local handler = require "busted.outputHandlers.plainTerminal"(options);

	busted.subscribe({ "suite", "end" }, function ()
		local skipped = {};
		for _, pending in ipairs(handler.pendings) do
			local name = tostring(pending.name);
			if type(pending.message) == "string" then
				name = name..": "..pending.message;
			end
			skipped[#skipped+1] = name;
		end
		local failed = {};
		for _, list in ipairs { handler.failures, handler.errors } do
			for _, failure in ipairs(list) do
				failed[#failed+1] = tostring(failure.name);
			end
		end
		local filename = os.getenv("AUDIT_TEST_REPORT");
		if filename then
			local file = assert(io.open(filename, "w"));
			file:write(json.encode {
				passed = handler.successesCount;
				failed = #failed;
				failures = failed;
				skipped = skipped;
			});
			file:close();
		end
		return nil, true;
	end);

	return handler;
end
