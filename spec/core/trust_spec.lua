-- Whether a store keeps what it takes: src/lua/store/trust.lua, with stores that lie.

local new_log = require "support.log".new;

describe("a store that claims to have taken an entry", function ()
	local log, refuses;

	before_each(function ()
		log = new_log { audit_log_write = "direct" };
		refuses = false;
		local append = log.store.append;
		log.offered = 0;
		function log.store.append(...)
			log.offered = log.offered + 1;
			if refuses then return nil, "refused"; end
			return append(...);
		end
	end);

	local function audit()
		return log.audit("example.com", nil, "mod_test", "t");
	end

	-- Makes find() return `row` changed by f(key, value, when, with).
	local function change(f)
		local find = log.store.find;
		function log.store.find(...)
			local rows = find(...);
			return function ()
				local key, value, when, with = rows();
				if key then return f(key, value, when, with); end
			end
		end
		return function () log.store.find = find; end
	end

	local line = 'the storage driver internal said that it took an entry, and does not give it back; set storage = { audit = "sql" }';

	for what, f in pairs {
		["does not return it"] = function () end;
		["returns it without a time"] = function (key, value) return key, value; end;
		["returns another element"] = function (key, _, when) return key, { name = "message", attr = {}, tags = {} }, when; end;
		["returns it without its id"] = function (key, value, when)
			return key, { name = value.name, attr = { type = value.attr.type }, tags = value.tags }, when;
		end;
		["raises for it"] = function () error("not well-formed"); end;
	} do
		it("but "..what..", is named in one line, and gets no more entries for ten minutes", function ()
			local mend = change(f);
			for _ = 1, 5 do assert.is_nil((audit())); end
			assert.equal(1, #log.lines);
			assert.is_truthy(log.lines[1]:find(line, 1, true), log.lines[1]);
			assert.equal(1, log.offered);
			mend();
			-- It has the entry after all.
			assert.is_string((audit()));
			assert.equal(2, log.offered);
		end);
	end

	it("and does not return it is offered another entry after ten minutes", function ()
		change(function () end);
		audit();
		log.store.partitions = {};
		log.time = log.time + 599;
		audit();
		assert.equal(1, log.offered);
		log.time = log.time + 2;
		audit();
		assert.equal(2, log.offered);
	end);

	it("and does not return it is offered another entry if the clock was set back since", function ()
		change(function () end);
		audit();
		log.time = log.time - 86400;
		audit();
		assert.equal(2, log.offered);
	end);

	it("and returns it is asked only for the first entry of a partition", function ()
		local asked = 0;
		local find = log.store.find;
		function log.store.find(...)
			asked = asked + 1;
			return find(...);
		end
		assert.is_string((audit()));
		local first = asked;
		for _ = 1, 20 do assert.is_string((audit())); end
		assert.equal(first, asked);
		log.time = log.time + 86400;
		assert.is_string((audit()));
		assert.is_true(asked > first);
	end);

	it("is asked again after a failure", function ()
		assert.is_string((audit()));
		refuses = true;
		assert.is_nil((audit()));
		refuses = false;
		change(function () end);
		assert.is_nil((audit()));
		assert.is_truthy(log.lines[#log.lines]:find(line, 1, true), log.lines[#log.lines]);
	end);

	it("is believed if others have appended entries behind ours, or changed attributes of their own", function ()
		local append = log.store.append;
		function log.store.append(self, user, ...)
			local key = append(self, user, ...);
			for _ = 1, 5 do append(self, user, nil, { name = "audit-event", attr = { type = "x" }, tags = {} }, log.time, "@"); end
			return key;
		end
		change(function (key, value, when, with)
			value.attr.stamp = "2026-11-26T00:00:00Z";
			return key, value, when, with;
		end);
		assert.is_string((audit()));
		assert.same({}, log.lines);
	end);

	it("is named with another driver that works, by what the configuration says", function ()
		for _, storage in ipairs { "sql", { audit = "sql" } } do
			log = new_log { audit_log_write = "direct", storage = storage };
			function log.store.find() return function () end; end
			assert.is_nil((audit()));
			assert.is_truthy(log.lines[1]:find('the storage driver sql said', 1, true));
			assert.is_truthy(log.lines[1]:find('set storage = { audit = "internal" }', 1, true));
		end
	end);
end);
