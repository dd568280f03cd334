-- What prosodyctl asks the server about its sinks. The answers are texts for people (answers.lib.lua).

local link = library "reading/socket";

local io, ipairs, print = io, ipairs, print;

-- How long a sink may take to answer a test; seconds.
local TEST_TAKES = 100;

local asking = {};

-- Prints the answer -> exit status
local function ask(request, patience)
	local text, problem = link.ask(request, patience);
	if text then
		print(text);
		return 0;
	end
	-- A server without the module does not know the request.
	io.stderr:write(problem:find("knows no", 1, true) and "mod_audit_sinks is not loaded in the server" or problem, "\n");
	return 1;
end

-- list(hosts) -> exit status
function asking.list(hosts)
	local status = 0;
	for _, host in ipairs(hosts) do
		local failed = ask { action = "sinks"; host = host };
		if failed ~= 0 then status = failed; end
	end
	return status;
end

-- test(name of a sink, host | nil) -> exit status
function asking.test(name, host)
	return ask({ action = "sink-test"; host = host; sink = name }, TEST_TAKES);
end

return asking;
