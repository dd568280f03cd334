-- Drives a headless Chromium by its developer tools (the DevTools protocol over a WebSocket): opens pages, presses keys, clicks, runs
-- expressions, takes pictures. browser.lua, which only shows a page, is for everything that needs no clicks.
--
--   local page = devtools.open { width = 1280 };
--   page:go("http://localhost:5280/audit/");
--   page:eval("document.title")   --> a value
--   page:close();

local browser = require "support.browser";
local json = require "dkjson";
local mime = require "mime";
local process = require "support.process";
local socket = require "socket";

local devtools = {};

local methods = {};
local mt = { __index = methods };

-- WebSocket (RFC 6455), as far as it is needed: text messages, which the server does not mask.

local function connect(port, path)
	local conn = assert(socket.connect("127.0.0.1", port));
	conn:settimeout(20);
	conn:setoption("tcp-nodelay", true);
	assert(conn:send("GET "..path.." HTTP/1.1\r\nHost: 127.0.0.1:"..port.."\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		.."Sec-WebSocket-Key: "..mime.b64("0123456789abcdef").."\r\nSec-WebSocket-Version: 13\r\n\r\n"));
	assert(conn:receive("*l"):find("101", 1, true));
	repeat until conn:receive("*l") == "";
	return conn;
end

local function send(conn, text)
	local size = #text;
	local head = size < 126 and string.char(0x81, 0x80 + size) or size < 65536 and string.pack(">BBI2", 0x81, 0xfe, size)
		or string.pack(">BBI8", 0x81, 0xff, size);
	assert(conn:send(head.."\0\0\0\0"..text)); -- masked with zeros
end

local function receive(conn)
	local parts = {};
	repeat
		local head, err = conn:receive(2);
		if not head then return nil, err; end
		local first, size = head:byte(1, 2);
		if size == 126 then size = (">I2"):unpack((conn:receive(2))); elseif size == 127 then size = (">I8"):unpack((conn:receive(8))); end
		local text = size > 0 and assert(conn:receive(size)) or "";
		if first % 16 < 3 then parts[#parts+1] = text; end
	until first >= 128 and first % 16 < 3;
	return table.concat(parts);
end

-- call(method, params) -> result
function methods:call(method, params)
	self.last = self.last + 1;
	local message = { id = self.last; method = method; params = params or setmetatable({}, { __jsontype = "object" }); sessionId = self.session };
	send(self.conn, json.encode(message));
	while true do
		local answer = json.decode(assert(receive(self.conn)));
		if answer.id == self.last then
			assert(not answer.error, answer.error and method..": "..answer.error.message);
			return answer.result;
		elseif answer.method then
			table.insert(self.told, answer);
		end
	end
end

-- eval(expression) -> its value. A promise is waited for.
function methods:eval(expression)
	local result = self:call("Runtime.evaluate", { expression = expression; returnByValue = true; awaitPromise = true });
	assert(not result.exceptionDetails, json.encode(result.exceptionDetails));
	return result.result.value;
end

-- wait(expression, seconds | nil) -> its value, as soon as it is true
function methods:wait(expression, seconds)
	return process.wait_until(function ()
		local ok, value = pcall(self.eval, self, expression);
		return ok and value;
	end, seconds or 10, 0.05);
end

function methods:go(url)
	local result = self:call("Page.navigate", { url = url });
	assert(not result.errorText, result.errorText);
	assert(self:wait("document.readyState === 'complete' && location.href !== 'about:blank'"));
end

-- key(name, code, shift): presses a key, such as "Tab" or "Enter", with Shift held or not
function methods:key(name, code, shift)
	local text = name == "Enter" and "\r" or nil;
	for _, kind in ipairs { text and "keyDown" or "rawKeyDown", "keyUp" } do
		self:call("Input.dispatchKeyEvent", {
			type = kind; key = name; code = name; windowsVirtualKeyCode = code; text = kind == "keyDown" and text or nil;
			modifiers = shift and 8 or 0;
		});
	end
end

-- mouse(kind, x, y): kind = "mousePressed" | "mouseMoved" | "mouseReleased", with the left button
function methods:mouse(kind, x, y)
	self:call("Input.dispatchMouseEvent", { type = kind; x = x; y = y; button = "left"; buttons = kind ~= "mouseReleased" and 1 or 0; clickCount = 1 });
end

-- touch(kind, x, y): kind = "touchStart" | "touchMove" | "touchEnd", with one finger
function methods:touch(kind, x, y)
	local points = kind ~= "touchEnd" and { { x = x; y = y } } or {};
	self:call("Input.dispatchTouchEvent", { type = kind; touchPoints = setmetatable(points, { __jsontype = "array" }) });
end

-- scripts(on): with or without JavaScript, from the next page on
function methods:scripts(on)
	self:call("Emulation.setScriptExecutionDisabled", { value = not on });
end

-- look(width, dark): another width of the window, and light or dark
function methods:look(width, dark)
	self:call("Emulation.setDeviceMetricsOverride", { width = width; height = 900; deviceScaleFactor = 1; mobile = false });
	self:call("Emulation.setEmulatedMedia", { features = { { name = "prefers-color-scheme"; value = dark and "dark" or "light" } } });
end

-- picture(file, height | nil): the whole page, or its beginning
function methods:picture(file, height)
	local size = self:call("Page.getLayoutMetrics").cssContentSize;
	local clip = { x = 0; y = 0; width = size.width; height = math.min(size.height, height or size.height); scale = 1 };
	local result = self:call("Page.captureScreenshot", { format = "png"; captureBeyondViewport = true; clip = clip });
	process.write(file, (mime.unb64(result.data)));
end

-- requests() -> the requests that were sent since the last call of this function, each as { url =, headers = }. The first call begins it.
function methods:requests()
	if not self.sees_requests then
		self:call("Network.enable");
		self.sees_requests = true;
	end
	self:eval("0");
	local found, others, urls = {}, {}, {};
	for _, message in ipairs(self.told) do
		local params = message.params;
		if message.method == "Network.requestWillBeSent" then
			urls[params.requestId] = params.request.url;
			table.insert(found, { url = params.request.url; headers = params.request.headers });
		elseif message.method == "Network.requestWillBeSentExtraInfo" then
			-- As they were really sent.
			table.insert(found, { url = urls[params.requestId] or "?"; headers = params.headers });
		else
			table.insert(others, message);
		end
	end
	self.told = others;
	return found;
end

-- complaints() -> what the console has said: errors of scripts and of the policy
function methods:complaints()
	self:eval("0");
	local found = {};
	for _, message in ipairs(self.told) do
		if message.method == "Log.entryAdded" and message.params.entry.level == "error" then
			table.insert(found, message.params.entry.text);
		elseif message.method == "Runtime.exceptionThrown" then
			table.insert(found, json.encode(message.params.exceptionDetails));
		end
	end
	self.told = {};
	return found;
end

function methods:close()
	pcall(self.conn.close, self.conn);
	self.child:finish("TERM", 5);
	process.run("rm -rf "..process.quote(self.profile));
end

-- open(options) -> page. options = { width =, flags = { … } }
function devtools.open(options)
	options = options or {};
	local profile = process.new_folder("devtools");
	local command = {
		browser.program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir="..profile, "--remote-debugging-port=0", "--remote-debugging-address=127.0.0.1", "--remote-allow-origins=*",
	};
	table.move(options.flags or {}, 1, #(options.flags or {}), #command + 1, command);
	command[#command+1] = "about:blank";
	local env = { HOME = profile; XDG_CONFIG_HOME = profile; XDG_CACHE_HOME = profile; DBUS_SESSION_BUS_ADDRESS = "disabled:" };
	local self = setmetatable({ profile = profile; last = 0; told = {} }, mt);
	self.child = process.start { folder = profile; env = env; command = command };
	local found = process.wait_until(function () return process.read(profile.."/DevToolsActivePort"); end, 30, 0.05);
	assert(found, "Chromium did not start: "..self.child:output());
	local port, path = found:match("^(%d+)\n(%S+)");
	self.conn = connect(tonumber(port), path);
	local target = self:call("Target.createTarget", { url = "about:blank" }).targetId;
	self.session = self:call("Target.attachToTarget", { targetId = target; flatten = true }).sessionId;
	for _, domain in ipairs { "Page", "Runtime", "Log" } do self:call(domain..".enable"); end
	self:look(options.width or 1280, false);
	return self;
end

return devtools;
