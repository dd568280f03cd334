-- What is wrong with receivers, in words: lua/audit/sinks/problems.lib.lua.

local module_api = require "support.module_api";

describe("problems of sinks", function ()
	local problems, real;

	before_each(function ()
		real = package.loaded["util.x509"];
		package.loaded["util.x509"] = { verify_identity = function (name, _, certificate) return certificate == name; end };
		problems = module_api.host():library "sinks/problems";
	end);
	after_each(function () package.loaded["util.x509"] = real; end);

	local function connection(is_trusted, reasons, certificate)
		return { socket = function ()
			return {
				getpeerverification = function () return is_trusted, reasons; end;
				getpeercertificate = function () return certificate; end;
			};
		end };
	end

	it("are those of a certificate", function ()
		assert.is_nil(problems.of_chain(connection(true)));
		assert.equal("its certificate is not trusted: certificate has expired", problems.of_chain(connection(false, { { "certificate has expired" } })));
		assert.equal("its certificate is not trusted", problems.of_chain(connection(false)));
		assert.is_nil(problems.of_name(connection(true, nil, "siem.test"), "siem.test"));
		for _, certificate in ipairs { "other.test", false } do
			assert.equal("its certificate is not for siem.test", problems.of_name(connection(true, nil, certificate or nil), "siem.test"));
		end
	end);

	it("are those of a name, or what Prosody says", function ()
		for said, expected in pairs {
			["unable to resolve service"] = "its name can't be resolved";
			["NXDOMAIN in A lookup"] = "its name can't be resolved: NXDOMAIN in A lookup";
			["hostname failed IDNA"] = "its name can't be resolved: hostname failed IDNA";
			["connection refused"] = "connection refused";
		} do
			assert.equal(expected, problems.of_connection(said));
		end
		assert.equal("nil", problems.of_connection(nil));
	end);
end);
