-- The log for programs: lua/audit/web/api.lib.lua.

local json = require "dkjson";
local module_api = require "support.module_api";
local web_host = require "support.web_host";

describe("the interface for programs", function ()
	local host;

	before_each(function ()
		host = web_host.new();
		for _, event_type in ipairs { "thing-one", "thing-two", "other-thing" } do
			host.module:audit("romeo@"..host.name, event_type);
		end
	end);
	after_each(function () host:finish(); end);

	local function api() return host:shared().api; end

	local function ask(path, token)
		local answer = host:request("GET", "/audit/api/v1/"..path, { headers = { authorization = token and "Bearer "..token } });
		return answer.status, json.decode(answer.body), answer;
	end

	it("shows the types of its token only", function ()
		local token = api().make("a", { "thing-*" });
		local status, answer = ask("entries?oldest-first=yes", token);
		assert.equal(200, status);
		local types = {};
		for i, entry in ipairs(answer.entries) do types[i] = entry.type; end
		assert.same({ "thing-one", "thing-two" }, types);
		assert.equal(0, #select(2, ask("entries?type=other-thing", token)).entries);
		assert.same({ ["thing-one"] = 1, ["thing-two"] = 1 }, select(2, ask("stats", token)).types);
	end);

	it("lets in who has a token that has not expired", function ()
		local token = api().make("a", {}, 60);
		assert.equal(200, (ask("entries", token)));
		for _, other in ipairs { "", "audit_x", token.."x" } do
			assert.equal(401, (ask("entries", other)));
		end
		assert.equal(401, (ask("entries")));
		module_api.pass(61);
		assert.equal(401, (ask("entries", token)));
		assert.is_truthy(api().list()[1]:find("^a: all event types, made .*, expired "), api().list()[1]);
	end);

	it("ends a token with the next request", function ()
		local token = api().make("a", {});
		assert.is_nil((api().make("a", {})));
		assert.equal(200, (ask("stats", token)));
		assert.is_true(api().revoke("a"));
		assert.equal(401, (ask("stats", token)));
		assert.same({}, api().list());
	end);

	it("stores no secret, and no token that could not be stored can be used", function ()
		local token = api().make("a", {});
		local stored = require "util.serialization".serialize(host.api.values.audit_tokens);
		assert.is_nil(stored:find(token:match("_(.*)"), 1, true));
		host.api.behaviour.set = function () return nil, "the disk is full"; end;
		local secret, problem = api().make("b", {});
		assert.is_nil(secret);
		assert.is_truthy(problem:find("the disk is full", 1, true));
		host.api.behaviour.set = nil;
		assert.equal(1, #api().list());
	end);

	it("records each reading, with the name of the token", function ()
		local token = api().make("a", {});
		ask("entries?type=thing-one", token);
		local entries = host.api:entries();
		local last = entries[#entries];
		assert.equal("audit-exported", last.attr.type);
		local lines = table.concat(module_api.lines(last), "\n");
		assert.is_truthy(lines:find('by="token a"', 1, true) and lines:find('through="api"', 1, true), lines);
		assert.is_nil(lines:find(token, 1, true));
	end);

	it("logs once that its tokens can't be read, however often somebody asks", function ()
		host.api.behaviour.get = function () error("the disk is gone"); end;
		for _ = 1, 3 do assert.equal(500, (ask("entries", "audit_x"))); end
		assert.equal(401, (ask("entries")));
		assert.equal(1, #module_api.complaints("the disk is gone"));
		host.api.behaviour.get = nil;
		assert.equal(401, (ask("entries", "audit_x")));
	end);

	it("says what is wrong with an address", function ()
		local status, answer = ask("entries?lmit=5", (api().make("a", {})));
		assert.same({ 400, "bad-request" }, { status, answer.error });
		assert.is_truthy(answer.text:find("did you mean limit?", 1, true));
	end);
end);
