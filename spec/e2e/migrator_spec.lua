-- prosody-migrator moves the log between the driver "audit" and Prosody's own, as docs/migrating.md says.

local lfs = require "lfs";
local moving = require "support.moving";
local process = require "support.process";
local server = require "support.server";

server.each_series(describe, pending, function (series)
	after_each(server.stop_all);

	for other, storage in pairs { internal = "internal", sql = "sqlite" } do
		it("moves entries from the driver "..other.." to the driver audit, and back", function ()
			local prosody = server.start {
				series = series; storage = storage; modules = { "audit" }; eval_timeout = 120; config = { audit_log_move_from = false };
			};
			moving.fill(prosody, { partitions = 7, each = 8, older = 20 });
			local expected = moving.shown(prosody);
			assert.equal(76, select(2, expected:gsub("%S+", "")));
			prosody:eval([[
				for i = 1, 5 do assert(module:context(...):audit("user"..i.."@"..(...), "thing-happened")); end
				flush_audit_log();
			]], server.default_host);
			prosody:stop();
			local status, out = moving.migrate(prosody, other, "audit");
			assert.equal(0, status, out);
			moving.use(prosody, "native");
			prosody:start();
			assert.equal(expected, moving.shown(prosody));
			-- Nobody has changed anything on the way.
			local err;
			status, out, err = prosody:ctl("mod_audit", "--verify", server.default_host);
			assert.equal(0, status, out..err);
			assert.is_true(tonumber(out:match("intact: (%d+) entries verified")) >= 5, out);
			assert.is_truthy(out:find("\nnot protected: 76 entries", 1, true), out);
			prosody:stop();
			assert.equal(expected, moving.shown(prosody));

			-- Back to a driver that has nothing.
			process.run("rm -rf "..process.quote(prosody.data.."/example%2etest").." "..process.quote(prosody.data.."/prosody.sqlite"));
			status, out = moving.migrate(prosody, "audit", other);
			assert.equal(0, status, out);
			moving.use(prosody, storage);
			prosody:start();
			assert.equal(expected, moving.shown(prosody));
			-- The archive of the host is not copied as one of a user without a name, too.
			assert.is_nil(lfs.attributes(prosody.data.."/example%2etest/audit/.list", "mode"));
		end);
	end
end);
