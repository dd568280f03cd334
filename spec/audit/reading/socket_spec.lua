-- What prosodyctl asks a running server for: lua/audit/reading/socket.lib.lua.

local module_api = require "support.module_api";
local process = require "support.process";
local st = require "util.stanza";
local socket = require "socket";

local NAMESPACE = "xmpp:prosody.im/audit";

describe("a request of prosodyctl", function ()
	local host;

	before_each(function ()
		host = module_api.host();
		host:load("audit");
		module_api.complaints();
	end);

	local function request(attributes)
		local answers = {};
		local handled = module_api.fire_global("admin/"..NAMESPACE..":request", {
			origin = { send = function (stanza) table.insert(answers, stanza); end };
			stanza = st.stanza("request", attributes);
		});
		module_api.pass(0);
		assert.same({ true, 1 }, { handled, #answers });
		return answers[1].attr.status, answers[1]:get_text();
	end

	it("to record a reading is done, by an administrator", function ()
		local status, id = request { action = "record", host = host.name, through = "prosodyctl", filter = "--limit=5", entries = "5" };
		assert.equal("ok", status);
		local entry = host:entries()[1];
		assert.same({ "audit-queried", id }, { entry.attr.type, entry.attr[NAMESPACE.."\1id"] });
		assert.is_truthy(tostring(entry):find("kind='admin-shell'", 1, true));
	end);

	it("to record a reading is only a claim about who read, and comes from prosodyctl", function ()
		for source, known in pairs { login = "login", environment = "environment", passport = false } do
			request { action = "record", host = host.name, through = "shell", by = "alice", by_source = source, entries = "1" };
			local entries = host:entries();
			local query = entries[#entries]:get_child("query", NAMESPACE).attr;
			assert.same({ "prosodyctl", "alice", known or nil, "true" }, { query.through, query.by, query["by-source"], query.claimed });
		end
	end);

	it("for a host without the log, or for nothing that is known, is refused with the reason", function ()
		assert.same({ "error", "mod_audit is not loaded on nowhere.test" }, { request { action = "record", host = "nowhere.test" } });
		assert.same({ "error", "mod_audit is not loaded on it" }, { request { action = "prune", host = "nowhere.test" } });
		assert.same({ "error", "this server knows no shutdown" }, { request { action = "shutdown" } });
	end);
end);

-- The other end, against an admin socket that a process of its own serves.
describe("asking a server", function ()
	local folder, server, link, data;

	before_each(function ()
		data = module_api.prosody.paths.data;
		folder = process.new_folder("socket");
		module_api.prosody.paths.data = folder;
		link = module_api.host():library "audit/reading/socket";
	end);

	after_each(function ()
		module_api.prosody.paths.data = data;
		if server then server:finish("KILL"); end
		server = nil;
	end);

	-- serve(answer): a Python program that answers each request with this text; `silent` connections first are not answered. It keeps
	-- connections open until the client closes them, and prints a line for each.
	local function serve(answer, silent)
		server = process.start {
			folder = folder;
			command = { "/usr/bin/python3", "-c", [[
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
left = int(sys.argv[3])
def receive(conn, wanted):
    received = b""
    while wanted not in received:
        data = conn.recv(1000)
        if not data: raise OSError("closed")
        received += data
while True:
    conn, _ = listener.accept()
    print("connection", flush=True)
    try:
        receive(conn, b">")
        if left == 0:
            conn.sendall(b"<?xml version='1.0'?><stream:stream>")
            receive(conn, b"<request")
            conn.sendall(sys.argv[2].encode())
        left = max(0, left - 1)
        receive(conn, b"never sent")
    except OSError:
        conn.close()]], folder.."/prosody.sock", answer, tostring(silent or 0) };
		};
		assert.is_truthy(process.wait_until(function () return server:output():find("listening", 1, true); end, 10));
	end

	-- Asks again if the machine is so busy that the connection was given up before the request was sent.
	local function ask(patience)
		local answer, problem, was_sent;
		process.wait_until(function ()
			answer, problem, was_sent = link.ask({ action = "record" }, patience or 60);
			return answer or was_sent or not problem:find("the server did not answer", 1, true);
		end, 60);
		return answer, problem, was_sent;
	end

	it("returns its answer", function ()
		serve("<result xmlns='x' status='ok'>all &amp; done</result>");
		assert.equal("all & done", (ask()));
	end);

	it("takes a long answer in large pieces", function ()
		local text = ("0123456789"):rep(10000);
		serve("<result xmlns='x' status='ok'>"..text.."</result>");
		-- With a step for each byte, these would be millions.
		local thousands = 0;
		debug.sethook(function () thousands = thousands + 1; end, "", 1000);
		local answer = ask();
		debug.sethook();
		assert.equal(text, answer);
		assert.is_true(thousands < 500, thousands);
	end);

	it("returns what the server said was wrong", function ()
		serve("<result xmlns='x' status='error'>no such host</result>");
		assert.same({ nil, "no such host" }, { ask() });
	end);

	it("tries another connection if the header is not answered", function ()
		serve("<result xmlns='x' status='ok'>done</result>", 1);
		local answer = link.ask({ action = "record" }, 60);
		assert.is_truthy(process.wait_until(function () return server:output():find("connection.*connection"); end, 60));
		assert.equal("done", answer or (ask()));
	end);

	it("says that it may have been done if there is no answer, after the time that was given", function ()
		serve("<result");
		local began = socket.gettime();
		-- Longer than it waits by default.
		local answer, problem, was_sent = ask(1.2);
		assert.same({ nil, "the server did not answer: timeout", true }, { answer, problem, was_sent });
		assert.is_true(socket.gettime() - began >= 1.1);
	end);

	it("without a socket fails, and nothing was done", function ()
		assert.is_nil(link.open());
		local answer, problem, was_sent = link.ask({ action = "record" });
		assert.same({ nil, "the server did not answer: there is no admin socket", nil }, { answer, problem, was_sent });
	end);
end);
