"""Addresses: one text a place, and everything else refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.peer.id import ID as ID_OF_LIBP2P

from shoal_node.transport import address
from shoal_protocol import identity
from shoal_protocol.errors import RemoteProtocolError

ID = identity.peer_id(bytes(range(32)))


@given(st.binary(min_size=32, max_size=32))
def test_a_peer_id_survives_its_text_and_matches_libp2p(key: bytes) -> None:
    peer_id = identity.peer_id(key)
    text = identity.peer_id_text(peer_id)
    assert identity.peer_id_bytes(text) == peer_id
    assert text == ID_OF_LIBP2P(peer_id).to_base58()


@pytest.mark.parametrize(
    "where",
    [
        "/ip4/192.0.2.7/tcp/4001",
        "/ip6/2001:db8::7/tcp/1",
        "/dns/example.org/tcp/443",
        "/dns4/example.org/tcp/443",
        "/dns6/example.org/tcp/65535",
        "/memory/7",
    ],
)
def test_an_address_survives_parsing(where: str) -> None:
    for text in (where, f"{where}/p2p/{identity.peer_id_text(ID)}"):
        parsed = address.parse(text)
        assert str(parsed) == text
        assert parsed.peer_id == (ID if "p2p" in text else None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "ip4/1.2.3.4/tcp/1",
        "/ip4/1.2.3/tcp/1",
        "/ip4/1.2.3.4/udp/1",
        "/ip4/1.2.3.4/tcp/65536",
        "/ip4/1.2.3.4/tcp/-1",
        "/ip4/1.2.3.4/tcp/٣",
        "/ip4/1.2.3.4/tcp/1/",
        "/ip4/1.2.3.4/tcp/1/ws",
        "/ip4/1.2.3.4/tcp/1/p2p/",
        "/ip4/1.2.3.4/tcp/1/p2p/12D3KooW0",
        "/ip4/1.2.3.4/tcp/1/p2p/" + "z" * 200,
        "/ip4/1.2.3.4/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "/dns//tcp/1",
        "/dns/a b/tcp/1",
        "/dns/" + "a" * 254 + "/tcp/1",
        "/memory/x",
        "/unix/tmp",
    ],
)
def test_anything_else_is_one_error(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="address"):
        address.parse(text)


@given(st.text(max_size=80))
def test_arbitrary_text_is_an_address_or_one_error(text: str) -> None:
    for candidate in (text, "/ip4/" + text, "/dns/a/tcp/1/p2p/" + text):
        try:
            parsed = address.parse(candidate)
        except RemoteProtocolError as error:
            assert error.reason == "address"
        else:
            assert address.parse(str(parsed)) == parsed
