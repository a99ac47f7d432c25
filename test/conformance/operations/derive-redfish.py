"""Derives the list of Redfish's operations from DMTF's CSDL schemas. Run by hand:

    python3 test/conformance/operations/derive-redfish.py FOLDER ORIGIN >test/conformance/operations/redfish.txt

FOLDER holds the schemas (*_v1.xml), ORIGIN says where they are from. Of each resource the addresses, what may be done to
it (inserted, updated, deleted), and its actions are taken, no sentences. Addresses that count as deprecated are kept: services still answer them.
Whatever changes something may be answered with 202. A line is: method, path, "-", "202" or nothing.
"""

import pathlib
import sys
import xml.etree.ElementTree as tree

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
# What creates or ends a session of the caller's own is in the schemas like any other resource.
METHODS = {"Insertable": ["POST"], "Updatable": ["PATCH", "PUT"], "Deletable": ["DELETE"]}


def annotation(element, term):
    return next((one for one in element.findall(EDM + "Annotation") if one.get("Term") == term), None)


def allowed(entity):
    """The methods besides GET that the schema does not rule out."""
    found = []
    for kind, term in (("Insertable", "Insert"), ("Updatable", "Update"), ("Deletable", "Delete")):
        given = annotation(entity, f"Capabilities.{term}Restrictions")
        value = None if given is None else given.find(f".//{EDM}PropertyValue[@Property='{kind}']")
        if value is not None and value.get("Bool") == "true":
            found += METHODS[kind]
    return found


def main(folder, origin):
    operations = set()
    actions = {}
    uris = {}
    for path in sorted(pathlib.Path(folder).glob("*_v1.xml")):
        name = path.name.removesuffix("_v1.xml")
        for schema in tree.parse(path).getroot().iter(EDM + "Schema"):
            for entity in schema.findall(EDM + "EntityType"):
                given = annotation(entity, "Redfish.Uris")
                if entity.get("Name") != name or given is None:
                    continue
                uris[name] = [text.text.rstrip("/") or "/" for text in given.iter(EDM + "String")]
                for uri in uris[name]:
                    operations.add(("GET", uri))
                    operations.update((method, uri) for method in allowed(entity))
            for action in schema.findall(EDM + "Action"):
                bound = action.find(EDM + "Parameter")
                if bound is not None and bound.get("Type", "").endswith((f"{name}.Actions", f"{name}.v1_0_0.Actions")):
                    actions.setdefault(name, set()).add(action.get("Name"))
    for name, names in actions.items():
        for uri in uris.get(name, ()):
            operations.update(("POST", f"{uri}/Actions/{name}.{action}") for action in names)
    print(f"# Operations of Redfish in {origin}, by derive-redfish.py.")
    for method, uri in sorted(operations, key=lambda one: (one[1], one[0])):
        print(f"{method} {uri} -{'' if method == 'GET' else ' 202'}")


main(*sys.argv[1:])
