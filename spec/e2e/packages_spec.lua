-- What packages are made from. The packages themselves take minutes: tools/packages builds and installs them.

local json = require "dkjson";
local process = require "support.process";

local folder = process.new_folder("packages");
local version = process.read(process.root.."/Cargo.toml"):match('\nversion = "(.-)"');

local function cargo()
	local status, path = process.capture({ "sh", "-c", "echo ${CARGO:-$(command -v cargo || ls ~/.cargo/bin/cargo)}" });
	path = path:gsub("%s", "");
	return status == 0 and path ~= "" and path or nil;
end

describe("the bill of materials", function ()
	if not cargo() then
		pending("cargo is not here");
		return;
	end
	local text, bom;

	setup(function ()
		local status, out, err = process.capture({ process.root.."/tools/sbom", "cyclonedx" }, {
			env = { CARGO = cargo(); SOURCE_DATE_EPOCH = "1790000000" }; timeout = 120;
		});
		assert.equal(0, status, err);
		text, bom = out, assert(json.decode(out));
	end);

	it("is CycloneDX", function ()
		local python = process.target.."/python/bin/python";
		if process.capture({ python, "-c", "import cyclonedx" }) ~= 0 then
			return pending("the Python package that validates it could not be had");
		end
		process.write(folder.."/bom.json", text);
		local status, out, err = process.capture({ python, process.root.."/spec/support/bom.py", folder.."/bom.json" });
		assert.same({ 0, "" }, { status, out }, err);
	end);

	it("names what is linked into the library, and nothing that only builds or tests it", function ()
		local names = {};
		for _, component in ipairs(bom.components) do
			names[component.name] = component;
			assert.is_truthy(component.hashes[1].content:match("^%x+$"), component.name);
			assert.is_truthy(component.licenses[1].expression, component.name);
		end
		for name in ("mlua mlua-sys quick-xml serde_json chrono sha2 maxminddb rustix"):gmatch("%S+") do
			assert.is_truthy(names[name], name);
		end
		for name in ("proptest expect-test syn cc maxminddb-writer windows-sys"):gmatch("%S+") do
			assert.is_nil(names[name], name);
		end
		assert.equal(version, bom.metadata.component.version);
		assert.equal("2026-09-21T14:13:20Z", bom.metadata.timestamp);
	end);

	it("is the same when it is made again", function ()
		local _, again = process.capture({ process.root.."/tools/sbom", "cyclonedx" }, {
			env = { CARGO = cargo(); SOURCE_DATE_EPOCH = "1790000000" }; timeout = 120;
		});
		assert.equal(text, again);
	end);
end);

describe("the rockspec", function ()
	it("is Lua, and names programs that are here", function ()
		local spec = {};
		local text = process.read(process.root.."/prosody-audit-dev-1.rockspec");
		assert(load(text, "rockspec", "t", spec))();
		assert.equal("dev-1", spec.version);
		assert.equal("prosody-audit", spec.package);
		for _, command in ipairs({ spec.build.build_command, spec.build.install_command }) do
			assert.equal(0, (process.capture({ "test", "-x", process.root.."/"..command:match("^%S+") })));
		end
	end);
end);

