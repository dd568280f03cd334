-- When entries are moved, and what is said about it: src/lua/transfer/transfer.lua.

local support = require "support.log";
local transfers = require "support.transfers";

local host = support.host;
local fill, names, shown = transfers.fill, transfers.names, transfers.shown;

local function lines_about(log, text)
	local found = {};
	for _, line in ipairs(log.lines) do
		if line:find(text, 1, true) then table.insert(found, line); end
	end
	return found;
end

describe("a move", function ()
	local log;

	before_each(function ()
		log = transfers.new { kind = "embedded" };
		fill(log, log.other);
	end);

	it("can be seen from another process", function ()
		log.log.open(host);
		assert.same({ from = "internal", to = "audit", moved = 0, left = 7 }, log.log.moving(host));
		log:pass(300);
		log:restart();
		assert.is_nil(log.log.moving(host));
		local left = {};
		log = transfers.new { kind = "embedded" };
		fill(log, log.other);
		log.tick();
		log:restart();
		function log.on_pause() left[(log.log.moving(host) or { left = 0 }).left] = true; end
		log:pass(300);
		for i = 1, 7 do assert.is_true(left[i], i); end
	end);

	it("begins a moment after the start, and says when it begins and when it ends", function ()
		log:start();
		log:pass(2);
		assert.equal("", names(log.native));
		assert.same({}, log.lines);
		log:pass(300);
		assert.same({
			"info: The audit events of example.com are being moved from the storage driver internal to audit: 6 partitions and the older log";
			"info: 31 audit events of example.com were moved from the storage driver internal to audit";
		}, log.lines);
		assert.is_nil(log.log.state(host).moving);
		assert.is_nil(log.log.moving(host));
		assert.equal(log.native, log.log.stores[host], "it is as fast as before");
		log:restart();
		log:pass(300);
		assert.equal(2, #log.lines, "there is nothing to move any more");
	end);

	it("has a state, and goes on counting after a restart", function ()
		log:start();
		assert.same({ from = "internal", to = "audit", moved = 0, left = 0 }, log.log.state(host).moving);
		-- One partition can't be read at first.
		local find = log.other.find;
		log.other.find = function (self, user, ...)
			if user == "@events.2026-11-23" then return nil, "the disk is gone"; end
			return find(self, user, ...);
		end
		log:pass(30);
		local state = log.log.state(host).moving;
		assert.same({ "the disk is gone", 1 }, { state.problem, state.left });
		assert.equal("@events.2026-11-23", names(log.other));
		log.other.find = find;
		log:restart();
		log:pass(300);
		assert.is_truthy(log.lines[#log.lines - 1]:find(("go on being moved from the storage driver internal to audit: %d entries were moved before, "
			.."1 partition is left"):format(state.moved), 1, true), log.lines[#log.lines - 1]);
		assert.equal("info: 31 audit events of example.com were moved from the storage driver internal to audit", log.lines[#log.lines]);
	end);

	it("is tried again if the source fails, less and less often, and says so once", function ()
		local calls, users = 0, log.other.users;
		log:start();
		log.other.users = function () calls = calls + 1; error("the disk is gone", 0); end;
		log:pass(600);
		assert.is_true(calls >= 10 and calls < 30, calls);
		assert.same({ "error: Audit events of example.com can't be moved from the storage driver internal to audit now: the disk is gone. "
			.."It is tried again; they are shown as before" }, lines_about(log, "can't be moved"));
		assert.equal("the disk is gone", log.log.state(host).moving.problem);
		log.other.users = users;
		log:pass(300);
		assert.equal(1, #lines_about(log, "are being moved from the storage driver internal again"));
		assert.equal(31, select(2, shown(log):gsub("t", "")));
		assert.equal("", names(log.other));
	end);

	it("waits while entries are pruned by another process", function ()
		local lock = true;
		log.environment.lock_path = function () return lock and "/proc/nowhere/lock" or nil; end;
		log:restart();
		log:pass(60);
		assert.equal("", names(log.native));
		assert.same({}, log.lines);
		lock = false;
		log:pass(300);
		assert.equal("", names(log.other));
	end);

	it("ends when the module is unloaded", function ()
		log:tick();
		log:restart();
		log.on_pause = function () log.log.stop(); end;
		log:pass(600);
		assert.is_true(names(log.other) ~= "");
		assert.same({}, lines_about(log, "error"));
		log:restart();
		log:pass(600);
		assert.equal("", names(log.other));
	end);

	it("begins or ends with the option, without a restart", function ()
		log.options.audit_log_move_from = false;
		log:start();
		log:pass(60);
		assert.equal("", names(log.native));
		log.options.audit_log_move_from = nil;
		log.log.forget();
		log.log.configure(host);
		log:pass(300);
		assert.equal("", names(log.other));
	end);

	it("is refused between two other drivers, and if the driver can't be opened", function ()
		log.options.audit_log_move_from = "sql";
		log.options.storage = "internal";
		assert.equal(log.native, log.log.stores[host]);
		assert.is_truthy(log.lines[1]:find("warn: audit_log_move_from is not used on example.com", 1, true), log.lines[1]);
		log.options.storage, log.refused = { audit = "audit" }, "the storage driver sql can't be loaded";
		log.log.forget();
		assert.equal(log.native, log.log.stores[host]);
		assert.equal("error: Entries of example.com that the storage driver sql holds can't be shown or moved: the storage driver sql can't be loaded",
			log.lines[2]);
	end);
end);

describe("entries of the driver that is used no more", function ()
	it("are counted, unless they are moved or to be left", function ()
		local log = transfers.new { out = true };
		log.options.audit_log_move_from = nil;
		assert.is_nil(log.log.left_behind(host));
		fill(log, log.native);
		assert.same({ 31, "internal" }, { log.log.left_behind(host) });
		for _, value in ipairs { "audit", false } do
			log.options.audit_log_move_from = value;
			log.log.forget();
			assert.is_nil(log.log.left_behind(host));
		end
	end);
end);
