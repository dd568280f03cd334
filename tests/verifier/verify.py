#!/usr/bin/env python3
"""Verifies logs: python3 verify.py [--seal-key] FILE

FILE is one of --export-evidence, or has logs and what is found in them, as
tests/vectors/evidence.json. With --seal-key, the seals are verified too, with
the keys on standard input. "--link HOST CLASS HASH" prints the hash of the link
of the entry on standard input, which follows that hash.

Written from docs/evidence-bytes.md and docs/evidence.md alone, without a look
at the server. So it shows whether the documents say all that is needed.
"""

import base64
import datetime
import hashlib
import ipaddress
import json
import re
import sys
import xml.parsers.expat

import seals

LOG = "xmpp:prosody.im/audit"

# The table of docs/evidence-bytes.md. "*" is all else.
TABLE = """
the root: source public, type public, id public, user name, * text
session: type public, id client, * text
actor: kind public, caused-by public, jid name, * text
repeated: count public, first public, last public, accounts public, networks public, actors public, at-least public, distinct-at-least public, * text
repeated/sample: user name, name-hash name, name-key name, name-length name, actor name, network network, condition public, count public, exists public, * text
repeated/often: user name, name-hash name, name-key name, name-length name, actor name, network network, condition public, count public, exists public, * text
authentication: mechanism public, condition public, * text
tls: * public
certificate: * public
s2s: * public
component: condition public, * text
registration: condition public, * text
role: name public, change public, from public, to public, * text
affiliation: from public, to public, * text
configuration: * public
pending: * public
disabled: when public, * text
resource: seconds-since-connect public, name client, * text
ended: seconds public, resource client, * text
alert: rule public, key public, count public, since public, network network, * text
options: * public
module: * public
host: * public
truncated: * public
pruned: * public
erasure: receipt public, count public, before public, acted public, at-least public, by-source public, * text
erasure/class: * public
lost: * public
clock: * public
key: * public
"""
ELEMENTS = {}
for line in TABLE.strip().splitlines():
    path, values = line.split(": ")
    ELEMENTS["" if path == "the root" else path] = dict(v.split() for v in values.split(", "))
# Elements that go to a group as a whole.
WHOLE = {"session/remote-ip": "an address", "actor/remote-ip": "an address", "unknown-name": "name",
         "session/ip-hash": "address", "session/location": "network", "session/asn": "network",
         "session/client": "client", "actor/ip-hash": "address", "client-info": "client"}
OFFSET = {"name": 1, "network": 2, "address": 3, "client": 4}
ADDRESS_NAMES = {"address", "ip", "network", "remote-ip"}


# Types of entries that may have no link.
OUTSIDE = {"audit-queried", "audit-exported", "audit-pruned", "audit-clock-jumped", "audit-clock-trusted"}


class Unreadable(Exception):
    pass


# Bytes.

def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def number(n):
    return n.to_bytes(4, "big")


def string(s):
    b = s.encode("utf-8", "surrogatepass")
    return number(len(b)) + b


def unbase64(s, length):
    if not isinstance(s, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", s):
        raise Unreadable("not base64url")
    b = base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))
    if len(b) != length or base64.urlsafe_b64encode(b).rstrip(b"=").decode() != s:
        raise Unreadable("not base64url of %d bytes" % length)
    return b


def decimal(s):
    if not isinstance(s, str) or not re.fullmatch(r"0|[1-9][0-9]{0,18}", s):
        raise Unreadable("not a number")
    return int(s)


# XML.

class Node:
    def __init__(self, name, attributes):
        self.name = name                # (namespace or "", local name)
        self.attributes = attributes    # [(namespace or "", local name, value)]
        self.content = []               # strings and nodes

    def get(self, local):
        for ns in ("", LOG):
            for a in self.attributes:
                if a[:2] == (ns, local):
                    return a[2]
        return None


def split_name(name):
    ns, _, local = name.rpartition("\x01")
    return ns, local


def namespace_order(ns):
    return (0, b"") if ns == "" else (1, b"") if ns == LOG else (2, ns.encode())


def attribute_order(a):
    return namespace_order(a[0]), a[1].encode(), a[2].encode()


