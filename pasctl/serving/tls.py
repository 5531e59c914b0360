"""The certificate of a server."""

from __future__ import annotations

import ssl

from pasctl.errors import InputError, MissingError
from pasctl.text_file import expand_home, refuse_device

_MOST_BYTES = 1 << 20


def check_certificate(cert: str, key: str) -> None:
    """Refuse files that no server can use, before anything else is done.

    Args:
        cert: PEM file of the certificate and of those between it and the root.
        key: PEM file of its key, without a passphrase.

    Raises:
        MissingError: a file is not there, or cannot be read.
        InputError: a file is no PEM, the key is encrypted, or it is another certificate's.
    """
    for what, name in (("certificate", cert), ("key", key)):
        marker = "CERTIFICATE-----" if what == "certificate" else "PRIVATE KEY-----"
        if marker.encode() not in _content(what, name):
            raise InputError(f"the TLS {what} {name!r} is no PEM file with a {marker.rstrip('-').lower()}")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            expand_home(cert), expand_home(key), password=_refuse_passphrase
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            told = f"the TLS key {key!r} is not that of the certificate {cert!r}"
            raise InputError(told, hint="give the key that the certificate was made with") from error
        raise InputError(f"the TLS files {cert!r} and {key!r} cannot be used: {error.reason or error}") from error


def _content(what: str, name: str) -> bytes:
    path = expand_home(name)
    refuse_device(path, f"the TLS {what}")
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingError(f"the TLS {what} {name!r} cannot be read: {reason.lower()}") from error


def _refuse_passphrase() -> str:
    """OpenSSL would ask for it at the terminal, and again when the server starts."""
    raise InputError(
        "the TLS key is encrypted, expected it without a passphrase",
        hint="write it without one: openssl pkey -in KEY -out PLAIN",
    )
