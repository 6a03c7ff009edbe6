"""An endpoint whose TLS cannot be trusted: nothing of the prompt is sent, and the failure is unreachable."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.errors import TargetFailed
from services.settings import EndpointSettings
from services.targets.endpoint import ChatEndpoint

SECRET = "the prompt holds a secret"


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's context for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


@asynccontextmanager
async def listening(context: ssl.SSLContext | None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port, and the bytes that came there as far as TLS let any through."""
    received: list[bytes] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], received
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("fault", ["nobody vouches for it", "it speaks no TLS"])
async def test_where_tls_cannot_be_trusted_nothing_is_sent_and_the_next_target_is_asked(
    tmp_path: Path, fault: str
) -> None:
    context = self_signed(tmp_path) if fault == "nobody vouches for it" else None
    async with listening(context) as (port, received):
        endpoint = ChatEndpoint(
            "primary", EndpointSettings(base_url=f"https://127.0.0.1:{port}/v1", model="scripted")
        )
        try:
            with pytest.raises(TargetFailed) as raised:
                await endpoint.ask("You are a system.", SECRET, {"type": "json_object"}, 50, 5.0)
        finally:
            await endpoint.aclose()
    assert (raised.value.kind, raised.value.cost_usd) == ("unreachable", 0.0)
    assert SECRET.encode() not in b"".join(received)
