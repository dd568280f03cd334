//! The binding in a real Lua, without Prosody: what `require "audit_core"` returns, and that hostile values do no harm.
#![cfg(all(any(feature = "lua52", feature = "lua53", feature = "lua54", feature = "luajit"), not(feature = "module")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use mlua::prelude::*;

/// As much of `util.stanza` as a log needs, and a log with a store in memory.
const PRELUDE: &str = r#"
    local core = ...
    local stanza_mt = { __name = "stanza" }
    stanza_mt.__index = stanza_mt
    function stanza_mt.__tostring(s)
        local text = "<" .. s.name
        for k, v in pairs(s.attr) do text = text .. " " .. k:gsub("^.*\1", "") .. "='" .. v:gsub("[<&']", "?") .. "'" end
        text = text .. ">"
        for _, child in ipairs(s) do text = text .. (type(child) == "string" and child:gsub("[<&]", "?") or tostring(child)) end
        return text .. "</" .. s.name .. ">"
    end
    package.loaded["util.stanza"] = { stanza_mt = stanza_mt }

    local test = { core = core, rows = {}, lines = {}, now = 1795521600.25, options = {} }
    local store = { caps = {}, name = "test" }
    function store:append(user, key, value, when, with)
        test.rows[#test.rows + 1] = { user = user, value = value, when = when, with = with }
        return "k" .. #test.rows
    end
    test.store = store
    function store:find(user, query)
        local i, left = query.before and tonumber(query.before:sub(2)) or #test.rows + 1, query.limit
        return function ()
            repeat i = i - 1 until not test.rows[i] or test.rows[i].user == user
            left = left - 1
            if test.rows[i] and left >= 0 then return "k" .. i, test.rows[i].value, test.rows[i].when, test.rows[i].with end
        end
    end
    function store:users() local done; return function () if not done then done = true; return "@events.2026-11-24" end end end
    function store:delete() test.rows = {}; return true end
    test.log = core.new {
        stanza_mt = stanza_mt,
        open_store = function () return store end,
        get_option = function (_, name) return test.options[name] end,
        log = function (level, message) test.lines[#test.lines + 1] = level .. ": " .. message end,
        now = function () return test.now end,
    }
    return test
"#;

fn check(code: &str) {
    let lua = Lua::new();
    let core = audit_core::lua::exports(&lua).unwrap();
    let test: LuaTable = lua.load(PRELUDE).call(core).unwrap();
    lua.load(code).set_name("=test").call::<()>(test).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_exports_are_these() {
    check(
        r#"
        local names = {}
        for name in pairs((...).core) do names[#names + 1] = name end
        table.sort(names)
        assert(table.concat(names, " ") == "command detail event_types exit_on_interrupt field_value flags forget_erasure give_from_root help is_person is_pipe_closed is_terminal item_key later log_file nearest new new_file new_key new_seal option others_can_read period read_erasure reader receipt save_erasure seal_key shell_commands shell_help shell_line shows_field sinks storage terminal_width uptime verify_evidence version web write_position writing written_elsewhere", table.concat(names, " "))
        names = {}
        for name in pairs((...).log) do names[#names + 1] = name end
        table.sort(names)
        assert(table.concat(names, " ") == "admits alerts anchors asked audit awake cells close configure erase erased events export_evidence finish flush follower forget hash hashes_names is_counting is_other_account is_owned is_safe left_behind lists longest_slice look look_at_clock look_at_key lost moving of_account on_user_deleted open owns_journal privacy prune prune_soon read reader seals session_extra state stop stores sum_up verify waiting", table.concat(names, " "))
        "#,
    );
}

#[test]
fn an_event_is_stored_and_shown() {
    check(
        r#"
        local test = ...
        local id = test.log.audit("example.com", "romeo@example.com", "mod_test", "test-event", { session = { ip = "203.0.113.80" } })
        assert(#id == 36 and test.rows[1].user == "@events.2026-11-24" and test.rows[1].when == 1795521600)
        local text = ""
        local asked = test.core.command({ "example.com" }, test.now).asked
        local result = test.log.read(asked, function (lines) text = text .. lines end, {})
        assert(result.shown == 1 and result.damaged == 0, tostring(result.damaged))
        assert(text:find("test%-event  romeo@example.com  203.0.113.80"), text)
        "#,
    );
}

#[test]
fn periods_are_seconds() {
    check(
        r#"
        local period = (...).core.period
        assert(period("28d") == 28 * 86400 and period(90) == 90 and period("never") == math.huge and period(nil) == nil)
        for _, bad in ipairs({ "soon", -1, {}, true }) do
            local seconds, allowed = period(bad)
            assert(seconds == nil and allowed:find("28d", 1, true))
        end
        "#,
    );
}

#[test]
fn arguments_become_a_command() {
    check(
        r#"
        local command = (...).core.command
        local show = command({ "--limit", "5", "romeo@example.com", "--utc", "--global", "--format=json" }, 0)
        assert(show.action == "show" and show.host == "example.com" and show.asked.host == "example.com" and show.asked.limit == 5)
        assert(show.asked.asked == "--limit=5 --global --user=romeo" and show.asked.format == "json" and not show.asked.follow)
        assert(command({ "--prune" }, 0).action == "prune" and command({ "-h" }, 0).action == "help")
        local none, message = command({ "--bad\27" }, 0)
        assert(none == nil and message:find("Unknown flag", 1, true) and not message:find("\27", 1, true))
        local groups = {}
        for _, flag in ipairs((...).core.flags()) do groups[flag.name] = flag.group .. (flag.value and "=" or "") .. (flag.negatable and "!" or "") end
        assert(groups.since == "filter=" and groups.global == "filter!" and groups.limit == "page=" and groups.utc == "view" and groups.prune == "action")
        "#,
    );
}

#[test]
fn a_log_is_read_in_pages_that_let_go_of_the_loop() {
    check(
        r#"
        local test = ...
        for i = 1, 300 do
            test.now = 1795521600 + i
            assert(test.log.audit("example.com", "romeo@example.com", "mod_test", "test-" .. i % 2, {}))
        end
        local asked = test.core.command({ "example.com", "--type=test-1", "--follow" }, test.now).asked
        local pauses, clock = 0, test.now
        local store_find = test.store.find
        -- Each page takes 11 ms of the test's clock.
        test.store.find = function (...) test.now = test.now + 0.011; return store_find(...) end
        local list, result = test.log.cells(asked, { "event", "user", "id" }, function () pauses = pauses + 1 end)
        assert(#list == 150 and result.shown == 150 and pauses >= 4, pauses)
        assert(list[1][1] == "test-1" and list[1][2] == "romeo@example.com" and #list[1][3] == 36)
        assert(result.newest == result.last or result.last == list[150][3], result.last)

        -- Page after page is the same as everything.
        local page, after, seen = nil, nil, 0
        repeat
            page, result = test.log.cells(asked:page(40, after), { "id" })
            for _, entry in ipairs(page) do
                seen = seen + 1
                assert(entry[1] == list[seen][3])
            end
            after = result.last
        until #page < 40
        assert(seen == 150)

        -- Following begins behind what is there, and shows what comes since, in the order in which it comes.
        local following = test.log.follower(asked)
        test.now = test.now + 10
        for i = 1, 3 do test.log.audit("example.com", nil, "mod_test", "test-1", { custom = { test.core.detail("note", nil, "n" .. i) } }) end
        local text = ""
        local writing = test.core.writing(asked, nil, false)
        local result = test.log.read(asked, function (lines) text = text .. lines end, { writing = writing, following = following })
        assert(result.shown == 3 and text:find("n1.*n2.*n3"), text)
        assert(test.log.read(asked, error, { writing = writing, following = following }).shown == 0)
        "#,
    );
}

#[test]
fn a_writer_can_stop_the_reading() {
    check(
        r#"
        local test = ...
        for i = 1, 5000 do test.now = test.now + 1; test.log.audit("example.com", nil, "mod_test", "test", {}) end
        local calls = 0
        local result = test.log.read(test.core.command({ "example.com" }, test.now).asked, function () calls = calls + 1; return false end, {})
        assert(calls == 1 and result.stopped and result.shown < 5000, result.shown)
        "#,
    );
}

#[test]
fn any_bytes_in_any_place_are_stored_as_xml_text() {
    check(
        r#"
        local test = ...
        local bytes = {}
        for byte = 0, 255 do bytes[#bytes + 1] = string.char(byte) end
        local all = table.concat(bytes)
        local custom = { test.core.detail(all, { [all] = all }, all) }
        local id = test.log.audit(all, all, all, all, { session = { id = all, type = all, ip = all, client_id = all }, custom = custom, timestamp = all })
        assert(id, test.lines[#test.lines])
        local row = test.rows[#test.rows]
        local function walk(s)
            assert(not s.name:find("[\0-\31<>&'\"/ ]"), s.name)
            for k, v in pairs(s.attr) do assert(not (k .. v):gsub("^[^\1]+\1", ""):find("[\0-\31]"), v) end
            for _, child in ipairs(s) do
                if type(child) == "string" then assert(not child:find("[\0-\8\11-\31]"), child) else walk(child) end
            end
        end
        walk(row.value)
        "#,
    );
}

#[test]
fn errors_in_lua_never_leave_the_log() {
    check(
        r#"
        local test = ...
        local boom = setmetatable({}, { __index = function () error("boom") end, __tostring = function () error({}) end })
        for _, arguments in ipairs({ { boom, "x", "x" }, { "x", boom, "x" }, { "x", "x", boom } }) do
            test.log.audit("example.com", arguments[1], arguments[2], arguments[3])
        end
        assert(test.log.audit("example.com", nil, "m", "t", { session = boom }) == nil)
        assert(test.log.lost() == 2, test.log.lost())
        assert(not pcall(test.log.audit, nil) and not pcall(test.log.audit, "*") and not pcall(test.log.audit, "h", nil, "m", "t", { custom = { 1 } }))
        "#,
    );
}

#[test]
fn the_registry_of_event_types_is_there_for_lua() {
    check(
        r#"
        local core = (...).core
        local found
        for _, event in ipairs(core.event_types()) do
            if event.name == "user-disabled" then found = event end
        end
        assert(found.since == "13.0" and found.details[1] == "disabled" and #found.meaning > 0 and found.module:match("^mod_audit"))
        local command = core.command({ "--events", "example.com" }, 0)
        assert(command.action == "events" and command.host == "example.com")
        local log = (...).log
        assert(log.events("example.com"):match("\nuser%-disabled +events +mod_audit_register "))
        assert(log.events("*"):match("\nauthentication%-failure +failures +mod_audit_auth "))
        "#,
    );
}

#[test]
fn lines_and_forms_are_redacted_from_lua() {
    check(
        r#"
        local core = (...).core
        assert(core.shell_line('user:create("a@example.com", "secret")') == 'user:create("a@example.com", ***)')
        local commands = { vault = { open = print; closed = true } }
        assert(core.shell_line('user:create("a@b", "secret")', { b = true }) == 'user:create("a@b", ***)')
        assert(core.shell_line('user:create("a@c", "secret")', { b = true }) == 'user:create(***)')
        assert(core.shell_line('vault:open("secret")', {}, commands) == 'vault:open(***)')
        assert(core.shell_line('vault:closed("secret")', {}, commands) == '***')
        assert(core.field_value("accountjid", "a@b", { b = true }) == "a@b" and core.field_value("accountjid", "a@b\255", { b = true }) == "***")
        assert(core.shell_line("\255\0\"") == "***")
        assert(core.shows_field("accountjid") and not core.shows_field("accountjid", "text-private") and not core.shows_field("\255", nil))
        local names = table.concat(core.shell_commands(), " ")
        assert(names:find("user:create", 1, true))
        "#,
    );
}
