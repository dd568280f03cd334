-- Receivers of sinks that are not who they must be: nothing is sent to them, and one line says why.

local authority = require "support.authority";
local lfs = require "lfs";
local process = require "support.process";
local receiver = require "support.receiver";
local server = require "support.server";

server.each_series(describe, pending, function (series)
	after_each(function ()
		server.stop_all();
		receiver.stop_all();
	end);

	it("are refused before the first byte if their certificate has expired, is for another name or is of another issuer", function ()
		local ours, others = authority.new(), authority.new();
		local kinds = {
			expired = { says = "not trusted: certificate has expired", table.pack(ours:issue("localhost", { is_expired = true })) };
			name = { says = "not for localhost", table.pack(ours:issue("elsewhere.test")) };
			issuer = { says = "not trusted: unable to get local issuer certificate", table.pack(others:issue("localhost")) };
			good = { table.pack(ours:issue("localhost")) };
		};
		local sinks, receivers = {}, {};
		for kind, of in pairs(kinds) do
			local certificate, key = table.unpack(of[1]);
			local tls = receiver.start { kind = "stream", certificate = certificate, key = key };
			local https = receiver.start { kind = "http", certificate = certificate, key = key };
			receivers["tls-"..kind], receivers["https-"..kind] = tls, https;
			sinks["tls-"..kind] = { to = "tls://localhost:"..tls.port, cafile = ours.certificate };
			sinks["https-"..kind] = { to = "https://localhost:"..https.port.."/", cafile = ours.certificate };
		end
		local prosody = server.start {
			series = series, modules = { "audit", "audit_sinks" }, storage = "native", log_level = "info", config = { audit_log_sinks = sinks };
		};
		receiver.record(prosody, 1, 3);
		for name, one in pairs(receivers) do
			local kind = name:match("%-(.*)");
			local says = kinds[kind].says;
			if not says then
				assert.is_true(one:has_all(3), name);
			else
				assert.is_truthy(prosody:wait_log("can't be sent to the sink "..name:gsub("%-", "%%-").." %(", 10), name);
			end
		end
		-- Time for another attempt.
		process.wait_until(function () return false; end, 3);
		for name, one in pairs(receivers) do
			local says = kinds[name:match("%-(.*)")].says;
			if says then
				local lines = prosody:lines_with("can't be sent to the sink "..name.." ");
				assert.equal(1, #lines, name);
				assert.is_truthy(lines[1]:find("): its certificate is "..says..". It is tried again", 1, true), lines[1]);
				assert.same({}, one:lines(), name);
				assert.is_nil(lfs.attributes(one.out..".headers", "mode"), name);
				local status, text, err = prosody:ctl("mod_audit", "--sink-test", name);
				assert.same({ 1, "" }, { status, text });
				assert.is_truthy(err:find("): its certificate is "..says.."\n", 1, true), err);
			end
		end
		assert.same({}, prosody:lines_with("Traceback"));
	end);

	it("get the certificate of this server if they ask for one, and one line says that they want one if it has none", function ()
		local ours = authority.new();
		local certificate, key = ours:issue("localhost");
		local mine, my_key = ours:issue("chat.example");
		local tls = receiver.start { kind = "stream", certificate = certificate, key = key, clients = ours.certificate };
		local https = receiver.start { kind = "http", certificate = certificate, key = key, clients = ours.certificate };
		local to_tls, to_https = "tls://localhost:"..tls.port, "https://localhost:"..https.port.."/";
		local prosody = server.start {
			series = series, modules = { "audit", "audit_sinks" }, storage = "native", log_level = "info";
			config = { audit_log_sinks = {
				tls = { to = to_tls, cafile = ours.certificate };
				https = { to = to_https, cafile = ours.certificate };
			} };
		};
		receiver.record(prosody, 1, 3);
		for _, name in ipairs { "tls", "https" } do
			assert.is_truthy(prosody:wait_log("can't be sent to the sink "..name.." %(", 10), name);
		end
		-- Time for another attempt.
		process.wait_until(function () return false; end, 3);
		for name, one in pairs { tls = tls, https = https } do
			assert.equal(1, #prosody:lines_with("can't be sent to the sink "..name.." "), name);
			assert.same({}, one:lines(), name);
		end
		prosody:reload { config = { audit_log_sinks = {
			tls = { to = to_tls, cafile = ours.certificate, certificate = mine, key = my_key };
			https = { to = to_https, cafile = ours.certificate, certificate = mine, key = my_key };
		} } };
		for name, one in pairs { tls = tls, https = https } do
			local ok, why = one:has_all(3);
			assert.is_true(ok, name..": "..tostring(why));
		end
		assert.same({}, prosody:lines_with("Traceback"));
	end);
end);