def parse(text):
    stack, roots = [], []

    def start(name, attributes):
        pairs = [split_name(k) + (v,) for k, v in attributes.items() if v != ""]
        node = Node(split_name(name), sorted(pairs, key=attribute_order))
        (stack[-1].content if stack else roots).append(node)
        stack.append(node)

    def data(chars):
        content = stack[-1].content
        if content and isinstance(content[-1], str):
            content[-1] += chars
        else:
            content.append(chars)

    def doctype(*_):
        raise Unreadable("a document type")

    parser = xml.parsers.expat.ParserCreate("UTF-8", "\x01")
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.encode("utf-8"), True)
    except (xml.parsers.expat.ExpatError, UnicodeError) as e:
        raise Unreadable(str(e))
    return roots[0]


def is_chain(c):
    return isinstance(c, Node) and c.name == (LOG, "chain")


def find_chain(root):
    return next((c for c in root.content if is_chain(c)), None)


def from_ascii(s):
    try:
        return re.sub(r"\\u\{([0-9A-Fa-f]{1,6})\}", lambda m: chr(int(m[1], 16)), s)
    except ValueError:
        return s


def read(text):
    """The root, its <chain/> or None, and whether it is stored in ASCII."""
    try:
        root = parse(text)
    except Unreadable:
        # A name of an element can have a character that is not ASCII.
        root = parse(from_ascii(text))
    chain = find_chain(root)
    if chain is None or chain.get("ascii") is None:
        return root, chain, False
    root = parse(from_ascii(text))
    return root, find_chain(root), True


# Addresses.

def larger(text, cut):
    """What is left of an address or a network, or None if it is none."""
    try:
        address, slash, bits = text.partition("/")
        if "%" in address or (slash and not re.fullmatch(r"0|[1-9][0-9]{0,2}", bits)):
            return None
        ip = ipaddress.ip_address(address)
        bits = int(bits) if slash else ip.max_prefixlen
        if bits > ip.max_prefixlen:
            return None
        if ip.version == 6 and ip.ipv4_mapped and bits >= 96:
            ip, bits = ip.ipv4_mapped, bits - 96
        bits = min(bits, cut[0] if ip.version == 4 else cut[1])
        return str(ipaddress.ip_network((ip, bits), strict=False))
    except ValueError:
        return None


def shorten(text, cut):
    """What is left of a value: all of it if it is an address, else each address in it."""
    whole = larger(text, cut)
    if whole is not None:
        return whole

    def replace(m):
        token = m[0]
        # A sentence can end behind an address.
        for end in range(len(token), max(len(token) - 2, 0), -1):
            left = larger(token[:end], cut)
            if left is not None and token[end:] in ("", ".", ":"):
                return left + token[end:]
        return token

    return re.sub(r"(?<![0-9A-Za-z.:])[0-9A-Fa-f:.]*[.:][0-9A-Fa-f:.]*(?:/[0-9]+)?(?![0-9A-Za-z])", replace, text)


# Values.