describe("the version of Rust that is needed", function ()
	it("is the same everywhere", function ()
		local wanted = process.read(process.root.."/Cargo.toml"):match('\nrust%-version = "([%d.]+)"');
		for name, pattern in pairs({
			["README.md"] = "Rust toolchain %((%d+%.%d+) or later"; ["CONTRIBUTING.md"] = "Rust toolchain %((%d+%.%d+) or later";
			["docs/installing.md"] = "Rust (%d+%.%d+) or later"; ["prosody-audit-dev-1.rockspec"] = "Rust (%d+%.%d+) or later";
			["packaging/debian/control"] = "cargo %(>= (%d+%.%d+)%) | cargo%-web %(>= %1%)";
		}) do
			local said = {};
			for number in process.read(process.root.."/"..name):gmatch(pattern) do
				table.insert(said, number);
				assert.equal(wanted, number, name);
			end
			assert.is_true(#said > 0, name);
		end
	end);
end);

describe("the Debian package", function ()
	-- Everything that make install puts somewhere has a place in the package, and what postinst says is what there is.
	it("says in two lines what to add, and names modules that are here", function ()
		local script = process.read(process.root.."/packaging/debian/postinst");
		local line = script:match("echo '    (\"audit_[^']*)'");
		assert.is_truthy(line, script);
		for name in line:gmatch('"([%w_]+)"') do
			assert.is_truthy(process.read(process.root.."/lua/mod_"..name..".lua"), name);
		end
		-- It neither edits the configuration nor restarts anything.
		assert.is_falsy(script:find("%f[%a]sed%f[%A]") or script:find("systemctl", 1, true) or script:find("invoke-rc.d", 1, true)
			or script:find("service ", 1, true) or script:find(">%s*/etc"), script);
		for _, name in ipairs({ "prerm", "postrm", "preinst" }) do
			assert.is_nil(process.read(process.root.."/packaging/debian/"..name), name);
		end
	end);
end);

describe("tools/setup cargo", function ()
	-- Programs that record how they were called, in the place of Debian's.
	local function setup_cargo(programs, versions)
		local bin = process.new_folder("bin");
		local log = bin.."/log";
		for name in ("bash sh env dirname mkdir flock id awk cat sort tr tee chmod rm true sed grep head dpkg"):gmatch("%S+") do
			process.run(("ln -s \"$(command -v %s)\" %s/"):format(name, process.quote(bin)));
		end
		local function program(name, text)
			process.write(bin.."/"..name, "#!/bin/sh\n"..text.."\n");
			process.run("chmod 755 "..process.quote(bin.."/"..name));
		end
		program("dpkg-deb", ":");
		program("dpkg-query", ("printf 'installed\\tdpkg\\t\\n'; test ! -e %s || awk '{ print \"installed\\t\" $1 \"\\t\" }' %s"):format(log, log));
		local candidates = {};
		for name, candidate in pairs(versions) do
			table.insert(candidates, ("%s) echo '%s | %s | x Packages' ;;"):format(name, name, candidate));
		end
		program("apt-cache", "for last; do :; done\ncase $last in "..table.concat(candidates, " ").." esac");
		program("apt-get", ("case \" $* \" in *\" install \"*) for last; do case $last in -*|install) ;; *) echo \"$last\" >>%s ;; esac; done ;; esac")
			:format(log));
		for _, name in ipairs(programs) do program(name, ":"); end
		local status, out, err = process.capture({ process.root.."/tools/setup", "cargo" }, { env = { PATH = bin; HOME = bin } });
		return status, (process.read(log) or ""):gsub("\n", " "), out..err;
	end

	if process.first_line("id -u") ~= "0" then
		pending("without sudo only root installs packages");
		return;
	end

	it("does nothing if there is a cargo", function ()
		local status, installed = setup_cargo({ "cargo" }, { cargo = "1.85.1+dfsg1-1+deb13u1" });
		assert.same({ 0, "" }, { status, installed });
	end);

	it("installs cargo-web where Debian's cargo is too old, as on 12", function ()
		local status, installed, said = setup_cargo({}, { cargo = "0.66.0+ds1-1"; ["cargo-web"] = "1.85.0+dfsg3-1~deb12u3" });
		assert.equal(0, status, said);
		assert.is_truthy(installed:find("cargo-web", 1, true), installed);
		assert.is_falsy((installed.." "):find("cargo ", 1, true), installed);
	end);

	it("installs cargo where Debian's own is enough, as on 13", function ()
		local status, installed, said = setup_cargo({}, { cargo = "1.85.1+dfsg1-1+deb13u1"; ["cargo-web"] = "1.96.0+dfsg1-1~deb13u1+b1" });
		assert.equal(0, status, said);
		assert.is_truthy((" "..installed):find(" cargo ", 1, true), installed);
		assert.is_falsy(installed:find("cargo-web", 1, true), installed);
	end);

	it("says so where Debian has none that is new enough", function ()
		local status, installed, said = setup_cargo({}, { cargo = "0.66.0+ds1-1" });
		assert.same({ 1, "" }, { status, installed });
		assert.is_truthy(said:find("has no Rust 1.85", 1, true), said);
	end);

	it("leaves a rustup alone, and says what to do", function ()
		local status, installed, said = setup_cargo({ "rustup" }, { ["cargo-web"] = "1.85.0+dfsg3-1~deb12u3" });
		assert.same({ 1, "" }, { status, installed });
		assert.is_truthy(said:find("rustup toolchain install", 1, true), said);
	end);
end);
