-- Whether an account exists: this is known only if Prosody opens a small file for it.

local server = require "support.server";

local host, rooms = server.default_host, "rooms.example.test";

server.each_series(describe, pending, function (series)
	describe("whether a name is an account", function ()
		local prosody;

		local function start(options)
			options.series, options.modules, options.components = series, { "audit" }, { [rooms] = "muc" };
			prosody = server.start(options);
		end

		after_each(function ()
			prosody:stop();
		end);

		-- "true", "false" or "nil" for each name; the last one is whether the host answers at all.
		local function ask(of_host, ...)
			local _, answers = prosody:eval([[
				local existing = module:shared("/*/audit/log").existing;
				local host, names = ...;
				local found = {};
				for i, name in ipairs(names) do found[i] = tostring(existing.exists(host, name)); end
				table.insert(found, tostring(existing.answers(host)));
				return true, found;
			]], of_host, { ... });
			return answers;
		end

		it("is known with Prosody's own providers on the embedded storage", function ()
			for _, provider in ipairs { "internal_hashed", "internal_plain" } do
				start { config = { authentication = provider } };
				prosody:adduser("juliet@"..host, "secret");
				prosody:adduser("damaged@"..host, "secret");
				local path = prosody.data.."/"..host:gsub("%.", "%%2e").."/accounts/damaged.dat";
				local file = assert(io.open(path, "w"));
				file:write("return {");
				file:close();
				assert.same({ "true", "false", "false", "nil", "nil", "true" },
					ask(host, "juliet", "Tr0ub4dor&3", ("ü"):rep(100), "damaged", ""));
				assert.is_nil(prosody:log():find("too long", 1, true));
				assert.same({ "nil", "false" }, ask(rooms, "juliet"));
				assert.same({ "nil", "false" }, ask("nowhere.test", "juliet"));
				if provider == "internal_hashed" then prosody:stop(); end
			end
		end);

		it("is looked up once a minute for a name", function ()
			start {};
			assert.same({ "false", "true" }, ask(host, "juliet"));
			prosody:adduser("juliet@"..host, "secret");
			assert.same({ "false", "true" }, ask(host, "juliet"));
			prosody:eval([[
				local time = require "util.time";
				local monotonic = time.monotonic;
				time.monotonic = function () return monotonic() + 61; end;
				return true;
			]]);
			assert.same({ "true", "true" }, ask(host, "juliet"));
			-- However many names are asked for.
			local answers, bytes = prosody:eval([[
				local existing = module:shared("/*/audit/log").existing;
				collectgarbage();
				local before = collectgarbage("count");
				for i = 1, 20000 do assert(existing.exists(..., "name"..i) == false); end
				collectgarbage();
				return 1, (collectgarbage("count") - before) * 1024;
			]], host);
			assert.equal(1, answers);
			assert.is_true(bytes < 4e6, bytes.." bytes");
		end);

		it("is not known if asking could take time", function ()
			for _, options in ipairs {
				{ storage = "sqlite" };
				{ config = { authentication = "anonymous" } };
			} do
				start(options);
				assert.same({ "nil", "false" }, ask(host, "juliet"));
				if options.storage then prosody:stop(); end
			end
		end);
	end);
end);