class Values:
    def __init__(self, root, cut):
        self.cut = cut
        self.public = bytearray()
        self.others = {}        # group -> bytes
        self.addresses = {}     # group -> bytes of the addresses, which follow all others
        self.elements = 0
        self.repeats = 0
        self.element(root, "", 0)

    def groups(self):
        return {g: bytes(self.others.get(g, b"") + self.addresses.get(g, b""))
                for g in set(self.others) | set(self.addresses)}

    def add(self, group, *parts):
        self.others.setdefault(group, bytearray()).extend(b"".join(parts))

    @staticmethod
    def name(ns, local):
        if ns == "":
            return b"\0" + string(local)
        return (b"\1" if ns == LOG else b"\2" + string(ns)) + string(local)

    @classmethod
    def attribute(cls, ns, local, value):
        return b"\2" + cls.name(ns, local) + string(value)

    @staticmethod
    def group(kind, role):
        return 0 if kind == "text" else 4 * role + OFFSET[kind]

    @staticmethod
    def holds_address(node, ns, local):
        return ns in ("", LOG) and (
            local in ADDRESS_NAMES or local in ("filter", "file") and node.name[1] == "query")

    def add_address(self, group, element, position, *attribute):
        self.addresses.setdefault(group, bytearray()).extend(
            b"\2" + number(element) + number(position) + self.attribute(*attribute))

    def left(self, role, element, position, ns, local, value):
        """What will be left of an address. The address itself goes to its group."""
        left = shorten(value, self.cut)
        if left != value:
            self.add_address(4 * role + 3, element, position, ns, local, value)
        return left

    def both(self, role, element, ns, local, value):
        """An address in a public element: what will be left, and the address itself.
        Both follow all others of their group. The vectors show this."""
        left = self.left(role, element, 0, ns, local, value)
        self.add_address(4 * role + 2, element, 0, ns, local, left)

    def element(self, node, path, role):
        """A public element. The path is None if the table does not know it: all of it is public."""
        rule = {"*": "public"} if path is None else ELEMENTS[path]
        me = self.elements
        self.elements += 1
        self.public += b"\1" + self.name(*node.name)
        for ns, local, value in node.attributes:
            if path == "" and ns in ("", LOG) and local == "occurred":
                continue    # The leaf has it in its own place.
            kind = rule.get(local, rule["*"]) if ns in ("", LOG) else rule["*"]
            if kind == "public":
                self.public += self.attribute(ns, local, value)
            elif self.holds_address(node, ns, local):
                self.both(role, me, ns, local, value)
            else:
                self.add(self.group(kind, role), b"\2", number(me), self.attribute(ns, local, value))
        before = 0
        for c in node.content:
            if isinstance(c, str):
                if rule["*"] == "public":
                    self.public += b"\3" + string(c)
                else:
                    self.add(self.group(rule["*"], role), b"\3", number(me), number(before), string(c))
                continue
            if path == "" and is_chain(c):
                continue
            below = None
            if path is not None and c.name[0] == LOG:
                below = (path + "/" if path else "") + c.name[1]
            if below in ELEMENTS:
                self.element(c, below, self.role_of(below, role))
                before += 1
            elif below not in WHOLE and rule["*"] == "public":
                self.element(c, None, role)
                before += 1
            elif WHOLE.get(below) == "an address":
                self.address_element(c, role)
            else:
                group = self.group(WHOLE.get(below, rule["*"]), role)
                self.add(group, b"\1", number(me), number(before), self.whole(c, group, me, before, role))
        self.public += b"\0"

    def role_of(self, path, role):
        if path == "actor":
            return 1
        if path in ("repeated/sample", "repeated/often"):
            self.repeats += 1
            return 1 + self.repeats
        return role

    def address_element(self, node, role):
        """<remote-ip/>: its text counts as an attribute of an element that would be the
        next public one, but takes no number. The vectors show this."""
        me = self.elements
        # The document does not say what becomes of these. So this is a guess.
        for a in node.attributes:
            self.add(4 * role + 2, b"\2", number(me), self.attribute(*a))
        for c in node.content:
            if isinstance(c, str):
                self.both(role, me, LOG, "remote-ip", c)
            else:
                self.add(4 * role + 2, b"\1", number(me), number(0), self.whole(c, 4 * role + 2, me, 0, role))

    def whole(self, node, group, element, position, role):
        """An element in a group, from its name on, to the 00 at its end."""
        out = self.name(*node.name)
        for ns, local, value in node.attributes:
            if self.holds_address(node, ns, local):
                # What will be left is not in the element. It follows all others
                # of the group too. The vectors show this.
                left = self.left(role, element, position, ns, local, value)
                self.add_address(group, element, position, ns, local, left)
            else:
                out += self.attribute(ns, local, value)
        for c in node.content:
            if isinstance(c, Node):
                out += b"\1" + self.whole(c, group, element, position, role)
            else:
                out += b"\3" + string(c)
        return out + b"\0"


# Links.

def utc(seconds, form="%Y-%m-%dT%H:%M:%SZ"):
    day = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return day.strftime(form)


def pairs(text, length):
    out = {}
    for item in (text or "").split():
        group, _, value = item.partition(":")
        group = decimal(group)
        if group in out or group >= 1 << 32:
            raise Unreadable("groups of the link")
        out[group] = unbase64(value, length)
    return out


