"""A real XMPP client for the tests: slixmpp, controlled by client.lua.

Connects back to the test on a loopback port, reads one JSON request a line
and answers each with one JSON line. Ends when the connection does.
"""

import asyncio
import json
import logging
import sys
from xml.etree import ElementTree

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.util.sasl import mechanisms
from slixmpp.xmlstream import tostring

logging.basicConfig(level=logging.CRITICAL)

TIMEOUT = 15
sessions = {}


def without_channel_binding(process):
    """Debian's slixmpp announces channel binding, but can't do it on TLS 1.3."""

    def patched(self, *args, **options):
        self.credentials["channel_binding"] = None
        return process(self, *args, **options)

    return patched


mechanisms.SCRAM.process = without_channel_binding(mechanisms.SCRAM.process)


def stanza_error(error):
    """The contents of a stanza of type error."""
    return {
        "ok": False,
        "condition": error["error"]["condition"],
        "text": error["error"]["text"] or None,
        "type": error["error"]["type"] or None,
    }


class Client(slixmpp.ClientXMPP):
    """One stream. `outcome` is resolved with the result of negotiating it."""

    def __init__(self, request, register):
        jid = request["jid"]
        if request.get("resource"):
            jid = "%s/%s" % (slixmpp.JID(jid).bare, request["resource"])
        super().__init__(
            jid,
            request.get("password") or "",
            sasl_mech=request.get("mechanism", "SCRAM-SHA-1"),
            lang=request.get("language", "en"),
        )
        self.outcome = asyncio.get_running_loop().create_future()
        self.failures = []
        self.received = []
        self.registering = register
        self.request = request
        # The server's own certificate is trusted, and is checked as usual.
        self.ca_certs = request["certificate"]
        self.use_ipv6 = False
        # slixmpp 1.9 and later would try direct TLS, and give up if the port does not support it.
        self.enable_direct_tls = False
        self.reconnect_max_attempts = 0
        self.register_plugin("xep_0030")
        if register:
            # slixmpp holds stanzas back before there is a session, even the one that registers.
            self._always_send_everything = True
            self.register_plugin("xep_0004")
            self.register_plugin("xep_0066")
            self.register_plugin("xep_0077")
            self["xep_0077"].force_registration = False
            self.add_event_handler("register", self.on_register)
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("session_start", self.on_session)
        self.add_event_handler("failed_auth", self.on_failed_auth)
        self.add_event_handler("failed_all_auth", self.on_failed_all)
        self.add_event_handler("stream_error", self.on_stream_error)
        self.add_event_handler("connection_failed", self.on_connection_failed)
        self.add_event_handler("disconnected", self.on_disconnected)

    def resolve(self, result):
        if not self.outcome.done():
            self.outcome.set_result(result)

    def on_message(self, message):
        self.received.append({"from": str(message["from"]), "type": message["type"], "body": message["body"] or None})

    def on_session(self, _):
        self.resolve({"ok": True, "jid": self.boundjid.full})

    def on_failed_auth(self, stanza):
        self.failures.append((stanza["condition"], stanza["text"] or None))
        # One mechanism for each login: the same password is not tried again by
        # another mechanism.
        self.on_failed_all(None)

    def on_failed_all(self, _):
        condition, text = self.failures[0] if self.failures else ("no-mechanism", None)
        self.resolve({"ok": False, "condition": condition, "text": text})
        self.abort()

    def on_stream_error(self, error):
        self.resolve({"ok": False, "condition": error["condition"], "text": error["text"] or None, "stream": True})

    def on_connection_failed(self, reason):
        self.resolve({"ok": False, "condition": "connection-failed", "text": str(reason)})
        self.abort()

    def on_disconnected(self, reason):
        self.resolve({"ok": False, "condition": "disconnected", "text": str(reason) if reason else None})

    async def on_register(self, _):
        iq = self.make_iq_set()
        iq["to"] = self.boundjid.domain
        iq["register"]["username"] = self.request.get("username", self.boundjid.user)
        iq["register"]["password"] = self.request.get("password") or ""
        try:
            await iq.send(timeout=TIMEOUT)
            self.resolve({"ok": True, "jid": self.boundjid.bare})
        except IqError as error:
            self.resolve(stanza_error(error.iq))
        except IqTimeout:
            self.resolve({"ok": False, "condition": "timeout"})
        # This stream is only for the registration; a login opens another one.
        self.abort()


def connect(client, request):
    host, port = request.get("address", "127.0.0.1"), request["port"]
    try:
        client.connect(host=host, port=port)
    except TypeError:
        # COMPAT slixmpp < 1.9: takes the address as a pair.
        client.connect((host, port))


async def negotiate(request, register=False):
    client = Client(request, register)
    connect(client, request)
    try:
        result = await asyncio.wait_for(asyncio.shield(client.outcome), request.get("timeout", TIMEOUT))
    except asyncio.TimeoutError:
        result = {"ok": False, "condition": "timeout"}
        client.abort()
    return client, result


async def leave(client):
    if client.transport is None:
        return
    done = asyncio.get_running_loop().create_future()

    def on_disconnected(_):
        if not done.done():
            done.set_result(None)

    client.add_event_handler("disconnected", on_disconnected)
    client.disconnect(wait=2.0)
    try:
        await asyncio.wait_for(done, 3)
    except asyncio.TimeoutError:
        client.abort()


async def with_session(request, act):
    """Runs act(client) in the open session of that number, or in a new one."""
    number = request.get("session")
    if number is not None:
        client = sessions.get(number)
        if client is None or client.transport is None:
            return {"ok": False, "condition": "no-session"}
        return await act(client)
    client, result = await negotiate(request)
    if not result["ok"]:
        return result
    try:
        return await act(client)
    finally:
        await leave(client)


