-- For LuaRocks: `luarocks make` in a checkout or an unpacked archive. `make dist` makes the rock of a release from this, which
-- `prosodyctl install` takes. Building needs cargo of Rust 1.85 or later.
rockspec_format = "3.0"
package = "prosody-audit"
version = "dev-1"
source = {
	url = "file://prosody-audit-dev.tar.gz";
	dir = "prosody-audit-dev";
}
description = {
	summary = "The security audit log of the Prosody XMPP server";
	detailed = [[
Records logins and failed logins, changes of accounts, tokens and invites, connections of other servers, changes of rooms, and what
administrators do. "prosodyctl mod_audit" shows and exports the log.]];
	license = "MIT";
	labels = { "prosody", "xmpp", "audit" };
}
supported_platforms = { "unix" }
dependencies = { "lua >= 5.2, < 5.5" }
build = {
	type = "command";
	build_command = "tools/rock build '$(LUA)'";
	install_command = "tools/rock install '$(LUA)' '$(PREFIX)' '$(LUADIR)' '$(LIBDIR)'";
	copy_directories = {};
}