def commitments(groups, chain):
    if chain.get("salt") is not None:
        salt = unbase64(chain.get("salt"), 16)
        openings = {g: sha(b"\3", number(g), salt)[:16] for g in groups}
        gone = {}
    else:
        openings = pairs(chain.get("kept"), 16)
        gone = pairs(chain.get("gone"), 32)
        if set(groups) != set(openings) or set(openings) & set(gone):
            raise Unreadable("values do not fit the link")
    all_of = dict(gone)
    for g, opening in openings.items():
        all_of[g] = sha(b"\2", number(g), opening, groups[g])
    return b"".join(number(g) + all_of[g] for g in sorted(all_of))


class Link:
    def __init__(self, chain):
        self.id, self.run = unbase64(chain.get("id"), 16), unbase64(chain.get("run"), 16)
        self.at, self.n = decimal(chain.get("at")), decimal(chain.get("n"))
        self.hash = unbase64(chain.get("hash"), 32)
        if self.at >= 253402300800000 or self.n >= 1 << 63:     # the year 10000
            raise Unreadable("numbers of the link")

    def make_leaf(self, root, chain, host, cls):
        cut = tuple(int(b) for b in re.findall("[0-9]+", chain.get("cut") or "24 48"))
        if len(cut) != 2:
            raise Unreadable("cut")
        values = Values(root, cut)
        occurred = root.get("occurred") or ""
        if occurred == utc(self.at // 1000):
            occurred = ""
        self.groups = set(values.groups())
        self.leaf = sha(b"\0", string(host), string(cls), string(occurred), number(len(values.public)),
                        bytes(values.public), commitments(values.groups(), chain))

    def fits(self, before):
        return self.hash == self.after(before)

    def after(self, before):
        return sha(b"\1", self.id, self.run, self.n.to_bytes(8, "big"),
                                self.at.to_bytes(8, "big"), before, self.leaf)


class Verifier:
    def __init__(self, log):
        self.log = log
        self.chains = {c["id"]: c for c in log["chains"]}
        self.seen = {c: {} for c in self.chains}    # id -> number -> link, or None if it does not fit
        self.found = set()
        self.verified = 0
        self.outside = 0
        self.again = set()
        self.last_time = {}     # (class, day) -> time of the last row
        self.last_number = {}   # (class, day, id) -> the highest number so far
        for row in log["rows"]:
            self.row(row)
        for row in log.get("waiting", []):
            self.waiting(row)
        for c in log["chains"]:
            self.chain(c)

    def row(self, row):
        m = re.fullmatch(r"@(cut-|old-)?(.+?)\.([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\.[0-9]+)?", row["partition"] or "")
        place = m.groups()[1:] if m else None
        # What was moved from archive user nil has an order of its own.
        series = (m[1] == "old-",) + place if m else None
        before = self.last_time.get(series, 0)
        self.last_time[series] = row["when"]
        n = None
        try:
            root, chain, ascii_ = read(row["xml"])
            if chain is None:
                if root.get("type") in OUTSIDE:
                    self.outside += 1
                elif place and (self.must_have_link(place[0], row["when"]) or self.is_behind(series, place[0])):
                    self.found.add((None, "inserted"))
                return
            if chain.get("n") and re.fullmatch("[0-9]{1,18}", chain.get("n")):
                n = int(chain.get("n"))
            link = Link(chain)
        except Unreadable:
            self.found.add((n, "altered"))
            return
        known = self.chains.get(chain.get("id"))
        if known is None or link.n in self.seen[known["id"]]:
            self.found.add((link.n, "inserted"))
            return
        seen = self.seen[known["id"]]
        try:
            link.make_leaf(root, chain, self.log["host"], known["class"])
            self.erased(link, chain)
            self.verified += 1
        except (Unreadable, RecursionError):
            link.leaf = None
        seen[link.n] = link
        # Where it lies.
        who = from_ascii(row["with"]) if ascii_ else row["with"]
        second = link.at // 1000
        home = (known["class"], utc(second, "%Y-%m-%d"))
        if place is not None and place[0] == class_of(self.log.get("classes"), root.get("type")):
            home = (place[0], home[1])
        moved = who != (root.get("user") or "@") or place is not None and place != home
        if place is None:
            moved |= row["when"] < max(second, before)
        elif place == home:
            top = self.last_number.get(series + (known["id"],), 0)
            self.last_number[series + (known["id"],)] = max(top, link.n)
            expected = max(second, before)
            gap = link.n > 1 and link.n - 1 not in seen
            moved |= link.n < top or row["when"] < expected or (row["when"] > expected and not gap)
        link.moved = moved

    def erased(self, link, chain):
        """Only an erasure removes a name, and it is listed. What was erased is not there again."""
        before, after = self.log.get("erased") or (None, None)
        names = {g for g in pairs(chain.get("gone"), 32) if g % 4 == 1}
        if after is not None and names - listed(after, chain.get("id"), link.n):
            self.found.add((link.n, "altered"))
        if before is not None and link.groups & listed([e for e in before if not e.get("announced")], chain.get("id"), link.n):
            self.again.add(link.n)

    def is_behind(self, series, cls):
        """Behind a linked entry of a chain that goes on, all are linked."""
        return any(series + (c["id"],) in self.last_number for c in self.chains.values()
                   if c["class"] == cls and c["until"] is None)

    def must_have_link(self, cls, when):
        return any(c["class"] == cls and c["since"] // 1000 + 1 <= when
                   and (c["until"] is None or when < c["until"] // 1000)
                   for c in self.chains.values())

    def waiting(self, row):
        """An entry that waits in the journal lies nowhere yet."""
        try:
            root, chain, _ = read(row["xml"])
            link = Link(chain) if chain is not None else None
            known = link and self.chains.get(chain.get("id"))
        except Unreadable:
            self.found.add((None, "altered"))
            return
        if link is None:
            self.outside += root.get("type") in OUTSIDE
        elif known is None:
            self.found.add((link.n, "inserted"))
        elif link.n not in self.seen[known["id"]]:
            self.seen[known["id"]][link.n] = link
            link.moved = False
            try:
                link.make_leaf(root, chain, self.log["host"], known["class"])
                self.erased(link, chain)
                self.verified += 1
            except (Unreadable, RecursionError):
                link.leaf = None

    def chain(self, c):
        seen = self.seen[c["id"]]
        ends = {0: bytes(32)}
        ends.update((r["upto"], unbase64(r["hash"], 32)) for r in c["removed"])
        missing = False
        for n in range(1, c["n"] + 1):
            link = seen.get(n)
            if link is None:
                by_rule = any(r["from"] <= n <= r["upto"] for r in c["removed"])
                if not by_rule and not missing:
                    self.found.add((n, "removed"))
                missing = not by_rule
                continue
            missing = False
            before = seen[n - 1].hash if n - 1 in seen else ends.get(n - 1)
            # An entry that was altered is not reported as moved too.
            if link.leaf is None or before is not None and not link.fits(before):
                self.found.add((n, "altered"))
            elif link.moved:
                self.found.add((n, "moved"))
        # The journal knows the last hash.
        last = seen[c["n"]].hash if c["n"] in seen else ends.get(c["n"])
        if last is not None and last != unbase64(c["hash"], 32):
            self.found.add((c["n"], "altered"))


# Files of --export-evidence.

def class_of(classes, kind):
    """The class that an event type belongs to. None if the classes are not known."""
    if classes is None or kind is None:
        return None
    best = None
    for c in classes:
        for pattern in c["types"]:
            if re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), kind, re.DOTALL):
                rank = ("*" not in pattern, c["name"] == "failures", len(pattern.replace("*", "")))
                if best is None or rank > best[0] or rank == best[0] and c["name"] < best[1]:
                    best = (rank, c["name"])
    return best[1] if best else "events"


