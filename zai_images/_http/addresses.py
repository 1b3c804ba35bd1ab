"""Which addresses a picture may be fetched from: the public ones, and no others."""

import ipaddress
import re
import socket

from yarl import URL

from zai_images._config import is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # IANA gives out no other IPv6
# Not on the public internet, though some versions of Python call them global.
_SPECIAL = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocols; one cloud's metadata
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.ip_network("3fff::/20"),  # documentation
)
_PLAIN = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# What every standard reads as an IPv4 address, and never as a name.
_ENDS_IN_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
# Names that only the proxy's own network knows: its machines, a cloud's metadata.
_LOCAL_NAME = re.compile(
    r"[^.]+|.*\.(local|localdomain|internal|intranet|private|corp|home|lan|arpa)"
)


class AddressRefusedError(OSError):
    """Raised when a link leads where no picture of the service can be."""


def is_public(address: Address) -> bool:
    """Tell whether an address is public, looking inside IPv6 forms of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        for inner in (address.ipv4_mapped, address.sixtofour):
            if inner is not None:
                return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def check_address(text: str, *, loopback: bool) -> None:
    """Raise `AddressRefusedError` unless an address is public or allowed loopback."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if loopback and address.is_loopback:
        return
    if not is_public(address):
        raise AddressRefusedError(f"{address} is not a public address")


def check_link(url: str, *, loopback: bool, proxied: bool) -> URL:
    """
    Check what a link's spelling shows, and return it ready to fetch.

    Behind a proxy this is the only check: the proxy resolves the name.

    Raises:
        AddressRefusedError: It is not https, has no host, or spells a private address.
    """
    try:
        # A signed link is sent as written: requoting may break its signature.
        link = URL(url, encoded=_PLAIN.fullmatch(url) is not None)
        host = (link.raw_host or "").rstrip(".").lower()
        port = link.port
    except ValueError:
        raise AddressRefusedError("it is not a URL") from None
    if link.scheme not in ("http", "https"):
        raise AddressRefusedError(f"it is {link.scheme or 'nothing'}, not https")
    plain = ":" in host or _HOST.fullmatch(host)
    if not plain or port == 0 or link.user is not None or link.password is not None:
        raise AddressRefusedError("it has no plain host")
    if loopback and is_loopback(host):
        return link
    if link.scheme != "https":
        raise AddressRefusedError("it is http, not https")
    if is_loopback(host) or not _may_be_public(host, named=not proxied):
        raise AddressRefusedError(f"{host} is not a public address")
    return link


def _may_be_public(host: str, *, named: bool) -> bool:
    """Judge a host by its spelling; `named`: a name's address is checked later."""
    if ":" in host or _ENDS_IN_NUMBER.fullmatch(host):
        literal = _literal(host)
        return literal is not None and is_public(literal)
    return named or not _LOCAL_NAME.fullmatch(host)


def _literal(host: str) -> Address | None:
    """Parse an address in any spelling that resolvers accept; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
