-- Who acts now: lua/audit/acting.lib.lua, and acting() of lua/audit/audit.lib.lua.

local module_api = require "support.module_api";
local promise = require "util.promise";
local timer = require "util.timer";

promise.set_nexttick(function (f) return timer.add_task(0, f); end); -- As Prosody starts it.

describe("who acts", function ()
	local host, acting, audit;

	setup(function ()
		host = module_api.host();
		acting, audit = host:library "audit/acting", host:library "audit/audit" (host:load("audit_tokens").module);
	end);

	local function kind()
		local actor = audit:acting();
		return actor and actor.kind;
	end

	local shell = { kind = "admin-shell" };
	local adhoc = { kind = "adhoc", jid = "admin@example.test/phone", session = { ip = "203.0.113.7" } };

	it("is known while it runs, and not afterwards", function ()
		assert.is_nil(audit:acting());
		assert.same({ "adhoc", 1, nil, 3 }, { acting.run(adhoc, function (...)
			assert.same(adhoc, audit:acting());
			assert.equal("admin-shell", acting.run(shell, kind));
			return kind(), ...;
		end, 1, nil, 3) });
		assert.is_nil(audit:acting());
	end);

	it("tells the entry of its own host", function ()
		local actor = { kind = "admin-shell", entries = { [host.name] = "01a2", ["other.test"] = "01a3" } };
		assert.same({ kind = "admin-shell", caused_by = "01a2" }, acting.run(actor, audit.acting, audit));
		assert.same({ kind = "admin-shell", caused_by = "01a3" }, acting.run(actor, audit.acting, audit, "other.test"));
		assert.same({ kind = "admin-shell" }, acting.run(actor, audit.acting, audit, "third.test"));
	end);

	it("is forgotten after an error, which is passed on", function ()
		local thing = {};
		local ok, err = pcall(acting.run, shell, function () error(thing); end);
		assert.same({ false, true }, { ok, err == thing });
		assert.same({ false, "as it was" }, { pcall(acting.run, shell, function () error("as it was", 0); end) });
		assert.is_nil(audit:acting());
	end);

	it("is not the actor of code that runs while it waits", function ()
		local thread = coroutine.create(function ()
			return acting.run(shell, function ()
				coroutine.yield(kind());
				return kind();
			end), kind();
		end);
		assert.same({ true, "admin-shell" }, { coroutine.resume(thread) });
		assert.is_nil(audit:acting());
		assert.is_nil((select(2, coroutine.resume(coroutine.create(kind)))));
		assert.same({ true, "admin-shell", nil }, { coroutine.resume(thread) });
	end);

	describe("where promises are followed", function ()
		local finish;
		before_each(function () finish = acting.follow_promises(); end);
		after_each(function () finish(); end);

		it("is known in a later turn of the loop", function ()
			local seen = {};
			acting.run(shell, function ()
				promise.resolve("x"):next(function () table.insert(seen, kind() or "nobody"); return promise.resolve(); end)
					:next(function () table.insert(seen, kind() or "nobody"); error("x"); end)
					:catch(function () table.insert(seen, kind() or "nobody"); end);
			end);
			promise.resolve("x"):next(function () table.insert(seen, kind() or "nobody"); end);
			assert.same({}, seen);
			module_api.pass(1);
			table.sort(seen);
			assert.same({ "admin-shell", "admin-shell", "admin-shell", "nobody" }, seen);
			assert.is_nil(audit:acting());
		end);

		it("is not known any more once that has ended", function ()
			local seen = {};
			acting.run(shell, function () promise.resolve():next(function () table.insert(seen, kind() or "nobody"); end); end);
			finish();
			acting.run(shell, function () promise.resolve():next(function () table.insert(seen, kind() or "nobody"); end); end);
			module_api.pass(1);
			table.sort(seen);
			assert.same({ "admin-shell", "nobody" }, seen);
		end);

		it("does not replace another scheduler that was set later", function ()
			local others = 0;
			local _, ours = debug.getupvalue(promise.set_nexttick, 1);
			promise.set_nexttick(function (f) others = others + 1; return ours(f); end);
			finish();
			local done;
			promise.resolve():next(function () done = true; end);
			module_api.pass(1);
			assert.is_true(done and others > 0);
			promise.set_nexttick(function (f) return timer.add_task(0, f); end);
		end);
	end);
end);
