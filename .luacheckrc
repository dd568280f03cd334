cache = false
codes = true
std = "lua54c"
max_line_length = 150
ignore = {
	"411/err", "421/err", "411/ok", "421/ok"; -- results of one call after another
	"431/log";
	"581"; -- not (x == y) is not (x ~= y) for everything
}

-- What Prosody gives its modules.
local module_globals = {
	"module.command"; "module.unload"; "module.load"; "module.save"; "module.restore"; "module.add_host";
	"module.environment"; "module.ready"; "module.host"; "module.audit"; "library"; "log";
};
local module_read_globals = { "module"; "prosody"; "hosts" };

files["lua/"] = {
	globals = module_globals;
	read_globals = module_read_globals;
	allow_defined_top = true;
	module = true;
}
files["spec/support/modules/"] = files["lua/"];
files["benches/modules/"] = files["lua/"];
files["examples/"] = files["lua/"];
files["spec/"] = {
	std = "+busted";
	globals = { "prosody"; "prosody_series" };
}
files["spec/support/modules/"].std = "lua54c";
files["src/lua/"] = {
	-- Chunks of the library: they get what they use as arguments.
	allow_defined_top = false;
}
