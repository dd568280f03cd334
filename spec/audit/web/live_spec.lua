-- The live view: lua/audit/web/live.lib.lua.

local module_api = require "support.module_api";
local web_host = require "support.web_host";

describe("the live view", function ()
	local host, cookie;

	before_each(function ()
		host = web_host.new();
		cookie = host:sign_in("nurse");
	end);
	after_each(function () host:finish(); end);

	local function watch(address, headers)
		local view = host:begin("GET", "/audit/live"..(address or ""), { cookie = cookie; headers = headers });
		for _ = 1, 10 do module_api.pass(0); end
		return view;
	end

	local function audit(event_type)
		return host.module:audit("romeo@"..host.name, event_type);
	end

	it("gets what is new and fits, a second later at most", function ()
		audit("thing-before");
		local view = watch("?type=thing-*");
		assert.equal("text/event-stream", view.headers.content_type);
		audit("thing-new");
		audit("other-thing");
		module_api.pass(2);
		assert.is_truthy(view.sent:find("event: entry\nid: ", 1, true) and view.sent:find("thing-new", 1, true), view.sent);
		assert.is_nil(view.sent:find("thing-before", 1, true) or view.sent:find("other-thing", 1, true));
	end);

	it("gets its own search, also if others watch the same or something else", function ()
		local views = { watch("?type=thing-*"), watch("?type=thing-*"), watch("?type=other-*"), watch(), watch("?text=thing"), watch("?text=other") };
		audit("thing-new");
		audit("other-new");
		module_api.pass(3);
		for i, expected in ipairs { "thing", "thing", "other", "thing other", "thing", "other" } do
			local seen = {};
			for _, name in ipairs { "thing", "other" } do
				if views[i].sent:find(name.."-new", 1, true) then seen[#seen+1] = name; end
			end
			assert.equal(expected, table.concat(seen, " "), i);
			local _, count = views[i].sent:gsub("event: entry\n", "");
			assert.equal(#seen, count, i);
		end
	end);

	it("gets what it has missed", function ()
		local id = audit("thing-seen");
		module_api.pass(2);
		audit("thing-missed");
		module_api.pass(2);
		local view = watch("", { last_event_id = id });
		assert.is_truthy(view.sent:find("thing-missed", 1, true), view.sent);
		assert.is_nil(view.sent:find("thing-seen", 1, true));
	end);

	it("is sent a comment when nothing happens", function ()
		local view = watch();
		module_api.pass(35);
		assert.is_truthy(view.sent:find("\n: \n\n", 1, true), view.sent);
	end);

	it("ends for a reader who may not look any more", function ()
		local view = watch();
		host.accounts.nurse = "user";
		module_api.pass(35);
		assert.is_truthy(view.sent:find("event: over", 1, true) and view.is_done);
		audit("thing-new");
		module_api.pass(2);
		assert.is_nil(view.sent:find("thing-new", 1, true));
	end);

	it("is dropped if the browser does not read", function ()
		local view = watch();
		view.conn.writebuffer = ("x"):rep(65 * 1024);
		audit("thing-new");
		module_api.pass(2);
		assert.is_true(view.is_closed);
	end);

	it("is not opened by a request for its headers", function ()
		local answer = host:begin("HEAD", "/audit/live", { cookie = cookie });
		if answer.result == nil then
			answer.request.method = "HEAD";
			local event = { request = answer.request; response = answer };
			answer.result = require "net.http.server"._events.fire_event("GET "..host.name.."/audit/live", event);
		end
		assert.equal("", answer.result.body);
	end);

	it("is for twenty at the same time, and for others when these have gone", function ()
		local views = {};
		for i = 1, 20 do views[i] = watch(); end
		assert.equal(503, watch().status_code);
		views[1].on_destroy();
		module_api.pass(2);
		assert.equal(200, watch().status_code);
	end);

	it("looks only if something was recorded", function ()
		watch();
		module_api.pass(2);
		local log = module_api.log().log;
		local read, looks = log.read, 0;
		log.read = function (...)
			looks = looks + 1;
			return read(...);
		end;
		module_api.pass(20);
		assert.equal(0, looks);
		audit("thing-new");
		module_api.pass(2);
		log.read = read;
		assert.equal(1, looks);
	end);
end);