def load(lines):
    """The log that a file has: its lines as bytes."""
    header = json.loads(lines[0])
    if header["format"] != "prosody-audit-evidence" or header["version"] != 1:
        raise Unreadable("another format")
    end = json.loads(lines[-1])
    if not end.get("end") or not lines[-1].endswith(b"\n"):
        raise Unreadable("it was cut off")
    if hashlib.sha256(b"".join(lines[:-1])).hexdigest() != end["sha256"]:
        raise Unreadable("its checksum does not fit")
    log = {"host": header["host"], "classes": header["classes"], "chains": header["chains"], "seal": header.get("seal"),
           "erased": (header.get("erased"), end.get("erased")), "rows": [], "waiting": [], "unreadable": 0}
    removed = {c["id"]: c["removed"] for c in end["chains"]}
    for c in log["chains"]:
        c["removed"] = removed.get(c["id"], c["removed"])
    for line in lines[1:-1]:
        row = json.loads(line)
        if "unreadable" in row:
            log["unreadable"] += row["unreadable"]
            continue
        row.setdefault("xml", "<")
        log["waiting" if row.get("waiting") else "rows"].append(row)
    if len(log["rows"]) + len(log["waiting"]) != end["entries"]:
        raise Unreadable("it does not have as many entries as it says")
    return log


