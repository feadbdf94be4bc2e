"""SPF (RFC 7208): the grammar of records, macros, and check_host().

Our own, on the server's own resolver. pyspf 2.0.14 passes the public test suite as well, but its DNS lookup
is one function of the module for the whole process, it waits in the calling thread, and it does not import
without a second resolver that goes by the host's /etc/resolv.conf.
"""
