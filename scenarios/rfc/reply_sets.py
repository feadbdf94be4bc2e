"""Sets of replies that several rules admit: as wide as the RFC allows."""

ANY = ("2xx", "3xx", "4xx", "5xx")
REFUSED = ("4xx", "5xx")
NOT_ACCEPTABLE = {  # a greeting, after which all stays as it was (RFC 5321 §4.1.4)
    "EHLO": (500, 501, 502, 550),
    "HELO": ("5xx",),  # which nothing says has to be taken behind EHLO
}
POLICY = ("51x", "52x", 532, 534, 535, 538, "54x", "55x")  # 530 wants TLS or a login, and tells no more
SYNTAX_ERROR = (500, 501)
NO_SYNTAX_ERROR = ("2xx", "4xx", 502, 503, 504, *POLICY)  # whatever but these
IMPLEMENTED = ("2xx", "3xx", 334, "4xx", 501, 503, 504, *POLICY)  # whatever but 500 and 502; 334 to AUTH
IN_PLACE = ("2xx", "3xx", "4xx", 500, 501, 502, 504, *POLICY)  # whatever but 503
