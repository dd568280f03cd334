-- Kills real Prosody servers during a stream of numbered audit events, and checks that every event for which audit() had returned
-- is in the log, once and in order: lua5.4 benches/crash.lua [options]
--
--   --series=A,B     default: the newest release of each series under target/prosody/
--   --stores=A,B     of internal, sqlite, audit (our own driver), postgresql; default: all that are installed
--   --kills=N        kills on each store and series; default 200
--   --fresh=N        kills before a new server with an empty log is started; default 50
--   --seed=N         the seed for the random moments; default: the time
--   --write=WAY      audit_log_write: journal or direct; default journal

local here = arg[0]:match("^(.*)/") or ".";
package.path = here .. "/../spec/?.lua;" .. package.path;

local crash = require "support.crash";
local flags = dofile(here .. "/flags.lua");

local options = flags.parse {
	series = flags.all_series, stores = flags.all_drivers, kills = 200, fresh = 50, seed = os.time(), write = "journal";
};

local on_terminal = os.execute("test -t 1");
local failed = false;
for _, series in ipairs(options.series) do
	for _, store in ipairs(options.stores) do
		local last = 0;
		local result = crash.run {
			series = series, storage = store == "audit" and "native" or store, kills = options.kills, fresh = options.fresh, seed = options.seed;
			config = { audit_log_write = options.write };
			report = function (text)
				if on_terminal then
					io.write("\r", text, "  ");
				elseif os.time() - last >= 30 then
					last = os.time();
					print(("Prosody %s, %s: %s"):format(flags.title(series), store, text));
				end
				io.flush();
			end;
		};
		if on_terminal then io.write("\r"); end
		print(("Prosody %s, %s: %d kills, %d of them while it started, %d events, %d of them in the log before audit() returned, "
			.. "%d looks by prosodyctl: %s (%.0f s, seed %d)"):format(flags.title(series), store, result.kills, result.killed_while_starting, result.events,
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
