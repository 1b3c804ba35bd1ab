"""Which links may be followed, and which addresses connected to."""

import pytest

from zai_images._http.addresses import AddressRefusedError, check_address, check_link

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"]
    + ["100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1"]
    + ["::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1"]
    + ["64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "fec0::1", "::127.0.0.1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address):
    with pytest.raises(AddressRefusedError):
        check_address(address, loopback=False)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1", "::ffff:1.1.1.1"])
def test_public_addresses_are_allowed(address):
    check_address(address, loopback=False)


@pytest.mark.parametrize(
    "link",
    ["https://2130706433/a", "https://0x7f.1/a", "https://017700000001/a"]
    + ["https://127.1/a", "https://[::1]/a", "https://localhost./a"]
    + ["https://user@example.com/a", "ftp://example.com/a", "https:///a", "a.png"]
    + ["https://[::1/a", "https://example.com:x/a", "https://10.0.0.1/a"],
)  # fmt: skip
def test_behind_a_proxy_odd_spellings_of_private_addresses_are_refused(link):
    with pytest.raises(AddressRefusedError):
        check_link(link, loopback=False, proxied=True)


@pytest.mark.parametrize(
    "link", ["https://example.com/a", "https://1.1.1.1/a", "https://cafe.example/a"]
)
def test_behind_a_proxy_names_and_public_addresses_pass(link):
    check_link(link, loopback=False, proxied=True)


@pytest.mark.parametrize("host", ["cafe.fade", "ad.bed.cafe"])
def test_a_name_that_could_be_hexadecimal_is_a_name(host):
    assert check_link(f"https://{host}/a.png", loopback=False, proxied=False)
