-- Uses the admin socket as prosodyctl shell does, without a process for each line. Can answer questions of commands.
--
--   local shell = require "support.admin_socket".connect(prosody);
--   shell:run('user:list("example.test")')                      --> "OK: …", "result" | text, "error"
--   shell:run('user:password("a@example.test")', "secret")      -- the password is asked for (Prosody 13)
--   shell:close();

local socket = require "socket";

local admin_socket = {};

local methods = {};
local mt = { __index = methods };

local function escape(text)
	return (text:gsub("[&<>'\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&apos;", ["\""] = "&quot;" }));
end

function admin_socket.connect(server, timeout)
	local unix = require "socket.unix";
	local conn = (type(unix) == "table" and unix.stream or unix)();
	conn:settimeout(5);
	assert(conn:connect(server.data.."/prosody.sock"));
	conn:settimeout(0);
	local self = setmetatable({ conn = conn, buffer = "", timeout = timeout or 10 }, mt);
	self:send("<stream:stream xmlns='xmpp:prosody.im/admin' xmlns:stream='http://etherx.jabber.org/streams'>");
	assert(self:receive_until("<stream:stream[^>]*>"));
	return self;
end

function methods:send(text)
	assert(self.conn:send(text));
end

-- What was received up to the end of the first match of one of these patterns | nil, if none comes.
function methods:receive_until(...)
	local deadline = socket.gettime() + self.timeout;
	while true do
		local first, last;
		for _, pattern in ipairs { ... } do
			local from, to = self.buffer:find(pattern);
			if from and (not first or from < first) then first, last = from, to; end
		end
		if first then
			local found = self.buffer:sub(1, last);
			self.buffer = self.buffer:sub(last + 1);
			return found;
		end
		socket.select({ self.conn }, nil, 0.05);
		local data, err, partial = self.conn:receive(4096);
		self.buffer = self.buffer..(data or partial or "");
		if err == "closed" or socket.gettime() > deadline then return nil, err; end
	end
end

-- Runs a line in the shell -> the text of its result, "result" or "error" | nil, if there is no result
function methods:run(line, answer)
	self:send("<repl-input>"..escape(line).."</repl-input>");
	local results = { "<repl%-result[^>]*/>", "<repl%-result[^>]*>.-</repl%-result>" };
	local said = self:receive_until("<repl%-request%-input[^>]*/>", table.unpack(results));
	local id = said and said:match("<repl%-request%-input[^>]* id='([^']*)'");
	if id then
		self:send(("<repl-requested-input type='password' id='%s'>%s</repl-requested-input>"):format(id, escape(answer or "")));
		said = self:receive_until(table.unpack(results));
	end
	if not said then return nil; end
	local tag, text = said:match("(<repl%-result[^>]*)>([^<]*)");
	return text, tag:find("type='error'", 1, true) and "error" or "result";
end

function methods:close()
	self.conn:close();
end

return admin_socket;
