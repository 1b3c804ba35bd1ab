"""Which addresses a picture may be fetched from: the public ones, and no others."""

import ipaddress
import re
import socket

from yarl import URL

from zai_images._config import is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_PLAIN = re.compile(r"[!-~]+")


class AddressRefusedError(OSError):
    """Say that a link leads where no picture of the service can be."""


def is_public(address: Address) -> bool:
    """Tell whether an address is on the public internet, seen through its wrappings."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address in _LOCAL_NAT64 or address.is_site_local or int(address) >> 32 == 0:
            return False
        for inner in (address.ipv4_mapped, address.sixtofour):
            if inner is not None:
                return is_public(inner)
    return address.is_global and not address.is_multicast


def check_address(text: str, *, loopback: bool) -> None:
    """
    Refuse an address that a connection is about to be made to.

    Args:
        text: The address, as the resolver gave it.
        loopback: Whether this machine's own addresses are allowed.

    Raises:
        AddressRefusedError: It is private, reserved or this machine's own.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if loopback and address.is_loopback:
        return
    if not is_public(address):
        raise AddressRefusedError(f"{address} is not a public address")


def check_link(url: str, *, loopback: bool, proxied: bool) -> URL:
    """
    Refuse a link by what can be read off it; return it as it shall be fetched.

    Behind a proxy this is all that can be done: the proxy resolves the name.

    Raises:
        AddressRefusedError: It is not https, has no host, or spells a private address.
    """
    try:
        # A signed link goes out as it is written: quoting it anew may spoil it.
        link = URL(url, encoded=_PLAIN.fullmatch(url) is not None)
        host = (link.raw_host or "").rstrip(".").lower()
        _ = link.port
    except ValueError:
        raise AddressRefusedError("it is not a URL") from None
    if link.scheme not in ("http", "https"):
        raise AddressRefusedError(f"it is {link.scheme or 'nothing'}, not https")
    if not host or link.user is not None or link.password is not None:
        raise AddressRefusedError("it has no plain host")
    if loopback and is_loopback(host):
        return link
    if link.scheme != "https":
        raise AddressRefusedError("it is http, not https")
    if proxied or ":" in host:
        literal = _literal(host)
        if is_loopback(host) or (literal is not None and not is_public(literal)):
            raise AddressRefusedError(f"{host} is not a public address")
    return link


def _literal(host: str) -> Address | None:
    """Read an address in any of the spellings that resolvers take, or None."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fx.]+", host, re.IGNORECASE):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
