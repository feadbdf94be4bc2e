"""The public RFC 7208 test suite, or any in its format, driven through live SMTP.

The file is the user's: `rfc7208-tests.yml` comes with the source distribution of pyspf. Its cases name
addresses of strangers: they only ever stand in what a PROXY header or XCLIENT tells a server on loopback or
in a sandbox, and in DNS answers about them; nothing is sent there.
"""
