"""Sets of replies that several rules admit: as wide as the RFC allows."""

ANY = ("2xx", "3xx", "4xx", "5xx")
REFUSED = ("4xx", "5xx")
_POLICY = ("51x", "52x", 532, 534, 535, 538, "54x", "55x")  # 530 wants TLS or a login, and tells no more
NO_SYNTAX_ERROR = ("2xx", "4xx", 502, 503, 504, *_POLICY)  # whatever but 500 and 501
IMPLEMENTED = ("2xx", "3xx", 334, "4xx", 501, 503, 504, *_POLICY)  # whatever but 500 and 502; 334 to AUTH
IN_PLACE = ("2xx", "3xx", "4xx", 500, 501, 502, 504, *_POLICY)  # whatever but 503
KNOWN_PARAMETER = ("2xx", "4xx", 501, 503, "51x", "52x", 532, 534, 535, 538, "54x", *range(550, 555), 556)
