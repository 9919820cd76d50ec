"""A supervisor on slixmpp, driven by lines of JSON.

The first line on stdin says who and where: jid, password, host, port, ca_file, and presence
(whether to be available). Each further line is a command: {"raw": "<message …/>"} sends text as it
is, {"presence": "unavailable"} sends presence, {"disconnect": true} ends the stream in order,
{"connect": true} begins a new one, {"abort": true} cuts the connection, {"ask": JID, "id": …} sends
an IQ as a program would and awaits its answer. At the end of stdin the
program ends.

Each line on stdout is an event: {"event": "online", "jid": …}, {"event": "offline"},
{"event": "refused", "why": …}, {"event": "answered", "condition": …} to an "ask", with the
condition of the error that the program sees, {"event": "unsent"} where there was no stream to send by, or
{"event": "stanza", "stanza": ELEMENT}, where an ELEMENT has name, namespace, attributes, text and
children, and a body that is a document has it as `document`.
"""

import asyncio
import json
import logging
import sys
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher.base import MatcherBase
from slixmpp.xmlstream.xmlstream import NotConnectedError


def emit(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def element(xml):
    namespace, _, name = xml.tag.rpartition("}")
    value = {
        "name": name,
        "namespace": namespace.lstrip("{"),
        "attributes": dict(xml.attrib),
        "text": xml.text or "",
        "children": [element(child) for child in xml],
    }
    if name == "body" and value["text"].lstrip().startswith("<"):
        try:
            value["document"] = element(ET.fromstring(value["text"].strip()))
        except ET.ParseError:
            pass
    return value


class Everything(MatcherBase):
    def match(self, xml):
        return True


class Supervisor(slixmpp.ClientXMPP):
    def __init__(self, settings):
        super().__init__(settings["jid"], settings["password"])
        self.settings = settings
        self.ca_certs = settings["ca_file"]
        self.enable_direct_tls = False
        self.register_plugin("xep_0199")
        everything = Everything(None)
        self.register_handler(Callback("Everything", everything, self.report))
        self.add_event_handler("session_start", self.online)
        self.add_event_handler("disconnected", lambda _: emit("offline"))
        self.add_event_handler("connection_failed", lambda why: emit("refused", why=str(why)))
        self.add_event_handler("failed_all_auth", lambda why: emit("refused", why=str(why)))

    def dial(self):
        self.connect(self.settings["host"], self.settings["port"])

    def online(self, _):
        if self.settings["presence"]:
            self.send_presence()
        else:
            emit("online", jid=str(self.boundjid))

    def report(self, stanza):
        # The server's echo: from here on it delivers what is sent to us.
        if stanza.name == "presence" and stanza["from"] == self.boundjid:
            emit("online", jid=str(self.boundjid))
        elif stanza.name in ("message", "iq", "presence"):
            emit("stanza", stanza=element(stanza.xml))

    async def ask(self, to, stanza_id):
        iq = self.make_iq_get(queryxmlns="urn:x", ito=to)
        iq["id"] = stanza_id
        try:
            await iq.send(timeout=10)
            emit("answered", condition="none")
        except IqError as error:
            emit("answered", condition=error.condition)
        except IqTimeout:
            emit("answered", condition="timeout")

    def obey(self, command):
        if "raw" in command:
            try:
                self.send_raw(command["raw"])
            except NotConnectedError:
                emit("unsent")
        elif "presence" in command:
            kind = command["presence"]
            self.send_presence(ptype=None if kind == "available" else kind)
        elif "disconnect" in command:
            self.disconnect()
        elif "ask" in command:
            self.asking = asyncio.create_task(self.ask(command["ask"], command["id"]))
        elif "abort" in command:
            self.abort()
        elif "connect" in command:
            self.dial()
        else:
            raise ValueError(f"no such command: {command}")


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    supervisor = Supervisor(json.loads(await reader.readline()))
    supervisor.dial()
    while line := await reader.readline():
        supervisor.obey(json.loads(line))


logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
asyncio.run(main())
