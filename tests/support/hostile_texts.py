"""
Texts that a terminal would obey, were it shown them as they are.

Each case is (the fault class that only it covers, the text). `obeyed` finds what is
left of them in something that was shown.
"""

import re
import unicodedata

BEL, ST = "\a", "\x1b\\"
TEXTS = [
    ("a colour", "\x1b[31mred\x1b[0m"),
    ("a colour that hides", "\x1b[8mhidden"),
    ("a colour in 24 bits", "\x1b[38;2;1;2;3mred"),
    ("clear the screen", "\x1b[2J\x1b[H"),
    ("erase the line", "\x1b[2Ksafe"),
    ("up and over what was said", "\x1b[3A\x1b[1Gall done"),
    ("an absolute place", "\x1b[666;666H"),
    ("save and restore the place", "\x1b7\x1b8"),
    ("scroll", "\x1b[999S"),
    ("the other screen", "\x1b[?1049h"),
    ("hide the cursor", "\x1b[?25l"),
    ("catch the mouse", "\x1b[?1000h"),
    ("bracketed paste", "\x1b[201~reboot\r"),
    ("a title", f"\x1b]0;pwned{BEL}"),
    ("a title, ended the long way", f"\x1b]2;pwned{ST}"),
    ("write to the clipboard", f"\x1b]52;c;cm0gLXJmIH4={BEL}"),
    ("ask for the clipboard", f"\x1b]52;c;?{BEL}"),
    ("a link", f"\x1b]8;;https://evil.example{ST}here\x1b]8;;{ST}"),
    ("a picture", f"\x1b]1337;File=inline=1:AAAA{BEL}"),
    ("a notification", f"\x1b]9;you won{BEL}"),
    ("a folder", f"\x1b]7;file:///etc{BEL}"),
    ("a colour of the palette", f"\x1b]4;1;rgb:00/00/00{BEL}"),
    ("ask what terminal it is", "\x1b[c"),
    ("ask where the cursor is", "\x1b[6n"),
    ("ask for the title, which types it", "\x1b[21t"),
    ("a string of the device", f"\x1bP+q544e{ST}"),
    ("a private message", f"\x1b^secret{ST}"),
    ("an application's command", f"\x1b_Gf=100;AAAA{ST}"),
    ("a string never ended", "\x1bXall that follows"),
    ("reset everything", "\x1bc"),
    ("another character set", "\x1b(0lqqk"),
    ("shift out", "\x0elqqk\x0f"),
    ("a lone escape", "\x1b"),
    ("an escape at the end", "fox\x1b["),
    ("control sequence in one character", "\x9b31mred"),
    ("operating system command in one", "\x9d0;pwned\x9c"),
    ("device string in one", "\x90+q\x9c"),
    ("next line in one", "a\x85b"),
    ("a bell", "ding\a"),
    ("backspaces", "evil\b\b\b\bgood"),
    ("back to the line's begin", "failed\rdone"),
    ("a line of its own", "fox\n0 failed, all paid"),
    ("a line's end of Windows", "fox\r\nall done"),
    ("a vertical tab", "a\vb"),
    ("a new page", "a\fb"),
    ("an end of text", "a\0b"),
    ("delete", "a\x7fb"),
    ("an end of transmission", "a\x04b"),
    ("a stop", "a\x13b"),
    ("a file transfer", "**\x18B0100000023be50\r\n"),
    ("from right to left", "\u202egnp.exe"),
    ("isolated from right to left", "\u2067gnp\u2069.exe"),
    ("a mark of direction", "\u200fabc"),
    ("no width", "se\u200bcret"),
    ("a byte order mark", "\ufefffox"),
    ("a separator of lines", "fox\u2028all done"),
    ("a separator of paragraphs", "fox\u2029all done"),
    ("tags", "fox\U000e0041\U000e007f"),
    ("annotations", "\ufff9fox\ufffabear\ufffb"),
    ("markup of ours", "[bold red]fox[/bold red] [/oops]"),
    ("a link in markup of ours", "[link=https://evil.example]here[/link]"),
    ("an emoji in markup of ours", ":skull: :warning:"),
    ("an element", "<script>alert(1)</script>"),
    ("an element that loads", "<img src=x onerror=alert(1)>"),
    ("an attribute's end", "\" onload='alert(1)' x=\""),
    ("a format of ours", "%s %d %(key)s {self} {0.__class__} \\N{BELL}"),
    ("an escape that is none", "\\x1b[31m \\u001b[31m"),
]

# What may not be seen in anything shown, but for the ends of lines.
_OBEYED = ("Cc", "Cf", "Zl", "Zp")


def obeyed(shown: str) -> list[str]:
    """List the characters of a text that a terminal obeys instead of showing."""
    return [
        f"U+{ord(char):04X}"
        for char in shown
        if char != "\n" and unicodedata.category(char) in _OBEYED
    ]


def alphanumeric(text: str) -> str:
    """Keep what must be left of a text, to tell that it was shown at all."""
    return "".join(re.findall(r"[a-z]{3,}", text)[:1])