async def send_iq(iq):
    try:
        return await iq.send(timeout=TIMEOUT), None
    except IqError as error:
        return None, stanza_error(error.iq)
    except IqTimeout:
        return None, {"ok": False, "condition": "timeout"}


async def op_register(request):
    _, result = await negotiate(request, register=True)
    return result


async def op_login(request):
    client, result = await negotiate(request)
    if result["ok"]:
        await leave(client)
    return result


async def op_open(request):
    client, result = await negotiate(request)
    if result["ok"]:
        client.send_presence()
        number = request["number"]
        sessions[number] = client
        result["session"] = number
    return result


async def op_close(request):
    client = sessions.pop(request["session"], None)
    if client is None:
        return {"ok": False, "condition": "no-session"}
    await leave(client)
    return {"ok": True}


async def op_messages(request):
    """What the session has received since this was last asked."""
    client = sessions.get(request["session"])
    if client is None:
        return {"ok": False, "condition": "no-session"}
    received, client.received = client.received, []
    return {"ok": True, "messages": received}


async def op_connected(request):
    client = sessions.get(request["session"])
    return {"ok": True, "connected": client is not None and client.transport is not None}


async def op_change_password(request):
    async def act(client):
        client.register_plugin("xep_0077")
        iq = client.make_iq_set(ito=client.boundjid.domain)
        iq["register"]["username"] = client.boundjid.user
        iq["register"]["password"] = request["new_password"]
        _, error = await send_iq(iq)
        return error or {"ok": True}

    return await with_session(request, act)


async def op_delete_account(request):
    async def act(client):
        query = ElementTree.Element("{jabber:iq:register}query")
        ElementTree.SubElement(query, "{jabber:iq:register}remove")
        iq = client.make_iq_set(ito=client.boundjid.domain)
        iq.append(query)
        _, error = await send_iq(iq)
        # The server ends the stream after it. Some servers answer only by that.
        if error and error["condition"] == "timeout" and client.transport is None:
            error = None
        return error or {"ok": True}

    return await with_session(request, act)


def command_result(iq):
    command = iq["command"]
    result = {
        "ok": True,
        "status": command["status"],
        "command_session": command["sessionid"],
        "notes": [{"type": kind, "text": text} for kind, text in command["notes"]],
    }
    form = command.xml.find("{jabber:x:data}x")
    if form is not None:
        fields = {}
        for field in form.iter("{jabber:x:data}field"):
            values = [value.text or "" for value in field.findall("{jabber:x:data}value")]
            if field.get("var"):
                fields[field.get("var")] = values[0] if len(values) == 1 else values
        title = form.find("{jabber:x:data}title")
        instructions = form.find("{jabber:x:data}instructions")
        result["form"] = {
            "type": form.get("type"),
            "title": title.text if title is not None else None,
            "instructions": instructions.text if instructions is not None else None,
            "fields": fields,
            "xml": ElementTree.tostring(form, encoding="unicode"),
        }
    return result


async def op_command(request):
    """Executes a command, and sends its form if one is given."""

    async def act(client):
        client.register_plugin("xep_0050")

        def step(action, command_session=None, fields=None):
            iq = client.make_iq_set(ito=request.get("to") or client.boundjid.domain)
            iq["command"]["node"] = request["node"]
            iq["command"]["action"] = action
            if command_session:
                iq["command"]["sessionid"] = command_session
            if fields is not None:
                form = ElementTree.SubElement(iq["command"].xml, "{jabber:x:data}x", {"type": "submit"})
                for name, values in fields.items():
                    field = ElementTree.SubElement(form, "{jabber:x:data}field", {"var": name})
                    for value in values if isinstance(values, list) else [values]:
                        ElementTree.SubElement(field, "{jabber:x:data}value").text = str(value)
            return send_iq(iq)

        answer, error = await step(request.get("start", "execute"), request.get("command_session"))
        if error:
            return error
        result = command_result(answer)
        for fields in request.get("forms") or []:
            answer, error = await step(request.get("action", "complete"), result["command_session"], fields)
            if error:
                return error
            result = command_result(answer)
        return result

    return await with_session(request, act)


async def op_iq(request):
    """Sends an iq with the given payload; answers with the reply's payload."""

    async def act(client):
        # Without an address an iq is for the account itself.
        iq = client.make_iq(itype=request.get("type", "get"), ito=request.get("to", client.boundjid.domain) or None)
        iq.append(ElementTree.fromstring(request["xml"]))
        answer, error = await send_iq(iq)
        return error or {"ok": True, "xml": tostring(answer.xml)}

    return await with_session(request, act)


async def op_send(request):
    async def act(client):
        client.send_raw(request["xml"])
        return {"ok": True}

    return await with_session(request, act)


async def op_hello(_):
    return {"ok": True, "version": slixmpp.__version__}


async def answer(request):
    try:
        operation = globals()["op_" + request["op"]]
        return await asyncio.wait_for(operation(request), 60)
    except Exception as error:  # any error is sent to the test
        return {"ok": False, "condition": "client-error", "text": "%s: %s" % (type(error).__name__, error)}


async def main():
    port, token = int(sys.argv[1]), sys.argv[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    writer.write((token + "\n").encode())
    while True:
        line = await reader.readline()
        if not line:
            break
        result = await answer(json.loads(line))
        writer.write((json.dumps(result) + "\n").encode())
        await writer.drain()
    for client in sessions.values():
        client.abort()


asyncio.run(main())
