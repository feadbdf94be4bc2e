"""SMTP without any rule of policy: bytes in, events and replies out; `driver.py` puts it on asyncio."""
