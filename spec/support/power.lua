-- Power cuts: what is on the disk if everything is lost that was written since the last fsync, or a part of it.
--
--   local trace = power.watch(prosody, { prosody.data.."/audit.sqlite3", … });   -- the server must be idle
--   …
--   local cuts = trace:finish();
--   cuts.from, cuts.till                       -- the first and the last moment
--   cuts:write(moment, "none", folder)         -- the files as a cut at this moment leaves them
--   cuts:appended(path)                        -- what was written to another file: a list of { at =, text = }
--
-- strace records the calls of the server. A write is on the disk when a later fsync of its file has ended. Of the writes behind that,
-- the disk may have any part: "none", "all", or a "random" choice of sectors.

local process = require "support.process";

local power = {};

local SECTOR = 512;

-- can() -> whether this machine lets us record the calls of another process | false, why not
function power.can()
	local probe = process.new_folder("strace");
	local child = process.start { folder = probe; command = { "sleep", "20" } };
	local tracer = process.start { folder = process.new_folder("strace"); command = { "strace", "-o", probe.."/trace", "-p", tostring(child.pid) } };
	local attached = process.wait_until(function () return tracer:output():find("attached", 1, true) or not tracer:alive(); end, 10);
	local can = attached and tracer:alive();
	tracer:finish("KILL");
	child:finish("KILL");
	return can, not can and "strace is not here, or may not be used" or nil;
end

local trace_mt, cuts_mt = {}, {};
trace_mt.__index, cuts_mt.__index = trace_mt, cuts_mt;

-- Begins to record.
function power.watch(prosody, paths)
	local self = setmetatable({ paths = {}, file = process.new_folder("trace").."/trace" }, trace_mt);
	for _, path in ipairs(paths) do
		self.paths[path] = process.read(path) or "";
	end
	self.tracer = process.start {
		folder = process.new_folder("tracer");
		command = {
			"strace", "-f", "-ttt", "-y", "-xx", "-s", "1000000", "-e", "trace=pwrite64,write,fsync,fdatasync,ftruncate", "-e", "signal=none",
			"-o", self.file, "-p", tostring(prosody.pid);
		};
	};
	assert(process.wait_until(function () return self.tracer:output():find("attached", 1, true); end, 10), self.tracer:output());
	return self;
end

local function bytes_of(hex)
	return (hex:gsub("\\x(%x%x)", function (digits) return string.char(tonumber(digits, 16)); end));
end

-- The path of a file as strace -xx -y prints it.
local function path_of(text)
	return bytes_of(text);
end

-- Ends the recording. The server may have been killed before.
function trace_mt:finish()
	self.tracer:finish("INT");
	local cuts = setmetatable({ base = self.paths, calls = {} }, cuts_mt);
	local unfinished = {};
	for line in io.lines(self.file) do
		local pid, at, call = line:match("^(%d+) +(%d+%.%d+) (.*)$");
		at = tonumber(at);
		local resumed = call and call:match("^<%.%.%. %w+ resumed>(.*)$");
		local began = at;
		if call and call:find("<unfinished ...>", 1, true) then
			unfinished[pid] = { at = at, call = call:gsub(" *<unfinished %.%.%.>$", "") };
			call = nil;
		elseif resumed and unfinished[pid] then
			began, call = unfinished[pid].at, unfinished[pid].call..resumed;
			unfinished[pid] = nil;
		end
		local name, path, rest, result = (call or ""):match("^(%w+)%(%d+<(.-)>(.*)%) += (%d+)$");
		if name then
			local entry = { name = name, path = path_of(path), began = began, ended = at, result = tonumber(result) };
			if name == "pwrite64" then
				local data, offset = rest:match("^, \"(.*)\", %d+, (%d+)$");
				entry.data, entry.offset = bytes_of(data), tonumber(offset);
			elseif name == "write" then
				entry.data = bytes_of(rest:match("^, \"(.*)\", %d+$") or "");
			elseif name == "ftruncate" then
				entry.length = tonumber(rest:match("^, (%d+)$"));
			end
			table.insert(cuts.calls, entry);
			cuts.from, cuts.till = cuts.from or began, at;
		end
	end
	return cuts;
end

-- What was written to a file with write(), such as a log.
function cuts_mt:appended(path)
	local found = {};
	for _, call in ipairs(self.calls) do
		if call.path == path and call.name == "write" then
			table.insert(found, { at = call.ended, text = call.data });
		end
	end
	return found;
end

-- How often a file was synced.
function cuts_mt:syncs(path)
	local count = 0;
	for _, call in ipairs(self.calls) do
		if call.path == path and (call.name == "fsync" or call.name == "fdatasync") then count = count + 1; end
	end
	return count;
end

local function put(file, offset, data)
	file:seek("set", offset);
	file:write(data);
end

-- Applies a part of a write: each sector or none of it.
local function put_some(file, offset, data)
	local first = offset;
	while first < offset + #data do
		local last = math.min((first // SECTOR + 1) * SECTOR, offset + #data);
		if math.random(2) == 1 then
			put(file, first, data:sub(first - offset + 1, last - offset));
		end
		first = last;
	end
end

-- When the last sync began that had ended by then.
local function synced(calls, path, moment)
	local began = 0;
	for _, call in ipairs(calls) do
		if call.path == path and (call.name == "fsync" or call.name == "fdatasync") and call.ended <= moment then
			began = math.max(began, call.began);
		end
	end
	return began;
end

-- Writes the files to a folder, as a power cut at a moment leaves them. `rest` is what becomes of the writes that were not synced.
function cuts_mt:write(moment, rest, folder)
	for path, content in pairs(self.base) do
		local name, safe = folder.."/"..path:match("[^/]*$"), synced(self.calls, path, moment);
		process.write(name, content);
		local file = assert(io.open(name, "r+b"));
		for _, call in ipairs(self.calls) do
			if call.path == path and call.began <= moment then
				local is_safe = call.ended <= safe;
				if call.name == "pwrite64" then
					if is_safe or rest == "all" then
						put(file, call.offset, call.data);
					elseif rest == "random" then
						put_some(file, call.offset, call.data);
					end
				elseif call.name == "ftruncate" and (is_safe or rest == "all" or rest == "random" and math.random(2) == 1) then
					file:flush();
					process.run(("truncate --size=%d %s"):format(call.length, process.quote(name)));
				end
			end
		end
		file:close();
	end
end

return power;
