-- Kills real Prosody servers in the middle of a stream of numbered audit events, and looks whether every event for which
-- audit() had returned is in the log, once and in order: lua5.4 benches/crash.lua [options]
--
--   --series=A,B     default: every series under target/prosody/
--   --stores=A,B     of internal, sqlite, postgresql; default: all that are here
--   --kills=N        kills on each store and series; default 200
--   --fresh=N        a new server with an empty log after so many kills; default 50
--   --seed=N         of the random moments; default: the time
--   --write=WAY      audit_log_write: journal or direct; default journal

local here = arg[0]:match("^(.*)/") or ".";
package.path = here .. "/../spec/?.lua;" .. package.path;

local crash = require "support.crash";
local postgres = require "support.postgres";
local server = require "support.server";

local options = { series = "", stores = "", kills = 200, fresh = 50, seed = os.time(), write = "journal" };
for i = 1, #arg do
	local name, value = arg[i]:match("^%-%-([a-z]+)=(.+)$");
	if not name or options[name] == nil then
		io.stderr:write("crash: unknown option ", arg[i], "; they are listed at the head of ", arg[0], "\n");
		os.exit(2);
	end
	options[name] = type(options[name]) == "number" and tonumber(value) or value;
end

local function split(text)
	local list = {};
	for item in text:gmatch("[^,]+") do
		list[#list + 1] = item;
	end
	return list;
end

local stores = options.stores ~= "" and split(options.stores) or { "internal", "sqlite" };
if options.stores == "" then
	if postgres.available() then
		stores[3] = "postgresql";
	else
		print("PostgreSQL is left out: it is not installed.");
	end
end
local all_series = options.series ~= "" and split(options.series) or server.series();
if #all_series == 0 then
	io.stderr:write("crash: no Prosody under target/prosody/: run tools/setup test\n");
	os.exit(1);
end

local on_terminal = os.execute("test -t 1");
local failed = false;
for _, series in ipairs(all_series) do
	for _, store in ipairs(stores) do
		local last = 0;
		local result = crash.run {
			series = series, storage = store, kills = options.kills, fresh = options.fresh, seed = options.seed;
			config = { audit_log_write = options.write };
			report = function (text)
				if on_terminal then
					io.write("\r", text, "  ");
				elseif os.time() - last >= 30 then
					last = os.time();
					print(("Prosody %s, %s: %s"):format(series, store, text));
				end
				io.flush();
			end;
		};
		if on_terminal then io.write("\r"); end
		print(("Prosody %s, %s: %d kills, %d of them while it started, %d events, %d of them in the log before audit() returned, "
			.. "%d looks by prosodyctl: %s (%.0f s, seed %d)"):format(series, store, result.kills, result.killed_while_starting, result.events,
			result.unreturned, result.shown, #result.faults == 0 and "nothing missing, none twice, in order" or "FAULTS", result.seconds, options.seed));
		for _, fault in ipairs(result.faults) do
			failed = true;
			print("  " .. fault);
		end
		if #result.faults > 0 then
			print("  the server's folder: " .. result.folder);
		end
	end
end
os.exit(not failed, true);
