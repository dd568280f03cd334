-- What an operator asks the running server about the log in a browser: links and tokens. prosodyctl asks over the admin socket, the
-- shell calls this.

local shared = module:shared("/*/audit/log");

local asking = {};

-- ask { host =, what = "link" | "token" | "tokens" | "revoke", user =, name =, types = text with commas, seconds = text } -> a text |
-- nil, what is wrong. Called in an async context.
function asking.ask(attr)
	local site = shared.web and shared.web[attr.host];
	if not site then
		return nil, ("mod_audit_http is not loaded on %s"):format(tostring(attr.host));
	end
	local of_host = site();
	if attr.what == "link" then
		return of_host.access.link(attr.user, false);
	elseif attr.what == "token" then
		local types = {};
		for kind in (attr.types or ""):gmatch("[^,]+") do table.insert(types, kind); end
		return of_host.api.make(attr.name, types, tonumber(attr.seconds));
	elseif attr.what == "revoke" then
		local ok, problem = of_host.api.revoke(attr.name);
		return ok and ("The token %s has ended."):format(attr.name) or nil, problem;
	elseif attr.what == "tokens" then
		local lines, problem = of_host.api.list();
		if not lines then return nil, problem; end
		return #lines > 0 and table.concat(lines, "\n") or "There are no tokens.";
	end
	return nil, "this server knows no "..tostring(attr.what);
end

-- arguments(command) -> the same as a request, from the arguments of prosodyctl or the shell
function asking.arguments(command)
	return {
		action = "web"; what = command.action; host = command.host; user = command.user; name = command.name;
		types = command.types and table.concat(command.types, ",") or nil; seconds = command.seconds and ("%d"):format(command.seconds) or nil;
	};
end

asking.knows = { link = true; token = true; tokens = true; revoke = true };

return asking;
