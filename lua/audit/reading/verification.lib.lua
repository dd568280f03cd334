-- prosodyctl mod_audit --verify: says whether somebody has changed the logs of hosts.

local audit_log = module:shared("/*/audit/log").log;

local MARK = "audit-anchor:";

-- open(path) -> file | nil, what is wrong. prosodyctl has gone to another folder than that of the caller.
local function open(path)
	if path == "-" then
		return io.stdin;
	elseif path:sub(1, 1) == "/" then
		return io.open(path);
	end
	local folder = os.getenv("PWD");
	if not folder then
		return nil, path..": it is relative, and the folder you are in is not known: give the whole path";
	end
	return io.open(folder.."/"..path);
end

-- anchors_in(path) -> list of the lines with anchors in them | nil, what is wrong
local function anchors_in(path)
	local file, problem = open(path);
	if not file then return nil, problem; end
	local found = {};
	local ok, wrong = pcall(function ()
		for line in file:lines() do
			if line:find(MARK, 1, true) then found[#found + 1] = line; end
		end
	end);
	if path ~= "-" then file:close(); end
	if not ok then
		return nil, path..": "..tostring(wrong);
	elseif not found[1] then
		return nil, path..": there is no anchor in it, which begins with "..MARK;
	end
	return found;
end

-- verify(names of hosts, command, fail) -> exit status: that of the worst of them. fail(format, ...) writes a line, and returns 1.
--   command = { anchors = list of files with anchors, seal_key: whether the seals are verified }
return function (names, command, fail)
	local anchors, keys;
	for _, path in ipairs(command.anchors) do
		local lines, problem = anchors_in(path);
		if not lines then
			fail("--anchor: %s", problem);
			return 2;
		end
		anchors = anchors or {};
		for _, line in ipairs(lines) do anchors[#anchors + 1] = line; end
	end
	if command.seal_key then
		local problem;
		keys, problem = library "reading/seals".keys();
		if not keys then
			fail("--seal-key: %s", problem);
			return 2;
		end
	end
	local status = 0;
	for _, host in ipairs(names) do
		local result, problem = audit_log.verify(host, nil, { anchors = anchors; keys = keys });
		if result then
			print(table.concat(result.lines, "\n"));
			status = math.max(status, result.status);
		else
			status = math.max(status, fail("The audit log of %s can't be verified: %s", host, tostring(problem)));
		end
	end
	return status;
end;
