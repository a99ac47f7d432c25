"""Holds one lock of tooz over etcd3gw or etcd3, for a test: it takes it, says so, and does what it is told, line by line."""

import sys

import etcd3gw

# Debian's tooz hands etcd3gw a path that this version of it does not take.
_client = etcd3gw.client


def client(**options):
    path = options.pop("api_path", None)
    if path is None:
        return _client(**options)
    try:
        return _client(api_path=path, **options)
    except TypeError:
        made = _client(**options)
        made.api_path = path
        return made


etcd3gw.client = client

from tooz import coordination  # noqa: E402

url, name = sys.argv[1:]
coordinator = coordination.get_coordinator(url, b"holder")
coordinator.start()
lock = coordinator.get_lock(name.encode())


def say(word):
    print(word, flush=True)


say("ready")
for line in sys.stdin:
    command = line.strip()
    if command == "acquire":
        say("acquired" if lock.acquire(blocking=False) else "taken")
    elif command == "release":
        say("released" if lock.release() else "not held")
    elif command == "heartbeat":
        coordinator.heartbeat()
        say("alive")
