-- The pages of administrators: lua/audit/web/pages.lib.lua.

local module_api = require "support.module_api";
local web_host = require "support.web_host";

describe("the pages of administrators", function ()
	local host, cookie;

	before_each(function ()
		host = web_host.new();
		cookie = host:sign_in("nurse");
	end);
	after_each(function () host:finish(); end);

	local function get(address)
		return host:request("GET", "/audit/"..address, { cookie = cookie });
	end

	local function audit(name, event_type, ip)
		host.module:audit(name and name.."@"..host.name, event_type, { session = { ip = ip } });
	end

	it("show what the address asks for, and record that", function ()
		audit("romeo", "thing-happened", "203.0.113.80");
		audit("juliet", "thing-happened", "203.0.113.81");
		local page = get("?user=romeo");
		assert.is_truthy(page.body:find("203.0.113.80", 1, true) and not page.body:find("203.0.113.81", 1, true));
		local entries = host.api:entries();
		assert.equal("audit-queried", entries[#entries].attr.type);
		local lines = table.concat(module_api.lines(entries[#entries]), "\n");
		assert.is_truthy(lines:find('jid="nurse@'..host.name..'" kind="http"', 1, true), lines);
		assert.is_truthy(lines:find('entries="1" filter="--user=romeo"', 1, true) and lines:find('through="http"', 1, true), lines);
	end);

	it("tell what is hidden, and how the log itself is", function ()
		audit(nil, "audit-pruned");
		local page = get("");
		assert.is_truthy(page.body:find("the field “all” shows", 1, true), page.body);
		assert.is_truthy(page.body:find("Nothing was lost since the start of the server", 1, true));
	end);

	it("say that the log can't be read, and log why", function ()
		audit("romeo", "thing-happened");
		local store = module_api.log().log.stores[host.name];
		store.find = function () error("secret reason"); end;
		local page = get("");
		store.find = nil;
		assert.is_nil(page.body:find("secret reason", 1, true));
		assert.is_truthy(page.body:find("can't be read", 1, true) or page.body:find("can’t be read", 1, true), page.body);
	end);

	it("are read for four at the same time", function ()
		local log = module_api.log().log;
		local read = log.read;
		log.read = function (...)
			require "util.async".sleep(1);
			return read(...);
		end;
		local begun = {};
		for i = 1, 5 do begun[i] = host:begin("GET", "/audit/", { cookie = cookie }); end
		assert.same({ 503, nil }, { begun[5].status_code, begun[4].result });
		assert.equal("2", begun[5].headers.retry_after);
		for _ = 1, 5 do module_api.pass(1); end
		log.read = read;
		assert.equal(200, begun[1].status_code);
		assert.is_truthy(begun[4].is_done);
		assert.equal(200, get("").status);
	end);

	it("are downloads that are cut short, not completed, if the log can't be read to its end", function ()
		audit("romeo", "thing-happened");
		local good = get("download?format=json");
		assert.is_truthy(good.body:find("thing-happened", 1, true) and good.body:find("0\r\n\r\n$"), good.body);
		local log = module_api.log().log;
		local read = log.read;
		log.read = function (asked, out, view)
			local result = read(asked, out, view);
			result.problem = "the disk is gone";
			return result;
		end;
		local bad = get("download?format=json");
		log.read = read;
		assert.is_nil(bad.body:find("0\r\n\r\n$"));
		assert.is_false(bad.response.persistent);
		assert.equal(1, #module_api.complaints("the disk is gone"));
	end);
end);
