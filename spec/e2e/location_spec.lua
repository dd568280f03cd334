-- Locations of addresses, from real databases.

local lfs = require "lfs";
local process = require "support.process";
local server = require "support.server";

local host = server.default_host;
local places = process.target.."/places.mmdb";

local function find_whole_database()
	for _, folder in ipairs({ process.target.."/geo", process.target.."/geo/package" }) do
		if lfs.attributes(folder, "mode") then
			for name in lfs.dir(folder) do
				if name:match("%.mmdb$") and not name:find("ipv[46]") then return folder.."/"..name; end
			end
		end
	end
end

local function countries(prosody, addresses)
	return prosody:eval([[
		local host, addresses = ...;
		local found = {};
		for _, address in ipairs(addresses) do
			module:context(host):audit(nil, "test", { session = { ip = address } });
			flush_audit_log();
			local store = module:context(host):open_store("audit", "archive");
			for _, entry in store:find(os.date("!@events.%Y-%m-%d"), { limit = 1, reverse = true }) do
				local place = entry:find("{xmpp:prosody.im/audit}session/location");
				found[address] = place and (place.attr.country.." "..(place.attr.continent or "-").." "..(place:get_text() or "-")) or "none";
			end
		end
		return found;
	]], host, addresses);
end

server.each_series(describe, pending, function (series)
	describe("a location", function ()
		local prosody;
		after_each(server.stop_all);

		local function start(options)
			prosody = server.start { series = series; modules = { "audit" }; config = options };
			return prosody;
		end

		local function warnings(pattern)
			return select(2, prosody:log():gsub("warn\t[^\n]*"..pattern, ""));
		end

		it("is stored with the country, the continent and the name", function ()
			start({ audit_log_location_database = places });
			assert.same({
				["203.0.113.80"] = "DE EU Germany"; ["::ffff:203.0.113.80"] = "DE EU Germany"; ["2001:db8::1"] = "NZ OC New Zealand";
				["198.51.100.7"] = "FR - FR"; ["127.0.0.1"] = "none"; ["8.8.8.8"] = "none"; ["/run/x.sock"] = "none";
			}, countries(prosody, { "203.0.113.80", "::ffff:203.0.113.80", "2001:db8::1", "198.51.100.7", "127.0.0.1", "8.8.8.8", "/run/x.sock" }));
			local _, out = prosody:ctl("mod_audit", host);
			assert.is_truthy(out:find("COUNTRY", 1, true) and out:find("203.0.113.80 +DE"), out);
		end);

		it("is stored if no address is, and is that of the whole address if a prefix is", function ()
			start({ audit_log_location_database = places; audit_log_ips = false });
			assert.same({ ["203.0.113.80"] = "DE EU Germany" }, countries(prosody, { "203.0.113.80" }));
			local _, out = prosody:ctl("mod_audit", host);
			assert.is_nil(out:find("203.0.113", 1, true));
			prosody:stop();
			start({ audit_log_location_database = places; audit_log_ipv4_prefix = 8 });
			assert.same({ ["203.0.113.80"] = "DE EU Germany" }, countries(prosody, { "203.0.113.80" }));
			assert.is_truthy(select(2, prosody:ctl("mod_audit", host)):find("203.0.0.0/8", 1, true));
		end);

		it("is left out if the option says so", function ()
			start({ audit_log_location_database = places; audit_log_location = false });
			assert.same({ ["203.0.113.80"] = "none" }, countries(prosody, { "203.0.113.80" }));
		end);

		it("is left out with one warning if the file is missing", function ()
			start({ audit_log_location_database = "/nowhere/places.mmdb" });
			assert.same({ ["203.0.113.80"] = "none"; ["2001:db8::1"] = "none" }, countries(prosody, { "203.0.113.80", "2001:db8::1" }));
			assert.equal(1, warnings("/nowhere/places.mmdb: "));
		end);

		it("comes with the autonomous system if the database has it", function ()
			start({ audit_log_location_database = process.target.."/systems.mmdb" });
			assert.same({ ["203.0.113.80:51008"] = "DE EU Germany" }, countries(prosody, { "203.0.113.80:51008" }));
			local _, out = prosody:ctl("mod_audit", "--format", "json", host);
			assert.is_truthy(out:find('"ip":"203.0.113.80"', 1, true), out);
			assert.is_truthy(out:find('"asn":64500,"as_organization":"Example Net"', 1, true), out);
			assert.equal(0, warnings("ocation"));
		end);

		it("is left out with one warning if the database has no countries", function ()
			start({ audit_log_location_database = process.target.."/no-countries.mmdb" });
			assert.same({ ["203.0.113.80"] = "none" }, countries(prosody, { "203.0.113.80" }));
			assert.equal(1, warnings("no%-countries.mmdb: it is a database of the type \"Test%-ASN\", which has no countries"));
			assert.equal(0, warnings("damaged"));
		end);

		it("is left out with one line if only databases in the old format are named", function ()
			start({ geoip_ipv4_country = "/usr/share/GeoIP/GeoIP.dat" });
			assert.same({ ["203.0.113.80"] = "none" }, countries(prosody, { "203.0.113.80" }));
			assert.equal(1, (select(2, prosody:log():gsub("Option geoip_ipv4_country names a database[^\n]*audit_log_location_database", ""))));
		end);

		it("comes from a complete database of the world", function ()
			local whole = find_whole_database();
			if not whole then
				return pending("a whole database of places: npm has not fetched one (tools/geo)");
			end
			start({ audit_log_location_database = whole });
			-- Networks that have not moved for decades: RIPE NCC, APNIC, MIT.
			local found = countries(prosody, { "193.0.6.139", "203.119.101.61", "18.9.22.69", "2001:67c:2e8:22::c100:68b", "127.0.0.1" });
			assert.same({ "NL", "AU", "US", "NL", "no" }, {
				found["193.0.6.139"]:sub(1, 2), found["203.119.101.61"]:sub(1, 2), found["18.9.22.69"]:sub(1, 2),
				found["2001:67c:2e8:22::c100:68b"]:sub(1, 2), found["127.0.0.1"]:sub(1, 2),
			});
			assert.equal(0, warnings("ocation"));
		end);
	end);
end);
