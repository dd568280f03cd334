-- prosodyctl mod_audit --link, --token, --tokens, --revoke: only the running server makes links and tokens, so it is asked.

local asking = library "web/asking";
local link = library "reading/socket";

-- How long the server may take to answer, in seconds.
local PATIENCE = 5;

-- ask(command) -> exit status
return function (command)
	local text, wrong = link.ask(asking.arguments(command), PATIENCE);
	if not text then
		io.stderr:write((wrong:gsub("^the server did not answer", "The server does not run, or can't be reached")), "\n");
		return 1;
	end
	print(text);
	return 0;
end
