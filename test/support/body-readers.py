"""Reads JSON and SOAP bodies as backends in Python would: with json, expat and lxml, with and without an eye for namespaces.

Lines in: as JSON, `{"format", "body", "places"}`, the body in base64. Lines out: as JSON, for each reader by its name what it
finds at each place: a list of texts, or null where something else stands there; in place of that `false` where it reads nothing.
"""

import base64
import json
import sys
from xml.etree import ElementTree

from lxml import etree

XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


def first_wins(pairs):
    made = {}
    for key, value in pairs:
        made.setdefault(key, value)
    return made


def json_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    return None


def json_at(root, pointer):
    at = [root]
    for step in pointer.split("/")[1:]:
        following = []
        for value in at:
            if isinstance(value, dict) and step in value:
                following.append(value[step])
            elif isinstance(value, list) and step == "*":
                following.extend(value)
        at = following
    return [json_text(value) for value in at if value is not None]


def read_json(body, places, hook):
    value = json.loads(body, object_pairs_hook=hook)
    return {place: json_at(value, place) for place in places}


def local(tag):
    return tag.rsplit("}", 1)[-1]


def space(tag):
    return tag[1:].split("}", 1)[0] if tag.startswith("{") else ""


def elements(node):
    return [child for child in node if isinstance(child.tag, str)]


def xml_at(method, place, aware):
    names, _, attribute = place.partition("@")
    at = [method]
    for name in names.split("/"):
        at = [child for node in at for child in elements(node)
              if local(child.tag) == name and (not aware or space(child.tag) == space(method.tag))]
    if not attribute:
        # What stands beside comments and the like is left out: whoever has those has no plain text.
        return [None if len(node) else (node.text or "") for node in at]
    found = []
    for node in at:
        for key, value in node.attrib.items():
            if key == attribute or (not aware and local(key) == attribute and not key.startswith(XSI)):
                found.append(value)
    return found


def read_xml(root, places, aware):
    bodies = [child for child in elements(root) if local(child.tag) == "Body"]
    [method] = elements(bodies[0])
    found = {place: xml_at(method, place, aware) for place in places}
    return {**found, "method": [local(method.tag)], "namespace": [space(method.tag)]}


def attempt(read):
    try:
        return read()
    except Exception:
        return False


def strict():
    return etree.XMLParser(resolve_entities=True, no_network=True)


READERS = {
    "json": {
        "json": lambda body, places: read_json(body, places, dict),
        "json, the first of a name": lambda body, places: read_json(body, places, first_wins),
    },
    "soap": {
        "expat": lambda body, places: read_xml(ElementTree.fromstring(body), places, True),
        "expat, blind to namespaces": lambda body, places: read_xml(ElementTree.fromstring(body), places, False),
        "lxml": lambda body, places: read_xml(etree.fromstring(body, strict()), places, True),
        "lxml, blind to namespaces": lambda body, places: read_xml(etree.fromstring(body, strict()), places, False),
    },
}

for line in sys.stdin:
    task = json.loads(line)
    body = base64.b64decode(task["body"])
    readers = READERS[task["format"]]
    print(json.dumps({name: attempt(lambda: read(body, task["places"])) for name, read in readers.items()}), flush=True)
