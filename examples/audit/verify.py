#!/usr/bin/python3
"""Verifies an audit trail of lockstep; it shares no code with lockstep, and needs
nothing but Python. The form of the trail: docs/trail.md.

    verify.py [--seed HEX] [--public HEX] [--anchor SEQ:SUM]… FILE…
    verify.py --batch       the same words on each line of the standard input

It prints "ok RECORDS", or "bad SEQ: why" and ends with 1.
"""
import hashlib, hmac, json, sys

MEMBERS = {
    "": "v seq ts mono boot run type outcome actor object why facts head key cfg bin prev sig mac sum",
    "actor": "role pid uid", "object": "sync target name", "why": "rule reason",
    "head": "trail file torn", "torn": "bytes sha256", "key": "epoch public",
}


class Bad(Exception):
    pass


# Ed25519 (RFC 8032), verification alone.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    return ((f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P)


def times(n, point):
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = add(out, point)
        point, n = add(point, point), n >> 1
    return out


def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - xx) % P or (x == 0 and sign):
        raise Bad("signature")
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(public, message, signature):
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    if s >= L:
        return False
    one, two = times(s, BASE), add(r, times(k, a))
    return (one[0] * two[2] - two[0] * one[2]) % P == 0 and (one[1] * two[2] - two[1] * one[2]) % P == 0


def derive(secret, word):
    return hashlib.sha256(("lockstep trail 1 " + word + "\n").encode() + secret).digest()


def unhex(text, size):
    if not isinstance(text, str) or len(text) != 2 * size or text.strip("0123456789abcdef"):
        raise Bad("form")
    return bytes.fromhex(text)


def once(pairs):
    if len(dict(pairs)) != len(pairs):
        raise Bad("form")
    return dict(pairs)


def parse(line):
    """The record of a line whose own hash fits."""
    if not 147 <= len(line) <= 8 << 20:
        raise Bad("form")
    covered, end = line[:-74], line[-74:]
    if end != b',"sum":"%s"}' % hashlib.sha256(covered).hexdigest().encode():
        raise Bad("hash")
    try:
        r = json.loads(line.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise Bad("form")
    if not isinstance(r, dict) or json.dumps(r, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") != line:
        raise Bad("form")
    for name, members in MEMBERS.items():
        part = r if name == "" else r.get("head", {}).get("torn", {}) if name == "torn" else r.get(name, {})
        if not isinstance(part, dict) or not set(part) <= set(members.split()):
            raise Bad("form")
    if r.get("v") != 1 or type(r["v"]) is not int or type(r.get("seq")) is not int or r["seq"] < 0:
        raise Bad("form")
    kind = r.get("type")
    if (kind == "checkpoint") != ("sig" in r) or (kind == "open") != ("head" in r) or (kind in ("open", "checkpoint")) != ("key" in r):
        raise Bad("form")
    unhex(r.get("mac"), 32)
    return r


class Trail:
    def __init__(self, seed=None, public=None, anchors=None):
        self.seed, self.public, self.anchors = seed, public, anchors or {}
        self.seq, self.sum, self.records, self.ended, self.torn = 0, None, 0, False, None

    def line(self, line, first):
        r = parse(line)
        kind, key = r["type"], r.get("key", {})
        if first != (kind == "open") or (self.ended and not first):
            raise Bad("order of records in a file")
        if self.sum is None:
            if r["seq"] == 0 and r["prev"] != "0" * 64:
                raise Bad("beginning")
            self.seq, self.epoch, self.signer = r["seq"], key["epoch"], key["public"]
            if (self.seq == 0 and self.epoch != 0) or (self.public and 0 in (self.seq, self.epoch) and self.signer != self.public):
                self.seq = 0
                raise Bad("another trail")
            for _ in range(self.seq if self.seed else 0):
                self.seed = derive(self.seed, "next record")
        elif r["seq"] != self.seq:
            raise Bad("record %d is in its place" % r["seq"])
        if self.seed:
            want = hmac.new(derive(self.seed, "record key"), line[:-147], "sha256").hexdigest()
            if not hmac.compare_digest(want, r["mac"]):
                if self.sum is None:
                    self.seq = 0
                raise Bad("forged")
        if kind == "checkpoint":
            sig = unhex(r["sig"], 64)
            if key["epoch"] != self.epoch + 1 or not signed(unhex(self.signer, 32), b"lockstep trail 1 checkpoint\n" + line[:-284], sig):
                raise Bad("signature")
        if self.sum is not None and r["prev"] != self.sum:
            raise Bad("does not follow")
        if first:
            h = r["head"]
            if self.sum is not None and (h["trail"] != self.trail or h["file"] <= self.file or h.get("torn") != self.torn
                                         or (key["epoch"], key["public"]) != (self.epoch, self.signer)):
                raise Bad("another file belongs here")
            self.trail, self.file, self.torn = h["trail"], h["file"], None
        if self.anchors.get(r["seq"], r["sum"]) != r["sum"]:
            raise Bad("anchor")
        if kind == "checkpoint":
            self.epoch, self.signer = key["epoch"], key["public"]
        if self.seed:
            self.seed = derive(self.seed, "next record")
        self.ended, self.sum, self.seq, self.records = kind == "rotate", r["sum"], self.seq + 1, self.records + 1

    def verify(self, files):
        for data in files:
            *lines, rest = data.split(b"\n")
            if not lines:
                raise Bad("no record")
            for i, line in enumerate(lines):
                self.line(line, i == 0)
            self.torn = {"bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()} if rest else None
        if self.sum is None or self.torn or (self.ended and self.seq - 1 not in self.anchors) or any(a >= self.seq for a in self.anchors):
            raise Bad("its end is missing")


def run(words):
    options, files = {"anchors": {}}, []
    while words:
        word = words.pop(0)
        if word == "--seed":
            options["seed"] = bytes.fromhex(words.pop(0))
        elif word == "--public":
            options["public"] = words.pop(0)
        elif word == "--anchor":
            seq, told = words.pop(0).split(":")
            options["anchors"][int(seq)] = told
        else:
            with open(word, "rb") as f:
                files.append(f.read())
    t = Trail(**options)
    try:
        t.verify(files)
    except (Bad, KeyError, TypeError) as e:
        return "bad %d: %s" % (t.seq, e)
    return "ok %d" % t.records


if sys.argv[1:] == ["--batch"]:
    for words in sys.stdin:
        print(run(words.split()), flush=True)
else:
    answer = run(sys.argv[1:])
    print(answer)
    sys.exit(not answer.startswith("ok"))