def listed(erased, chain, n):
    """The groups of an entry that were erased, or may have been."""
    groups = set()
    for e in erased:
        ranges = (r.partition("-") for r in e["entries"].split(","))
        if e["chain"] == chain and any(int(first) <= n <= int(last or first) for first, _, last in ranges):
            groups.update(map(int, e["groups"].split(",")))
    return groups


def find_seals(log):
    """The event type and the element <seal/> of each entry that has one."""
    for row in log["rows"] + log["waiting"]:
        if "audit-seal" in row["xml"]:
            root = read(row["xml"])[0]
            for c in root.content:
                if isinstance(c, Node) and c.name == (LOG, "seal"):
                    yield root.get("type"), c


def rely_on(v, log, heads):
    """The entries must be those that were sealed."""
    for chain, n, digest, rules in heads:
        name = base64.urlsafe_b64encode(chain).rstrip(b"=").decode()
        known = v.chains.get(name)
        link = v.seen[name].get(n) if known else None
        if link is not None and link.hash != digest:
            v.found.add((n, "resealed"))
        if known is None or n > max([known["n"], *v.seen[name]]):
            v.found.add((n, "rolled back"))
        elif rules not in seals.rules_digests(known.get("rules", [])):
            v.found.add((None, "resealed"))


def verify_file(lines, keys):
    """Prints what is found in a file of --export-evidence, and returns the exit status."""
    try:
        log = load(lines)
        count, wrong, heads = seals.verify(log, list(find_seals(log)), keys)
    except (Unreadable, ValueError, KeyError, IndexError, TypeError) as e:
        print("can't be verified: %s" % e)
        return 1
    v = Verifier(log)
    rely_on(v, log, heads)
    v.found.update((None, "resealed") for _ in wrong)
    print("%s: %d verified" % (log["host"], v.verified))
    if keys:
        print("sealed: %d" % count)
    for text in wrong:
        print("seals: %s" % text)
    for n, word in sorted(v.found, key=str):
        print("%s %s" % ("-" if n is None else n, word))
    if log["unreadable"]:
        print("unreadable %d" % log["unreadable"])
    for n in sorted(v.again):
        print("%d again" % n)
    return 3 if v.found else 4 if v.again else 0


def print_link(host, cls, before):
    root, chain, _ = read(sys.stdin.buffer.read().decode("utf-8"))
    link = Link(chain)
    link.make_leaf(root, chain, host, cls)
    print(base64.urlsafe_b64encode(link.after(unbase64(before, 32))).rstrip(b"=").decode())


def main():
    if sys.argv[1] == "--link":
        return print_link(*sys.argv[2:])
    with_seals = sys.argv[1] == "--seal-key"
    with open(sys.argv[2 if with_seals else 1], "rb") as f:
        lines = f.readlines()
    if not lines or lines[0].strip() != b"{":
        sys.exit(verify_file(lines, sys.stdin.read().split() if with_seals else []))
    logs = json.loads(b"".join(lines))["logs"]
    agree = 0
    for log in logs:
        v = Verifier(log)
        want = {(n, word) for n, word in log["findings"]}
        faults = []
        if v.verified != log["verified"]:
            faults.append("verified %d, not %d" % (v.verified, log["verified"]))
        for title, rest in (("found", v.found - want), ("not found", want - v.found)):
            if rest:
                faults.append(title + " " + ", ".join("%s %s" % f for f in sorted(rest, key=str)))
        agree += not faults
        print("%s: %s" % (log["name"], "; ".join(faults) or "agrees"))
    print("%d logs agree" % agree if agree == len(logs) else "%d of %d logs agree" % (agree, len(logs)))
    sys.exit(agree != len(logs))


if __name__ == "__main__":
    main()
