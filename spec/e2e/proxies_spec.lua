-- The address of clients behind proxies: it is taken from trusted proxies, and never from what a client can send.

local dump = require "support.dump";
local http = require "socket.http";
local ltn12 = require "ltn12";
local mime = require "mime";
local server = require "support.server";
local socket = require "socket";

local host = server.default_host;

-- The address in an entry, "-" if it has none.
local function address(entry)
	local session = entry:child("session");
	local ip = session and session:child("remote-ip");
	return ip and ip.text or "-";
end

server.each_series(describe, pending, function (series)
	-- The failed logins of this name, each as its address.
	local function addresses(prosody, name)
		local list = {};
		for _, entry in ipairs(dump.of_type(prosody, nil, "authentication-failure")) do
			if entry.user == name.."@"..host then table.insert(list, address(entry)); end
		end
		return table.concat(list, " ");
	end

	describe("X-Forwarded-For", function ()
		local prosody;

		setup(function ()
			prosody = server.start {
				series = series; modules = { "audit", "audit_auth", "bosh" };
				config = { trusted_proxies = { "127.0.0.1", "10.0.0.0/8" }; consider_bosh_secure = true; c2s_require_encryption = false;
					audit_log_flood = false };
			};
		end);

		teardown(function () prosody:stop(); end);

		-- A failed login over BOSH with these headers, from this address.
		local function attempt(name, headers, from)
			local function post(rid, attributes, content)
				local body = ("<body rid='%d' xmlns='http://jabber.org/protocol/httpbind' %s>%s</body>"):format(rid, attributes, content or "");
				local all = { host = host, ["content-type"] = "text/xml", ["content-length"] = tostring(#body) };
				for header, value in pairs(headers) do all[header] = value; end
				local answer = {};
				assert(http.request {
					method = "POST", url = ("http://127.0.0.1:%d/http-bind"):format(prosody.http_port); headers = all;
					source = ltn12.source.string(body), sink = ltn12.sink.table(answer);
					create = function ()
						local conn = assert(socket.tcp());
						assert(conn:bind(from or "127.0.0.1", 0));
						return conn;
					end;
				});
				return table.concat(answer);
			end
			local sid = assert(post(1, "to='"..host.."' wait='5' hold='1' ver='1.6' xml:lang='en'"):match("sid='([^']+)'"));
			assert.matches("<not%-authorized", post(2, "sid='"..sid.."'", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"
				..mime.b64("\0"..name.."\0wrong").."</auth>"));
		end

		for name, case in pairs {
			single = { "203.0.113.7", "203.0.113.7" };
			-- COMPAT 13.0.1 takes an address that begins with a digit for one of IPv4, and answers with an error.
			ipv6 = { "fd00:db8::7", "fd00:db8::7" };
			-- The last address that no trusted proxy has is the client's: what stands before it anybody can say.
			list = { "198.51.100.66, 203.0.113.7", "203.0.113.7" };
			chain = { "198.51.100.66, 203.0.113.7, 10.1.2.3", "203.0.113.7" };
			trusted = { "10.1.2.3, 127.0.0.1", "127.0.0.1" };
		} do
			it("by a trusted proxy, "..name, function ()
				attempt(name, { ["x-forwarded-for"] = case[1] });
				assert.equal(case[2], addresses(prosody, name));
			end);
		end

		it("by anybody else is not believed", function ()
			attempt("spoofed", { ["x-forwarded-for"] = "203.0.113.7" }, "127.0.0.9");
			attempt("spoofed", { ["x-forwarded-for"] = "127.0.0.1, 203.0.113.7, 10.0.0.1" }, "127.0.0.9");
			attempt("spoofed", { ["forwarded"] = "for=203.0.113.7" }, "127.0.0.9");
			assert.equal("127.0.0.9 127.0.0.9 127.0.0.9", addresses(prosody, "spoofed"));
		end);

		it("that is no address is never stored as one", function ()
			for _, value in ipairs({ "unknown", "_hidden", "<script>", "203.0.113.7'\"; DROP TABLE", "::ffff:203.0.113.7", ("9"):rep(3000), "\195\188" }) do
				-- 0.12 and 13 differ in what they make of such a header; a refused request is no login.
				pcall(attempt, "odd", { ["x-forwarded-for"] = value });
			end
			for ip in addresses(prosody, "odd"):gmatch("%S+") do
				assert.is_truthy(ip == "-" or ip:match("^%d+%.%d+%.%d+%.%d+$") or ip:match("^[%x:.]+$"), ip);
			end
			assert.is_nil(prosody:log():match("[^\n]*Traceback[^\n]*mod_audit[^\n]*"));
		end);
	end);

	describe("the PROXY protocol", function ()
		local here, why = server.available("13.0");
		if not here then
			pending("mod_net_proxy of Prosody 13.0: "..why);
			return;
		end

		local prosody, port;

		setup(function ()
			port = require "support.process".free_ports(1)[1];
			prosody = server.start {
				-- What Debian has for 13.0 runs on 0.12 too.
				series = series; modules = { "audit", "audit_auth", "net_proxy" }; community = { "net_proxy" }; community_of = "13.0";
				config = {
					audit_log_flood = false; c2s_require_encryption = false; allow_unencrypted_plain_auth = true;
					proxy_port_mappings = { [port] = "c2s" }; proxy_ports = { port }; proxy_trusted_proxies = { "127.0.0.1" };
				};
			};
		end);

		teardown(function () prosody:stop(); end);

		-- A failed login behind these bytes. Nil: the connection was closed.
		local function attempt(name, header, from)
			local conn = assert(socket.tcp());
			conn:settimeout(5);
			assert(conn:bind(from or "127.0.0.1", 0));
			assert(conn:connect("127.0.0.1", port));
			conn:send(header..("<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
				.."xmlns:stream='http://etherx.jabber.org/streams'>"):format(host));
			local text = "";
			local function read(pattern)
				while not text:find(pattern) do
					local all, err, part = conn:receive(1);
					if not all then return nil, err, part; end
					text = text..all;
				end
				return true;
			end
			local answered = read("</stream:features>");
			if answered then
				conn:send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"..mime.b64("\0"..name.."\0wrong").."</auth>");
				answered = read("</failure>");
			end
			conn:close();
			return answered;
		end

		local signature = "\r\n\r\n\0\r\nQUIT\n";

		for name, case in pairs {
			v1 = { "PROXY TCP4 203.0.113.7 198.51.100.1 51008 5222\r\n", "203.0.113.7" };
			v1six = { "PROXY TCP6 2001:db8::7 2001:db8::1 51008 5222\r\n", "2001:db8::7" };
			v2 = { signature.."\33\17"..(">s2"):pack("\203\0\113\7\198\51\100\1\199\64\20\102"), "203.0.113.7" };
			v2six = { signature.."\33\33"..(">s2"):pack("\32\1\13\184"..("\0"):rep(11).."\7".."\32\1\13\184"..("\0"):rep(11).."\1"
				.."\199\64\20\102"), "2001:db8::7" };
		} do
			it("is used for the client's address: "..name, function ()
				assert.is_true(attempt(name, case[1]));
				assert.equal(case[2], addresses(prosody, name));
			end);
		end

		it("by a host that is no trusted proxy is ignored", function ()
			assert.is_nil(attempt("spoofed", "PROXY TCP4 203.0.113.7 198.51.100.1 51008 5222\r\n", "127.0.0.9"));
			assert.equal("", addresses(prosody, "spoofed"));
		end);
	end);
end);
