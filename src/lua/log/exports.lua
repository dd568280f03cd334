-- What `require "audit_core"` returns; src/lua/mod.rs lists it.

local native, chunks = ...;

local require = require;

local exports = {
	command = chunks.names.command;
	later = chunks.later;
	new = function (...) return chunks.log.new(...); end;
	writing = function (...) return chunks.read.writing(...); end;
	storage = function (...) return chunks.database.new(...); end;
};
for name in ([[version uptime written_elsewhere period option nearest help event_types shell_line shell_commands shows_field
	field_value terminal_width new_key item_key give_from_root others_can_read is_terminal exit_on_interrupt new_file flags
	is_pipe_closed reader shell_help verify_evidence sinks log_file write_position web receipt is_person save_erasure
	read_erasure forget_erasure seal_key new_seal]]):gmatch("%S+") do
	exports[name] = native[name];
end

-- The metatable of stanzas is Prosody's, and Prosody may not be here yet when the library is loaded.
local stanza_mt;
function exports.detail(name, attr, text, children)
	stanza_mt = stanza_mt or require "util.stanza".stanza_mt;
	return chunks.stanza.detail(stanza_mt, name, attr, text, children);
end

return exports;
