"""Derives the list of vCenter's REST operations from descriptions of its versions. Run by hand:

    python3 test/conformance/operations/derive-vsphere-rest.py ORIGIN FILE... >test/conformance/operations/vsphere-rest.txt

Each FILE is a Swagger or OpenAPI description (JSON), or a text that holds a JSON array of operations with `Method` and `Path`
(as PowerCLI's Find-VSphereCommand does). ORIGIN says where they are from. Methods and addresses are taken, no sentences. An
address is with the members of its query that choose the operation (`action`, `~action`, `vmw-task`). The same address with
other names of parameters is one address. A line is: method, path, and "task" where the answer names a task.
"""

import json
import re
import sys

METHODS = ("get", "post", "put", "patch", "delete")
CHOOSING = ("action", "~action", "vmw-task")


def described(document):
    base = document.get("basePath", "")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            chosen = []
            for parameter in operation.get("parameters", []):
                if parameter.get("in") == "query" and parameter.get("name") in CHOOSING:
                    values = parameter.get("enum") or parameter["schema"]["enum"]
                    chosen += [f"{parameter['name']}={value}" for value in values]
            yield method.upper(), base + path, chosen


def listed(text):
    start, end = text.index("[\n  {"), text.rindex("]")
    for operation in json.loads(text[start : end + 1]):
        yield operation["Method"], operation["Path"], []


def operations_of(name):
    text = open(name, encoding="utf-8").read()
    if text.lstrip().startswith("{"):
        yield from described(json.loads(text))
    else:
        yield from listed(text)


def main(origin, names):
    found = {}
    for name in names:
        for method, path, chosen in operations_of(name):
            place, _, query = path.partition("?")
            # What the description calls a query without a value is any value, which chooses nothing.
            members = [member for member in query.split("&") if "=" in member] + chosen
            members.sort(key=lambda member: (member.startswith("vmw-task"), member))
            target = place + ("?" + "&".join(members) if members else "")
            key = (method, re.sub(r"\{[^}]*\}", "{}", target))
            found.setdefault(key, target)
    print(f"# Operations of vCenter's REST APIs in {origin}, by derive-vsphere-rest.py.")
    for (method, _), target in sorted(found.items(), key=lambda one: (one[1], one[0])):
        print(method, target + (" task" if "vmw-task=true" in target else ""))


main(sys.argv[1], sys.argv[2:])
