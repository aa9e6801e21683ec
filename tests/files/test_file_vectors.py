"""tests/vectors/files.json: building gives these bytes, and readers take them."""

import json
from typing import Any

import pytest
import reedsolo

from repo.repository import ROOT
from shoal_protocol import crypto
from shoal_protocol.files import coding
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.sending import FileSender
from shoal_protocol.streams.capability import WriteCapability
from vectors import write_files

VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/files.json").read_text())
NETWORK = bytes.fromhex(VECTORS["network"])


def test_the_writer_of_file_vectors_gives_the_file_again() -> None:
    assert write_files.make() == VECTORS


@pytest.mark.parametrize("word", VECTORS["codewords"])
def test_a_codeword_is_the_librarys(word: dict[str, str]) -> None:
    data, parity = bytes.fromhex(word["data"]), bytes.fromhex(word["parity"])
    assert bytes(reedsolo.rs_encode_msg(data, len(parity))) == data + parity
    come = {len(data) + i: parity[i : i + 1] for i in range(len(parity))}
    found: dict[int, bytes] = {}
    for some in coding.recover(come, len(data), len(parity)):
        found |= some
    assert b"".join(found[place] for place in range(len(data))) == data


@pytest.mark.parametrize("file", VECTORS["files"], ids=lambda file: str(file["size"]))
def test_a_manifest_opens_the_boxes_that_its_sender_made(file: dict[str, Any]) -> None:
    manifest = manifests.decode(bytes.fromhex(file["manifest"]), NETWORK)
    content = write_files.content(file["size"])
    writer = WriteCapability.load(bytes.fromhex(file["write_capability"]), NETWORK)
    sender, reader = FileSender(manifest, content, writer), manifests.reader(manifest, NETWORK)
    assert manifest.digest == crypto.digest(content)
    assert manifest.layout.total == file["total"]
    for kept in file["fragments"]:
        record = sender.record(kept["index"])
        assert crypto.digest(record).hex() == kept["record_digest"]
        box = reader.at(kept["index"])
        assert box.address(manifest.day).hex() == kept["address"]
        fragment = box.open(record, manifest.day)
        assert crypto.digest(fragment).hex() == kept["fragment_digest"]
