-- What a move remembers: src/lua/transfer/marks.lua.

local transfers = require "support.transfers";

describe("the marks of a move", function ()
	local function marks(log)
		local found = {};
		for key, value in log.marks:find(nil, {}) do found[key] = value; end
		return found;
	end

	it("say which copies are begun and complete, and how much was moved", function ()
		local log = transfers.new { kind = "embedded" };
		transfers.fill(log, log.other);
		local seen = {};
		local append = log.native.append;
		log.native.append = function (self, user, ...)
			if user == "@events.2026-11-22" then seen.begun = marks(log)["internal @events.2026-11-22"]; end
			return append(self, user, ...);
		end
		local delete = log.other.delete;
		log.other.delete = function (self, user, ...)
			if user == "@events.2026-11-22" then seen.complete = marks(log)["internal @events.2026-11-22"]; end
			if user == nil then seen.older, seen.rest = marks(log)["internal nil"], marks(log); end
			return delete(self, user, ...);
		end
		log:start();
		log:pass(300);
		local mark = { original = "@events.2026-11-22"; from = "internal"; to = "audit"; copy = "@events.2026-11-22"; complete = false };
		assert.same(mark, seen.begun);
		mark.complete = true;
		assert.same(mark, seen.complete);
		assert.same({ "@moving-old.2026-11-24", true }, { seen.older.copy, seen.older.complete });
		assert.same({}, marks(log));
	end);

	it("that are damaged are passed over", function ()
		local log = transfers.new { kind = "embedded" };
		transfers.fill(log, log.other);
		local before = transfers.shown(log);
		log.marks:append(nil, "internal @events.2026-11-22", { original = "@events.2026-11-22"; from = "internal" }, 0, "");
		log.marks:append(nil, "internal x", { original = "x"; from = "internal"; to = "audit"; copy = "y"; complete = true }, 0, "");
		log.marks:append(nil, "z", "text", 0, "");
		assert.equal(before, transfers.shown(log));
		log:start();
		log:pass(300);
		assert.equal(before, transfers.shown(log));
		assert.equal("", transfers.names(log.other));
	end);
end);
