-- What storage drivers are, and what their answers mean: src/lua/store/driver.lua.

local core = require "audit_core";
local process = require "support.process";
local st = require "util.stanza";
local support = require "support.log";

local new_log = support.new;

describe("a storage driver that fails", function ()
	-- What audit() returns, and the one line that says why.
	local function failure(answer)
		local log = new_log { audit_log_write = "direct" };
		function log.store.append() return answer(); end
		local condition;
		for _ = 1, 3 do condition = select(2, log.audit("example.com", nil, "mod_test", "t")); end
		assert.equal(1, #log.lines);
		return condition, log.lines[1];
	end

	for what, row in pairs {
		["a condition"] = { function () return nil, "resource-constraint"; end, "resource-constraint", "resource-constraint" };
		["a text"] = { function () return nil, "disk full"; end, "internal-server-error", "disk full" };
		["nothing"] = { function () end, "internal-server-error", "the storage driver refused without saying why" };
		["an object of util.error"] = {
			function () return nil, { condition = "policy-violation", text = "No." }; end, "policy-violation", "policy-violation: No.";
		};
		["an error"] = { function () error("broken"); end, "internal-server-error", "broken" };
		["an error that is a table"] = { function () error(setmetatable({}, { __tostring = function () return "odd"; end })); end,
			"internal-server-error", "odd" };
	} do
		it("with "..what.." is one line with the cause", function ()
			local condition, line = failure(row[1]);
			assert.equal(row[2], condition);
			assert.is_truthy(line:find(row[3], 1, true), line);
		end);
	end

	it("at different lines and with different addresses in its message has one cause", function ()
		local n = 0;
		local _, line = failure(function ()
			n = n + 1;
			error(("/usr/lib/x.lua:%d: no table: 0x%08x"):format(n, n * 4096), 0);
		end);
		assert.is_truthy(line:find("no table: 0x…", 1, true), line);
		assert.is_nil(line:find("x.lua", 1, true));
	end);
end);

describe("a write to a file of the driver \"audit\"", function ()
	-- How long it waits for another process, in seconds | nil: as long as the driver says
	local function patience(retry)
		local store = assert(core.storage {
			host = support.host; path = process.new_folder("patience").."/audit.sqlite3"; is_server = false; patience = 1; shared = {};
			now = os.time, new_key = function () return "key"; end; stanza_mt = st.stanza_mt;
		}):open("audit", "archive");
		local log = new_log({ audit_log_write = "direct" }, store);
		log.environment.retry = retry;
		log.log = core.new(log.environment);
		assert(log.log.audit(support.host, nil, "mod_test", "t"));
		return store.patience;
	end

	it("waits shortly in the server, where others wait too, and longer in another process", function ()
		assert.equal(0.05, patience());
		assert.is_nil(patience(function () return false; end));
	end);
end);
