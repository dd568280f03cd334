-- What differs between two configurations: lua/audit/configuration.lib.lua.

local module_api = require "support.module_api";

describe("changes of the configuration", function ()
	local configs;

	setup(function ()
		package.loaded["core.certmanager"] = package.loaded["core.certmanager"]
			or { find_host_cert = function () return { certificate = "/nowhere/at.all" }; end };
		configs = module_api.host():library "audit/configuration";
	end);

	local function told(changes)
		local words = {};
		for i, change in ipairs(changes) do
			words[i] = ("%s %s%s"):format(change.name, change.change, change.scope and " "..change.scope or "");
		end
		return table.concat(words, ", ");
	end

	-- As in core.configmanager: the sections of hosts inherit the global one.
	local function new_config(global, host)
		local config = { ["*"] = global };
		config["a.test"] = host and setmetatable(host, { __index = global });
		return setmetatable(config, { __index = function () return global; end });
	end

	local function nested(depth, value)
		local t = { value };
		for _ = 1, depth do t = { t }; end
		return t;
	end

	it("are told by name", function ()
		for _, row in ipairs {
			{ { a = 1 }, { a = 1 }, "" };
			{ { a = 1 }, { a = 2 }, "a changed global" };
			{ { a = 1 }, {}, "a removed global" };
			{ {}, { a = false }, "a added global" };
			{ { a = { "x", y = { 1 } } }, { a = { "x", y = { 1 } } }, "" };
			{ { a = { "x", y = { 1 } } }, { a = { "x", y = { 2 } } }, "a changed global" };
			{ { a = { 1, 2 } }, { a = { 1 } }, "a changed global" };
			{ { a = { 1 } }, { a = { 1, 2 } }, "a changed global" };
			{ { a = { 1 } }, { a = "1" }, "a changed global" };
			{ { a = function () end }, { a = function () end }, "" };
			{ { a = nested(10, 1) }, { a = nested(10, 1) }, "" };
			{ { a = nested(10, 1) }, { a = nested(10, 2) }, "a changed global" };
			{ { b = 1, a = 1, c = 1 }, { b = 2, a = 2, c = 2 }, "a changed global, b changed global, c changed global" };
			{ { [1] = "x" }, { [1] = "y" }, "" };
		} do
			assert.equal(row[3], told(configs.changes(new_config(row[1]), new_config(row[2]), "a.test")));
		end
	end);

	it("are those of the server and of the host", function ()
		local before, now = new_config({ a = 1 }, { b = 1 }), new_config({ a = 2 }, { b = 1, c = 1 });
		now["b.test"] = { d = 1 };
		assert.equal("a changed global, c added host", told(configs.changes(before, now, "a.test")));
		assert.equal("a changed global, d added host", told(configs.changes(before, now, "b.test")));
	end);

	it("are found for a host, wherever an option is set", function ()
		local function effective(before, now)
			return told(configs.effective_changes(before, now, "a.test", "^audit_"));
		end
		assert.equal("audit_a changed", effective(new_config({ audit_a = 1, x = 1 }), new_config({ audit_a = 2, x = 2 })));
		assert.equal("", effective(new_config({ audit_a = 1 }, { audit_a = 3 }), new_config({ audit_a = 2 }, { audit_a = 3 })));
		assert.equal("", effective(new_config({ audit_a = 1 }), new_config({}, { audit_a = 1 })));
		assert.equal("audit_a removed", effective(new_config({}, { audit_a = 1 }), new_config({})));
	end);

	it("are limited in an entry, and never have values", function ()
		local many = {};
		for i = 1, 1000 do many["option"..i] = "hunter2"; end
		local stanza = configs.describe(configs.changes(new_config({}), new_config(many), "a.test"));
		assert.equal(101, #stanza.tags);
		assert.equal("truncated", stanza.tags[101].name);
		assert.is_nil(tostring(stanza):find("hunter2", 1, true));
	end);

	it("have no certificate if none can be read", function ()
		assert.same({}, { configs.certificate_of("a.test") });
	end);
end);
