-- prosodyctl mod_audit --verify: says whether somebody has changed the logs of hosts. And what is needed to know that elsewhere:
-- --anchors, --export-evidence and --verify --from.

local core = require "audit_core";

local audit_log = module:shared("/*/audit/log").log;

local MARK = "audit-anchor:";

-- whole(path) -> the same from the root | nil, what is wrong. prosodyctl has gone to another folder than that of the caller.
local function whole(path)
	if path:sub(1, 1) == "/" then
		return path;
	end
	local folder = os.getenv("PWD");
	if not folder then
		return nil, path..": it is relative, and the folder you are in is not known: give the whole path";
	end
	return folder.."/"..path;
end

-- open(path) -> file | nil, what is wrong
local function open(path)
	if path == "-" then
		return io.stdin;
	end
	local place, problem = whole(path);
	if not place then return nil, problem; end
	return io.open(place);
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

-- anchors_of(files, fail) -> true, list of the lines with anchors in all of them | nil, if no files were named. Or nil, after a line that
-- says what is wrong.
local function anchors_of(files, fail)
	local anchors;
	for _, path in ipairs(files) do
		local lines, problem = anchors_in(path);
		if not lines then
			fail("--anchor: %s", problem);
			return nil;
		end
		anchors = anchors or {};
		for _, line in ipairs(lines) do anchors[#anchors + 1] = line; end
	end
	return true, anchors;
end

-- keys_of(command, fail) -> true, list of seal keys | nil, if none are wanted. Or nil, after a line that says what is wrong.
local function keys_of(command, fail)
	if not command.seal_key then
		return true;
	end
	local keys, problem = library "reading/seals".keys();
	if not keys then
		fail("--seal-key: %s", problem);
		return nil;
	end
	return true, keys;
end

local verification = {};

-- verify(names of hosts, command, fail) -> exit status: that of the worst of them. fail(format, ...) writes a line, and returns 1.
--   command = { anchors = list of files with anchors, seal_key: whether the seals are verified }
function verification.verify(names, command, fail)
	local ok, anchors = anchors_of(command.anchors, fail);
	if not ok then return 2; end
	local keys;
	ok, keys = keys_of(command, fail);
	if not ok then return 2; end
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
end

-- verify_file(command, fail) -> exit status. Needs no log: the host may be of another machine.
--   command = { file = "-" for standard input, host = | nil, anchors, seal_key, as those of verify() }
function verification.verify_file(command, fail)
	local file = command.file;
	local ok, anchors = anchors_of(command.anchors, fail);
	if not ok then return 2; end
	local keys;
	ok, keys = keys_of(command, fail);
	if not ok then return 2; end
	local path, problem;
	if file ~= "-" then
		path, problem = whole(file);
		if not path then
			fail("--from: %s", problem);
			return 2;
		end
	end
	local result;
	result, problem = core.verify_evidence {
		path = path; anchors = anchors; host = command.host; keys = keys;
		interval = core.option("audit_log_seal_interval", module:get_option("audit_log_seal_interval"));
	};
	if not result then
		return fail("%s can't be verified: %s", path and file or "Standard input", problem);
	end
	print(table.concat(result.lines, "\n"));
	return result.status;
end

-- anchors(names of hosts, fail) -> exit status. Prints the last entry of each chain.
function verification.anchors(names, fail)
	local status, count = 0, 0;
	for _, host in ipairs(names) do
		local lines, problem = audit_log.anchors(host);
		if not lines then
			status = fail("The anchors of %s can't be read: %s", host, tostring(problem));
		else
			for _, line in ipairs(lines) do print(line); end
			count = count + #lines;
		end
	end
	if status == 0 and count == 0 then
		return fail("There are no anchors: no entry of %s is linked", names[2] and "any host" or tostring(names[1]));
	end
	return status;
end

-- export(host, output | nil for standard output, parts) -> exit status
--   parts = { fail, to_stdout = function(text) -> true | nil, message | nil if nobody reads any more, record = function(entries, file) }
function verification.export(host, output, parts)
	local is_gone, is_begun = false, false;
	local file, refused;
	if output then
		file, refused = core.new_file(output);
		if not file then
			return parts.fail("%s", refused);
		end
	end
	local count, problem = audit_log.export_evidence(host, function (text)
		if file then return file:write(text); end
		local ok, err = parts.to_stdout(text);
		is_begun = true;
		is_gone = not ok and err == nil;
		return ok, err or "nobody reads it";
	end);
	local size;
	if file and not count then
		file:discard();
	elseif file then
		size, problem = file:finish();
		count = size and count;
	end
	-- What went to standard output may have been read, even if not all of it could be written.
	if count or is_begun then
		parts.record(count or 0, file);
	end
	if is_gone then
		return 0;
	elseif not count then
		return parts.fail("The evidence of %s can't be exported: %s", host, tostring(problem));
	end
	io.stderr:write(file and ("Wrote %s: %d %s, %s\n"):format(file.path, count, count == 1 and "entry" or "entries", size) or "");
	return 0;
end

return verification;
