import base64, hashlib, json, pathlib, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

bag = pathlib.Path(".")
b64 = base64.b64decode


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root(peaks):
    peaks = list(peaks)
    if not peaks:
        return sha256()
    right = peaks.pop()
    while peaks:
        right = sha256(b"\1", peaks.pop(), right)
    return right


def open_note(path, vkeys):
    """The text of a signed note, if one of these Ed25519 keys has signed it."""
    text, _, signatures = path.read_text().rpartition("\n\n")
    for line in signatures.splitlines():
        name, signature = line[2:].split(" ")
        for vkey in vkeys:
            key_name, key_id, key = vkey.split("+", 2)
            ours = key_name == name == text.split("\n")[0] and b64(signature)[:4].hex() == key_id and b64(key)[0] == 1
            if ours:
                Ed25519PublicKey.from_public_bytes(b64(key)[1:]).verify(b64(signature)[4:], (text + "\n").encode())
                return text
    sys.exit(f"{path}: no known key of the log itself has signed it")


def records(files):
    for file in files:
        with open(bag / file["path"], "rb") as lines:
            for line in lines:
                yield line.removesuffix(b"\n")


manifest = json.loads((bag / "manifest.json").read_bytes())
is_ndjson = manifest["format"] == "ndjson" and "compression" not in manifest
payload = records(manifest["files"]) if is_ndjson else iter(())
logs = bag / "data/keys/log.vkey"
vkeys = logs.read_text().split() if logs.exists() else []
delivered = unproven = 0
proven = {part["partition"]: part for part in manifest["evidence"]["partitions"]}
listed = [entry["partition"] for entry in manifest["partitions"]]
assert len(proven) == len(manifest["evidence"]["partitions"]), "there is evidence of one partition twice"
assert len(set(listed)) == len(listed) and proven.keys() <= set(listed), "the partitions are not told apart"
for entry in manifest["partitions"]:
    part = proven.get(entry["partition"])
    if part is None:
        unproven += entry["records"]
        for _ in range(entry["records"] if is_ndjson else 0):
            next(payload)
        print(f"partition {entry['partition']}: there is no evidence of it, and of its {entry['records']} records")
        continue
    folder = bag / "data/proofs" / str(part["partition"])
    signed = {}
    for name in ["checkpoint-start", "checkpoint-end"]:
        if vkeys and (folder / name).exists():
            origin, size, hash = open_note(folder / name, vkeys).split("\n")[:3]
            _, deployment, _, number, _ = origin.split("/")
            is_its_own = deployment == manifest["deployment"] and number == str(part["partition"])
            assert origin == part["origin"] and is_its_own, f"{folder / name} is of another log"
            signed[int(size)] = b64(hash)
    for _ in range(part["former_records"] if is_ndjson else 0):
        next(payload)
    size, peaks = part["start_size"], [b64(peak) for peak in part["start_peaks"]]
    bodies = open(folder / "bodies.ndjson")
    body = json.loads(bodies.readline() or "null")
    assert size not in signed or signed[size] == root(peaks), f"{folder}: the start is not what was signed"
    for header in open(folder / "headers.ndjson", "rb"):
        header = header.removesuffix(b"\n")
        leaf = json.loads(header)
        assert leaf["seq"] == size, f"{folder}: header {size} is missing"
        if body and body["seq"] == size:
            if "not" not in body:
                delivered += 1
                if is_ndjson:
                    hash = sha256(b64(body["salt"]), next(payload, b""))
                    assert hash == b64(leaf["body"]), f"{folder}: the record of leaf {size} is not what was logged"
            body = json.loads(bodies.readline() or "null")
        node, rest = sha256(b"\0", header), size
        while rest & 1:
            node, rest = sha256(b"\1", peaks.pop(), node), rest >> 1
        peaks.append(node)
        size += 1
        assert size not in signed or signed[size] == root(peaks), f"{folder}: the headers are not what was signed"
    assert size == part["end_size"] and root(peaks) == b64(part["end_root"]), f"{folder}: the headers are not the manifest's"
    assert body is None, f"{folder}: a record has no header"
    reached = all(part["start_size"] <= n <= size for n in signed)
    assert reached and part["covered_size"] <= size, f"{folder}: the headers do not reach what was signed"
    if part["start_size"]:
        print(f"partition {part['partition']}: its first {part['start_size']} leaves are not looked at")
    print(f"partition {part['partition']}: {size - part['start_size']} headers lead to the root; signed sizes: {sorted(signed)}")
without_a_leaf = next(payload, None) is not None or delivered + unproven > manifest["records"]
assert not without_a_leaf, "there are records without a leaf"
compared = "each is the one that its leaf was made of" if is_ndjson else "their bytes are not compared in this format"
print(f"{delivered} records have a leaf; {compared}")
