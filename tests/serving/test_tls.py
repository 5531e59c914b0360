"""HTTPS with a certificate that the test has made, and files that no server can use."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import ssl
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pasctl.commands.serve import Serve
from pasctl.errors import InputError, MissingError
from pasctl.serving.server import serve
from pasctl.serving.settings import Settings
from pasctl.serving.tls import check_certificate
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from tests.conftest import PasctlRun

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")


def make(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(key), "-out", str(cert), *(options or ("-nodes",))),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("tls"), "own")


def test_a_server_with_a_certificate_speaks_https_alone(
    handle: ModelHandle, served_store: Path, made: tuple[Path, Path]
) -> None:
    cert, key = made
    seen: dict[str, object] = {}

    def ask(url: str) -> None:
        place = urlsplit(url)
        seen["scheme"] = place.scheme
        trusting = ssl.create_default_context(cafile=cert)
        for name, context in (("trusted", trusting), ("unknown", ssl.create_default_context())):
            connection = http.client.HTTPSConnection(place.netloc, timeout=30, context=context)
            try:
                connection.request("GET", "/ready")
                seen[name] = json.loads(connection.getresponse().read())
            except ssl.SSLCertVerificationError as error:
                seen[name] = error.verify_message
            finally:
                connection.close()
        plain = http.client.HTTPConnection(place.netloc, timeout=30)
        try:
            plain.request("GET", "/ready")
            seen["plain"] = plain.getresponse().status
        except (http.client.HTTPException, OSError):
            seen["plain"] = "refused"
        finally:
            plain.close()
        signal.raise_signal(signal.SIGTERM)

    threads: list[threading.Thread] = []

    def ready(what: dict[str, str]) -> None:
        threads.append(threading.Thread(target=ask, args=(what["url"],)))
        threads[0].start()

    settings = Settings(port=0, tls_cert=str(cert), tls_key=str(key))
    serve(Serve(model=handle, settings=settings), Run(served_store), ready=ready)
    threads[0].join()
    assert seen == {
        "scheme": "https",
        "trusted": {"status": "ok"},
        "unknown": "self-signed certificate",
        "plain": "refused",
    }


def test_files_that_cannot_be_used_are_told_in_a_line(made: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = map(str, made)
    other, other_key = map(str, make(tmp_path, "other"))
    _, locked = map(str, make(tmp_path, "locked", "-passout", "pass:secret"))
    words, damaged = tmp_path / "words", tmp_path / "damaged"
    words.write_text("no certificate")
    damaged.write_text("-----BEGIN CERTIFICATE-----\nno base 64\n-----END CERTIFICATE-----\n")
    check_certificate(cert, key)
    for given, kind, told in (
        ((str(tmp_path / "none"), key), MissingError, "the TLS certificate .*none' cannot be read: no such file"),
        ((cert, str(tmp_path)), MissingError, "the TLS key .* cannot be read: is a directory"),
        ((str(words), key), InputError, "words' is no PEM file with a certificate"),
        ((cert, str(words)), InputError, "words' is no PEM file with a private key"),
        ((key, cert), InputError, "is no PEM file with a certificate"),
        ((str(damaged), key), InputError, "cannot be used"),
        ((other, key), InputError, "is not that of the certificate"),
        ((cert, other_key), InputError, "is not that of the certificate"),
        ((str(tmp_path / "locked.pem"), locked), InputError, "is encrypted, expected it without a passphrase"),
        (("/dev/zero", key), InputError, "is a device"),
    ):
        with pytest.raises(kind, match=told) as refused:
            check_certificate(*given)
        assert "\n" not in refused.value.message


def test_one_without_the_other_is_refused(run_pasctl: PasctlRun, made: tuple[Path, Path]) -> None:
    done = run_pasctl("serve", "--model", "demo", "--tls-key", str(made[1]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: --tls-key is given without --tls-cert, expected both",
        "hint: give --tls-cert FILE",
    ]
