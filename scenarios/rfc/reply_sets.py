"""Sets of replies that several rules admit: as wide as the RFC allows."""

ANY = ("2xx", "3xx", "4xx", "5xx")
REFUSED = ("4xx", "5xx")
_POLICY = ("51x", "52x", "53x", "54x", "55x")
NO_SYNTAX_ERROR = ("2xx", "4xx", 502, 503, 504, *_POLICY)  # whatever but 500 and 501
IMPLEMENTED = ("2xx", "3xx", "4xx", 501, 503, 504, *_POLICY)  # whatever but 500 and 502
IN_PLACE = ("2xx", "3xx", "4xx", 500, 501, 502, 504, *_POLICY)  # whatever but 503
KNOWN_PARAMETER = ("2xx", "4xx", 501, 503, "51x", "52x", "53x", "54x", 550, 551, 552, 553, 554, 556)
