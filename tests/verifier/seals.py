"""Verifies the seals of a log. Written from docs/evidence-bytes.md alone, as verify.py."""

import base64
import hashlib
import hmac


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def derived(key, what):
    return mac(key, b"prosody-audit ", what, b"\x01")


def number(n):
    return int(n).to_bytes(8, "big")


def read_key(text):
    if not text.startswith("audit-seal-"):
        raise ValueError("that is no seal key")
    data = unbase64(text[len("audit-seal-"):])
    key, checksum = data[:32], data[32:]
    if len(data) != 36 or hashlib.sha256(b"checksum" + key).digest()[:4] != checksum:
        raise ValueError("that is no seal key")
    return key


class Seal:
    def __init__(self, node):
        get = node.get
        self.key, self.epoch, self.time = get("key"), int(get("epoch")), int(get("time"))
        self.run, self.before, self.authenticator = (unbase64(get(a)) for a in ("run", "before", "authenticator"))
        self.heads = sorted((unbase64(h.get("chain")), int(h.get("n")), unbase64(h.get("hash")), unbase64(h.get("rules")))
                            for h in node.content if not isinstance(h, str) and h.name[1] == "head")


def authenticator(key, host, epoch, before, seal=None):
    run, time, heads = (seal.run, seal.time, seal.heads) if seal else (bytes(16), 0, [])
    name = host.encode()
    return mac(derived(key, b"mac"), number(len(name)), name, before, number(epoch), run, number(time), number(len(heads)),
               *(part for chain, n, h, rules in heads for part in (chain, number(n), h, rules)))


def rules_digests(rules):
    """What a seal may say of these rules."""
    digest = bytes(32)
    yield digest
    for r in rules:
        text = ":".join("-" if r[f] is None else str(r[f]) for f in ("since", "expires", "limit"))
        digest = hashlib.sha256(digest + text.encode()).digest()
        yield digest


def check(first, host, seals, slot):
    """What is wrong with the seals of one key | None."""
    if slot is None:
        return "there is no end"
    key, epoch, last, newest = first, 0, [], 0
    done = [s for s in seals if s.epoch < slot["epoch"]]
    rest = [s for s in seals if s.epoch >= slot["epoch"]]

    def go_to(upto, key, epoch, last):
        while epoch < upto:
            last = [authenticator(key, host, epoch, a) for a in last]
            key, epoch = derived(key, b"next"), epoch + 1
        return key, epoch, last

    def fault(group):
        for s in group:
            if authenticator(key, host, epoch, s.before, s) != s.authenticator:
                return "the seal of epoch %d was changed" % epoch
            if last and s.before not in last:
                return "a seal after epoch %d is missing" % newest
        return None

    for e in sorted({s.epoch for s in done}):
        key, epoch, last = go_to(e, key, epoch, last)
        group = [s for s in done if s.epoch == e]
        wrong = fault(group)
        if wrong:
            return wrong
        last, newest = [s.authenticator for s in group], e
        key, epoch = derived(key, b"next"), epoch + 1
    key, epoch, last = go_to(slot["epoch"], key, epoch, last)
    if slot["authenticator"] is None:
        fits = not done
    else:
        kept = unbase64(slot["authenticator"])
        fits = (not last or kept in last) and mac(derived(key, b"open"), kept) == unbase64(slot["proof"])
    if not fits or any(s.epoch > slot["epoch"] for s in rest):
        return "the seals end with epoch %d" % newest
    return fault(rest)


def verify(log, nodes, key_texts):
    """log: as verify.py has it; nodes: [(event type, <seal/>)]. Returns how many seals fit, what is wrong, and the heads that are proved."""
    seals = [Seal(node) for kind, node in nodes if kind == "audit-sealed"]
    unique = {(s.key, s.epoch, s.authenticator): s for s in seals}
    ends = [{"key": n.get("former"), "epoch": int(n.get("epoch")), "authenticator": n.get("authenticator"), "proof": n.get("proof")}
            for kind, n in nodes if kind == "audit-seal-replaced"]
    if log.get("seal"):
        ends.insert(0, log["seal"])
    count, wrong, heads = 0, [], []
    for text in key_texts:
        key = read_key(text)
        name = base64.urlsafe_b64encode(derived(key, b"id")[:8]).rstrip(b"=").decode()
        own = [s for s in unique.values() if s.key == name]
        slot = next((e for e in ends if e["key"] == name), None)
        if not own and slot is None:
            raise ValueError("the seal key is of another server")
        fault = check(key, log["host"], own, slot)
        if fault:
            wrong.append(fault)
        else:
            count += len(own)
        heads += [h for s in own for h in s.heads]
    return count, wrong, heads
