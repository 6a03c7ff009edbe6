"""A Sigstore of a test's own on the loopback interface: identities, certificates and log entries.

One object is OpenID Connect provider (as GitHub Actions offers it to a job), Fulcio with its certificate log,
and Rekor (API version 1). What it says wrong on purpose is set by its attributes. Formats: RFC 6962
(certificate log, Merkle tree), C2SP's tlog-checkpoint, Fulcio's oid-info.md, Sigstore's protobuf-specs.
"""

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/bank/models/.github/workflows/train.yml@refs/heads/main"
AUDIENCE = "sigstore"
ISSUER_V1, ISSUER_V2 = "1.3.6.1.4.1.57264.1.1", "1.3.6.1.4.1.57264.1.8"
SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


class Key:
    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key()
        self.der = self.public.public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.id = sha256(self.der)

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


class SigstoreHere:
    """`identity`, `issuer`: who the next job is; `logged_at`, `certified`: when Rekor and Fulcio say."""

    def __init__(self) -> None:
        self.authority, self.certificate_log, self.log = Key(), Key(), Key()
        self.identity, self.issuer = WORKFLOW, ISSUER
        now = datetime.now(UTC)
        self.logged_at = now
        self.certified = (now - timedelta(minutes=5), now + timedelta(minutes=5))
        self.with_sct = True
        self.url = ""
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fulcio here")])
        self._root = self._certificate_of_authority(now)

    def trust_config(self) -> str:
        """A client's trust configuration, as keys/sigstore-trust.json holds one."""
        since = {"start": "2020-01-01T00:00:00Z"}

        def logged(key: Key) -> dict[str, Any]:
            public = {"rawBytes": b64(key.der), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            log_id = {"keyId": b64(key.id)}
            return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": log_id}

        service = {"url": self.url, "majorApiVersion": 1, "validFor": since, "operator": "here"}
        chain = {"certificates": [{"rawBytes": b64(self._root.public_bytes(DER))}]}
        authority = {
            "subject": {"organization": "here", "commonName": "fulcio here"},
            "uri": self.url,
            "certChain": chain,
            "validFor": since,
        }
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [logged(self.log)],
            "certificateAuthorities": [authority],
            "ctlogs": [logged(self.certificate_log)],
            "timestampAuthorities": [],
        }
        signing = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service],
            "oidcUrls": [service],
            "rekorTlogUrls": [service],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [],
            "tsaConfig": {"selector": "ANY"},
        }
        media = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
        return json.dumps({"mediaType": media, "trustedRoot": root, "signingConfig": signing})

    def environment(self) -> dict[str, str]:
        """What GitHub gives a job that has `id-token: write`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
        }

    @contextmanager
    def running(self) -> Iterator["SigstoreHere"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, path: str, asked: Mapping[str, Any], bearer: str) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {"authorization_endpoint": f"{self.url}/auth", "token_endpoint": f"{self.url}/token"}
        if path == "/token":
            return {"value": self._token()}
        if path == "/api/v2/signingCert":
            return {"signedCertificateEmbeddedSct": {"chain": {"certificates": self._issued(asked, bearer)}}}
        if path == "/api/v1/log/entries":
            return {"1": self._entry(asked["spec"]["proposedContent"])}
        return None

    def _token(self) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": self.issuer,
            "sub": "repo:bank/models",
            "aud": AUDIENCE,
            "iat": now,
            "job": self.identity,
        }
        return jwt.encode({**claims, "exp": now + timedelta(minutes=5)}, "k" * 32, algorithm="HS256")

    def _issued(self, asked: Mapping[str, Any], bearer: str) -> list[str]:
        claims = jwt.decode(bearer, "k" * 32, algorithms=["HS256"], audience=AUDIENCE)
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
        leaf = self._leaf(request.public_key(), claims["job"], claims["iss"])  # type: ignore[arg-type]  # an EC key
        return [leaf.public_bytes(PEM).decode(), self._root.public_bytes(PEM).decode()]

    def _certificate_of_authority(self, now: datetime) -> x509.Certificate:
        made = x509.CertificateBuilder().subject_name(self._name).issuer_name(self._name)
        made = made.public_key(self.authority.public).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=30)).not_valid_after(now + timedelta(days=30))
        made = made.add_extension(x509.BasicConstraints(True, 0), critical=True)
        made = made.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.authority.public)
        return made.add_extension(identifier, critical=False).sign(self.authority.private, hashes.SHA256())

    def _leaf(self, key: ec.EllipticCurvePublicKey, identity: str, issuer: str) -> x509.Certificate:
        begin, end = self.certified
        made = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self._name).public_key(key)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
        made = made.add_extension(_usage(digital_signature=True), critical=True)
        signing = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
        made = made.add_extension(signing, critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public)
        made = made.add_extension(authority, critical=False)
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        made = made.add_extension(names, critical=True)
        utf8 = bytes([0x0C, len(issuer)]) + issuer.encode()
        for oid, value in ((ISSUER_V1, issuer.encode()), (ISSUER_V2, utf8)):
            made = made.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False
            )
        if self.with_sct:
            unlogged = made.sign(self.authority.private, hashes.SHA256()).tbs_certificate_bytes
            made = made.add_extension(self._logged(unlogged), critical=False)
        return made.sign(self.authority.private, hashes.SHA256())

    def _logged(self, certificate: bytes) -> x509.UnrecognizedExtension:
        """The certificate log's promise (RFC 6962, section 3.2) for what the certificate holds but for it."""
        at = int(datetime.now(UTC).timestamp() * 1000)
        length = struct.pack("!I", len(certificate))[1:]
        signed = struct.pack("!BBQH", 0, 0, at, 1) + self.authority.id + length + certificate + b"\x00\x00"
        signature = self.certificate_log.sign(signed)
        promise = b"\x00" + self.certificate_log.id + struct.pack("!QH", at, 0)
        promise += struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(promise) + 2, len(promise)) + promise
        return x509.UnrecognizedExtension(
            x509.ObjectIdentifier(SCT_LIST), bytes([0x04, len(listed)]) + listed
        )

    def _entry(self, proposed: Mapping[str, Any]) -> dict[str, Any]:
        """The second of two leaves, with what proves that it is there."""
        envelope = json.loads(proposed["envelope"])
        (signature,) = envelope["signatures"]
        payload = base64.b64decode(envelope["payload"])
        body = rfc8785.dumps(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {
                        "algorithm": "sha256",
                        "value": sha256(proposed["envelope"].encode()).hex(),
                    },
                    "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hex()},
                    "signatures": [{"signature": signature["sig"], "verifier": proposed["verifiers"][0]}],
                },
            }
        )
        first = sha256(b"\x00the entry before")
        root = sha256(b"\x01" + first + sha256(b"\x00" + body))
        note = f"rekor.here - 1\n2\n{b64(root)}\n"
        signed = b64(self.log.id[:4] + self.log.sign(note.encode()))
        promised = {
            "body": b64(body),
            "integratedTime": int(self.logged_at.timestamp()),
            "logID": self.log.id.hex(),
            "logIndex": 1,
        }
        proof = {
            "checkpoint": f"{note}\n\u2014 rekor.here {signed}\n",
            "hashes": [first.hex()],
            "logIndex": 1,
            "rootHash": root.hex(),
            "treeSize": 2,
        }
        promise = b64(self.log.sign(rfc8785.dumps(promised)))
        return {**promised, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}


def _usage(**allowed: bool) -> x509.KeyUsage:
    kinds = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**(dict.fromkeys(kinds.split(), False) | allowed))


def _handler(sigstore: SigstoreHere) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, asked: Mapping[str, Any]) -> None:
            bearer = self.headers.get("authorization", "").partition(" ")[2]
            said = sigstore.answer(self.path.partition("?")[0], asked, bearer)
            raw = json.dumps(said or {}).encode()
            self.send_response(200 if said else 404)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
