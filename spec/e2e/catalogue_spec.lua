-- Compares the registry of event types with what the other end-to-end specs have stored. tools/test runs it last.

local core = require "audit_core";
local produced = require "support.produced";
local releases = require "support.releases";
local server = require "support.server";

local found, lacking = produced.read();
if not found then
	pending("the catalogue of event types: needs a run of all end-to-end specs (tools/test e2e)");
	return;
end

-- What an entry of any type may carry; of failures also what stands for a name that is no account.
local anywhere = { session = true, actor = true, repeated = true, truncated = true, chain = true, ["unknown-name"] = true };

-- mod_audit records the beginning and end of accounts if no module for accounts is loaded: the history of an account depends on it.
local also_by = { ["user-registered"] = "mod_audit", ["user-deleted"] = "mod_audit" };

local registry = {};
for _, event in ipairs(core.event_types()) do
	registry[event.name] = event;
end

local function is_later(series, other)
	return releases.number(series) > releases.number(other);
end

server.each_series(describe, pending, function (series)
	for name in pairs(registry) do
		local why = lacking[series.." "..name];
		if why then pending(name..": "..why); end
	end

	it("stored every type of the registry that this series has", function ()
		local stored, missing = {}, {};
		for _, entry in ipairs(found) do
			if entry.series == series then stored[entry.type] = true; end
		end
		for name, event in pairs(registry) do
			if not is_later(event.since, series) and not stored[name] and not lacking[series.." "..name] then
				missing[#missing+1] = name;
			end
		end
		table.sort(missing);
		assert.same({}, missing);
	end);

	it("stored no type that is not in the registry, or of a series that should not have it, or by another module", function ()
		local wrong = {};
		for _, entry in ipairs(found) do
			local event = registry[entry.type];
			local is_by = event and (event.module == entry.source or also_by[entry.type] == entry.source);
			if entry.series == series and not (is_by and not is_later(event.since, series)) then
				wrong[entry.source.." "..entry.type] = event and event.module.." since "..event.since or "not in the registry";
			end
		end
		assert.same({}, wrong);
	end);

	it("stored no element that the registry does not name", function ()
		local wrong = {};
		for _, entry in ipairs(found) do
			local event, named = registry[entry.type], {};
			for _, name in ipairs(event and event.details or {}) do named[name] = true; end
			for _, name in ipairs(event and entry.series == series and entry.elements or {}) do
				if not named[name] and not anywhere[name] then wrong[entry.type.." "..name] = true; end
			end
		end
		assert.same({}, wrong);
	end);
end);
