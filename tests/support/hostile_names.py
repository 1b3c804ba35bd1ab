"""
Prompts that would make bad file names, and what is true of a good one.

Each case is (the fault class that only it covers, the text). Whatever makes names of
prompts is tried with all of them.
"""

import re
import unicodedata

NAMES = [
    ("nothing", ""),
    ("blanks alone", " \t\n "),
    ("one dot: this folder", "."),
    ("two dots: the folder above", ".."),
    ("many dots", "......"),
    ("dots and blanks", ". . ."),
    ("hidden by a dot", ".bashrc"),
    ("a way up", "../../../etc/passwd"),
    ("a way up with backslashes", "..\\..\\windows\\system32"),
    ("a way up in per cent", "%2e%2e%2fetc%2fpasswd"),
    ("a way up in overlong form", "..%c0%af..%c0%afetc"),
    ("an absolute path", "/etc/passwd"),
    ("a drive", "C:\\boot.ini"),
    ("a share", "\\\\server\\share"),
    ("a stream of a file", "fox.png:hidden:$DATA"),
    ("a home folder", "~root/.ssh/authorized_keys"),
    ("a variable", "$HOME/.profile"),
    ("a command", "$(rm -rf ~)`reboot`"),
    ("a pipe and a list", "a|b;c&d>e<f"),
    ("a pattern", "*?[a-z]"),
    ("quotes", "\"'`´“”"),
    ("an option", "-rf"),
    ("a long option", "--output=/etc/passwd"),
    ("an end of text", "fox.png\0.sh"),
    ("only an end of text", "\0"),
    ("a line's end", "fox\nbear\r\ncat"),
    ("a tab", "a\tb"),
    ("a bell", "a\a\b\x7fb"),
    ("a terminal's escape", "\x1b[31mred\x1b[0m"),
    ("a terminal's escape in one character", "\x9b31mred"),
    ("a separator of lines", "a\u2028b\u2029c"),
    ("a slash of full width", "a／b"),
    ("a slash for fractions", "a\u2044b"),
    ("a slash for division", "a\u2215b"),
    ("a backslash of full width", "a＼b"),
    ("dots that decompose", "\u2025/\u2026"),
    ("a dot of full width", "．．"),
    ("a sign that decomposes into a path", "℀ ℅ ⅍"),
    ("the word for a console", "con"),
    ("in capitals", "NUL"),
    ("in mathematical capitals", "𝐂𝐎𝐍"),
    ("in capitals of full width", "ＡＵＸ"),
    ("with a digit above the line", "com¹"),
    ("with a digit of full width", "LPT９"),
    ("with a suffix", "prn.txt"),
    ("with blanks behind", "aux   "),
    ("with a dot behind", "nul."),
    ("the console's in and out", "CONIN$ conout$"),
    ("a clock", "CLOCK$"),
    ("a thousand letters", "x" * 1000),
    ("letters of four bytes", "𠀀" * 100),
    ("one letter that becomes eighteen", "\ufdfa" * 40),
    ("marks on one letter", "a" + "\u0301" * 300),
    ("a million letters", "fox " * 250_000),
    ("written from right to left", "\u202egnp.exe"),
    ("isolated from right to left", "\u2067gpj\u2069.exe"),
    ("marks of direction", "\u200ea\u200fb\u061cc"),
    ("a blank without width", "\u200b\u200b"),
    ("a joiner", "a\u200db\u200cc\ufeff"),
    ("a filler that is a letter", "\u3164\u115f\u1160\uffa0"),
    ("selectors of variants", "a\ufe0f\U000e0100"),
    ("a joiner that is a mark", "a\u034fb"),
    ("vowels that are not seen", "a\u17b4\u17b5b"),
    ("separators of another script", "a\u180b\u180eb"),
    ("tags", "a\U000e0041\U000e007f"),
    ("half of a surrogate pair", "a\ud800b"),
    ("for private use", "a\ue000\U0010ffffb"),
    ("no character", "a\ufffe\uffffb"),
    ("signs alone", "🦊❄️🎉"),
    ("a flag", "🇩🇪"),
    ("Arabic", "ثعلب في الثلج"),
    ("Hindi", "बर्फ में लोमड़ी"),
    ("letters that fall apart on some disks", "한글 é ñ"),
    ("a letter that grows in lower case", "İİİ"),
    ("a name of ours", "links.jsonl"),
    ("another of ours", ".lock"),
    ("a part of ours", ".000001-a-fox-00000000.png.x.part"),
]  # fmt: skip

_DEVICES = re.compile(
    r"(con|prn|aux|nul|clock\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE
)
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f"
    "\U000e0000-\U000e0fff]"
)


def complaints(name: str, *, most: int = 200) -> list[str]:
    """Say everything that is wrong with a name; `most` are its bytes."""
    found = {
        "empty": not name,
        "a separator": any(char in name for char in "/\\:"),
        "begins badly": name[:1] in {"", ".", "-", "~", " "},
        "ends badly": name[-1:] in {"", ".", "-", " "},
        "a device": _DEVICES.fullmatch(name) is not None,
        "too long": len(name.encode("utf-8", "surrogatepass")) > most,
        "not to be seen": not name.isprintable() or _UNSEEN.search(name) is not None,
        "for a shell": re.search(r"[\s\"'`$&|;<>*?\[\](){}!#%^=,]", name) is not None,
        "no letter or digit": not any(
            unicodedata.category(char)[0] in "LN" for char in name
        ),
        "another name when normalised": unicodedata.normalize("NFC", name) != name,
        "capitals": name != name.lower(),
    }
    return [what for what, is_so in found.items() if is_so]
