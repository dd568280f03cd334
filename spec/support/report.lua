-- busted's output for tools/test: that of the plain terminal; and also a file
-- (AUDIT_TEST_REPORT) with the counts, the names of failed and skipped tests, and the files with failures.

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
		local failed, files, seen = {}, {}, {};
		for _, list in ipairs { handler.failures, handler.errors } do
			for _, failure in ipairs(list) do
				failed[#failed+1] = tostring(failure.name);
				local trace = failure.element and failure.element.trace;
				local file = trace and trace.short_src or "";
				if not seen[file] then
					seen[file], files[#files+1] = true, file;
				end
			end
		end
		local filename = os.getenv("AUDIT_TEST_REPORT");
		if filename then
			local file = assert(io.open(filename, "w"));
			file:write(json.encode {
				passed = handler.successesCount;
				failed = #failed;
				failures = failed;
				files = files;
				skipped = skipped;
			});
			file:close();
		end
		return nil, true;
	end);

	return handler;
end
