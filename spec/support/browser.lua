-- A headless Chromium with a profile of its own.

local lfs = require "lfs";
local process = require "support.process";

local browser = {};

function browser.available()
	for _, path in ipairs({ "/usr/bin/chromium", "/usr/bin/chromium-browser" }) do
		if lfs.attributes(path, "mode") then
			browser.program = path;
			return true;
		end
	end
	return false, "Chromium is not here: tools/setup test installs it";
end

-- Opens a page and ends -> exit status, standard output, standard error
--   options = { width =, height =, dark = true, flags = { … } }
local function open(url, options)
	local profile = process.new_folder("browser");
	local command = {
		browser.program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=2000", "--user-data-dir="..profile,
		("--window-size=%d,%d"):format(options.width or 1280, options.height or 2000),
		"--blink-settings=preferredColorScheme="..(options.dark and 0 or 1),
	};
	for _, flag in ipairs(options.flags or {}) do
		table.insert(command, flag);
	end
	table.insert(command, url);
	local env = { HOME = profile; XDG_CONFIG_HOME = profile; XDG_CACHE_HOME = profile; DBUS_SESSION_BUS_ADDRESS = "disabled:" };
	local status, out, err = process.capture(command, { env = env; timeout = 60 });
	process.run("rm -rf "..process.quote(profile));
	return status, out, err;
end

-- The document after its scripts, if there are any, have run; and the lines of the console.
function browser.document(url, options)
	options = options or {};
	options.flags = { "--dump-dom", table.unpack(options.flags or {}) };
	local status, out, err = open(url, options);
	assert(status == 0 and out ~= "", err);
	local console = {};
	for line in err:gmatch("[^\n]*CONSOLE[^\n]*") do
		table.insert(console, line);
	end
	return out, table.concat(console, "\n");
end

-- Writes a screenshot of the page to a file.
function browser.picture(url, file, options)
	options.flags = { "--screenshot="..file };
	local status, _, err = open(url, options);
	assert(status == 0 and lfs.attributes(file, "mode"), err);
end

return browser;
