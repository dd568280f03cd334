-- The systemd units in contrib/: systemd takes them, and a server works with the same restrictions.

local process = require "support.process";
local raw = require "support.raw_client";
local recipes = require "support.recipes";
local server = require "support.server";

local host = server.default_host;
local units = process.root.."/contrib/systemd";
local folder = process.new_folder("systemd");

-- The settings of a section [Service], the last of each name.
local function settings(file)
	local found = {};
	for line in process.read(units.."/"..file):gmatch("[^\n]+") do
		local name, value = line:match("^(%u%w*)=(.*)$");
		if name then found[name] = value; end
	end
	return found;
end

local drop_in = settings("prosody.service.d/audit.conf");

server.each_series(describe, pending, function (series)
	local service = process.read(process.target.."/prosody/"..series.."/lib/systemd/system/prosody.service")
		or process.read(process.target.."/prosody/"..series.."/usr/lib/systemd/system/prosody.service");

	it("systemd-analyze has nothing to say of the units", function ()
		local here, why = recipes.available("systemd");
		if not here then
			return pending(why);
		end
		local program = recipes.folder.."/systemd/usr/bin/systemd-analyze";
		local place = folder.."/"..series;
		process.run(("mkdir %s && cp -r %s/. %s/"):format(process.quote(place), process.quote(units), process.quote(place)));
		-- The package is not installed here, so its program is another one.
		process.write(place.."/prosody.service", (service:gsub("ExecStart=/usr/bin/prosody", "ExecStart=/bin/true")));
		local _, units_of_systemd = process.capture({ "find", recipes.folder.."/systemd", "-name", "sysinit.target", "-printf", "%h" });
		local env = { SYSTEMD_UNIT_PATH = place..":"..units_of_systemd; LD_LIBRARY_PATH = recipes.libraries("systemd") };
		local status, out, err = process.capture({
			program, "verify", "--man=no", "--recursive-errors=one", place.."/prosody.service", place.."/prosody-audit-follow@example.com.service";
		}, { env = env });
		assert.same({ 0, "", "" }, { status, out, err });
		-- It has read the drop-in: a wrong line in it is named.
		process.write(place.."/prosody.service.d/audit.conf", "[Service]\nProtectSystem=strikt\n");
		err = select(3, process.capture({ program, "verify", "--man=no", place.."/prosody.service" }, { env = env }));
		assert.is_truthy(err:find("audit.conf:2", 1, true), err);
	end);

	-- In a chroot, / is no mount that could be made read-only.
	if process.capture({ "unshare", "--mount", "mountpoint", "-q", "/" }) ~= 0 or not server.can_run_as("nobody") then
		pending("a server with the restrictions of the drop-in: this needs root and mount namespaces, and no chroot");
		return;
	end

	-- The restrictions of the drop-in, made with mounts. What is written to is the folder of the server.
	local function restrictions(server_folder)
		assert.same({ "strict", "yes", "yes", "yes", "yes", "0027" }, {
			drop_in.ProtectSystem, drop_in.ProtectHome, drop_in.PrivateTmp, drop_in.PrivateDevices, drop_in.NoNewPrivileges, drop_in.UMask;
		});
		local script = ([[
			set -e
			mount --bind FOLDER FOLDER
			for place in /tmp /var/tmp /home /root /run/user; do
				case FOLDER in $place/*) continue ;; esac
				[ ! -d $place ] || mount -t tmpfs -o mode=1777 tmpfs $place
			done
			stage=FOLDER/dev; mkdir $stage; mount -t tmpfs -o mode=755 dev $stage
			for name in null zero full random urandom; do : >$stage/$name; mount --bind /dev/$name $stage/$name; done
			ln -s /proc/self/fd $stage/fd
			mount --move $stage /dev; rmdir $stage
			awk '$5 !~ "^(/proc|/sys|/dev|/tmp|/var/tmp)(/|$)" { print $5 }' /proc/self/mountinfo | while read -r place; do
				[ "$place" = FOLDER ] || mount -o remount,bind,ro "$place" || true
			done
			mount -o remount,bind,ro /proc/sys 2>/dev/null || { mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys; }
			umask UMASK
			exec setpriv --no-new-privs "$@"
		]]):gsub("FOLDER", (server_folder:gsub("%%", "%%%%"))):gsub("UMASK", drop_in.UMask);
		return "exec unshare --mount --propagation private bash -c "..process.quote(script).." bash \"$@\"";
	end

	for _, storage in ipairs({ "internal", "sqlite" }) do
		it("a server with the restrictions of the drop-in keeps its log, on "..storage, function ()
			local prosody = server.start {
				series = series; modules = { "audit", "audit_auth", "audit_status" }; storage = storage; user = "nobody";
				config = { audit_log_classes = { events = { ips = "hash" } } };
			};
			prosody:adduser("romeo@"..host, "secret");
			prosody:stop();
			process.run("chmod -R o-rwx "..process.quote(prosody.data));
			prosody:start({ prefix = restrictions(prosody.folder) });
			assert.is_true((raw.login(prosody, "romeo", "secret")));
			assert.is_false((raw.login(prosody, "romeo", "wrong")));
			-- It is really restricted.
			for _, path in ipairs({ process.root.."/written", "/etc/written", "/usr/lib/written", "/var/lib/written" }) do
				local _, err = prosody:eval("local ok, err = io.open(..., 'w'); return ok and true, err", path);
				assert.is_truthy(tostring(err):find("Read-only file system", 1, true), path..": "..tostring(err));
			end
			assert.equal("1", process.read("/proc/"..prosody.pid.."/status"):match("NoNewPrivs:%s*(%d)"));
			prosody:eval("flush_audit_log()");
			-- Nobody else may read what it has written.
			local _, open = process.capture({ "find", prosody.data, "-type", "f", "-perm", "/007" });
			assert.equal("", open);
			local status, out, err = prosody:ctl({ user = "nobody" }, "mod_audit", "--format", "csv", host);
			assert.equal(0, status, err);
			assert.is_truthy(out:find("authentication-success", 1, true) and out:find("authentication-failure", 1, true), out);
			status, _, err = prosody:ctl({ user = "nobody" }, "mod_audit", "--prune", host);
			assert.same({ 0, "" }, { status, err });
			assert.is_true(prosody:stop());
			assert.is_falsy(prosody:log():match("\n[^\n]*audit%S*\terror[^\n]*"));
		end);
	end
end);

describe("the command of prosody-audit-follow", function ()
	local unit = settings("prosody-audit-follow@.service");
	local log = folder.."/"..host..".log";
	local prosody, follower;

	setup(function ()
		prosody = server.start { modules = { "audit", "audit_auth" } };
		prosody:adduser("romeo@"..host, "secret");
		local ctl = ("lua5.4 %s/prosodyctl --config %s"):format(prosody.program_folder, prosody.config_file);
		local command = unit.ExecStart:gsub("prosodyctl", (ctl:gsub("%%", "%%%%")), 1):gsub("/var/log/prosody%-audit", (folder:gsub("%%", "%%%%")))
			:gsub("%%i", host);
		follower = process.start {
			folder = folder; command = { "sh", "-c", "exec "..command };
			env = {
				FORMAT = unit.Environment:match("^FORMAT=(%l+)$");
				LUA_CPATH_5_4 = process.target.."/lua5.4/?.so;;"; LUA_PATH = false; LUA_PATH_5_4 = false;
			};
		};
	end);

	teardown(function ()
		follower:finish("TERM", 10);
		prosody:stop();
	end);

	it("writes what is recorded", function ()
		assert.is_truthy(process.wait_until(function ()
			raw.login(prosody, "romeo", "wrong");
			return (process.read(log) or ""):find("authentication-failure", 1, true);
		end, 15, 0.5), follower:output());
		assert.is_truthy(process.read(log):match("^<%d+>1 "), process.read(log));
	end);

	it("goes on behind logrotate, with each entry in one of the files", function ()
		local here, why = recipes.available("logrotate");
		if not here then
			return pending(why);
		end
		local function record(number)
			prosody:eval("module:context(...):audit(nil, 'numbered-'..select(2, ...))", host, number);
			assert.is_truthy(process.wait_until(function () return process.read(log):find("numbered-"..number.." ", 1, true); end, 10, 0.1), number);
		end
		record(1);
		local configuration, state = folder.."/logrotate.conf", folder.."/logrotate.state";
		recipes.adapt("logrotate/prosody-audit", configuration, {
			["/var/log/prosody-audit"] = folder; ["su prosody prosody"] = ("su %s %s"):format(process.first_line("id -un"), process.first_line("id -gn"));
		});
		process.run("chmod 600 "..process.quote(configuration));
		local env = { LD_LIBRARY_PATH = recipes.libraries("logrotate") };
		local program = recipes.folder.."/logrotate/usr/sbin/logrotate";
		for round = 1, 2 do
			local status, out, err = process.capture({ program, "--force", "--state", state, configuration }, { env = env });
			assert.same({ 0, "", "" }, { status, out, err });
			record(round + 1);
		end
		assert.is_truthy(process.read(log):match("^<%d+>1 %S+ %S+ %S+ %S+ numbered%-3 "), process.read(log));
		local _, old = process.capture { "sh", "-c", 'zcat "$1".2.gz && cat "$1".1', "sh", log };
		local all = old..process.read(log);
		for number = 1, 3 do
			assert.equal(1, select(2, all:gsub("numbered%-"..number.." ", "")), all);
		end
		assert.is_truthy(old:find("authentication-failure", 1, true));
	end);
end);
